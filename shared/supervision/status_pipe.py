"""The line an actor holds to its supervisor, and the few words spoken on it.

Verdicts about life and death come from this pipe alone, so nothing that happens to Redis
can kill an actor. One short line each: a letter, and sometimes a text.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

LONGEST_TEXT = 400


class Word(StrEnum):
    """What an actor can say."""

    BEAT = "B"  # the event loop turns
    READY = "R"  # able to do its job
    NOT_READY = "N"  # not yet, and why
    STEP = "S"  # one step ended well
    DOING = "D"  # what it is at
    COIN = "C"  # the coin about to be computed


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One thing said."""

    word: Word
    text: str


def parse(raw: bytes) -> StatusLine | None:
    """Return the line, or None when it is not one (an actor wrote rubbish to the pipe)."""
    text = raw.decode("utf-8", "replace")
    try:
        return StatusLine(Word(text[:1]), text[1:].strip())
    except ValueError:
        return None


class StatusPipe:
    """The actor's end. Never blocks: what does not fit is dropped and counted.

    Args:
        fd: Write end of the pipe, or None when the actor runs without a supervisor.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self.dropped = 0
        if fd is not None:
            os.set_blocking(fd, False)

    def say(self, word: Word, text: str = "") -> None:
        """Send one line; newlines in `text` become spaces, a long text is cut."""
        if self._fd is None:
            return
        short = " ".join(text.split())[:LONGEST_TEXT]
        try:
            os.write(self._fd, f"{word}{short}\n".encode())
        except BlockingIOError:
            self.dropped += 1
        except BrokenPipeError:  # the supervisor is gone; the death signal is on its way
            self._fd = None
