"""Logging: one JSON line per event, or one readable line on a terminal.

Lines to the systemd journal begin with their priority, `<4>` for a warning, as sd-daemon(3) has it:
`journalctl -p warning` finds them.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from typing import Any, TextIO

import orjson

SAME_MOST, SAME_WITHIN_S = 100, 10.0
DIFFERENT_MOST = 1000
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_LEVEL = re.compile(rb'\{"at":"[^"]*","level":"([a-z]+)"')
_journal: list[str] = []
"""The value of JOURNAL_STREAM, if there is one."""

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {k: v for k, v in vars(record).items() if k not in _PLAIN}


class JsonLines(logging.Formatter):
    """`{"at": …, "level": …, "actor": …, "event": …}` plus the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": _utc(record.created),
            "level": record.levelname.lower(),
            "actor": record.name,
            "event": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=repr).decode()


class JournalLines(JsonLines):
    """A JSON line behind its priority."""

    def format(self, record: logging.LogRecord) -> str:
        return journal_line(super().format(record).encode()).decode()


class Readable(logging.Formatter):
    """`12:00:05 indicators-majors warning  text  key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f"  {k}={v}" for k, v in _extras(record).items())
        at = time.strftime("%H:%M:%S", time.gmtime(record.created))
        level = "" if record.levelno == logging.INFO else record.levelname.lower() + " "
        line = f"{at} {record.name:<20} {level}{record.getMessage()}{extras}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes at most `SAME_MOST` lines of one message within `SAME_WITHIN_S`; counts the others.

    A message is the text before its arguments are put in. How many were left out is written once
    that time is over, before the next line.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._since = float("-inf")
        self._lines: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if not 0 <= record.created - self._since < SAME_WITHIN_S:
            for text, lines in self._lines.items():
                if lines > SAME_MOST:
                    super().emit(_left_out(record, lines - SAME_MOST, text))
            self._since = record.created
            self._lines.clear()
        text = str(record.msg)
        if text not in self._lines and len(self._lines) >= DIFFERENT_MOST:
            text = "any other"
        self._lines[text] = self._lines.get(text, 0) + 1
        if self._lines[text] <= SAME_MOST:
            super().emit(record)


def _left_out(record: logging.LogRecord, lines: int, text: str) -> logging.LogRecord:
    arguments = (lines, SAME_WITHIN_S, text)
    shown = "%d more lines within %g s were left out: %s"
    return logging.LogRecord(record.name, logging.WARNING, "", 0, shown, arguments, None)


def _utc(created: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))
    return f"{whole}.{int(created % 1 * 1000):03d}Z"


def use_journal(journal_stream: str) -> None:
    """Let lines to the systemd journal begin with their priority.

    Args:
        journal_stream: The variable JOURNAL_STREAM, `device:inode` of the journal's socket.
    """
    _journal[:] = [journal_stream]


def is_journal(stream: TextIO) -> bool:
    """Return whether a stream is the systemd journal: never so for a file, pipe or terminal."""
    try:
        where = os.fstat(stream.fileno())
    except OSError:
        return False
    return f"{where.st_dev}:{where.st_ino}" in _journal


def journal_line(line: bytes) -> bytes:
    """Return a line behind its priority: a JSON line's level, or a warning for any other.

    An actor prints other lines only when something it does not catch goes wrong.
    """
    level = _LEVEL.match(line)
    return b"<%d>%s" % (_PRIORITIES.get(level[1].decode() if level else "warning", 4), line)


def print_error(text: object) -> None:
    """Print to standard error, as errors if that is the systemd journal."""
    prefix = f"<{_PRIORITIES['error']}>" if is_journal(sys.stderr) else ""
    for line in str(text).splitlines():
        print(f"{prefix}{line}", file=sys.stderr)


def formatter(stream: TextIO, readable: bool | None = None) -> logging.Formatter:
    """Return the formatter for a stream, arguments as for `logger`."""
    for_people = stream.isatty() if readable is None else readable
    if for_people:
        return Readable()
    return JournalLines() if is_journal(stream) else JsonLines()


def logger(
    name: str, *, stream: TextIO | None = None, readable: bool | None = None
) -> logging.Logger:
    """Return a logger that writes to `stream` (standard error unless given).

    Args:
        name: An actor's name, or `supervisor`.
        readable: Format for people; by default when the stream is a terminal.
    """
    stream = stream or sys.stderr
    log = logging.getLogger(name)
    log.handlers.clear()
    log.propagate = False
    log.setLevel(logging.INFO)
    handler = LimitedHandler(stream)
    handler.setFormatter(formatter(stream, readable))
    log.addHandler(handler)
    return log
