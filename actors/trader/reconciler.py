"""Holding the journal against the venue: fills it lacks, positions that ended, funding."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

from actors.trader.journal_thread import JournalThread
from actors.trader.orders import OrderSender
from actors.trader.positions import Reconciliation, compare, differs
from shared.clock import Clock
from shared.errors import JournalUnavailable, VenueRefused, VenueUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import CLOSES, ClosedPosition, Fill
from shared.journal.journal import Journal
from shared.journal.rows import JournalFill, OwnPosition
from shared.messages.trading import TradeEvent, trade_event

BEFORE_MS = 1_000
"""Fills are asked for from so long before a position was opened."""

LATE_MS = 60_000
"""How long the venue may take to show the fills, or the end, of a position that has gone."""

LACKS = (JournalUnavailable, VenueUnavailable, VenueRefused)
"""What keeps one thing from being known or journalled, and no position from being protected."""

CUT = Decimal("0.000001")
"""Below this a difference in a position partly closed comes from its average price being cut."""


class Reconciler:
    """Brings the journal up to what the venue has executed, and says how both stand.

    Attributes:
        lacking: What the last look could not read or journal; None when it knows everything.
    """

    def __init__(
        self,
        venue: Venue,
        journal: JournalThread,
        orders: OrderSender,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._orders = orders
        self._clock = clock
        self._log = log
        self.lacking: JournalUnavailable | VenueUnavailable | VenueRefused | None = None
        self._gone_ms: dict[int, int] = {}
        self._foreign: set[tuple[int, str]] = set()

    async def reconcile(self) -> Reconciliation:
        """Journal what the venue has executed meanwhile, and return how both stand now.

        Fills, orders and results that cannot be had now are in `lacking`, and asked for again.

        Raises:
            VenueUnavailable, VenueRefused: The positions could not be read.
            JournalUnavailable: The journal could not be read.
        """
        self.lacking = None
        await self._tried(self._orders.renew_interrupted())
        reconciled = await self._read()
        known = [
            await self._tried(
                self._orders.settle_unknown(intent, reconciled.at_venue(intent.symbol))
            )
            for intent in await self._journal.do(Journal.open_intents)
        ]
        if any(known):
            reconciled = await self._read()
        for matched in reconciled.ours:
            self._gone_ms.pop(matched.own.own_id, None)
        # without its fills and the orders in doubt nobody can say how one has ended
        ending = reconciled.ending if self.lacking is None else ()
        if [own for own in ending if await self._tried(self._end(own))]:
            reconciled = compare(
                await self._journal.do(Journal.own_positions), reconciled.positions
            )
        await self._tried(self._note_funding(reconciled))
        await self._tried(self._note_foreign(reconciled))
        return reconciled

    async def _tried[T](self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do what ends in the journal; where that cannot be done now, remember it and go on."""
        try:
            return await work
        except LACKS as error:
            if self.lacking is None:
                self._log.error("the journal cannot be brought up to the venue: %s", error)
            self.lacking = self.lacking or error
            return None

    async def _read(self) -> Reconciliation:
        """Return how both stand, with the fills of every coin where they differed."""
        owned = await self._journal.do(Journal.own_positions)
        positions = await self._venue.positions()
        at_venue = {position.symbol: position for position in positions}
        odd = [own for own in owned if differs(own, at_venue.get(own.symbol))]
        if odd:
            for own in odd:
                await self._tried(self._add_fills(own))
            owned = await self._journal.do(Journal.own_positions)
            # after the fills, so that what was filled in between makes it smaller, not larger
            positions = await self._venue.positions()
        reconciled = compare(owned, positions)
        for matched in reconciled.ours:
            if matched.own.venue_id is None:
                seen = matched.at_venue.position_id
                await self._tried(self._journal.do(Journal.seen_at_venue, matched.own.own_id, seen))
        return reconciled

    async def _add_fills(self, own: OwnPosition) -> None:
        fills = await self._venue.fills(own.symbol, own.opened_ms - BEFORE_MS)
        known = {fill.fill_id for fill in own.fills}
        ours = []
        venue_id = own.venue_id
        for fill in fills:
            if fill.fill_id in known:
                continue
            client_id = await self._journal.do(Journal.order_client, fill.order_id)
            if client_id is not None:
                if await self._is_of(own, client_id):
                    venue_id = venue_id or fill.position_id
                    ours.append(JournalFill(fill=fill, own_id=own.own_id, client_id=client_id))
            elif _takes_from(own, venue_id, fill):
                ours.append(JournalFill(fill=fill, own_id=own.own_id, client_id=None))
        if ours:
            await self._journal.do(Journal.add_fills, ours, self._clock.now_ms())
        if venue_id is not None and own.venue_id is None:
            await self._journal.do(Journal.seen_at_venue, own.own_id, venue_id)

    async def _is_of(self, own: OwnPosition, client_id: str) -> bool:
        intent = await self._journal.do(Journal.intent, client_id)
        if intent is None or intent.purpose == "close":
            return intent is not None and intent.own_id == own.own_id
        return await self._journal.do(Journal.own_of_entry, client_id) == own.own_id

    # What has ended

    async def _end(self, own: OwnPosition) -> bool:
        """Journal the end of a position that the venue does not show; tell whether it has."""
        now_ms = self._venue.now_ms()
        gone_ms = self._gone_ms.setdefault(own.own_id, now_ms)
        record = await self._record(own)
        is_whole = not own.size and own.is_complete
        if (record is None or not is_whole) and now_ms - gone_ms < LATE_MS:
            return False
        del self._gone_ms[own.own_id]
        known = own.price_pnl - own.fees + own.funding
        pnl = known if record is None else record.realized_pnl - own.adopted_pnl
        closed_ms = max([fill.at_ms for fill in own.fills] or [now_ms])
        closed_ms = closed_ms if record is None else record.closed_ms
        how = own.closing or ("closed at the venue" if record is None else record.how)
        if not is_whole:
            how += ", not all of its fills are known"
            self._log.error("%s: ended, and the venue does not show all its fills", own.symbol)
        events = [
            self._event("closed", own, f"{own.side} closed ({how}): {pnl} with fees and funding",
                        pnl_quote=pnl)
        ]  # fmt: skip
        if pnl != known:
            await self._journal.do(Journal.add_funding, own.own_id, pnl - known, closed_ms,
                                  self._funding_event(own, pnl - known))  # fmt: skip
        await self._journal.do(
            Journal.end_position, own.own_id, closed_ms=closed_ms, pnl=pnl, how=how, events=events
        )
        return True

    async def _record(self, own: OwnPosition) -> ClosedPosition | None:
        """Return what the venue says of a position that ended."""
        if own.venue_id is None:
            return None
        for record in await self._venue.closed_positions(own.opened_ms - BEFORE_MS):
            if record.position_id == own.venue_id:
                return record
        return None

    async def _note_funding(self, reconciled: Reconciliation) -> None:
        """Journal what open positions have won or paid beside their fills."""
        for matched in reconciled.ours:
            own, position = matched.own, matched.at_venue
            if not own.is_complete or own.size != position.size:
                continue
            known = own.price_pnl - own.fees + own.funding
            amount = position.realized_pnl - own.adopted_pnl - known
            if amount and (not own.left[0] or abs(amount) > CUT):
                await self._journal.do(Journal.add_funding, own.own_id, amount,
                                      self._venue.now_ms(),
                                      self._funding_event(own, amount))  # fmt: skip

    async def _note_foreign(self, reconciled: Reconciliation) -> None:
        """Journal positions that are not ours, once each."""
        seen = {(each.at_venue.position_id, each.why) for each in reconciled.foreign}
        for each in reconciled.foreign:
            position = each.at_venue
            if (position.position_id, each.why) not in self._foreign:
                symbol, side, size = position.symbol, position.side, position.size
                text = (
                    f"{symbol}: {side} {size} is foreign ({each.why}): not touched, and nothing "
                    "is entered in this coin"
                )
                event = trade_event(
                    self._clock.now_ms(), "foreign", text, symbol, side, size_base=size
                )
                await self._journal.do(Journal.tell, event)
        self._foreign = seen

    def _funding_event(self, own: OwnPosition, amount: Decimal) -> TradeEvent:
        text = f"{amount} beside price and fees of its fills: funding, or what the venue took"
        return self._event("funding", own, text, pnl_quote=amount)

    def _event(self, kind: str, own: OwnPosition, text: str, *, pnl_quote: Decimal) -> TradeEvent:
        now_ms, text = self._clock.now_ms(), f"{own.symbol}: {text}"
        return trade_event(now_ms, kind, text, own.symbol, own.side, pnl_quote=pnl_quote)


def _takes_from(own: OwnPosition, venue_id: int | None, fill: Fill) -> bool:
    """Tell whether a fill of an order that is not ours has closed a part of our position."""
    is_same = fill.position_id is None or venue_id in (None, fill.position_id)
    return fill.side == CLOSES[own.side] and fill.at_ms >= own.opened_ms and is_same
