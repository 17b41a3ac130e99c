"""Whether the disk below state_dir syncs what is written to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from shared.clock import Clock

PROBE_S = 5.0


class DiskProbe:
    """Writes and syncs a small file every few seconds, on a thread.

    With a stalled disk nobody else can say so: the trader's journal hangs, and Redis, through
    which everybody reports, hangs as well.
    """

    def __init__(self, state_dir: Path, clock: Clock, sync: Callable[[Path], None] | None = None):
        self._path = state_dir / "health.probe"
        self._clock = clock
        self._sync = sync or _sync
        self._since_s: float | None = None

    @property
    def stalled_s(self) -> float:
        """Return for how long the sync that is going on has lasted; 0 if none is."""
        return 0.0 if self._since_s is None else self._clock.monotonic() - self._since_s

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            self._since_s = self._clock.monotonic()
            with contextlib.suppress(OSError):  # full or read-only: it answers
                await asyncio.to_thread(self._sync, self._path)
            self._since_s = None
            await self._clock.sleep(PROBE_S)


def _sync(path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        os.pwrite(descriptor, b"probe\n", 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
