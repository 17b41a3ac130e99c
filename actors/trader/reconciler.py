"""Brings the journal up to date with the venue: fills, ended positions, funding."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

from actors.trader.journal_thread import JournalThread
from actors.trader.orders import OrderSender
from actors.trader.positions import ForeignPosition, Reconciliation, compare, differs
from shared.clock import Clock
from shared.errors import JournalUnavailable, VenueRefused, VenueUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import CLOSES, EndedPosition, Fill
from shared.journal.journal import Journal
from shared.journal.rows import EndedBy, JournalFill, OwnPosition
from shared.messages.trading import TradeEvent, trade_event
from shared.trading.entries import OTHER
from shared.trading.exits import is_beyond

BEFORE_MS = 1_000
"""Fills are requested from this long before a position was opened."""

LATE_MS = 60_000
"""How long the venue may take to list the fills, or the end, of a position that is gone."""

EXPECTED_ERRORS = (JournalUnavailable, VenueUnavailable, VenueRefused)
"""Failures of venue and journal, after which the trader goes on."""

SAME_MS = 1_000
"""An end this near to the last fill is that of the same position."""

CUT = Decimal("0.000001")
"""A smaller difference in a partly closed position comes from rounding of its average price."""


class Reconciler:
    """Brings the journal up to date with what the venue has executed.

    Attributes:
        first_error: Of the last `reconcile`; None if it was complete.
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
        self.first_error: JournalUnavailable | VenueUnavailable | VenueRefused | None = None
        self._logged = ""
        self._owned: list[OwnPosition] | None = None
        self._gone_ms: dict[int, int] = {}
        self._foreign: set[_Foreign] = set()

    async def reconcile(self) -> Reconciliation:
        """Journal what the venue has executed since, and return the comparison.

        What cannot be read or journalled now sets `first_error`, and is retried on the next call.
        While the journal cannot be read, our positions are those it had last.

        Raises:
            VenueUnavailable, VenueRefused: The positions could not be read.
            JournalUnavailable: The journal has never been read.
        """
        self.first_error = None
        await self._attempt(self._orders.mark_interrupted())
        reconciled = await self._read()
        known = [
            await self._attempt(
                self._orders.settle_unknown(intent, reconciled.at_venue(intent.symbol))
            )
            for intent in await self._attempt(self._journal.do(Journal.open_intents)) or ()
        ]
        if any(known):
            reconciled = await self._read()
        for matched in reconciled.ours:
            self._gone_ms.pop(matched.own.own_id, None)
        # how one ended is known only with all fills
        ending = reconciled.ending if self.first_error is None else ()
        if [own for own in ending if await self._attempt(self._end(own))]:
            reconciled = compare(await self._own_positions(), reconciled.positions)
        await self._attempt(self._note_funding(reconciled))
        await self._attempt(self._note_foreign(reconciled))
        return reconciled

    async def _attempt[T](self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do some work; on failure set `first_error` and return None."""
        try:
            return await work
        except EXPECTED_ERRORS as error:
            if self.first_error is None and str(error) != self._logged:
                self._log.error("the journal cannot be brought up to date: %s", error)
                self._logged = str(error)
            self.first_error = self.first_error or error
            return None

    async def _read(self) -> Reconciliation:
        """Compare both, after journalling the fills of coins that differ."""
        owned = await self._own_positions()
        positions = await self._venue.positions()
        at_venue = {position.symbol: position for position in positions}
        odd = [own for own in owned if differs(own, at_venue.get(own.symbol))]
        if odd:
            for own in odd:
                await self._attempt(self._add_fills(own))
            owned = await self._own_positions()
            # after the fills: one in between then makes a position smaller, not larger
            positions = await self._venue.positions()
        reconciled = compare(owned, positions)
        for matched in reconciled.ours:
            venue_id = matched.at_venue.position_id
            if matched.own.venue_id is None and venue_id is not None:
                await self._attempt(
                    self._journal.do(Journal.seen_at_venue, matched.own.own_id, venue_id)
                )
        return reconciled

    async def _own_positions(self) -> list[OwnPosition]:
        found = await self._attempt(self._journal.do(Journal.own_positions))
        if found is not None:
            self._owned = found
        elif self._owned is None and self.first_error is not None:
            raise self.first_error
        return self._owned or []

    async def _add_fills(self, own: OwnPosition) -> None:
        fills = await self._venue.fills(own.symbol, own.opened_ms - BEFORE_MS)
        known = {fill.fill_id for fill in own.fills}
        ours = []
        venue_id = own.venue_id
        for fill in fills:
            if fill.fill_id in known:
                continue
            client_id = await self._journal.do(Journal.order_client, own.symbol, fill.order_id)
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

    # Ended positions

    async def _end(self, own: OwnPosition) -> bool:
        """Journal the end of a position that is not at the venue; return whether it has ended."""
        now_ms = self._venue.now_ms()
        gone_ms = self._gone_ms.setdefault(own.own_id, now_ms)
        record = await self._venue.ended(own.symbol, own.side, own.opened_ms, own.venue_id)
        if record is not None and not _is_of(own, record):
            record = None
        is_whole = not own.size and own.is_complete and not await self._is_in_doubt(own)
        if (record is None or not is_whole) and now_ms - gone_ms < LATE_MS:
            return False
        del self._gone_ms[own.own_id]
        known = own.price_pnl - own.fees + own.funding
        pnl = known
        if record is not None and own.adopted_pnl is not None:
            pnl = record.realized_pnl - own.adopted_pnl
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
            Journal.end_position, own.own_id, closed_ms=closed_ms, pnl=pnl,
            by=_ended_by(own, record), how=how, events=events,
        )  # fmt: skip
        return True

    async def _is_in_doubt(self, own: OwnPosition) -> bool:
        """Return whether an order in a coin may still be filled."""
        return any(i.symbol == own.symbol for i in await self._journal.do(Journal.open_intents))

    async def _note_funding(self, reconciled: Reconciliation) -> None:
        """Journal P&L of open positions that is not explained by their fills."""
        for matched in reconciled.ours:
            own, position = matched.own, matched.at_venue
            if position.realized_pnl is None or own.adopted_pnl is None:
                continue
            if not own.is_complete or own.size != position.size:
                continue
            known = own.price_pnl - own.fees + own.funding
            amount = position.realized_pnl - own.adopted_pnl - known
            if amount and (not own.left[0] or abs(amount) > CUT):
                await self._journal.do(Journal.add_funding, own.own_id, amount,
                                      self._venue.now_ms(),
                                      self._funding_event(own, amount))  # fmt: skip

    async def _note_foreign(self, reconciled: Reconciliation) -> None:
        """Journal foreign positions, once each."""
        current = {_foreign(each) for each in reconciled.foreign}
        for each in reconciled.foreign:
            position = each.at_venue
            if _foreign(each) not in self._foreign:
                symbol, side, size = position.symbol, position.side, position.size
                text = (
                    f"{symbol}: {side} {size} is foreign ({each.why}): not touched, and nothing "
                    "is entered in this coin"
                )
                event = trade_event(
                    self._clock.now_ms(), "foreign", text, symbol, side, size_base=size
                )
                await self._journal.do(Journal.add_events, event)
        self._foreign = current

    def _funding_event(self, own: OwnPosition, amount: Decimal) -> TradeEvent:
        text = f"{amount} beside price and fees of its fills: funding, or what the venue took"
        return self._event("funding", own, text, pnl_quote=amount)

    def _event(self, kind: str, own: OwnPosition, text: str, *, pnl_quote: Decimal) -> TradeEvent:
        now_ms, text = self._clock.now_ms(), f"{own.symbol}: {text}"
        return trade_event(now_ms, kind, text, own.symbol, own.side, pnl_quote=pnl_quote)


def _is_of(own: OwnPosition, record: EndedPosition) -> bool:
    """Return whether an end is that of our position.

    Where the venue numbers no positions, it may be that of one before or after ours: ours ended
    with its last fill.
    """
    if own.venue_id is not None or not own.fills:
        return True
    after_ms = record.closed_ms - max(fill.at_ms for fill in own.fills)
    is_whole = not own.size and own.is_complete
    return after_ms >= -SAME_MS and (after_ms <= SAME_MS or not is_whole)


def _ended_by(own: OwnPosition, record: EndedPosition | None) -> EndedBy:
    """Return what ended a position: the venue's word first, as it may have been faster than ours.

    A venue that does not tell a trigger from an order closed it by the trigger its price reached.
    """
    if record is not None and record.by is not None:
        return record.by
    if own.closing:
        return own.closing_by or "protection"
    price = own.exit_price
    if price is not None and own.stop is not None and is_beyond(own.side, price, own.stop):
        return "stop"
    if (
        price is not None
        and own.target is not None
        and is_beyond(OTHER[own.side], price, own.target)
    ):
        return "target"
    return "outside"


type _Foreign = tuple[str, str, str | None, str]


def _foreign(each: ForeignPosition) -> _Foreign:
    position = each.at_venue
    return position.symbol, position.side, position.position_id, each.why


def _takes_from(own: OwnPosition, venue_id: str | None, fill: Fill) -> bool:
    """Return whether a fill of a foreign order has closed a part of our position."""
    is_same = None in (fill.position_id, venue_id) or fill.position_id == venue_id
    return fill.side == CLOSES[own.side] and fill.at_ms >= own.opened_ms and is_same
