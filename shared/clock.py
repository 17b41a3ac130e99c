"""Clocks: everything that waits or reads the time takes one as an argument."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

# asyncio takes half of the command line's start-up; code that sleeps has loaded it already
if TYPE_CHECKING:
    pass


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


def utc_text(epoch_ms: int) -> str:
    """Return epoch milliseconds as `2026-03-01T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_ms // 1000))


def seconds_since(at_ms: int, now_ms: int) -> float:
    """Return the seconds since a time, at least zero even if a clock was set back."""
    return max(0.0, (now_ms - at_ms) / 1000)
