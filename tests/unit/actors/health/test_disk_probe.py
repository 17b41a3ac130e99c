"""A disk that does not sync is noticed while it does not, and not afterwards."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from actors.health.disk_probe import DiskProbe
from tests.support.manual_clock import ManualClock
from tests.support.waiting import eventually


async def test_disk_counts_as_stalled_for_as_long_as_a_sync_lasts(tmp_path: Path) -> None:
    clock, synced, begun = ManualClock(0), threading.Event(), threading.Event()

    def sync(_: Path) -> None:
        begun.set()
        synced.wait(60)

    probe = DiskProbe(tmp_path, clock, sync)
    assert probe.stalled_s == 0
    running = asyncio.create_task(probe.run())
    await eventually(begun.is_set, within_s=20)
    await clock.advance(12)
    assert probe.stalled_s == 12
    synced.set()
    await eventually(lambda: probe.stalled_s == 0, within_s=20)
    running.cancel()


async def test_disk_that_refuses_the_probe_is_not_stalled(tmp_path: Path) -> None:
    asked = threading.Event()

    def refuse(path: Path) -> None:
        asked.set()
        raise OSError(f"{path}: no space left")

    probe = DiskProbe(tmp_path, ManualClock(0), refuse)
    running = asyncio.create_task(probe.run())
    await eventually(asked.is_set, within_s=20)
    await eventually(lambda: probe.stalled_s == 0, within_s=20)
    assert not running.done()
    running.cancel()


class Over(Exception):
    """One probe was made."""


class ClockOfOneProbe(ManualClock):
    async def sleep(self, seconds: float) -> None:
        raise Over


@pytest.mark.parametrize(("is_link", "left"), [(True, "precious"), (False, "probe\nus")])
async def test_what_a_link_leads_to_is_not_written(
    tmp_path: Path, is_link: bool, left: str
) -> None:
    precious = tmp_path / ("precious" if is_link else "health.probe")
    precious.write_text("precious")
    if is_link:
        (tmp_path / "health.probe").symlink_to(precious)
    with pytest.raises(Over):
        await DiskProbe(tmp_path, ClockOfOneProbe()).run()
    assert precious.read_text() == left
