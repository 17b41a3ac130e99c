"""A Pub/Sub subscription that survives outages: it reconnects, re-subscribes and reports it.

redis-py's own subscriber gives up after some seconds of outage and cannot distinguish a quiet
channel from a dead socket; this one pings when nothing arrives. Its connection is replaced now and
then, because the address may lead to another server by now.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from redis.exceptions import RedisError

from shared.backoff import backoff_s
from shared.clock import Clock
from shared.errors import BusUnavailable
from shared.redis.connections import Age, Command, Connection, Connections

RETRY_FIRST_S, RETRY_CAP_S = 0.2, 2.0
AT_ONCE = 50
"""Deliveries after which the other tasks of the loop have their turn, though more are there."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message; both fields are empty after every (re)connect: re-read the keys then."""

    channel: str
    raw: bytes


CONNECTED = Delivery(channel="", raw=b"")


class Subscription:
    """Async context manager and iterator of deliveries; connects with the first `anext`.

    Cancelling a pending `anext` loses nothing. A channel that is both named and matched by a
    pattern is delivered twice, as Redis does; so is a message that comes while the connection is
    being replaced.

    Args:
        outcome: Called with None after a connect, or with the error of a failed one.
        quiet_s: Silence after which the connection is pinged.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        prefix: str,
        names: Sequence[str],
        patterns: Sequence[str],
        clock: Clock,
        rng: random.Random,
        log: logging.Logger,
        outcome: Callable[[BusUnavailable | None], None],
        quiet_s: float = 3.0,
    ) -> None:
        if not names and not patterns:
            raise ValueError("a subscription needs at least one channel name or pattern")
        self._connections = connections
        self._prefix = prefix
        self._names = [prefix + name for name in names]
        self._patterns = [prefix + pattern for pattern in patterns]
        self._clock = clock
        self._rng = rng
        self._log = log
        self._outcome = outcome
        self._quiet_s = quiet_s
        self._connection: Connection | None = None
        self._age: Age = (0.0, 0)
        self._replaced: Connection | None = None
        self._pending: deque[Delivery] = deque()
        self._pinged = False
        self._failures = 0
        self._in_a_row = 0
        self.connects = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._drop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        self._in_a_row = (self._in_a_row + 1) % AT_ONCE
        if self._in_a_row == 0:
            await asyncio.sleep(0)
        while not self._pending:
            if self._replaced is not None:
                await self._read_out(self._replaced)
            elif self._connection is None:
                await self._connect()
            elif self._connections.is_expired(self._age):
                await self._replace(self._connection)
            else:
                await self._receive(self._connection)
        return self._pending.popleft()

    async def _connect(self) -> None:
        if self._failures:
            pause_s = backoff_s(self._failures, RETRY_FIRST_S, RETRY_CAP_S, self._rng.random())
            await self._clock.sleep(pause_s)
        await self._open(is_new=True)

    async def _replace(self, old: Connection) -> None:
        """Replace a connection; the old one stays until the new one is subscribed."""
        # after a refusal it may be another server, with other keys
        if await self._open(is_new=self._connections.is_refused(self._age)):
            self._replaced = old
        else:
            await old.disconnect(nowait=True)

    async def _read_out(self, old: Connection) -> None:
        """Read what a replaced connection has received, then close it."""
        try:
            while not self._pending and await old.can_read():
                reply = await old.read_response(timeout=0.1, disconnect_on_error=False)
                if reply is not None and (delivery := self._delivery(reply)):
                    self._pending.append(delivery)
        except (RedisError, OSError):
            pass  # it has ended
        if not self._pending:
            self._replaced = None
            await old.disconnect(nowait=True)

    async def _open(self, *, is_new: bool) -> bool:
        """Connect and subscribe; return whether it worked.

        Args:
            is_new: Deliver CONNECTED first.
        """
        timeout_s = self._connections.timeout_s
        connection, age = self._connections.new(timeout_s), self._connections.age()
        early: list[Delivery] = []
        try:
            async with asyncio.timeout(timeout_s):
                await connection.connect()
                await self._subscribe(connection, early)
        except (RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            self._connection = None
            self._failures += 1
            self._outcome(self._connections.unavailable(error, timeout_s))
            return False
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection, self._age = connection, age
        self._pinged = False
        self._failures = 0
        self.connects += 1
        self._outcome(None)
        if is_new:
            self._pending.append(CONNECTED)
        self._pending.extend(early)
        return True

    async def _subscribe(self, connection: Connection, early: list[Delivery]) -> None:
        commands: list[Command] = []
        if self._names:
            commands.append(("SUBSCRIBE", *self._names))
        if self._patterns:
            commands.append(("PSUBSCRIBE", *self._patterns))
        await connection.send_packed_command(connection.pack_commands(commands))
        unconfirmed = len(self._names) + len(self._patterns)
        while unconfirmed:
            reply = await connection.read_response()
            if reply[0] in (b"subscribe", b"psubscribe"):
                unconfirmed -= 1
            elif delivery := self._delivery(reply):
                early.append(delivery)

    async def _receive(self, connection: Connection) -> None:
        try:
            # no disconnect on cancellation: the parser keeps a half-read reply
            reply = await connection.read_response(
                timeout=self._connections.timeout_s if self._pinged else self._quiet_s,
                disconnect_on_error=False,
            )
            if reply is not None:
                self._pinged = False
                if delivery := self._delivery(reply):
                    self._pending.append(delivery)
            elif self._pinged:
                await self._lost("no answer to a ping")
            else:
                self._pinged = True
                await connection.send_packed_command(connection.pack_commands([("PING",)]))
        except (RedisError, OSError) as error:
            await self._lost(str(error) or type(error).__name__)

    def _delivery(self, reply: list[Any]) -> Delivery | None:
        if reply[0] in (b"message", b"pmessage"):
            channel: str = reply[-2].decode("utf-8", "replace")
            return Delivery(channel=channel.removeprefix(self._prefix), raw=reply[-1])
        return None

    async def _lost(self, why: str) -> None:
        # not reported to `outcome`: one dead socket is no outage, a failing reconnect is
        self._log.debug("subscription lost: %s", why)
        self._failures = max(1, self._failures)
        await self._drop()

    async def _drop(self) -> None:
        connections = (self._connection, self._replaced)
        self._connection = self._replaced = None
        for connection in connections:
            if connection is not None:
                await connection.disconnect(nowait=True)
