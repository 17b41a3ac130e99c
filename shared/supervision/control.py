"""The supervisor's control interface: a socket for the command line, a channel for the rest.

Both use the same JSON; an invalid message gets an error reply and a log line, never an exception.
Both carry out so many commands at a time and answer `busy` to more. Whoever floods the channel
loses answers, and nobody else anything.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import os
import re
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import get_args

import orjson

from shared import codec, schema
from shared.bus import Bus
from shared.clock import Clock
from shared.errors import BadMessage, BusUnavailable
from shared.messages.actors import ControlCommand, ControlReply
from shared.supervision.control_client import short_address
from shared.token_bucket import TokenBucket

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
LARGEST = 4096
IN_WORK = 16
"""Commands carried out at a time, over the channel and over the socket each."""

COMMANDS_PER_S, COMMANDS_BURST = 10.0, 50
REFUSALS_PER_S, REFUSALS_BURST = 50.0, 200
REFUSALS_AT_ONCE = 100
OUTCOME_RETRY_S, OUTCOME_ATTEMPTS = 1.0, 600
OUTCOMES_RETRIED = 100
AGAIN_S = 1.0
FLOOD_SHOWN_S = 10.0
MOST_WAITING = 32
"""Connections to the socket that have not sent their command yet."""

REQUEST_S, SEND_S = 10.0, 10.0
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")

Answer = Callable[[ControlCommand], AsyncIterator[ControlReply]]


def parse(raw: bytes) -> ControlCommand | ControlReply:
    """Return the command, or an error reply naming its fault.

    The reply to a command without a valid id has the id `invalid`.
    """
    if len(raw) > LARGEST:
        return _error(NO_ID, f"longer than {LARGEST} bytes")
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


def busy(name: str) -> ControlReply:
    """Return the reply to a command that is not carried out because there are too many."""
    reason = f"{IN_WORK} commands are in work, or too many came at once; send it again in a moment"
    return ControlReply(id=name, outcome="busy", reason=reason)


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
        self._waiting: dict[asyncio.StreamWriter, None] = {}
        self._in_work = 0

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
            parsed = parse(await self._request(reader, writer))
            if isinstance(parsed, ControlCommand) and parsed.command != "status":
                if self._in_work >= IN_WORK:
                    await _send(writer, busy(parsed.id))
                    return
                self._in_work += 1
                try:
                    await self._reply(writer, parsed)
                finally:
                    self._in_work -= 1
            else:
                await self._reply(writer, parsed)
        except (ConnectionError, OSError):
            pass  # the client has left, or does not read
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Read a client's line; of too many that have not sent theirs the oldest is cut off."""
        if len(self._waiting) >= MOST_WAITING:
            next(iter(self._waiting)).transport.abort()
        self._waiting[writer] = None
        try:
            return await asyncio.wait_for(reader.readline(), REQUEST_S)
        except ValueError:
            return bytes(LARGEST + 1)
        except TimeoutError:
            return b""
        finally:
            del self._waiting[writer]

    async def _reply(
        self, writer: asyncio.StreamWriter, parsed: ControlCommand | ControlReply
    ) -> None:
        async for reply in answers(parsed, self._answer, self._log):
            await _send(writer, reply)


async def _send(writer: asyncio.StreamWriter, reply: ControlReply) -> None:
    """Send one reply.

    Raises:
        OSError: The client has left, or does not read.
    """
    writer.write(codec.encode(reply) + b"\n")
    try:
        async with asyncio.timeout(SEND_S):
            await writer.drain()
    except TimeoutError:
        writer.transport.abort()
        raise


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


