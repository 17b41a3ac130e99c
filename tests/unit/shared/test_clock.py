"""Time that only moves when told to."""

from __future__ import annotations

import asyncio

import pytest

from shared.clock import JUMP_MS, ClockJump, ClockJumps, SystemClock, utc_text
from tests.support.manual_clock import ManualClock


async def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    clock, woken = ManualClock(origin_s=0.0), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper(s)) for s in (3.0, 1.0, 2.0)]
    await clock.advance(2.5)
    assert woken == [(1.0, 1.0), (2.0, 2.0)]
    await clock.advance(1.0)
    await asyncio.gather(*tasks)
    assert woken[-1] == (3.0, 3.0)


async def test_a_step_of_the_wall_clock_wakes_nobody() -> None:
    clock = ManualClock(now_ms=0)
    task = asyncio.create_task(clock.sleep(10))
    clock.step_wall(3_600_000)
    await clock.advance(0)
    assert not task.done()
    assert clock.now_ms() == 3_600_000
    task.cancel()


def test_an_offset_shifts_the_wall_clock_only() -> None:
    assert SystemClock(3_600_000).now_ms() - SystemClock().now_ms() >= 3_599_000


def test_times_are_shown_in_utc() -> None:
    assert utc_text(1_772_366_400_000) == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize("by_ms", [JUMP_MS, 3_600_000, -JUMP_MS, -3_600_000])
async def test_a_jump_is_seen_once_with_the_time_since_when_all_is_new(by_ms: int) -> None:
    clock = ManualClock()
    watch = ClockJumps(clock)
    await clock.advance(100)
    assert watch.look() is None
    before_ms = clock.now_ms()
    clock.step_wall(by_ms)
    await clock.advance(0.75)
    assert watch.look() == ClockJump(by_ms, before_ms + by_ms)
    assert watch.look() is None


async def test_steps_of_less_than_a_scan_are_no_jump_until_they_add_up() -> None:
    clock = ManualClock()
    watch = ClockJumps(clock)
    clock.step_wall(JUMP_MS - 1)
    assert watch.look() is None
    clock.step_wall(1)
    assert watch.look() == ClockJump(JUMP_MS, clock.now_ms())
