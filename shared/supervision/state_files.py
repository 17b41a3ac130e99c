"""Puts back what somebody removes from `state_dir`, or closes, while the platform runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from shared.clock import Clock, utc_text
from shared.permissions import Findings

LOOK_S, MODES_S = 1.0, 5.0
SHOWN_S = 60.0

Restore = Callable[[], Awaitable[bool]]


class StateFiles:
    """Looks after the files that the supervisor itself keeps open or has written.

    Args:
        parts: By name in `state_dir`: puts the part back if it is gone, returns whether it was;
            raises OSError when it cannot.
        correct_modes: Corrects the modes of what is there, in a thread.
    """

    def __init__(
        self,
        parts: Mapping[str, Restore],
        correct_modes: Callable[[], Findings],
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._parts = parts
        self._correct_modes = correct_modes
        self._next_modes_s = float("-inf")
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
        """From time to time correct modes; put back what is gone."""
        if self._clock.monotonic() >= self._next_modes_s:
            self._next_modes_s = self._clock.monotonic() + MODES_S
            found = await asyncio.to_thread(self._correct_modes)
            if found.wrong:
                self._report("modes", found.in_words("changed while running, corrected")["wrong"])
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
                self._report(name, f"{name} was removed from state_dir while running; made again")

    def _report(self, name: str, what: str) -> None:
        problem = f"{what} at {utc_text(self._clock.now_ms())}"
        self._log.error(problem)
        self._restored[name] = (self._clock.monotonic(), problem)

    def problems(self) -> list[str]:
        """Return what is missing, and for a while what was, in words."""
        now = self._clock.monotonic()
        recent = [text for at, text in self._restored.values() if now - at < SHOWN_S]
        return [*self._missing.values(), *recent]
