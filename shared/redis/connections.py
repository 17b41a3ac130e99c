"""Pooled connections to Redis with deadlines; every error as one of `shared/errors.py`.

redis-py opens the sockets and speaks the protocol; its client is left out on purpose. A
connection whose call was cut short (deadline, cancellation, error) may still receive the reply,
which the next caller would get, so such a connection is closed, never reused.
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
from redis.exceptions import AuthenticationError, OutOfMemoryError, RedisError, ResponseError

from shared.errors import BusDenied, BusFull, BusRefused, BusUnavailable

type Command = tuple[str | bytes | int, ...]
type Reply = Any

POOLED = 8
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
        self._idle: list[Connection] = []
        self._closed = False

    def new(self, timeout_s: float) -> Connection:
        """Return a connection outside the pool, not connected yet."""
        timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": self.timeout_s}
        return cast(Connection, self._class(**(self._options | timeouts)))

    async def run(self, commands: Sequence[Command]) -> list[Reply]:
        """Pipeline the commands and return their replies in order.

        The reply to a command that Redis refuses is the error (BusFull, BusRefused).

        Raises:
            BusUnavailable: Not all replies arrived in time.
        """
        try:
            async with asyncio.timeout(self.timeout_s), self._slots:
                connection = await self._acquire()
                try:
                    replies = await self._exchange(connection, commands)
                except BaseException:
                    await self._drop(connection)
                    raise
                if self._closed:
                    await self._drop(connection)
                else:
                    self._idle.append(connection)
                return replies
        except (RedisError, OSError) as error:
            await self._drop_idle()
            raise self.unavailable(error, self.timeout_s) from None

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
                return reply
        except (RedisError, OSError) as error:
            raise self.unavailable(error, patience_s) from None
        finally:
            await self._drop(connection)

    def unavailable(self, error: Exception, timeout_s: float) -> BusUnavailable:
        """Return the error for a Redis that did not answer."""
        # redis-py wraps a refusal during the handshake as if the socket had failed
        cause = error if error.__cause__ is None else error.__cause__
        if isinstance(cause, AuthenticationError):
            return self._denied(cause)
        if isinstance(cause, ResponseError):
            return self.refusal(cause)
        if isinstance(error, TimeoutError):
            return BusUnavailable(f"Redis at {self.endpoint}: no answer within {timeout_s:g} s")
        return BusUnavailable(f"Redis at {self.endpoint}: {error or type(error).__name__}")

    def _denied(self, error: AuthenticationError) -> BusDenied:
        given = "with the password given" if "password" in self._options else "without a password"
        return BusDenied(
            f"Redis at {self.endpoint} does not let in user {self._user!r} {given} ({error}); give "
            "the right one: for one user COINEX_REDIS_PASSWORD or the credential redis_password, "
            "for a user per role redis.users_file or the credential redis_users"
        )

    async def close(self) -> None:
        """Close every connection; those in use close when their call ends."""
        self._closed = True
        await self._drop_idle()

    async def _acquire(self) -> Connection:
        if self._closed:
            raise ConnectionError("this bus is closed")
        while self._idle:
            connection = self._idle.pop()
            # anything to read on an idle connection is its end or an unexpected reply
            if connection.is_connected and not await connection.can_read():
                return connection
            await self._drop(connection)
        return self.new(self.timeout_s)

    async def _exchange(self, connection: Connection, commands: Sequence[Command]) -> list[Reply]:
        if not connection.is_connected:
            await connection.connect()
        await connection.send_packed_command(connection.pack_commands(commands))
        return [await self._reply(connection) for _ in commands]

    async def _reply(self, connection: Connection) -> Reply:
        try:
            return await connection.read_response()
        except ResponseError as error:
            return self.refusal(error)

    def refusal(self, error: ResponseError) -> BusUnavailable:
        """Return the error for a command that Redis refused."""
        if isinstance(error, OutOfMemoryError):
            return BusFull(f"Redis at {self.endpoint} is full: {error}")
        if str(error).startswith("MISCONF"):
            return BusFull(f"Redis at {self.endpoint} cannot write to disk: {error}")
        return BusRefused(f"Redis at {self.endpoint} refuses user {self._user!r}: {error}")

    async def _drop(self, connection: Connection) -> None:
        await connection.disconnect(nowait=True)

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._drop(self._idle.pop())


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
