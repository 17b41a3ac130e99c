"""Pooled connections to Redis with deadlines; every error as one of `shared/errors.py`.

redis-py opens the sockets and speaks the protocol; its client is left out on purpose. A
connection whose call was cut short (deadline, cancellation, error) may still receive the reply,
which the next caller would get, so such a connection is closed, never reused.

An address may move to another server (a DNS name, a proxy), while the old one keeps answering. So
no connection is used for long, and none after a refusal such as READONLY: the next one looks the
address up again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Protocol, cast

from redis.asyncio.connection import Connection as _TcpConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from shared.errors import BusDenied, BusFull, BusNotServing, BusRefused, BusUnavailable

type Command = tuple[str | bytes | int, ...]
type Reply = Any
type Age = tuple[float, int]

POOLED = 8
LIFE_S = 10.0
"""After which a connection is replaced by a new one to the same address."""

_WRITES_REFUSED = frozenset({"READONLY", "NOREPLICAS", "MISCONF", "OOM"})
_ALL_REFUSED = frozenset(
    {"MASTERDOWN", "CLUSTERDOWN", "LOADING", "NOPERM", "NOAUTH", "WRONGPASS", "BUSY", "MOVED"}
)
_REFUSALS = (AuthenticationError, BusyLoadingError, ResponseError)
_UNPRINTABLE = re.compile(r"[^!-~]")


class Connection(Protocol):
    """The part of a redis-py connection that is used here."""

    @property
    def is_connected(self) -> bool: ...
    async def connect(self) -> None: ...
    async def disconnect(self, nowait: bool = False) -> None: ...
    async def can_read(self) -> bool: ...
    def pack_commands(self, commands: Sequence[Command]) -> list[bytes]: ...
    async def send_packed_command(self, command: list[bytes]) -> None: ...
    async def read_response(
        self, *, timeout: float | None = None, disconnect_on_error: bool = True
    ) -> Reply: ...


class Connections:
    """A bounded pool of connections to one Redis.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with credentials.
        name: Shown by Redis' `CLIENT LIST`.
        timeout_s: Deadline of one call: waiting for a connection, connecting, sending and
            all replies together.
    """

    def __init__(self, url: str, *, name: str, timeout_s: float) -> None:
        options: dict[str, Any] = dict(parse_url(url))
        self._class = options.pop("connection_class", _TcpConnection)
        if "path" in options:
            self.endpoint = str(options["path"])
        else:
            self.endpoint = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        self._user = str(options.get("username") or "default")
        self._options = options | {
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "client_name": _UNPRINTABLE.sub("-", name),
            "driver_info": None,
        }
        self.timeout_s = timeout_s
        self._slots = asyncio.Semaphore(POOLED)
        self._idle: list[tuple[Connection, Age]] = []
        self._closed = False
        self._generation = 0
        self._refused_s = float("-inf")

    def new(self, timeout_s: float) -> Connection:
        """Return a connection outside the pool, not connected yet."""
        timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": self.timeout_s}
        return cast(Connection, self._class(**(self._options | timeouts)))

    async def run(self, commands: Sequence[Command]) -> list[Reply]:
        """Pipeline the commands and return their replies in order.

        The reply to a command that Redis refuses is the error (BusNotServing, BusRefused).

        Raises:
            BusUnavailable: Not all replies arrived in time.
        """
        try:
            async with asyncio.timeout(self.timeout_s), self._slots:
                connection, age = await self._acquire()
                try:
                    replies = await self._exchange(connection, commands)
                except BaseException:
                    await self._drop(connection)
                    raise
                refused = any(isinstance(reply, BusNotServing) for reply in replies)
                if refused:
                    self._expire()
                    await self._drop_idle()
                if self._closed or refused or self.is_expired(age):
                    await self._drop(connection)
                else:
                    self._idle.append((connection, age))
                return replies
        except (RedisError, OSError) as error:
            await self._drop_idle()
            failure = self.unavailable(error, self.timeout_s)
            if isinstance(failure, BusNotServing):
                self._expire()
            raise failure from None

    async def run_alone(self, command: Command, wait_s: float) -> Reply:
        """Send a command that blocks for up to `wait_s`, on a connection of its own.

        Raises:
            BusUnavailable: No reply within `wait_s` and the usual deadline.
        """
        patience_s = wait_s + self.timeout_s
        connection = self.new(patience_s)
        try:
            async with asyncio.timeout(patience_s):
                (reply,) = await self._exchange(connection, [command])
                if isinstance(reply, BusNotServing):
                    self._expire()
                return reply
        except (RedisError, OSError) as error:
            raise self.unavailable(error, patience_s) from None
        finally:
            await self._drop(connection)

    def unavailable(self, error: Exception, timeout_s: float) -> BusUnavailable:
        """Return the error for a Redis that did not answer."""
        # redis-py wraps a refusal during the handshake as if the socket had failed
        cause = error if error.__cause__ is None else error.__cause__
        if isinstance(cause, _REFUSALS):
            return self.refusal(cause)
        if isinstance(error, TimeoutError):
            return BusUnavailable(f"Redis at {self.endpoint}: no answer within {timeout_s:g} s")
        return BusUnavailable(f"Redis at {self.endpoint}: {error or type(error).__name__}")

    def _denied(self, code: str, error: Exception) -> BusDenied:
        given = "with the password given" if "password" in self._options else "without a password"
        return BusDenied(
            code,
            f"Redis at {self.endpoint} does not let in user {self._user!r} {given} ({error}); give "
            "the right one: for one user COINEX_REDIS_PASSWORD or the credential redis_password, "
            "for a user per role redis.users_file or the credential redis_users",
        )

    async def close(self) -> None:
        """Close every connection; those in use close when their call ends."""
        self._closed = True
        await self._drop_idle()

    def age(self) -> Age:
        """Return the age of a connection made now."""
        return _now_s(), self._generation

    def is_expired(self, age: Age) -> bool:
        """Return whether a connection is to be replaced: it is old, or Redis refused to serve."""
        return self.is_refused(age) or _now_s() - age[0] > LIFE_S

    def is_refused(self, age: Age) -> bool:
        """Return whether Redis has refused to serve since a connection was made."""
        return age[1] != self._generation

    async def _acquire(self) -> tuple[Connection, Age]:
        if self._closed:
            raise ConnectionError("this bus is closed")
        while self._idle:
            connection, age = self._idle.pop()
            # anything to read on an idle connection is its end or an unexpected reply
            usable = connection.is_connected and not self.is_expired(age)
            if usable and not await connection.can_read():
                return connection, age
            await self._drop(connection)
        return self.new(self.timeout_s), self.age()

    async def _exchange(self, connection: Connection, commands: Sequence[Command]) -> list[Reply]:
        if not connection.is_connected:
            await connection.connect()
        await connection.send_packed_command(connection.pack_commands(commands))
        return [await self._reply(connection) for _ in commands]

    async def _reply(self, connection: Connection) -> Reply:
        try:
            return await connection.read_response()
        except _REFUSALS as error:
            return self.refusal(error)

    def refusal(self, error: Exception) -> BusUnavailable:
        """Return the error for a command, or a login, that Redis refused."""
        text = str(error)
        code = getattr(error, "status_code", None) or text.partition(" ")[0]
        text = text.removeprefix(code).strip()
        if isinstance(error, AuthenticationError):
            return self._denied(code, error)
        if code == "OOM":
            return BusFull(code, f"Redis at {self.endpoint} is full: {code} {text}")
        if code in _WRITES_REFUSED:
            return BusNotServing(code, f"Redis at {self.endpoint} refuses writes: {code} {text}")
        refusal = f"Redis at {self.endpoint} refuses user {self._user!r}: "
        if code in _ALL_REFUSED:
            return BusNotServing(code, f"{refusal}{code} {text}")
        return BusRefused(f"{refusal}{error}")

    async def _drop(self, connection: Connection) -> None:
        await connection.disconnect(nowait=True)

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._drop(self._idle.pop()[0])

    def _expire(self) -> None:
        """Let every connection be replaced; not more often while the refusals last."""
        if _now_s() - self._refused_s >= LIFE_S:
            self._refused_s = _now_s()
            self._generation += 1


def _now_s() -> float:
    return asyncio.get_running_loop().time()


async def probe(url: str, *, name: str, timeout_s: float) -> BusUnavailable | None:
    """Ping a Redis once with the URL's credentials; return the error, None if it answers."""
    connections = Connections(url, name=name, timeout_s=timeout_s)
    try:
        (reply,) = await connections.run([("PING",)])
        return reply if isinstance(reply, BusUnavailable) else None
    except BusUnavailable as error:
        return error
    finally:
        await connections.close()


async def server_version(url: str, *, timeout_s: float) -> tuple[int, int] | None:
    """Return the version of a Redis, as (major, minor); None when it does not answer."""
    connections = Connections(url, name="supervisor", timeout_s=timeout_s)
    try:
        (reply,) = await connections.run([("HELLO", 2)])  # unlike INFO allowed to every user
    except BusUnavailable:
        return None
    finally:
        await connections.close()
    if isinstance(reply, BusUnavailable):
        return None
    answered = dict(zip(reply[::2], reply[1::2], strict=True))
    major, minor = answered[b"version"].decode().split(".")[:2]
    return int(major), int(minor)
