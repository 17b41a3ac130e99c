"""Hooks for trials inside an actor; only with `testing.hooks`, so in demo mode only.

`state_dir/trial/clock` shifts the platform's wall clock, in ms; `exchange-clock` that of the
simulated exchange, which runs elsewhere in reality (both: the machine was suspended). An actor
carries out `state_dir/trial/{name}.json` once: `{"block_s": 20}` blocks its event loop,
`{"bloat_mb": 400}` allocates memory and keeps it.
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

POLL_S = 0.25
LONGEST_BLOCK_S, MOST_MB = 600.0, 2000.0


def trial_folder(state_dir: Path) -> Path:
    """Return the folder of a trial's files."""
    return state_dir / "trial"


class SteppedClock(SystemClock):
    """The system clock, shifted by the milliseconds in a file.

    Args:
        folder: Has the file, read on every call, so that all processes step at once.
        name: Of the file.
    """

    def __init__(self, folder: Path, name: str = "clock") -> None:
        super().__init__()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(folder / name, flags, 0o600)

    def now_ms(self) -> int:
        return super().now_ms() + int(os.pread(self._file, 32, 0) or b"0")


class Hooks:
    """Carries out a trial's orders in one actor.

    Args:
        folder: Has `{name}.json` when there is an order.
    """

    def __init__(self, folder: Path, name: str, log: logging.Logger) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{name}.json"
        self._log = log
        self._ballast: list[bytearray] = []

    async def run(self, clock: Clock) -> None:
        """Poll for orders for ever."""
        while True:
            order = self._pop_order()
            if order:
                self._carry_out(order)
            await clock.sleep(POLL_S)

    def _pop_order(self) -> dict[str, Any]:
        """Return the order and remove it, so that the restarted actor does not repeat it."""
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
            # written to, so that the pages are really allocated
            self._ballast.append(bytearray(b"\1") * round(bloat_mb * 2**20))
        block_s = min(LONGEST_BLOCK_S, float(order.get("block_s", 0)))
        if block_s > 0:
            time.sleep(block_s)
