"""What the trader may do: the strictest restraint wins, and every one of them is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

from shared.config.defaults import Mode
from shared.config.sections import TraderSection
from shared.messages.trading import KillFlag
from shared.trading.breakers import Latch
from shared.trading.mode import ModeInputs, is_enabled, mode


@dataclass(frozen=True)
class LockFile:
    mode: Literal["locked", "disabled"]
    who: str = "ada"
    reason: str = "looks wrong"


FLAG = KillFlag(reason="odd fills", who="bob", at_ms=0)
LATCH = Latch(breaker="drawdown", at_ms=0, why="drawdown of 8 % reached the limit of 8")


@pytest.mark.parametrize(
    ("seen", "expected", "why"),
    [
        ({"lock": LockFile("locked")}, "locked", "killed by ada: looks wrong"),
        ({"lock": LockFile("disabled")}, "disabled", "disabled by ada: looks wrong"),
        ({"flag": FLAG}, "locked", "kill flag set by bob: odd fills"),
        (
            {"latches": (LATCH,)},
            "locked",
            "drawdown of 8 % reached the limit of 8 at 1970-01-01T00:00:00Z",
        ),
        ({"is_enabled": False}, "disabled", "trader.enabled is false for this mode"),
        ({"choice": "disabled"}, "disabled", "disabled by an operator"),
        ({"choice": "reducing"}, "reducing", "an operator asked for it"),
        (
            {"after_quarantine": True},
            "reducing",
            "started although it died too often: enable it when that is understood",
        ),
        ({"closed_venue": "the venue ended its"}, "reducing", "the venue ended its"),
        ({"without_evidence": "no evidence"}, "reducing", "no evidence"),
        ({"journal_doubt": "trader.db is older"}, "locked", "trader.db is older"),
        (
            {"is_compared": False},
            "reducing",
            "the journal is being compared with the venue",
        ),
    ],
)
def test_each_restraint_ends_entries_and_says_so(
    seen: dict[str, Any], expected: str, why: str
) -> None:
    assert mode(ModeInputs(**seen)) == (
        expected,
        f"no new entries; open positions are still managed ({why})",
    )


def test_without_a_restraint_it_enters() -> None:
    assert mode(ModeInputs()) == ("enabled", "entries and exits")


def test_the_strictest_names_the_mode_and_all_are_told() -> None:
    seen = ModeInputs(
        lock=LockFile("disabled"), latches=(LATCH,), choice="reducing", closed_venue="closed"
    )
    assert mode(seen) == (
        "locked",
        "no new entries; open positions are still managed (disabled by ada: looks wrong; drawdown "
        "of 8 % reached the limit of 8 at 1970-01-01T00:00:00Z; an operator asked for it; closed)",
    )


def test_an_operators_enable_goes_before_the_configuration_and_nothing_else() -> None:
    assert mode(ModeInputs(is_enabled=False, choice="enabled"))[0] == "enabled"
    assert mode(ModeInputs(lock=LockFile("disabled"), choice="enabled"))[0] == "disabled"
    assert mode(ModeInputs(flag=FLAG, choice="enabled"))[0] == "locked"
    assert mode(ModeInputs(latches=(LATCH,), choice="enabled"))[0] == "locked"


def test_a_pause_takes_entries_and_is_over_by_itself() -> None:
    pause = replace(LATCH, breaker="losses in a row", until_ms=LATCH.at_ms + 3_600_000)
    found, why = mode(ModeInputs(latches=(pause,), choice="enabled"))
    assert found == "reducing" and "entries are paused until" in why
    assert mode(ModeInputs(latches=(pause, LATCH)))[0] == "locked"
    assert mode(ModeInputs(closed_venue="closed", choice="enabled"))[0] == "reducing"
    assert mode(ModeInputs(without_evidence="none", choice="enabled"))[0] == "reducing"


def test_a_configuration_that_disables_is_not_softened_by_a_quarantine() -> None:
    assert mode(ModeInputs(is_enabled=False, after_quarantine=True))[0] == "disabled"


@pytest.mark.parametrize(
    ("enabled", "mode_", "expected"),
    [(None, "demo", True), (None, "paper", False), (None, "live", False), (True, "live", True),
     (False, "demo", False)],
)  # fmt: skip
def test_left_out_it_is_enabled_in_demo_mode_only(
    enabled: bool | None, mode_: Mode, expected: bool
) -> None:
    assert is_enabled(TraderSection(enabled=enabled), mode_) == expected
