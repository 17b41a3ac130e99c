"""Publishes each actor's status and every transition, and renews the lease.

Runs beside the supervising loop, so an outage of Redis never blocks it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared import schema
from shared.bus import Bus
from shared.clock import Clock
from shared.errors import BusUnavailable
from shared.messages.actors import ActorStatus, Lease, SupervisorState
from shared.supervision.lease import SupervisorLease

EVERY_S = 1.0
RENEW_S = 5.0
MAX_PENDING = 1000


class Transitions:
    """Transitions not published yet; beyond `MAX_PENDING` the oldest are dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.pending: deque[Mapping[str, Any]] = deque(maxlen=MAX_PENDING)
        self.changed = asyncio.Event()

    def add(self, actor: str, event: str, details: Mapping[str, Any]) -> None:
        """Queue one, to be published now or when Redis is back."""
        self.pending.append(
            {"at_ms": self._clock.now_ms(), "actor": actor, "event": event, **details}
        )
        self.changed.set()


class StatusPublisher:
    """Keeps `supervisor:*` up to date.

    Args:
        statuses: Returns every actor's status.
        problems: Returns the supervisor's own problems.
        lease_lost: Called when another supervisor turns out to have the lease.
    """

    def __init__(
        self,
        bus: Bus,
        transitions: Transitions,
        *,
        lease: SupervisorLease,
        mode: str,
        clock: Clock,
        statuses: Callable[[], Sequence[ActorStatus]],
        problems: Callable[[], list[str]],
        lease_lost: Callable[[Lease], None],
    ) -> None:
        self._bus = bus
        self._transitions = transitions
        self._lease = lease
        self._mode = mode
        self._clock = clock
        self._statuses = statuses
        self._problems = problems
        self._lease_lost = lease_lost
        self._started_ms = clock.now_ms()
        self._published: set[str] = set()

    async def keep(self) -> None:
        """Publish for ever."""
        renewed = float("-inf")
        while True:
            try:
                if self._clock.monotonic() - renewed >= RENEW_S:
                    holder = await self._lease.renew()
                    if holder is not None:
                        self._lease_lost(holder)
                    self._published |= await self._bus.field_names(schema.ACTORS)
                    renewed = self._clock.monotonic()
                await self._publish()
            except BusUnavailable:
                pass  # the bus logs loss and return itself
            self._transitions.changed.clear()
            try:
                await asyncio.wait_for(self._transitions.changed.wait(), EVERY_S)
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Publish the last transitions; release the lease, so that a successor starts at once."""
        try:
            await self._publish()
            await self._lease.release()
        except BusUnavailable:
            pass  # it expires by itself

    async def _publish(self) -> None:
        events = list(self._transitions.pending)
        statuses = self._statuses()
        batch = self._bus.batch()
        for event in events:
            batch.append(schema.EVENTS, event)
        for status in statuses:
            batch.put_field(schema.ACTORS, status.name, status)
        for name in self._published - {status.name for status in statuses}:
            batch.drop_field(schema.ACTORS, name)
        batch.put(schema.SUPERVISOR, self._state())
        await batch.send()
        self._published = {status.name for status in statuses}
        for _ in events:
            self._transitions.pending.popleft()

    def _state(self) -> SupervisorState:
        return SupervisorState(
            host=socket.gethostname(),
            pid=os.getpid(),
            mode=self._mode,
            started_ms=self._started_ms,
            at_ms=self._clock.now_ms(),
            problems=self._problems(),
            bad_messages=self._bus.bad_messages,
            bad_message=self._bus.bad_message,
            bad_message_ms=self._bus.bad_message_ms,
        )
