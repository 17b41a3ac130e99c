"""The bus: typed messages in Redis keys, hashes, streams, lists and channels.

Keys are the truth, channels only notify of changes. Nothing here retries: a call either
succeeds in time or raises, and `status` is the state of Redis.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, cast

import orjson

from shared import codec
from shared.clock import Clock
from shared.errors import (
    BadMessage,
    BusFull,
    BusNotServing,
    BusRefused,
    BusUnavailable,
    shortened,
)
from shared.messages.candles import CandleWindow
from shared.messages.guests import GuestValue
from shared.redis.connections import Command, Connections, Reply
from shared.redis.subscription import Delivery, Subscription
from shared.schema import Entry

__all__ = ["Batch", "Bus", "BusStatus", "Delivery", "Subscription"]

# Only these prove that it serves again: a full or read-only Redis still answers PING and MGET.
_GROWING = frozenset({"SET", "HSET", "XADD", "RPUSH"})
NOT_ALLOWED_S = 10.0
"""How long a command without a right counts, unless it is refused again or accepted."""

_SHOWN = 1000
_BAD_NAMES_MOST, _LONGEST_NAME, _LONGEST_ERROR = 1000, 200, 400
ANOTHER_KIND = "a key of another kind"


class BusStatus(StrEnum):
    """State of Redis, as this process sees it."""

    UP = "up"
    DOWN = "down"
    FULL = "full"
    REFUSES = "refuses"
    """It answers, but it is read-only, or loading, or does not let us in; see BusNotServing."""


class Bus:
    """One process's access to Redis.

    Every call raises BusUnavailable when Redis does not answer in time, BusNotServing when it
    refuses writes or us. Losing Redis and its return are logged once each.

    Args:
        url: `redis://` or `unix://` URL with credentials.
        name: Connection name, normally the actor's.
        namespace: Prefix of every key and channel, stripped again on delivery.
        timeout_s: Deadline of each call.
        rng: Source of the jitter between a subscription's reconnects.

    Attributes:
        status_since_ms: When `status` last changed.
        reason: Why the status is not UP; "" when it is.
        bad_messages: How many messages were skipped because they did not decode, and commands
            refused by Redis.
        bad_message: The newest of them, and its time (`bad_message_ms`).
        round_trip_ms: Duration of the newest `ping`.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        clock: Clock,
        namespace: str = "",
        timeout_s: float = 2.0,
        log: logging.Logger | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._connections = Connections(url, name=name, timeout_s=timeout_s)
        self._clock = clock
        self._prefix = namespace.rstrip(":") + ":" if namespace.rstrip(":") else ""
        self._log = log or logging.getLogger("bus")
        self._rng = rng or random.Random()
        self.status = BusStatus.DOWN
        self.status_since_ms = clock.now_ms()
        self.reason = "not tried yet"
        self._tried = False
        self.bad_messages = 0
        self.bad_message = ""
        self.bad_message_ms: int | None = None
        self._bad_names: set[str] = set()
        self._not_allowed: dict[Command, float] = {}
        self.round_trip_ms: float | None = None

    async def ping(self) -> float:
        """Return the round trip to Redis in milliseconds."""
        before = self._clock.monotonic()
        await self._run([("PING",)])
        self.round_trip_ms = (self._clock.monotonic() - before) * 1000
        return self.round_trip_ms

    async def get[T](self, entry: Entry[T], **parts: str) -> T | None:
        """Return the message of a key; None when absent or bad (counted, logged once)."""
        return (await self.get_many(entry, [parts]))[0]

    async def get_strictly[T](self, entry: Entry[T], **parts: str) -> T | None:
        """As `get`, but a bad message is an error: for keys whose absence means something.

        Raises:
            BadMessage: It is bad, or a key of another kind (counted, logged once).
        """
        name = self._name(entry, parts)
        raw = await self._try(("GET", name))
        try:
            if isinstance(raw, BusRefused):
                raise BadMessage(name, "", ANOTHER_KIND)
            if isinstance(raw, BusUnavailable):  # an ACL of an earlier version
                return await self.get(entry, **parts)
            return None if raw is None else _decoded(entry, raw, name)
        except BadMessage as error:
            self._bad(name, error)
            raise

    async def exist(self, entry: Entry[Any], parts: Sequence[Mapping[str, str]]) -> list[bool]:
        """Return for each key whether there is one, whatever its value."""
        names = [self._name(entry, each) for each in parts]
        replies = await self._try_all([("EXISTS", name) for name in names])
        # refused: an ACL of an earlier version
        return [isinstance(reply, BusUnavailable) or reply == 1 for reply in replies]

    async def get_many[T](
        self, entry: Entry[T], parts: Sequence[Mapping[str, str]]
    ) -> list[T | None]:
        """Return the messages of many keys in one round trip, in order."""
        return (await self.get_each((entry, parts)))[0]

    async def get_each(
        self, *wanted: tuple[Entry[Any], Sequence[Mapping[str, str]]]
    ) -> list[list[Any]]:
        """As `get_many` for several entries in one round trip: a list for each of them."""
        names = [[self._name(entry, each) for each in parts] for entry, parts in wanted]
        flat = [name for group in names for name in group]
        (found,) = await self._run([("MGET", *flat)]) if flat else [[]]
        raws = iter(found)
        return [
            [
                None if (raw := next(raws)) is None else self.decode(entry, raw, name)
                for name in group
            ]
            for (entry, _), group in zip(wanted, names, strict=True)
        ]

    async def put[T](
        self, entry: Entry[T], message: T, *, ttl_ms: int | None = None, **parts: str
    ) -> None:
        """Write a key, with the TTL of its entry unless another is given."""
        await self._run([self._put(entry, message, ttl_ms, parts)])

    async def claim[T](self, entry: Entry[T], message: T, **parts: str) -> bool:
        """Write a key unless it exists; return whether it was written."""
        (reply,) = await self._run([(*self._put(entry, message, None, parts), "NX")])
        return reply is not None

    async def delete(self, entry: Entry[Any], **parts: str) -> None:
        """Remove a key."""
        await self._run([("DEL", self._name(entry, parts))])

    async def publish[T](self, entry: Entry[T], message: T, **parts: str) -> None:
        """Send a message to a channel."""
        await self._run([("PUBLISH", self._name(entry, parts), _encode(message))])

    async def fields[T](self, entry: Entry[T]) -> dict[str, T]:
        """Return a hash; bad fields are left out, counted and logged once."""
        name = self._name(entry)
        flat = await self._read(name, ("HGETALL", name)) or []
        found: dict[str, T] = {}
        for field, raw in zip(flat[::2], flat[1::2], strict=True):
            key = field.decode("utf-8", "replace")
            message = self.decode(entry, raw, f"{name} {key}")
            if message is not None:
                found[key] = message
        return found

    async def field_names(self, entry: Entry[Any]) -> set[str]:
        """Return the names of a hash's fields, also of those whose value is bad."""
        name = self._name(entry)
        flat = await self._read(name, ("HGETALL", name)) or []
        return {field.decode("utf-8", "replace") for field in flat[::2]}

    async def append(self, entry: Entry[Any], fields: Mapping[str, Any]) -> None:
        """Add an entry to a stream, which keeps about `entry.max_length` of them."""
        await self._run([self._append(entry, fields)])

    async def trim(self, entry: Entry[Any]) -> None:
        """Cut a stream to about `entry.max_length` entries; others may add to it, too."""
        await self._run([("XTRIM", self._name(entry), "MAXLEN", "~", entry.max_length or 0)])

    async def entries_after(
        self, entry: Entry[Any], after: str, count: int
    ) -> list[tuple[str, dict[str, Any]]]:
        """Return the oldest entries of a stream after an id, as `(id, fields)`, oldest first.

        Args:
            after: Id of an entry, which need not exist any more; `0` for the first ones.
        """
        name = self._name(entry)
        rows = await self._read(name, ("XRANGE", name, f"({after}", "+", "COUNT", count)) or []
        return [(row[0].decode(), _pairs(row[1])) for row in rows]

    async def entries(self, entry: Entry[Any], count: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the newest entries of a stream as `(id, fields)`, oldest first."""
        name = self._name(entry)
        rows = await self._read(name, ("XREVRANGE", name, "+", "-", "COUNT", count)) or []
        return [(row[0].decode(), _pairs(row[1])) for row in reversed(rows)]

    async def push[T](self, entry: Entry[T], message: T, **parts: str) -> None:
        """Add to the end of a list and renew its TTL."""
        await self._run(self._push(entry, message, parts))

    async def pop[T](self, entry: Entry[T], timeout_s: float, **parts: str) -> T | None:
        """Pop the first message of a list, waiting for one; None when none came or it is bad."""
        name = self._name(entry, parts)
        # zero would make Redis wait for ever, and its resolution is 1 ms
        command = ("BLPOP", name, f"{max(timeout_s, 0.001):.3f}")
        try:
            reply = await self._connections.run_alone(command, max(timeout_s, 0.001))
        except BusUnavailable as error:
            self._mark_failure(error)
            raise
        self._judge([command], [reply])
        if isinstance(reply, BusUnavailable):
            raise reply
        return None if reply is None else self.decode(entry, reply[1], name)

    def batch(self) -> Batch:
        """Return an empty batch: several writes in one round trip."""
        return Batch(self)

    async def names(self, pattern: str) -> list[str]:
        """Return the names of all keys that match a glob pattern, sorted."""
        found: set[str] = set()
        cursor: bytes | str = "0"
        while True:
            ((cursor, keys),) = await self._run(
                [("SCAN", cursor, "MATCH", self._prefix + pattern, "COUNT", 1000)]
            )
            found.update(key.decode("utf-8", "replace") for key in keys)
            if cursor == b"0":
                return sorted(name.removeprefix(self._prefix) for name in found)

    async def expiries(self, names: Sequence[str]) -> list[int | None]:
        """Return the milliseconds each key has left: -1 if it never expires, -2 if it is gone.

        None for one that this user may not look at.
        """
        replies = await self._try_all([("PTTL", self._prefix + name) for name in names])
        return [reply if isinstance(reply, int) else None for reply in replies]

    async def forget(self, name: str) -> bool:
        """Remove any key by its full name; return whether there was one."""
        (removed,) = await self._run([("DEL", self._prefix + name)])
        return bool(removed)

    async def show(self, name: str) -> object | None:
        """Return the value of any key, decoded if it is JSON; None when absent.

        Lists and streams are cut to the newest 1000.
        """
        key = self._prefix + name
        (kind,) = await self._run([("TYPE", key)])
        reads: dict[bytes, Command] = {
            b"string": ("GET", key),
            b"hash": ("HGETALL", key),
            b"list": ("LRANGE", key, -_SHOWN, -1),
            b"stream": ("XREVRANGE", key, "+", "-", "COUNT", _SHOWN),
            b"set": ("SMEMBERS", key),
            b"zset": ("ZRANGE", key, 0, -1),
        }
        if kind not in reads:
            return None
        (reply,) = await self._run([reads[kind]])
        if reply is None:
            return None
        if kind == b"string":
            return _shown(reply)
        if kind == b"hash":
            return _pairs(reply)
        if kind == b"stream":
            return [{"id": row[0].decode(), **_pairs(row[1])} for row in reversed(reply)]
        return [_shown(item) for item in reply]

    def subscribe(self, *names: str, patterns: Sequence[str] = ()) -> Subscription:
        """Return a subscription to channels and patterns, as an async context manager."""
        return Subscription(
            self._connections,
            prefix=self._prefix,
            names=names,
            patterns=patterns,
            clock=self._clock,
            rng=self._rng,
            log=self._log,
            outcome=self._subscribed,
        )

    def decode[T](self, entry: Entry[T], raw: bytes, where: str) -> T | None:
        """Return the message in `raw`; None when it is bad (counted, logged once per name)."""
        try:
            message = _decoded(entry, raw, where)
        except BadMessage as error:
            self._bad(where, error)
        else:
            self._bad_names.discard(where)
            return message
        return None

    async def close(self) -> None:
        await self._connections.close()

    async def _read(self, name: str, command: Command) -> Reply | None:
        """Run a command on a key; one of another Redis type counts as a bad message."""
        try:
            (reply,) = await self._run([command])
        except BusRefused as error:
            if not _is_wrong_type(error):
                raise
            self._bad(name, BadMessage(name, "", ANOTHER_KIND))
            return None
        return reply

    async def _run(self, commands: Sequence[Command]) -> list[Reply]:
        try:
            replies = await self._connections.run(commands)
        except BusUnavailable as error:
            self._mark_failure(error)
            raise
        replies = await self._replaced(commands, replies)
        self._judge(commands, replies)
        for reply in replies:
            if isinstance(reply, BusUnavailable):
                raise reply
        return replies

    async def _replaced(self, commands: Sequence[Command], replies: Sequence[Reply]) -> list[Reply]:
        """Remove keys of another kind that a write met, and repeat those writes."""
        names = {
            command[1]: None
            for command, reply in zip(commands, replies, strict=True)
            if command[0] in _GROWING and isinstance(reply, BusRefused) and _is_wrong_type(reply)
        }
        if not names:
            return list(replies)
        listed = ", ".join(map(str, names))
        self._log.warning("another kind of key was there, written anew: %s", listed)
        await self._try_all([("DEL", name) for name in names])
        again = [n for n, command in enumerate(commands) if command[1:2] and command[1] in names]
        answers = await self._try_all([commands[n] for n in again])
        new = dict(zip(again, answers, strict=True))
        return [new.get(n, reply) for n, reply in enumerate(replies)]

    async def _try(self, command: Command) -> Reply:
        (reply,) = await self._try_all([command])
        return reply

    async def _try_all(self, commands: Sequence[Command]) -> list[Reply]:
        """Run commands whose refusals are returned, and do not count."""
        try:
            return await self._connections.run(commands) if commands else []
        except BusUnavailable as error:
            self._mark_failure(error)
            raise

    def _judge(self, commands: Sequence[Command], replies: Sequence[Reply]) -> None:
        now_s, refusal = self._clock.monotonic(), None
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, BusNotServing):
                refusal = refusal or reply
            if isinstance(reply, BusNotServing) and reply.code == "NOPERM":
                self._not_allowed[command[:2]] = now_s
            elif not isinstance(reply, BusUnavailable):
                self._not_allowed.pop(command[:2], None)
            # a wrong type is handled by the caller
            elif isinstance(reply, BusRefused) and not _is_wrong_type(reply):
                self._bad(repr(command[:2]), reply)
        if refusal is not None:
            self._mark_failure(refusal)
            return
        for command, refused_s in list(self._not_allowed.items()):
            if now_s - refused_s > NOT_ALLOWED_S:
                del self._not_allowed[command]
        serves = self.status in (BusStatus.UP, BusStatus.DOWN)
        if serves or (any(c[0] in _GROWING for c in commands) and not self._not_allowed):
            self._mark(BusStatus.UP, "")

    def _subscribed(self, failure: BusUnavailable | None) -> None:
        if isinstance(failure, BusRefused):
            self._bad("subscription", failure)
        elif failure is not None:
            self._mark_failure(failure)
        elif self.status is BusStatus.DOWN:
            self._mark(BusStatus.UP, "")

    def _mark_failure(self, error: BusUnavailable) -> None:
        status = BusStatus.DOWN
        if isinstance(error, BusNotServing):
            status = BusStatus.FULL if isinstance(error, BusFull) else BusStatus.REFUSES
        self._mark(status, str(error))

    def _mark(self, status: BusStatus, reason: str) -> None:
        self.reason = reason
        if status is self.status and self._tried:
            return
        now_ms = self._clock.now_ms()
        lasted_s = (now_ms - self.status_since_ms) / 1000
        if status is not BusStatus.UP:
            self._log.warning("bus %s: %s", status, reason)
        elif self._tried:
            self._log.info("bus up again after %.1f s (was %s)", lasted_s, self.status)
        self._tried = True
        if status is not self.status:
            self.status, self.status_since_ms = status, now_ms

    def _bad(self, where: str, error: Exception) -> None:
        where, text = shortened(where, _LONGEST_NAME), shortened(str(error), _LONGEST_ERROR)
        self.bad_messages += 1
        self.bad_message, self.bad_message_ms = text, self._clock.now_ms()
        if where not in self._bad_names and len(self._bad_names) < _BAD_NAMES_MOST:
            self._bad_names.add(where)
            self._log.warning("skipped on the bus: %s", text)

    def _name(self, entry: Entry[Any], parts: Mapping[str, str] | None = None) -> str:
        return self._prefix + entry.name(**(parts or {}))

    def _put(
        self, entry: Entry[Any], message: Any, ttl_ms: int | None, parts: Mapping[str, str]
    ) -> Command:
        command: Command = ("SET", self._name(entry, parts), _encode(message))
        if ttl_ms is None and entry.ttl_s is not None:
            ttl_ms = entry.ttl_s * 1000
        elif ttl_ms is not None and entry.ttl_s is not None:
            ttl_ms = min(ttl_ms, entry.ttl_s * 1000)
        # Redis refuses a TTL of zero
        return command if ttl_ms is None else (*command, "PX", max(1, ttl_ms))

    def _push(self, entry: Entry[Any], message: Any, parts: Mapping[str, str]) -> list[Command]:
        name = self._name(entry, parts)
        commands: list[Command] = [("RPUSH", name, _encode(message))]
        if entry.ttl_s is not None:
            commands.append(("EXPIRE", name, entry.ttl_s))
        return commands

    def _append(self, entry: Entry[Any], fields: Mapping[str, Any], entry_id: str = "*") -> Command:
        limit: Command = () if entry.max_length is None else ("MAXLEN", "~", entry.max_length)
        flat = [part for key, value in fields.items() for part in (key, _encode(value))]
        return ("XADD", self._name(entry), *limit, entry_id, *flat)


class Batch:
    """Several writes sent in one round trip, without a transaction."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._commands: list[Command] = []

    def __len__(self) -> int:
        return len(self._commands)

    def put[T](
        self, entry: Entry[T], message: T, *, ttl_ms: int | None = None, **parts: str
    ) -> None:
        self._commands.append(self._bus._put(entry, message, ttl_ms, parts))

    def publish[T](self, entry: Entry[T], message: T, **parts: str) -> None:
        self._commands.append(("PUBLISH", self._bus._name(entry, parts), _encode(message)))

    def delete(self, entry: Entry[Any], **parts: str) -> None:
        self._commands.append(("DEL", self._bus._name(entry, parts)))

    def push[T](self, entry: Entry[T], message: T, **parts: str) -> None:
        """As `Bus.push`."""
        self._commands += self._bus._push(entry, message, parts)

    def put_field[T](self, entry: Entry[T], field: str, message: T) -> None:
        """Write one field of a hash."""
        self._commands.append(("HSET", self._bus._name(entry), field, _encode(message)))

    def drop_field(self, entry: Entry[Any], field: str) -> None:
        """Remove one field of a hash."""
        self._commands.append(("HDEL", self._bus._name(entry), field))

    def append(self, entry: Entry[Any], fields: Mapping[str, Any], entry_id: str = "*") -> None:
        """As `Bus.append`.

        Args:
            entry_id: Id of the entry. Redis refuses one that is not above the stream's last, so
                that nothing is written twice; `*` lets Redis choose.
        """
        self._commands.append(self._bus._append(entry, fields, entry_id))

    async def send(self) -> None:
        """Send everything and empty the batch.

        Raises:
            BusUnavailable: Redis did not answer, or refused at least one of the writes (the
                first refusal is raised; the other writes were done).
        """
        commands, self._commands = self._commands, []
        if commands:
            await self._bus._run(commands)


def _decoded[T](entry: Entry[T], raw: bytes, where: str) -> T:
    if entry.message is CandleWindow:
        return cast(T, CandleWindow.decode(raw, where))
    if entry.message is GuestValue:
        return cast(T, GuestValue(raw))
    kind = dict[str, Any] if entry.message is dict else entry.message
    return cast(T, codec.decode(kind, raw, where))


def _is_wrong_type(error: BusRefused) -> bool:
    return "WRONGTYPE" in str(error)


def _encode(message: Any) -> bytes:
    return message.encode() if isinstance(message, CandleWindow) else codec.encode(message)


def _shown(raw: bytes) -> object:
    try:
        return cast(object, orjson.loads(raw))
    except orjson.JSONDecodeError:
        return raw.decode("utf-8", "replace")


def _pairs(flat: Sequence[bytes]) -> dict[str, Any]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {key.decode("utf-8", "replace"): _shown(value) for key, value in pairs}
