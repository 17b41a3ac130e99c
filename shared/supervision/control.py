"""The supervisor's control interface: a socket for the command line, a channel for the rest.

Both use the same JSON; an invalid message gets an error reply and a log line, never an exception.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import os
import re
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import get_args

import orjson

from shared import codec, schema
from shared.bus import Bus
from shared.errors import BadMessage, BusUnavailable
from shared.messages.actors import ControlCommand, ControlReply
from shared.supervision.control_client import short_address

COMMANDS: tuple[str, ...] = get_args(ControlCommand.__annotations__["command"]) or (
    "restart",
    "stop",
    "start",
    "release",
    "status",
    "reload",
    "shutdown",
)
NEEDS_ACTOR = frozenset({"restart", "stop", "start", "release"})
NO_ID = "invalid"
LARGEST = 65_536
OUTCOME_RETRY_S, OUTCOME_ATTEMPTS = 1.0, 600
AGAIN_S = 1.0
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")

Answer = Callable[[ControlCommand], AsyncIterator[ControlReply]]


def parse(raw: bytes) -> ControlCommand | ControlReply:
    """Return the command, or an error reply naming its fault.

    The reply to a command without a valid id has the id `invalid`.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _error(NO_ID, f"not JSON: {error}")
    if not isinstance(document, dict):
        return _error(NO_ID, 'expected an object such as {"id":"1","command":"status"}')
    name = document.get("id")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        return _error(NO_ID, f"id: expected 1-64 of A-Z a-z 0-9 and -, found {name!r:.80}")
    unknown = sorted(set(document) - {"id", "command", "actor"})
    if unknown:
        return _error(name, f"unknown field {unknown[0]!r:.80}: expected id, command, actor")
    verb = document.get("command")
    if not isinstance(verb, str) or verb not in COMMANDS:
        near = difflib.get_close_matches(str(verb), COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return _error(
            name, f"command: expected one of {', '.join(COMMANDS)}, found {verb!r:.80}{hint}"
        )
    try:
        command = codec.from_plain(ControlCommand, document, "control")
    except BadMessage as error:
        return _error(name, f"{error.field}: {error.why}")
    if verb in NEEDS_ACTOR and not command.actor:
        return _error(name, f"actor: missing; `{verb}` needs an actor's name, `*` for all")
    return command


def _error(name: str, reason: str) -> ControlReply:
    return ControlReply(id=name, outcome="error", reason=reason)


class ControlSocket:
    """Serves `state_dir/supervisor.sock`: one JSON line in, JSON lines out.

    Args:
        path: The socket, made with mode 600.
        answer: Carries out a command.
    """

    def __init__(self, path: Path, answer: Answer, log: logging.Logger) -> None:
        self._path = path
        self._answer = answer
        self._log = log
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def open(self) -> None:
        """Start listening; a socket left by a dead supervisor is replaced."""
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            with short_address(self._path) as address:
                listening.bind(address)
        finally:
            os.umask(before)
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LARGEST)

    async def restore(self) -> bool:
        """Listen anew if the socket was removed; return whether it was.

        Raises:
            OSError: It cannot be made.
        """
        try:
            if self._path.stat().st_ino == self._inode:
                return False
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._server is not None:
            self._server.close()
        await self.open()
        return True

    async def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                raw = await asyncio.wait_for(reader.readline(), 10)
            except (ValueError, TimeoutError):
                raw = b""
            async for reply in answers(parse(raw), self._answer, self._log):
                writer.write(codec.encode(reply) + b"\n")
                await writer.drain()
        except (ConnectionError, OSError):
            pass  # the client has left
        finally:
            writer.close()


async def answers(
    parsed: ControlCommand | ControlReply, answer: Answer, log: logging.Logger
) -> AsyncIterator[ControlReply]:
    """Yield the replies to the result of `parse`."""
    if isinstance(parsed, ControlReply):
        log.warning("refused a control message: %s", parsed.reason)
        yield parsed
        return
    async for reply in answer(parsed):
        yield reply


async def serve_channel(bus: Bus, answer: Answer, log: logging.Logger) -> None:
    """Carry out commands from the channel `supervisor:control` for ever.

    The same message twice within a second is one. Replies go to the list
    `supervisor:replies:{id}`; the outcome of a command is retried during an outage of Redis.
    Commands sent during an outage are lost, and the sender gets no reply.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def carry_out(raw: bytes) -> None:
        async for reply in answers(parse(raw), answer, log):
            await _push_reply(bus, reply, log)

    loop, last, last_s = asyncio.get_running_loop(), b"", float("-inf")
    async with bus.subscribe(schema.CONTROL.name()) as subscription:
        async for delivery in subscription:
            is_again = delivery.raw == last and loop.time() - last_s < AGAIN_S
            last, last_s = delivery.raw, loop.time()
            if delivery.channel and not is_again:
                task = asyncio.create_task(carry_out(delivery.raw))
                tasks.add(task)
                task.add_done_callback(tasks.discard)


async def _push_reply(bus: Bus, reply: ControlReply, log: logging.Logger) -> None:
    """Push a reply; an outcome is retried until Redis accepts it, `accepted` is not.

    It may be pushed twice, if Redis executed a push without answering in time.
    """
    for attempt in range(OUTCOME_ATTEMPTS):
        try:
            await bus.push(schema.CONTROL_REPLIES, reply, id=reply.id)
            return
        except BusUnavailable as error:
            if attempt == 0:
                log.warning("no reply to control command %s yet: %s", reply.id, error)
            if reply.outcome == "accepted":
                return
        await asyncio.sleep(OUTCOME_RETRY_S)
    log.error("control command %s: reply %r not delivered, Redis is away", reply.id, reply.outcome)