class ControlChannel:
    """Carries out commands from the channel `supervisor:control`.

    The same message twice within a second is one. Replies go to the list
    `supervisor:replies:{id}`, where they replace those to an earlier message of that id; the
    outcome of a command is retried during an outage of Redis.
    Commands sent during an outage are lost, and the sender gets no reply; nor does he to a message
    of more than `LARGEST` bytes, or to more than can be refused.
    """

    def __init__(self, bus: Bus, answer: Answer, clock: Clock, log: logging.Logger) -> None:
        self._bus = bus
        self._answer = answer
        self._clock = clock
        self._log = log
        self._commands = TokenBucket(COMMANDS_PER_S, COMMANDS_BURST)
        self._answered = TokenBucket(REFUSALS_PER_S, REFUSALS_BURST)
        self._refusals: deque[ControlReply] = deque(maxlen=REFUSALS_BURST)
        self._refused = asyncio.Event()
        self._in_work = 0
        self._retried = 0
        self._last, self._last_s = b"", float("-inf")
        self._dropped_s = float("-inf")
        self._dropped = 0

    def problem(self) -> str:
        """Return in words that messages went unanswered of late; "" if none did."""
        if self._clock.monotonic() - self._dropped_s > FLOOD_SHOWN_S:
            return ""
        return (
            f"the control channel is flooded: {self._dropped} messages too many or too long were "
            "left unanswered"
        )

    async def keep(self) -> None:
        """Serve for ever."""
        async with (
            asyncio.TaskGroup() as tasks,
            self._bus.subscribe(schema.CONTROL.name()) as subscription,
        ):
            tasks.create_task(self._push_refusals())
            async for delivery in subscription:
                if delivery.channel:
                    self._receive(delivery.raw, tasks)

    def _receive(self, raw: bytes, tasks: asyncio.TaskGroup) -> None:
        now_s = self._clock.monotonic()
        is_again = raw == self._last and now_s - self._last_s < AGAIN_S
        self._last, self._last_s = raw[: LARGEST + 1], now_s
        if is_again:
            return
        if len(raw) > LARGEST:
            self._drop(now_s)
            return
        parsed = parse(raw)
        if isinstance(parsed, ControlReply):
            self._log.warning("refused a control message: %s", parsed.reason)
            self._refuse(parsed, now_s)
        elif self._in_work < IN_WORK and self._commands.allows(now_s):
            self._in_work += 1
            tasks.create_task(self._carry_out(parsed, tasks))
        else:
            self._refuse(busy(parsed.id), now_s)

    async def _carry_out(self, command: ControlCommand, tasks: asyncio.TaskGroup) -> None:
        is_first = True
        try:
            async for reply in self._answer(command):
                is_pushed = await self._push([reply], replace=is_first)
                is_first = False
                if not is_pushed and reply.outcome != "accepted":
                    tasks.create_task(self._push_later(reply))
        finally:
            self._in_work -= 1

    async def _push_later(self, reply: ControlReply) -> None:
        """Push an outcome until Redis takes it, of `OUTCOMES_RETRIED` at a time.

        It may be pushed twice, if Redis executed a push without answering in time.
        """
        self._log.warning("no reply to control command %s yet: Redis is away", reply.id)
        self._retried += 1
        try:
            for _ in range(OUTCOME_ATTEMPTS if self._retried <= OUTCOMES_RETRIED else 0):
                await asyncio.sleep(OUTCOME_RETRY_S)
                if await self._push([reply]):
                    return
        finally:
            self._retried -= 1
        self._log.error(
            "control command %s: reply %r not delivered, Redis is away", reply.id, reply.outcome
        )

    def _refuse(self, reply: ControlReply, now_s: float) -> None:
        if self._answered.allows(now_s):
            self._refusals.append(reply)
            self._refused.set()
        else:
            self._drop(now_s)

    def _drop(self, now_s: float) -> None:
        if now_s - self._dropped_s > FLOOD_SHOWN_S:
            self._dropped = 0
        self._dropped += 1
        self._dropped_s = now_s

    async def _push_refusals(self) -> None:
        """Push refusals for ever, many at a time: one connection for all of them."""
        while True:
            await self._refused.wait()
            self._refused.clear()
            while self._refusals:
                most = min(REFUSALS_AT_ONCE, len(self._refusals))
                refusals = [self._refusals.popleft() for _ in range(most)]
                await self._push(refusals, replace=True)

    async def _push(self, replies: Sequence[ControlReply], *, replace: bool = False) -> bool:
        """Push replies; return whether Redis took them.

        Args:
            replace: Remove earlier replies of the same id: each push renews the list's TTL, so
                that an id used again and again would fill Redis.
        """
        batch = self._bus.batch()
        for reply in replies:
            if replace:
                batch.delete(schema.CONTROL_REPLIES, id=reply.id)
            batch.push(schema.CONTROL_REPLIES, reply, id=reply.id)
        try:
            await batch.send()
        except BusUnavailable:  # the bus logs loss and return itself
            return False
        return True
