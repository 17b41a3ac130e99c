"""Events from the journal to Redis: `trader:events`, and `trader:events:log` without gaps.

An entry's id is the time at which the journal's first event was published, and the event's number:
Redis refuses an id it has already, also after a crash, and sorts entries of older journals before.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import cast

from actors.trader.journal_thread import JournalThread
from shared import schema
from shared.bus import Bus, BusStatus
from shared.clock import Clock
from shared.errors import BusRefused, BusUnavailable
from shared.journal.journal import Journal

AT_ONCE = 200


class EventLog:
    """Keeps the stream up to date with the journal, also after Redis was down or lost its data.

    Attributes:
        published_id: The newest event in the stream; None while unknown.
    """

    def __init__(self, bus: Bus, journal: JournalThread, clock: Clock, log: logging.Logger) -> None:
        self._bus = bus
        self._journal = journal
        self._clock = clock
        self._log = log
        self._since_ms: int | None = None
        self.published_id: int | None = None

    async def publish(self) -> None:
        """Publish the events missing from the stream.

        Raises:
            BusUnavailable: Redis did not accept all of them.
        """
        newest = await self._journal.do(Journal.last_event_id)
        if self._bus.status is not BusStatus.UP:
            self.published_id = None  # it may come back with less than it had
        if self.published_id is None:
            self.published_id = await self._find_end(newest)
        while self.published_id < newest:
            self.published_id = await self._send(self.published_id)

    async def _send(self, after_id: int) -> int:
        since_ms = await self._since()
        events = await self._journal.do(Journal.events, after_id, AT_ONCE)
        batch = self._bus.batch()
        for event in events:
            place = f"{since_ms}-{event.event_id}"
            batch.append(schema.TRADE_LOG, dataclasses.asdict(event), entry_id=place)
            batch.publish(schema.TRADE_EVENTS, event)
        try:
            await batch.send()
        except BusRefused:
            # an earlier attempt may have arrived after all
            end = await self._find_end(events[-1].event_id)
            if end <= after_id:
                raise
            return end
        except BusUnavailable:
            self.published_id = None
            raise
        return events[-1].event_id

    async def _find_end(self, newest: int) -> int:
        """Return the number of this journal's last event in the stream."""
        (last,) = await self._bus.entries(schema.TRADE_LOG, 1) or [("0-0", {})]
        of_ms, number = map(int, last[0].split("-"))
        since_ms = await self._since()
        if (of_ms, number) > (since_ms, newest):
            # a later journal has published, or a later copy of this one: go on behind it
            self._since_ms = max(self._clock.now_ms(), of_ms + 1)
            await self._journal.do(Journal.set_note, "log since", self._since_ms)
            return newest
        end = number if of_ms == since_ms else 0
        return max(end, newest - (schema.TRADE_LOG.max_length or 0))

    async def _since(self) -> int:
        if self._since_ms is None:
            since_ms = await self._journal.do(Journal.note, "log since")
            if since_ms is None:
                since_ms = self._clock.now_ms()
                await self._journal.do(Journal.set_note, "log since", since_ms)
            self._since_ms = cast(int, since_ms)
        return self._since_ms
