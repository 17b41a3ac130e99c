"""The pipe on which an actor reports to its supervisor.

The supervisor judges actors by this pipe only, so an outage of Redis cannot kill one. A report is
one short line: a letter, and sometimes a text.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

LONGEST_TEXT = 400


class StatusKind(StrEnum):
    """Kind of a report."""

    BEAT = "B"  # the event loop turns
    READY = "R"  # able to do its job
    NOT_READY = "N"  # why it is not yet
    STEP = "S"  # one step succeeded
    DOING = "D"  # its current activity
    COIN = "C"  # the coin about to be computed


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One report."""

    kind: StatusKind
    text: str


def parse(raw: bytes) -> StatusLine | None:
    """Return the report; None when the line is not one."""
    text = raw.decode("utf-8", "replace")
    try:
        return StatusLine(StatusKind(text[:1]), text[1:].strip())
    except ValueError:
        return None


class StatusPipe:
    """The actor's end. Never blocks: what does not fit into the pipe is dropped and counted.

    Args:
        fd: Write end of the pipe, or None when the actor runs without a supervisor.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self.dropped = 0
        if fd is not None:
            os.set_blocking(fd, False)

    def send(self, kind: StatusKind, text: str = "") -> None:
        """Send one report; newlines in `text` become spaces, a long text is cut."""
        if self._fd is None:
            return
        short = " ".join(text.split())[:LONGEST_TEXT]
        try:
            os.write(self._fd, f"{kind}{short}\n".encode())
        except BlockingIOError:
            self.dropped += 1
        except BrokenPipeError:  # the supervisor is gone; the death signal is on its way
            self._fd = None
