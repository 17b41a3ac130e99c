"""A clock for tests: time passes when they say so."""

from __future__ import annotations

import asyncio
import heapq
import itertools

ORIGINS = (-1e6, 0.0, 1e6 + 0.5)
"""What a monotonic clock may read at the begin of a test: what counts are differences."""


class ManualClock:
    """A clock that moves only by `advance`; sleepers wake in order of their deadlines."""

    def __init__(self, now_ms: int = 1_700_000_000_000, origin_s: float = ORIGINS[-1]) -> None:
        self._start_ms = now_ms
        self._origin_s = origin_s
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self._start_ms + round(self._elapsed * 1000)

    def monotonic(self) -> float:
        return self._origin_s + self._elapsed

    async def sleep(self, seconds: float) -> None:
        import asyncio

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
    import asyncio

    for _ in range(turns):
        await asyncio.sleep(0)
