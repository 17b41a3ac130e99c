"""A wall clock shared by several processes that jumps on request, to skip minutes.

Between jumps it runs at the normal rate; monotonic time never jumps.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import time
from pathlib import Path

from actors.exchange_sim.actor import ExchangeSim
from actors.exchange_sim.faults import FaultScript, InjectedFault
from shared.market import Timeframe

_FIELDS = struct.Struct("=qqq")  # ms ahead; ns when the first, the last closing frame was made


class SteppingClock:
    """The machine's clock plus the offset in a file."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_FIELDS.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _FIELDS.size)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + int.from_bytes(self._shared[:8], "little", signed=True)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def jump_to(self, now_ms: int) -> None:
        """Set the clock for all processes."""
        ahead_ms = now_ms - time.time_ns() // 1_000_000
        self._shared[:8] = ahead_ms.to_bytes(8, "little", signed=True)

    def made_ns(self) -> tuple[int, int]:
        """Return when the exchange made the first and the last of the newest closing frames.

        It sends all of them at once after the last.
        """
        _, first, last = _FIELDS.unpack(self._shared[:])
        return first, last

    def record_made(self, at_ns: int, *, first: bool) -> None:
        """Record that a closing frame is made now, in monotonic ns."""
        if first:
            self._shared[8:16] = at_ns.to_bytes(8, "little")
        self._shared[16:] = at_ns.to_bytes(8, "little")


class RecordingScript(FaultScript):
    """A script that records when the stream makes closing frames."""

    clock: SteppingClock
    _close_ms = 0

    def active(
        self,
        kind: str,
        now_ms: int,
        symbol: str | None = None,
        endpoint: str | None = None,
        timeframe: Timeframe | None = None,
    ) -> InjectedFault | None:
        """Return the active fault; queried for "late" before each closing frame."""
        if kind == "late":
            close_ms = Timeframe.M5.open_at(now_ms)
            self.clock.record_made(time.monotonic_ns(), first=close_ms != self._close_ms)
            self._close_ms = close_ms
        return super().active(kind, now_ms, symbol, endpoint, timeframe)


class RecordingExchangeSim(ExchangeSim):
    """The simulated exchange, recording in its clock when it makes closing frames."""

    async def setup(self) -> None:
        """Listen, with the recording script on the streams alone."""
        await super().setup()
        assert self._wire is not None and isinstance(self.clock, SteppingClock)
        script = RecordingScript(self._wire.market)
        script.clock = self.clock
        self._wire.stream.script = script
