"""Keeps what a guest trader publishes: `trader:events` in the stream `trader:events:log`.

Pub/Sub has no memory: what is published while this actor restarts is lost, unless the guest adds
it to the stream itself. An event that is there already is not added again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from typing import Any

from actors.base import Actor, Context
from shared import schema
from shared.bus import BusStatus
from shared.errors import BadMessage, BusUnavailable
from shared.guests.shapes import EVENT, event_of_entry
from shared.messages.guests import GuestEvent
from shared.token_bucket import TokenBucket

PER_S = 20
"""Events a second that are kept, after as many at once."""

IDLE_S = 2.0
MOST_WAITING = 500
"""Events that wait while Redis takes no writes."""

KNOWN = 1000
"""Newest events of the stream by which a second copy is recognised."""

AT_ONCE = 100
TOO_MANY, UNREADABLE, LOST = "too many", "unreadable", "lost"


class Guests(Actor):
    """Copies events from channel to stream."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._bucket = TokenBucket(PER_S)
        self._waiting: deque[GuestEvent] = deque()
        self._known: dict[tuple[Any, ...], None] = {}
        self._last_id = "0"
        self._kept = 0
        self._dropped = dict.fromkeys((TOO_MANY, UNREADABLE, LOST), 0)

    async def setup(self) -> None:
        """Read the newest events of the stream, and subscribe.

        Raises:
            BusUnavailable: Redis does not answer.
        """
        self._know(await self.bus.entries(schema.GUEST_LOG, KNOWN))
        self._report()
        self.background(self._listen(), "events")

    async def step(self) -> float:
        """Add the events that wait to the stream.

        Raises:
            BusUnavailable: Redis does not take them; they go on waiting.
        """
        await self._see_new()
        count, batch = len(self._waiting), self.bus.batch()
        for event in [self._waiting[i] for i in range(count)]:
            if event.identity not in self._known:
                self._remember(event)
                plain = dataclasses.asdict(event)
                fields = {name: value for name, value in plain.items() if value is not None}
                batch.append(schema.GUEST_LOG, fields)
        added = len(batch)
        try:
            await batch.send()
        except BaseException:
            self._known.clear()  # which of them arrived, the stream knows
            self._last_id = "0"
            raise
        for _ in range(count):
            self._waiting.popleft()
        self._kept += added
        await self.bus.trim(schema.GUEST_LOG)
        self._report()
        self.ready()
        return IDLE_S

    async def drain(self) -> None:
        """Add what has come meanwhile."""
        with contextlib.suppress(BusUnavailable):
            await self.step()

    async def _listen(self) -> None:
        async with self.bus.subscribe(schema.GUEST_EVENTS.name()) as deliveries:
            async for delivery in deliveries:
                if delivery.channel:
                    self._take(delivery.raw)

    def _take(self, raw: bytes) -> None:
        if not self._bucket.allows(self.clock.monotonic()):
            self._drop(TOO_MANY, f"more than {PER_S} a second")
            return
        try:
            event = EVENT.read(raw, schema.GUEST_EVENTS.name())
        except BadMessage as error:
            self._drop(UNREADABLE, str(error))
            return
        if len(self._waiting) >= MOST_WAITING:
            self._drop(LOST, f"Redis takes no writes, and {MOST_WAITING} wait")
            return
        self._waiting.append(event)
        if self.bus.status is BusStatus.UP:  # else the retries go at their own pace
            self.wake()

    def _drop(self, why: str, text: str) -> None:
        self._dropped[why] += 1
        self.detail |= {"event_fault": text, "event_fault_ms": self.clock.now_ms()}
        self._report()

    async def _see_new(self) -> None:
        """Read what was added to the stream since the last look, by the guest itself too."""
        if not self._known:
            self._know(await self.bus.entries(schema.GUEST_LOG, KNOWN))
        while found := await self.bus.entries_after(schema.GUEST_LOG, self._last_id, AT_ONCE):
            for fault in self._know(found):
                self._drop(UNREADABLE, fault)

    def _know(self, entries: list[tuple[str, dict[str, Any]]]) -> list[str]:
        """Remember entries of the stream; return what cannot be read of them."""
        faults = []
        for identity, fields in entries:
            self._last_id = identity
            try:
                self._remember(event_of_entry(fields, f"{schema.GUEST_LOG.name()} {identity}"))
            except BadMessage as error:
                faults.append(str(error))
        return faults

    def _remember(self, event: GuestEvent) -> None:
        self._known[event.identity] = None
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]

    def _report(self) -> None:
        self.doing(f"{self._kept} events kept")
        self.detail |= {"events_kept": self._kept, "events_dropped": dict(self._dropped)}
