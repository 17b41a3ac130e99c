"""Puts back what somebody removes from `state_dir` while the platform runs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from shared.clock import Clock, utc_text

LOOK_S = 1.0
SHOWN_S = 60.0

Restore = Callable[[], Awaitable[bool]]


class StateFiles:
    """Looks after the files that the supervisor itself keeps open or has written.

    Args:
        parts: By name in `state_dir`: puts the part back if it is gone, returns whether it was;
            raises OSError when it cannot.
    """

    def __init__(self, parts: Mapping[str, Restore], clock: Clock, log: logging.Logger) -> None:
        self._parts = parts
        self._clock = clock
        self._log = log
        self._missing: dict[str, str] = {}
        self._restored: dict[str, tuple[float, str]] = {}

    async def keep(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Put back what is gone."""
        for name, restore in self._parts.items():
            try:
                was_gone = await restore()
            except OSError as error:
                problem = f"{name} is gone from state_dir and cannot be made again: {error}"
                if self._missing.get(name) != problem:
                    self._log.error(problem)
                self._missing[name] = problem
                continue
            self._missing.pop(name, None)
            if was_gone:
                at = utc_text(self._clock.now_ms())
                problem = f"{name} was removed from state_dir while running; made again at {at}"
                self._log.error(problem)
                self._restored[name] = (self._clock.monotonic(), problem)

    def problems(self) -> list[str]:
        """Return what is missing, and for a while what was, in words."""
        now = self._clock.monotonic()
        recent = [text for at, text in self._restored.values() if now - at < SHOWN_S]
        return [*self._missing.values(), *recent]
