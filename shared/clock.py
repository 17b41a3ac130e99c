"""Clocks: everything that waits or reads the time takes one as an argument."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

# asyncio takes half of the command line's start-up; code that sleeps has loaded it already
if TYPE_CHECKING:
    pass

LATEST_MS = 4_102_444_800_000
"""2100: later times are no times of an exchange, and overflow where they are written out."""


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


JUMP_MS = 30_000
"""A scan: a shorter jump leaves nothing older than scans may leave it anyway."""


@dataclass(frozen=True, slots=True)
class ClockJump:
    """A jump of the wall clock: the machine was suspended, or its clock was set.

    Attributes:
        by_ms: Forward, or backward if negative.
        since_ms: Wall time from which on everything was stamped after it.
    """

    by_ms: int
    since_ms: int


class ClockJumps:
    """Notices jumps of a clock's wall time against its monotonic time.

    Args:
        least_ms: Shorter ones are none.
    """

    def __init__(self, clock: Clock, least_ms: int = JUMP_MS) -> None:
        self._clock = clock
        self._least_ms = least_ms
        self._apart_ms = self._apart()
        self._seen_s = clock.monotonic()

    def look(self) -> ClockJump | None:
        """Return the jump since the last look, if there was one."""
        apart_ms, now_s = self._apart(), self._clock.monotonic()
        by_ms, passed_s = round(apart_ms - self._apart_ms), now_s - self._seen_s
        self._seen_s = now_s
        if abs(by_ms) < self._least_ms:
            return None
        self._apart_ms = apart_ms
        return ClockJump(by_ms, self._clock.now_ms() - round(1000 * passed_s))

    def _apart(self) -> float:
        return self._clock.now_ms() - self._clock.monotonic() * 1000


def utc_text(epoch_ms: int) -> str:
    """Return epoch milliseconds as `2026-03-01T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_ms // 1000))


def seconds_since(at_ms: int, now_ms: int) -> float:
    """Return the seconds since a time, at least zero even if a clock was set back."""
    return max(0.0, (now_ms - at_ms) / 1000)


def minute_text(time_ms: int) -> str:
    """Return a time to the minute, in UTC: 2025-03-01 08:05."""
    return utc_text(time_ms)[:16].replace("T", " ")


def span(seconds: float) -> str:
    """Return a duration as people say it: 42 s, 5 min, 3 h, 2 d."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
