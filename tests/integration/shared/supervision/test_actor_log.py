"""An actor's log on a disk that takes nothing: lines are lost, counted, and told for a while."""

from __future__ import annotations

import shutil
from pathlib import Path

from shared.supervision.actor_log import LOSS_SHOWN_S, ActorLog
from tests.support.manual_clock import ManualClock


async def test_lost_lines_are_told_while_they_are_lost_and_not_for_ever(tmp_path: Path) -> None:
    clock = ManualClock()
    folder = tmp_path / "log"
    folder.write_text("where the folder should be")
    log = ActorLog(folder / "fetcher.log", clock)
    log.append(b"one")
    assert (log.is_losing, log.lost_lines) == (True, 1)

    folder.unlink()
    log.append(b"two")
    assert log.is_losing
    await clock.advance(LOSS_SHOWN_S)
    assert (log.is_losing, log.lost_lines) == (False, 1)
    assert (folder / "fetcher.log").read_bytes() == b"two\n"


def test_removed_log_is_opened_anew(tmp_path: Path) -> None:
    log = ActorLog(tmp_path / "log" / "fetcher.log", ManualClock())
    log.append(b"one")
    assert not log.restore()
    shutil.rmtree(tmp_path / "log")
    assert log.restore()
    log.append(b"two")
    assert log.path.read_bytes() == b"two\n"
