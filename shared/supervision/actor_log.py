"""An actor's output on disk: appended and rotated, with its last lines in memory.

Nothing here blocks on a slow reader, and a full disk loses lines but never stops the supervisor.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import orjson

from shared.clock import Clock
from shared.files import is_at
from shared.logs import journal_line

LARGEST = 5_000_000
KEPT_FILES = 3
REMEMBERED_LINES = 50
LOSS_SHOWN_S = 10.0


class ActorLog:
    """The log of one actor.

    Args:
        path: `state_dir/log/{actor}.log`; older ones are `.1` and `.2`.
        journal: The systemd journal's socket as `journal_socket` found it, or None.

    Attributes:
        lost_lines: How many could not be written, since the start.
    """

    def __init__(self, path: Path, clock: Clock, journal: socket.socket | None = None) -> None:
        self.path = path
        self._clock = clock
        self._lost_at = float("-inf")
        self.lost_lines = 0
        self.last_lines: deque[str] = deque(maxlen=REMEMBERED_LINES)
        self._journal = journal
        self._fd = -1
        self._size = 0

    @property
    def is_losing(self) -> bool:
        """Return whether lines were lost within the last `LOSS_SHOWN_S`."""
        return self._clock.monotonic() - self._lost_at < LOSS_SHOWN_S

    def append(self, line: bytes) -> None:
        """Add one line."""
        self.last_lines.append(line.decode("utf-8", "replace"))
        if self._journal is not None:
            try:
                self._journal.send(journal_line(line) + b"\n", socket.MSG_DONTWAIT)
            except OSError:
                self._lost()
        try:
            if self._fd < 0 or self._size > LARGEST:
                self._reopen()
            self._size += os.write(self._fd, line + b"\n")
        except OSError:
            self._lost()

    def restore(self) -> bool:
        """Open the file anew if it was removed; return whether it was.

        Raises:
            OSError: It cannot be made.
        """
        if self._fd < 0 or is_at(self.path, self._fd):
            return False
        self._reopen()
        return True

    def _lost(self) -> None:
        self.lost_lines += 1
        self._lost_at = self._clock.monotonic()

    def _reopen(self) -> None:
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > LARGEST:
            for age in range(KEPT_FILES - 1, 0, -1):
                older = self.path.with_name(f"{self.path.name}.{age}")
                newer = (
                    self.path if age == 1 else self.path.with_name(f"{self.path.name}.{age - 1}")
                )
                if newer.exists():
                    newer.replace(older)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def last_words(lines: Iterable[str], longest: int = 200) -> str:
    """Return the last line of an actor's output: the error of a traceback, or the last event."""
    for line in reversed(list(lines)):
        text = line.strip()
        if text.startswith("{"):
            try:
                event = orjson.loads(text)
            except orjson.JSONDecodeError:
                event = {}
            tail = str(event.get("traceback") or event.get("event") or text).strip().splitlines()
            text = tail[-1].strip() if tail else ""
        if text:
            return text[:longest]
    return ""


def journal_socket(journal_stream: str) -> socket.socket | None:
    """Return our standard output as a socket if it is the systemd journal.

    Args:
        journal_stream: The variable JOURNAL_STREAM, `device:inode` of that socket.
    """
    where = os.fstat(1)
    if journal_stream != f"{where.st_dev}:{where.st_ino}":
        return None
    return socket.socket(fileno=os.dup(1))
