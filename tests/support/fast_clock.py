"""A clock that runs faster than the machine's, for everything that is given it alike."""

from __future__ import annotations

import asyncio
import time


class FastClock:
    """Time that begins at `start_ms` and passes `rate` times as fast as real time."""

    def __init__(self, start_ms: int, rate: float) -> None:
        self._start_ms = start_ms
        self._rate = rate
        self._began = time.monotonic()

    def now_ms(self) -> int:
        return self._start_ms + round(self.monotonic() * 1000)

    def step_wall(self, milliseconds: int) -> None:
        """Jump the wall clock without moving monotonic time, as a suspend does."""
        self._start_ms += milliseconds

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self._rate

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self._rate)
