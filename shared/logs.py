"""Logging: one JSON line per event, or one readable line on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

import orjson

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


def _utc(created: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))
    return f"{whole}.{int(created % 1 * 1000):03d}Z"


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
    handler = logging.StreamHandler(stream)
    for_people = stream.isatty() if readable is None else readable
    handler.setFormatter(Readable() if for_people else JsonLines())
    log.addHandler(handler)
    return log
