"""What people were told and what is still on its way, in a file that outlives the process."""

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
    """The book, and per service, in the order of their URLs, the messages it has not taken yet."""

    book: AlertLog = field(default_factory=AlertLog)
    waiting: list[list[Alert]] = field(default_factory=list)
    v: int = 1


class AlertFile:
    """`state_dir/alerts.json`. It holds no URL.

    Args:
        state_dir: Where it lies.
    """

    def __init__(self, state_dir: Path, log: logging.Logger) -> None:
        self.path = state_dir / "alerts.json"
        self._log = log
        self._failing = False
        self._written: AlertState | None = None

    def read(self) -> AlertState:
        """Return what was written last; an empty state where there is none, or a broken one."""
        try:
            return codec.decode(AlertState, self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return AlertState()
        except (BadMessage, OSError) as error:
            self._log.warning("starting without knowing what was told before: %s", error)
            return AlertState()

    def write(self, state: AlertState) -> None:
        """Write the state if it changed; a disk that refuses is logged once and tried again."""
        if state == self._written:
            return
        try:
            write_atomically(self.path, codec.encode(state))
        except OSError as error:
            if not self._failing:
                self._log.warning(
                    "%s: not writable (%s); after a restart problems are told again",
                    self.path, error.strerror or error,
                )  # fmt: skip
            self._failing = True
        else:
            self._failing, self._written = False, state
