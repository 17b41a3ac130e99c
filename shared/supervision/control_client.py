"""Client of a running supervisor's socket."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from shared import codec
from shared.messages.actors import ControlCommand, ControlReply


def ask(path: Path, command: ControlCommand, timeout_s: float) -> Iterator[ControlReply]:
    """Yield a running supervisor's replies to one command.

    Raises:
        OSError: Nobody listens at `path`, or no reply came in time.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        with short_address(path) as address:
            connection.connect(address)
        request: dict[str, Any] = {"id": command.id, "command": command.command}
        connection.sendall(orjson.dumps(request | {"actor": command.actor}) + b"\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                yield codec.decode(ControlReply, line, str(path))


def ask_status(path: Path, timeout_s: float) -> dict[str, Any]:
    """Return what a running supervisor's `status` answers.

    Raises:
        OSError: As `ask`, or the supervisor hung up.
    """
    for reply in ask(path, ControlCommand(id=uuid.uuid4().hex, command="status"), timeout_s):
        if reply.body is not None:
            return reply.body
    raise OSError("it hung up without an answer")


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Yield an address of `path` within the 107 bytes that a unix socket's may have."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
