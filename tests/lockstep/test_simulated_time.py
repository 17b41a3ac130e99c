"""Simulated time: waiting takes none of the real, and nothing runs beside the loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tests.lockstep.simulated_time import NothingLeft, SimulatedClock, SimulatedLoop


def run_in(loop: SimulatedLoop, work: object) -> object:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work)  # type: ignore[arg-type]


def test_sleepers_wake_in_order_of_their_time_and_at_it() -> None:
    loop = SimulatedLoop()
    clock = SimulatedClock(loop, 1_000)
    woken: list[tuple[str, int, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now_ms(), clock.monotonic()))

    async def main() -> None:
        await asyncio.gather(sleeper("late", 86_400), sleeper("soon", 0.25), sleeper("next", 60))

    run_in(loop, main())
    assert woken == [("soon", 1_250, 0.25), ("next", 61_000, 60.0), ("late", 86_401_000, 86_400.0)]


def test_day_passes_in_no_time() -> None:
    loop = SimulatedLoop()
    began = time.monotonic()
    run_in(loop, asyncio.sleep(86_400 * 365))
    assert loop.time() == 86_400 * 365
    assert time.monotonic() - began < 10


def test_work_of_other_threads_is_done_in_this_one() -> None:
    loop = SimulatedLoop()
    assert run_in(loop, asyncio.to_thread(threading.get_ident)) == threading.get_ident()

    def fails() -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        run_in(SimulatedLoop(), asyncio.to_thread(fails))


def test_timeout_ends_what_waits_for_nothing() -> None:
    async def waits() -> None:
        async with asyncio.timeout(5):
            await asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError):
        run_in(SimulatedLoop(), waits())


def test_wait_that_never_ends_is_said() -> None:
    loop = SimulatedLoop()
    with pytest.raises(NothingLeft, match="no timer is set"):
        loop.run_until_complete(loop.create_future())
    loop.close()
