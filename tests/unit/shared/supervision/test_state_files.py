"""Removed parts of a state_dir: what is reported, how long, and how often it is logged."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from shared.permissions import Findings
from shared.supervision.state_files import MODES_S, SHOWN_S, StateFiles
from tests.support.manual_clock import ManualClock


class Part:
    """A part that can be gone, and refuse to come back."""

    def __init__(self) -> None:
        self.is_gone = False
        self.error: OSError | None = None

    async def restore(self) -> bool:
        if self.is_gone and self.error is not None:
            raise self.error
        was_gone, self.is_gone = self.is_gone, False
        return was_gone


class Modes:
    """Modes that somebody changes; correcting them is counted."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.calls = 0

    def __call__(self) -> Findings:
        self.calls += 1
        found, self.changed = Findings(Path("/srv/var"), self.changed), []
        return found


async def test_restored_part_is_reported_for_a_while() -> None:
    clock, part = ManualClock(), Part()
    files = StateFiles({"log": part.restore}, Modes(), clock, logging.getLogger("test"))
    await files.look()
    assert files.problems() == []
    part.is_gone = True
    await files.look()
    await files.look()
    (problem,) = files.problems()
    assert problem.startswith("log was removed from state_dir while running; made again at ")
    await clock.advance(SHOWN_S)
    assert files.problems() == []


async def test_part_that_cannot_be_restored_is_a_problem_while_it_is_gone_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, part = ManualClock(), Part()
    files = StateFiles({"log": part.restore}, Modes(), clock, logging.getLogger("test"))
    part.is_gone, part.error = True, OSError("read-only")
    await files.look()
    await files.look()
    said = "log is gone from state_dir and cannot be made again: read-only"
    assert files.problems() == [said]
    assert caplog.messages == [said]
    part.error = None
    await files.look()
    assert said not in files.problems()
    assert len(files.problems()) == 1


async def test_modes_that_were_corrected_are_reported_for_a_while() -> None:
    clock, modes = ManualClock(), Modes()
    files = StateFiles({}, modes, clock, logging.getLogger("test"))
    await files.look()
    modes.changed = ["trader.db (mode 000)"]
    await files.look()
    assert (modes.calls, files.problems()) == (1, [])
    await clock.advance(MODES_S)
    await files.look()
    (problem,) = files.problems()
    assert "changed while running, corrected: trader.db (mode 000) at " in problem
    await clock.advance(SHOWN_S)
    assert files.problems() == []
