"""Events from the journal to Redis: `trader:events`, and `trader:events:log` without a hole.

The id of an entry is when the journal's first event was published, and the event's number: Redis
itself refuses one that is there already, whoever died or was cut off in between, and what another
journal left behind lies before.
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
    """Brings the stream up to the journal, also after Redis was away or has lost everything.

    Attributes:
        told: Number of the newest event known to be in the stream; None when that is not known.
    """

    def __init__(self, bus: Bus, journal: JournalThread, clock: Clock, log: logging.Logger) -> None:
        self._bus = bus
        self._journal = journal
        self._clock = clock
        self._log = log
        self._since_ms: int | None = None
        self.told: int | None = None

    async def publish(self) -> None:
        """Publish what the stream lacks.

        Raises:
            BusUnavailable: Redis does not take it (all of it).
        """
        newest = await self._journal.do(Journal.last_event_id)
        if self._bus.status is BusStatus.DOWN:
            self.told = None  # it may come back with less than it had
        if self.told is None:
            self.told = await self._find_end(newest)
        while self.told < newest:
            self.told = await self._send(self.told)

    async def _send(self, after_id: int) -> int:
        since_ms = await self._since()
        events = await self._journal.do(Journal.events, after_id, AT_ONCE)
        batch = self._bus.batch()
        for event in events:
            place = f"{since_ms}-{event.event_id}"
            batch.append(schema.TRADE_LOG, dataclasses.asdict(event), place=place)
            batch.publish(schema.TRADE_EVENTS, event)
        try:
            await batch.send()
        except BusRefused:
            # some may have been there: an earlier attempt had arrived after all
            end = await self._find_end(events[-1].event_id)
            if end <= after_id:
                raise
            return end
        except BusUnavailable:
            self.told = None
            raise
        return events[-1].event_id

    async def _find_end(self, newest: int) -> int:
        """Return the number of the last event of this journal in the stream."""
        (last,) = await self._bus.entries(schema.TRADE_LOG, 1) or [("0-0", {})]
        of_ms, _, number = last[0].partition("-")
        end = int(number) if int(of_ms) == await self._since() else 0
        return max(end, newest - (schema.TRADE_LOG.max_length or 0))

    async def _since(self) -> int:
        if self._since_ms is None:
            noted = await self._journal.do(Journal.note, "log since")
            if noted is None:
                noted = self._clock.now_ms()
                await self._journal.do(Journal.set_note, "log since", noted)
            self._since_ms = cast(int, noted)
        return self._since_ms
