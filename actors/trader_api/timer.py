"""The timer that runs the trader, where none stays: when it runs next, in words."""

from __future__ import annotations

from dataclasses import dataclass

from shared.clock import utc_text
from shared.messages.trading import TraderStatus

RUNNING_MS = 30_000
"""How old the status of a run may be that goes on: it is renewed every 5 s."""


@dataclass(frozen=True, slots=True)
class TraderTimer:
    """Runs the trader every `every_s` seconds, from the full hour on."""

    every_s: int

    def next_ms(self, now_ms: int) -> int:
        every_ms = 1000 * self.every_s
        return (now_ms // every_ms + 1) * every_ms

    def words(self, now_ms: int) -> str:
        due = utc_text(self.next_ms(now_ms))
        return f"it is run by a timer every {self.every_s / 60:.0f} min, next at {due}"

    def may_run_now(self, status: TraderStatus | None, now_ms: int) -> bool:
        """Return whether a run may be going on, which takes a command at once."""
        return status is not None and now_ms <= status.as_of_ms + RUNNING_MS
