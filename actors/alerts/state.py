"""The alert log and the unsent messages, in a file that survives restarts."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from actors.alerts.policy import Alert, AlertLog
from shared import codec
from shared.errors import BadMessage
from shared.files import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """The alert log, and the unsent messages per service, in the order of their URLs."""

    book: AlertLog = field(default_factory=AlertLog)
    waiting: list[list[Alert]] = field(default_factory=list)
    v: int = 1


class AlertFile:
    """`state_dir/alerts.json`. It contains no URL."""

    def __init__(self, state_dir: Path, log: logging.Logger) -> None:
        self.path = state_dir / "alerts.json"
        self._log = log
        self._failing = False
        self._written: AlertState | None = None

    def read(self) -> AlertState:
        """Return the saved state; an empty one if it is missing or broken."""
        try:
            return codec.decode(AlertState, self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return AlertState()
        except (BadMessage, OSError) as error:
            self._log.warning("starting without the previous state: %s", error)
            return AlertState()

    def write(self, state: AlertState) -> None:
        """Write the state if it changed; a failing disk is logged once and retried."""
        if state == self._written:
            return
        try:
            write_atomically(self.path, codec.encode(state))
        except OSError as error:
            if not self._failing:
                self._log.warning(
                    "%s: not writable (%s); a restart will repeat alerts",
                    self.path, error.strerror or error,
                )  # fmt: skip
            self._failing = True
        else:
            self._failing, self._written = False, state
