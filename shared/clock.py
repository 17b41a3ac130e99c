"""Clocks: everything that waits or reads the time takes one as an argument."""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING, Protocol

# asyncio takes half of the command line's start-up; code that sleeps has loaded it already
if TYPE_CHECKING:
    import asyncio


class Clock(Protocol):
    """Interface of a clock."""

    def now_ms(self) -> int:
        """Return wall-clock time in milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less only yields to the event loop."""


class SystemClock:
    """The machine's clock, shifted by `offset_ms` (for clock-skew trials)."""

    def __init__(self, offset_ms: int = 0) -> None:
        self._offset_ms = offset_ms

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._offset_ms

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # noqa: PLC0415

        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only by `advance`; sleepers wake in order of their deadlines."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = now_ms
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._start_ms + round(self._elapsed * 1000)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        import asyncio  # noqa: PLC0415

        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move time forward, waking every sleeper whose deadline passes on the way."""
        target = self._elapsed + seconds
        await _let_others_run()
        while self._sleepers and self._sleepers[0][0] <= target:
            deadline, _, woken = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, deadline)
            if not woken.done():
                woken.set_result(None)
            await _let_others_run()
        self._elapsed = target
        await _let_others_run()

    def step_wall(self, milliseconds: int) -> None:
        """Jump the wall clock without moving monotonic time, as a clock correction does."""
        self._start_ms += milliseconds


async def _let_others_run(turns: int = 8) -> None:
    import asyncio  # noqa: PLC0415

    for _ in range(turns):
        await asyncio.sleep(0)


def utc_text(epoch_ms: int) -> str:
    """Return epoch milliseconds as `2026-03-01T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_ms // 1000))


def seconds_since(at_ms: int, now_ms: int) -> float:
    """Return the seconds since a time, at least zero even if a clock was set back."""
    return max(0.0, (now_ms - at_ms) / 1000)
