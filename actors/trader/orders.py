"""Sends orders, each journalled first, and finds the outcome of those that got no answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

from actors.trader.journal_thread import JournalThread
from actors.trader.refusals import RefusalRun, Situation, has_reason
from actors.trader.retries import Retries
from shared.clock import Clock
from shared.errors import JournalUnavailable, OutcomeUnknown, VenueRefused, VenueUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import Fill, OpenPosition, OrderState, PlacedOrder
from shared.journal.journal import Journal
from shared.journal.rows import Intent, IntentState
from shared.messages.trading import TradeEvent, trade_event

SETTLE_MS = 5_000
"""How long the venue may take, beyond the signature window, to list an accepted order."""

RECEIVED_MS = 60_000
"""The same for one that it answered as received: an engine behind it may be late."""

LOOK_BACK_MS = 60_000

READ_BACK_S = 3.0
"""How long an order of which no more is known than that the venue received it is waited for."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5
"""Between its readings."""

OnIntent = Callable[[Intent], Awaitable[None]]

RESTING: tuple[OrderState, ...] = ("open", "part_filled")
UNDECIDED: tuple[OrderState, ...] = ("accepted", *RESTING)


class OrderSender:
    """Sends orders and settles their intents.

    An intent is on disk before its order is sent. An order without an answer is never sent again:
    it is looked up by its id, and counts as not taken only when that is certain (see
    `settle_unknown`).
    """

    def __init__(
        self,
        venue: Venue,
        journal: JournalThread,
        retries: Retries,
        clock: Clock,
        log: logging.Logger,
        *,
        on_intent: OnIntent | None = None,
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._retries = retries
        self._clock = clock
        self._log = log
        self._on_intent = on_intent
        self._unjournalled: list[Intent] = []

    async def send(
        self,
        intent: Intent,
        place: Callable[[], Awaitable[PlacedOrder]],
        refused_before: RefusalRun | None = None,
    ) -> PlacedOrder | None:
        """Journal an intent, send it, and journal the outcome.

        A close is sent even if the journal cannot be written: it can only reduce.

        Args:
            refused_before: Refusals of the same request; one more for the same reason is no event.

        Returns:
            The order; None if it was refused or its outcome is unknown.

        Raises:
            JournalUnavailable: An entry could not be journalled, and was not sent; or an outcome
                could not be journalled.
        """
        intent = replace(intent, sent_ms=self._venue.now_ms())
        try:
            events = [] if refused_before else [self._event("order", intent, intent.why)]
            await self._journal.do(Journal.intend, intent, *events)
        except JournalUnavailable as error:
            if intent.purpose == "entry":
                raise
            self._log.error("%s: closed without a journal: %s", intent.symbol, error)
            return await self._send_unjournalled(intent, place)
        if self._on_intent is not None:
            await self._on_intent(intent)
        try:
            order = await place()
        except OutcomeUnknown as error:
            text = f"outcome unknown ({error.why}); looked for by its id"
            await self._settle(intent, "unknown", "unknown", text)
        except VenueRefused as error:
            await self._settle(intent, "refused", "refused", str(error), refused_before)
        except VenueUnavailable as error:  # by contract, nothing reached the venue
            text = f"not sent: {error}"
            await self._settle(intent, "not_taken", "refused", text, refused_before)
        else:
            known = await self._final_order(intent, order)
            if known is not None and await self.record(intent, known, refused_before):
                return known
        return None

    async def _send_unjournalled(
        self, intent: Intent, place: Callable[[], Awaitable[PlacedOrder]]
    ) -> PlacedOrder:
        """Send a close, and journal it once that is possible: see `mark_interrupted`."""
        try:
            order = await place()
        except OutcomeUnknown as error:
            self._unjournalled.append(replace(intent, state="unknown"))
            raise VenueUnavailable(str(error)) from error
        intent = replace(intent, order_id=order.order_id)
        with suppress(VenueUnavailable, VenueRefused):
            order = await self._read_back(order)
        if not _is_known(intent, order):
            self._unjournalled.append(replace(intent, state="unknown"))
            raise VenueUnavailable(f"{intent.symbol}: the outcome of a close is not known yet")
        if _is_rejected(order):
            self._unjournalled.append(replace(intent, state="refused"))
            raise VenueRefused(0, _rejection(order))
        self._unjournalled.append(replace(intent, state="taken"))
        return order

    def unjournalled(self, own_id: int) -> list[Intent]:
        """Return the closes of a position that were sent and could not be journalled.

        One without an answer is `unknown` while the venue may still accept it.
        """
        now_ms = self._venue.now_ms()
        return [
            replace(intent, state="taken")
            if intent.state == "unknown" and now_ms > self._deadline_ms(intent)
            else intent
            for intent in self._unjournalled
            if intent.own_id == own_id
        ]

    async def _final_order(self, intent: Intent, order: PlacedOrder) -> PlacedOrder | None:
        """Return what became of an order that the venue has answered; None while unknown.

        The reply may be older than the first fill, or say no more than that the order was received,
        and a position without a known order of ours would count as foreign.
        """
        why = "taken, and not over yet"
        try:
            order = await self._read_back(order)
        except (VenueUnavailable, VenueRefused) as error:
            why = str(error)
        if _is_known(intent, order) or (order.filled_size and order.state in RESTING):
            return order
        text = f"whether it was filled is not known ({why}); looked for by its id"
        await self._settle(intent, "unknown", "unknown", text, order_id=order.order_id)
        return None

    async def _read_back(self, order: PlacedOrder) -> PlacedOrder:
        """Return an order once the venue says what became of it, or after `READ_BACK_S`.

        Raises:
            VenueRefused: It was not listed all the while.
        """
        until_s, pause_s = self._clock.monotonic() + READ_BACK_S, FIRST_PAUSE_S
        while _is_only_received(order):
            try:
                order = await self._venue.order_status(order.symbol, order.order_id)
            except VenueRefused:
                if order.filled_size or self._clock.monotonic() >= until_s:
                    raise
            if not _is_only_received(order) or self._clock.monotonic() >= until_s:
                break
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return order

    async def _with_state(self, order: PlacedOrder) -> PlacedOrder:
        """Return an order with its current state at the venue."""
        if not _is_only_received(order):
            return order
        return await self._venue.order_status(order.symbol, order.order_id)

    async def _settle(
        self,
        intent: Intent,
        state: IntentState,
        kind: str,
        text: str,
        refused_before: RefusalRun | None = None,
        *,
        order_id: str | None = None,
    ) -> None:
        is_known = refused_before is not None and has_reason(refused_before, text)
        await self._journal.do(
            Journal.settle,
            intent.client_id,
            state,
            *([] if is_known else [self._event(kind, intent, text)]),
            end=text,
            # no copy in flight can have a younger signature than this
            sent_ms=self._venue.now_ms(),
            order_id=order_id,
        )

    async def record(
        self, intent: Intent, order: PlacedOrder, refused_before: RefusalRun | None = None
    ) -> bool:
        """Journal what became of an order; return whether the venue took it.

        One that it received and rejected afterwards counts as refused.
        """
        if _is_rejected(order):
            await self._settle(intent, "refused", "refused", _rejection(order), refused_before)
            return False
        price = order.average_price
        text = f"order {order.order_id} taken, {order.filled_size} of {order.size} filled"
        if refused_before is not None:
            text += f", after {refused_before.count} refusals"
        event = replace(
            self._event("taken", intent, text),
            size_base=str(order.filled_size),
            price=None if price is None else str(price),
        )
        # replies may lack the id
        order = replace(order, client_id=intent.client_id)
        is_over = not _is_only_received(order)
        await self._journal.do(Journal.take, order, event, is_over=is_over)
        return True

    async def mark_interrupted(self) -> None:
        """Mark orders that a dead process may have sent as of unknown outcome.

        Those that this one sent without a journal are journalled first, and looked up as well.
        """
        while self._unjournalled:
            intent = replace(self._unjournalled[0], state="sending")
            if await self._journal.do(Journal.intent, intent.client_id) is None:
                text = f"{intent.why}; sent while the journal could not be written"
                await self._journal.do(Journal.intend, intent, self._event("order", intent, text))
            del self._unjournalled[0]
        for intent in await self._journal.do(Journal.open_intents):
            if intent.state == "sending":
                text = "outcome unknown (the trader ended while sending it); looked for by its id"
                await self._settle(intent, "unknown", "unknown", text)

    async def settle_unknown(self, intent: Intent, position: OpenPosition | None) -> bool:
        """Look up an order whose outcome is unknown; return whether it is known now.

        It was not taken if the signature window and 5 s of venue time (60 s if the venue said that
        it received it) have passed since it was sent, it is neither among pending nor finished
        orders, no fill belongs to it, and the position matches the journal.

        Args:
            position: In its coin, read from the venue after the fills of our own positions.
        """
        now_ms = self._venue.now_ms()  # before the look-up, during which it may still arrive
        order = await self._find(intent)
        if order is not None:
            return await self._settle_listed(intent, order, now_ms)
        # the look-up may have corrected the clock
        if min(now_ms, self._venue.now_ms()) <= self._deadline_ms(intent):
            return False
        owned = await self._journal.do(Journal.own_positions)
        own = next((own for own in owned if own.symbol == intent.symbol), None)
        expected = 0 if own is None else own.size
        if (0 if position is None else position.size) != expected:
            return False
        if await self._taken(intent):
            await self._settle(intent, "taken", "taken", "no more of it is filled")
        else:
            text = "not taken: the venue has no trace"
            await self._settle(intent, "not_taken", "not taken", text)
        return True

    async def _settle_listed(self, intent: Intent, order: PlacedOrder, now_ms: int) -> bool:
        """Journal what became of an order that the venue lists; return whether that is known."""
        try:
            order = await self._with_state(order)
        except VenueRefused:
            # the venue forgets only ended orders: the listed state is final after the deadline
            if now_ms <= self._deadline_ms(intent):
                return False
        else:
            if _is_only_received(order):  # the venue does not know either
                if intent.purpose == "entry" and order.filled_size > await self._taken(intent):
                    await self.record(intent, order)
                return False
        if order.state in RESTING:  # our orders never rest
            cancelled = await self._cancel(order)
            if cancelled is None:
                return False
            order = cancelled
        await self.record(intent, order)
        return True

    async def _taken(self, intent: Intent) -> Decimal:
        """Return what is journalled of an order whose outcome is unknown."""
        return await self._journal.do(Journal.filled_of, intent.client_id)

    async def _cancel(self, order: PlacedOrder) -> PlacedOrder | None:
        """Cancel a resting order; None if the venue refuses, now or a moment ago.

        Raises:
            VenueUnavailable: It is not known whether the venue did it.
        """
        key, left = f"cancel {order.symbol} {order.order_id}", str(order.size - order.filled_size)
        now = Situation(symbol=order.symbol, size=left, has_stop=True)
        if await self._retries.wait_s(key, now):
            return None
        try:
            cancelled = await self._venue.cancel(order.symbol, order.order_id)
        except VenueRefused as error:
            if await self._retries.refused(key, str(error), now):
                text = f"{order.symbol}: order {order.order_id} rests, cancel refused: {error}"
                event = trade_event(self._clock.now_ms(), "refused", text, order.symbol)
                await self._journal.do(Journal.add_events, event)
            return None
        await self._retries.accepted(key)
        return cancelled

    def _deadline_ms(self, intent: Intent) -> int:
        """Return the venue time until which an unanswered order may still be accepted."""
        settle_ms = SETTLE_MS if intent.order_id is None else RECEIVED_MS
        return intent.sent_ms + self._venue.window_ms + settle_ms

    async def in_doubt(self, symbol: str) -> list[Intent]:
        """Return the unsettled orders that block entries in a coin.

        Those of all coins while they may still be accepted; later only those of the coin itself.
        """
        now_ms = self._venue.now_ms()
        return [
            intent
            for intent in await self._journal.do(Journal.open_intents)
            if intent.symbol == symbol or now_ms <= self._deadline_ms(intent)
        ]

    async def may_arrive(self, symbol: str) -> bool:
        """Return whether an unsettled order in a coin may still be accepted."""
        now_ms = self._venue.now_ms()
        intents = await self._journal.do(Journal.open_intents)
        return any(i.symbol == symbol and now_ms <= self._deadline_ms(i) for i in intents)

    async def _find(self, intent: Intent) -> PlacedOrder | None:
        found = await self._venue.orders_by_client_id(intent.symbol, intent.client_id)
        for order in found:
            return order
        if intent.order_id is not None:
            with suppress(VenueRefused):  # not listed yet, or not any more
                return await self._venue.order_status(intent.symbol, intent.order_id)
        since_ms = intent.sent_ms - LOOK_BACK_MS
        fills = await self._venue.fills(intent.symbol, since_ms)
        for order_id in await self._unknown_orders(intent, fills):
            try:
                order = await self._venue.order_status(intent.symbol, order_id)
            except VenueRefused:
                continue  # the venue forgot it, so it is not recent
            if order.client_id == intent.client_id:
                return order
        return None

    async def _unknown_orders(self, intent: Intent, fills: Sequence[Fill]) -> list[str]:
        """Return the orders of fills on the intent's side that are not in the journal."""
        ids = dict.fromkeys(fill.order_id for fill in fills if fill.side == intent.order_side)
        symbol = intent.symbol
        return [i for i in ids if await self._journal.do(Journal.order_client, symbol, i) is None]

    def _event(self, kind: str, intent: Intent, text: str) -> TradeEvent:
        size = "all" if intent.size is None else str(intent.size)
        at = "" if intent.price is None else f" at {intent.price}"
        what = f"{intent.purpose} {intent.side}: {intent.order_side} {size}{at}"
        return trade_event(
            self._clock.now_ms(), kind, f"{intent.symbol} {what}: {text}",
            intent.symbol, intent.side, client_id=intent.client_id,
            size_base=intent.size, price=intent.price,
        )  # fmt: skip


def _is_only_received(order: PlacedOrder) -> bool:
    """Return whether the venue does not say yet what becomes of the rest of an order."""
    return order.state == "accepted" and order.filled_size < order.size


def _is_known(intent: Intent, order: PlacedOrder) -> bool:
    """Return whether an order can be journalled as taken or rejected.

    What an entry has filled is a position to protect, whatever becomes of the rest. A close is
    known when it is over, so that no second one is sent beside it.
    """
    if order.state not in UNDECIDED or order.filled_size >= order.size:
        return True
    return intent.purpose == "entry" and order.filled_size > 0


def _is_rejected(order: PlacedOrder) -> bool:
    return order.state == "rejected" and not order.filled_size


def _rejection(order: PlacedOrder) -> str:
    return f"received, then rejected: {order.why or 'the venue says no more'}"
