"""What a trial may do to an actor from inside; only with `testing.hooks`, so in demo mode only.

The wall clock of the platform is shifted by what stands in `state_dir/trial/clock`, in ms. An
actor does what it finds in `state_dir/trial/{name}.json`, once: `{"block_s": 20}` holds up its
event loop, `{"bloat_mb": 400}` takes memory and keeps it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Any

import orjson

from shared.clock import Clock, SystemClock

LOOK_S = 0.25
LONGEST_BLOCK_S, MOST_MB = 600.0, 2000.0


def trial_folder(state_dir: Path) -> Path:
    """Return where the files of a trial lie."""
    return state_dir / "trial"


class SteppedClock(SystemClock):
    """The machine's clock, shifted by the milliseconds that stand in a file; without one by none.

    Args:
        folder: Holds the file `clock`. It is read at each look at the clock, so all processes
            step at once.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(folder / "clock", flags, 0o600)

    def now_ms(self) -> int:
        """Return wall-clock time in milliseconds since the epoch, shifted."""
        return super().now_ms() + int(os.pread(self._file, 32, 0) or b"0")


class Hooks:
    """Does to one actor what a trial asks for.

    Args:
        folder: Where `{name}.json` is left for it.
    """

    def __init__(self, folder: Path, name: str, log: logging.Logger) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{name}.json"
        self._log = log
        self._ballast: list[bytearray] = []

    async def obey(self, clock: Clock) -> None:
        """Look for orders for ever."""
        while True:
            order = self._taken()
            if order:
                self._carry_out(order)
            await clock.sleep(LOOK_S)

    def _taken(self) -> dict[str, Any]:
        """Return the order and remove it, so that the next life does not find it again."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        with contextlib.suppress(OSError):
            self._path.unlink()
        try:
            order = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            self._log.warning("%s: not JSON (%s), left alone", self._path, error)
            return {}
        return order if isinstance(order, dict) else {}

    def _carry_out(self, order: dict[str, Any]) -> None:
        self._log.warning("a trial asks for %s", order)
        bloat_mb = min(MOST_MB, float(order.get("bloat_mb", 0)))
        if bloat_mb > 0:
            # written to, so that the pages are really taken
            self._ballast.append(bytearray(b"\1") * round(bloat_mb * 2**20))
        block_s = min(LONGEST_BLOCK_S, float(order.get("block_s", 0)))
        if block_s > 0:
            time.sleep(block_s)
