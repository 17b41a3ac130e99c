"""Frames on the pipes to a strategy's process: a header in JSON, then bytes of arrays.

Both sides check sizes before they take anything in.
"""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from shared.errors import PlatformError

SIZES = struct.Struct("<II")
LARGEST_HEAD = 1024 * 1024
LARGEST_BODY = 512 * 1024 * 1024
PIECE = 1024 * 1024


class Overdue(PlatformError):
    """The other side did not take or give a frame in time."""


class HungUp(PlatformError):
    """The other side has closed its pipe, or sends what is no frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message; `body` holds float64 values in the order that its header implies."""

    head: dict[str, Any]
    body: bytes = b""

    def packed(self) -> bytes:
        head = orjson.dumps(self.head, option=orjson.OPT_SERIALIZE_NUMPY)
        return SIZES.pack(len(head), len(self.body)) + head + self.body


def read_blocking(fd: int, most: int) -> Frame | None:
    """Return the next frame, however long it takes; None at the end."""
    try:
        return _read(lambda size: os.read(fd, size), most)
    except HungUp:
        return None


def write_blocking(fd: int, frame: Frame) -> None:
    """Write a frame, however long it takes."""
    rest = memoryview(frame.packed())
    while rest:
        rest = rest[os.write(fd, rest) :]


class Pipes:
    """The parent's ends: every read and write ends at a deadline.

    Args:
        send, receive: Descriptors, not blocking.
        left_s: Returns the seconds left for what is being asked.
    """

    def __init__(self, send: int, receive: int, left_s: Callable[[], float]) -> None:
        self._send, self._receive, self._left_s = send, receive, left_s

    def ask(self, frame: Frame, most: int) -> Frame:
        """Send a frame and return the answer, whose body is of at most `most` bytes.

        Raises:
            Overdue: It did not come in time.
            HungUp: It never will.
        """
        rest = memoryview(frame.packed())
        while rest:
            self._wait(self._send, select.POLLOUT)
            try:
                rest = rest[os.write(self._send, rest[:PIECE]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise HungUp("it has ended") from None
        return _read(self._piece, most)

    def _piece(self, size: int) -> bytes:
        while True:
            self._wait(self._receive, select.POLLIN)
            try:
                return os.read(self._receive, size)
            except BlockingIOError:
                continue

    def _wait(self, fd: int, event: int) -> None:
        watched = select.poll()
        watched.register(fd, event)
        left_s = self._left_s()
        if left_s <= 0 or not watched.poll(left_s * 1000):
            raise Overdue("no answer in time")


def _read(piece: Callable[[int], bytes], most: int) -> Frame:
    head_size, body_size = SIZES.unpack(_exactly(piece, SIZES.size))
    if head_size > LARGEST_HEAD or body_size > most:
        raise HungUp(f"it sends {head_size} and {body_size} bytes")
    try:
        head = orjson.loads(_exactly(piece, head_size))
    except orjson.JSONDecodeError as error:
        raise HungUp(f"it sends no JSON: {error}") from None
    if not isinstance(head, dict):
        raise HungUp("it sends JSON without names")
    return Frame(head, _exactly(piece, body_size))


def _exactly(piece: Callable[[int], bytes], size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        part = piece(min(PIECE, size - len(found)))
        if not part:
            raise HungUp("it has ended")
        found += part
    return bytes(found)
