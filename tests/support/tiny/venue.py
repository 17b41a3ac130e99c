"""A tiny venue of another kind, behind the same port: what no adapter may rely on, it lacks.

Its ids are texts that two markets share. An order is received first and executed later. Positions
have no id and do not say what they have realized; a stop may ride on the entry. Whether an id was
used is remembered for ever. It has no wire: the account is called directly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from shared.clock import Clock
from shared.config.secrets import HOW_TO_SET_KEYS
from shared.errors import DuplicateOrder, OutcomeUnknown, VenueDenied, VenueRefused
from shared.exchanges.sim.account import SimFill, SimPosition
from shared.exchanges.sim.book import Level
from shared.exchanges.sim.errors import SimRefused
from shared.exchanges.sim.orders import SimOrder
from shared.exchanges.sim.rules import FUNDING_MS, MAKER_FEE, TAKER_FEE, next_funding_ms
from shared.exchanges.sim.triggers import Cause
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue import (
    AccountBalance,
    AccountCheck,
    BookLevel,
    EndedPosition,
    Fill,
    Funding,
    MarketRule,
    OpenPosition,
    OrderBook,
    OrderRequest,
    OrderState,
    PlacedOrder,
    Ticker,
    VenueEnd,
)
from shared.messages.trading import TradeSide

CURRENCY = "USDX"
LATER_MS, MUCH_LATER_MS = 150, 10_000
NO_SUCH, REFUSED, NOT_FOUND = 901, 902, 903
Trouble = Literal[
    "", "lost", "unanswered", "repeated", "rejected", "late", "partly", "bare"
]  # fmt: skip
"""Of one order: never received; received, without an answer; received twice; rejected after it was
received; executed much later than others; half of it much later; without its stop and target."""

DUE_MS: Mapping[str, tuple[int, ...]] = {
    "late": (MUCH_LATER_MS,), "partly": (LATER_MS, MUCH_LATER_MS)
}  # fmt: skip

ENDS: Mapping[str, VenueEnd] = {
    "stop": "stop", "target": "target", "liquidation": "liquidation"
}  # fmt: skip


@dataclass(slots=True)
class Received:
    """An order that was received, and what became of it.

    Attributes:
        due_ms: When each part of it is executed.
        done: The parts that were.
        rejected: Why it was not.
    """

    order_id: str
    request: OrderRequest
    received_ms: int
    due_ms: tuple[int, ...]
    closes: bool = False
    whole: bool = False
    is_bare: bool = False
    done: list[SimOrder] = field(default_factory=list)
    rejected: str = ""

    @property
    def next_ms(self) -> int | None:
        """Return when its next part is executed; None if it is over."""
        is_over = self.rejected or len(self.done) == len(self.due_ms)
        return None if is_over else self.due_ms[len(self.done)]


@dataclass(slots=True)
class Lags:
    """How long after it happened the venue shows something."""

    orders_ms: int = 0
    fills_ms: int = 0
    positions_ms: int = 0
    ends_ms: int = 0


class TinyVenue:
    """See `Venue`.

    Args:
        account: The account, with its markets and prices.
        clock: Ours.
        true: The venue's; ours if it is not off.
        is_known: Whether the keys are those of the account; None: none were given.
        checks: What it says of the set-up.
    """

    name = "Tiny"
    currency = CURRENCY
    window_ms = 1000
    protects_entry = True

    def __init__(
        self, account: SimVenue, clock: Clock, *, true: Clock | None = None,
        is_known: bool | None = True, checks: Sequence[AccountCheck] = (),
        book: TinyBook | None = None,
    ) -> None:  # fmt: skip
        self._account = account
        self._clock = clock
        self._true = true or clock
        self._ahead_ms = 0
        self._is_known = is_known
        self.checks = checks
        self.lags = Lags()
        self._seen: list[tuple[int, list[OpenPosition]]] = []
        self.book_kept = book or TinyBook()

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._ahead_ms

    async def server_time(self) -> int:
        now_ms = self._pass()
        self._ahead_ms = now_ms - self._clock.now_ms()
        return now_ms

    async def markets(self, symbols: Sequence[str] | None = None) -> Mapping[str, MarketRule]:
        self._pass()
        return {symbol: self._rule(symbol) for symbol in self._named(symbols)}

    def _rule(self, symbol: str) -> MarketRule:
        rule = self._account.rule(symbol)
        return MarketRule(
            symbol=symbol, min_size=rule.least, size_step=rule.step, min_value=Decimal(5),
            tick=rule.tick, maker_fee=MAKER_FEE, taker_fee=TAKER_FEE, leverages=rule.leverages,
            available=self._account.is_open(symbol),
        )  # fmt: skip

    async def tickers(self, symbols: Sequence[str] | None = None) -> Mapping[str, Ticker]:
        self._pass()
        marks = {symbol: self._account.mark(symbol) for symbol in self._named(symbols)}
        return {s: Ticker(symbol=s, last=m, mark=m, index=m) for s, m in marks.items()}

    def _named(self, symbols: Sequence[str] | None) -> list[str]:
        known = self._account.feed.symbols()
        return list(known) if symbols is None else [s for s in symbols if s in known]

    async def book(self, symbol: str, levels: int = 20) -> OrderBook:
        self._pass()
        book = self._account.book(symbol)
        return OrderBook(
            symbol=symbol, bids=_levels(book.bids, levels), asks=_levels(book.asks, levels),
            updated_ms=self._account.now_ms,
        )  # fmt: skip

    async def funding(self, symbol: str) -> Funding:
        next_ms = next_funding_ms(self._pass())
        return Funding(
            symbol=symbol, latest_ms=next_ms - FUNDING_MS, next_ms=next_ms,
            latest_rate=self._account.funding_rate(symbol, next_ms - FUNDING_MS),
            next_rate=self._account.funding_rate(symbol, next_ms),
        )  # fmt: skip

    # The account

    async def balance(self) -> Sequence[AccountBalance]:
        self._signed()
        account = self._account.account
        return [
            AccountBalance(
                currency=CURRENCY, available=self._account.available,
                frozen=self._account.state.orders.frozen, margin=account.margin,
                unrealized_pnl=account.unrealized(self._account.marks()),
            )
        ]  # fmt: skip

    async def positions(self) -> Sequence[OpenPosition]:
        self._signed()
        shown_ms = self._account.now_ms - self.lags.positions_ms
        return next((seen for at_ms, seen in reversed(self._seen) if at_ms <= shown_ms), [])

    def _position(self, each: SimPosition) -> OpenPosition:
        rule = self._account.rule(each.market)
        return OpenPosition(
            position_id=None, symbol=each.market, side=each.side, size=each.size,
            entry_price=each.entry_price, leverage=each.leverage, margin_mode="isolated",
            margin=each.margin, unrealized_pnl=each.unrealized(self._account.mark(each.market)),
            realized_pnl=None, stop_loss=next((t.price for t in each.stops), None),
            take_profit=next((t.price for t in each.targets), None),
            liquidation_price=each.liquidation_price(rule.maintenance_rate(each.size)),
            opened_ms=each.created_ms, updated_ms=each.updated_ms,
        )  # fmt: skip

    async def ended(
        self, symbol: str, side: TradeSide, opened_ms: int, position_id: str | None
    ) -> EndedPosition | None:
        self._signed()
        for each in self._account.account.ended:
            was = each.position
            is_shown = was.updated_ms + self.lags.ends_ms <= self._account.now_ms
            if is_shown and (was.market, was.side) == (symbol, side) and was.updated_ms > opened_ms:
                numbers = {d.deal_id for d in self._account.account.deals
                           if d.position_id == was.position_id}  # fmt: skip
                ledger = self._account.account.ledger
                return EndedPosition(
                    realized_pnl=was.realized,
                    fees=-sum((e.amount for e in ledger
                               if e.kind == "fee" and e.number in numbers), Decimal(0)),
                    funding=sum((e.amount for e in ledger
                                 if e.kind == "funding" and e.number == was.position_id),
                                Decimal(0)),
                    closed_ms=was.updated_ms, by=ENDS.get(each.how), how=f"by {each.how}",
                )  # fmt: skip
        return None

    async def traded_since(self, since_ms: int) -> Mapping[str, int]:
        self._signed()
        deals = self._account.account.deals
        return {deal.market: since_ms for deal in deals if deal.at_ms >= since_ms}

    async def account_checks(self, symbols: Sequence[str]) -> Sequence[AccountCheck]:
        self._signed()
        return self.checks

    async def fills(
        self, symbol: str, since_ms: int, until_ms: int | None = None
    ) -> Sequence[Fill]:
        self._signed()
        shown_ms = self._account.now_ms - self.lags.fills_ms
        until_ms = shown_ms if until_ms is None else min(until_ms, shown_ms)
        return [
            self._fill(deal)
            for deal in self._account.account.deals
            if deal.market == symbol and since_ms <= deal.at_ms <= until_ms
        ]

    def _fill(self, deal: SimFill) -> Fill:
        return Fill(
            fill_id=self.book_kept.text(deal.market, "f", deal.deal_id),
            order_id=self.book_kept.of_account(deal.market, deal.order_id),
            position_id=None, symbol=deal.market, side=deal.side, price=deal.price,
            size=deal.amount, role=deal.role, fee=deal.fee, fee_currency=CURRENCY,
            at_ms=deal.at_ms,
        )  # fmt: skip

    # Orders

    async def orders_by_client_id(self, symbol: str, client_id: str) -> Sequence[PlacedOrder]:
        self._signed()
        received = self.book_kept.by_client_id.get(client_id)
        if received is None or received.request.symbol != symbol or not self._is_listed(received):
            return []
        return [self._placed(received)]

    async def place_order(self, order: OrderRequest) -> PlacedOrder:
        if (order.price is None) != (order.kind == "market"):
            raise ValueError(f"{order.client_id}: a price is for all orders but market orders")
        self._signed()
        return self._receive(order)

    async def close_position(
        self, symbol: str, client_id: str, size: Decimal | None = None
    ) -> PlacedOrder:
        self._signed()
        position = self._account.account.positions.get(symbol)
        if position is None:
            raise VenueRefused(NO_SUCH, f"{symbol}: there is nothing to close")
        request = OrderRequest(
            symbol=symbol, side="sell" if position.side == "long" else "buy", kind="market",
            size=position.size if size is None else size, price=None, client_id=client_id,
        )  # fmt: skip
        return self._receive(request, closes=True, whole=size is None)

    def _receive(
        self, order: OrderRequest, *, closes: bool = False, whole: bool = False
    ) -> PlacedOrder:
        if order.client_id in self.book_kept.by_client_id:
            raise DuplicateOrder(order.client_id, "it was used before")
        if order.size <= 0:
            raise VenueRefused(REFUSED, "an order of nothing")
        trouble = self.book_kept.next_trouble()
        if trouble == "lost":
            raise OutcomeUnknown(order.client_id, "no answer")
        received = Received(
            order_id=self.book_kept.next_number(order.symbol), request=order, closes=closes,
            whole=whole, received_ms=self._account.now_ms, is_bare=trouble == "bare",
            due_ms=tuple(self._account.now_ms + ms for ms in DUE_MS.get(trouble, (LATER_MS,))),
            rejected="the engine is full" if trouble == "rejected" else "",
        )  # fmt: skip
        self.book_kept.by_client_id[order.client_id] = received
        if trouble == "unanswered":
            raise OutcomeUnknown(order.client_id, "no answer")
        if trouble == "repeated":
            raise DuplicateOrder(order.client_id, "it was used before")
        return self._placed(received)

    async def cancel(self, symbol: str, order_id: str) -> PlacedOrder:
        received = self._found(symbol, order_id)
        if not received.done:
            raise VenueRefused(REFUSED, f"{order_id}: it does not rest")
        try:
            self._account.cancel(symbol, received.done[-1].order_id)
        except SimRefused as refused:
            raise VenueRefused(REFUSED, refused.text) from None
        return self._placed(received)

    async def order_status(self, symbol: str, order_id: str) -> PlacedOrder:
        return self._placed(self._found(symbol, order_id))

    def _found(self, symbol: str, order_id: str) -> Received:
        self._signed()
        for received in self.book_kept.by_client_id.values():
            is_it = (received.request.symbol, received.order_id) == (symbol, order_id)
            if is_it and self._is_listed(received):
                return received
        raise VenueRefused(NOT_FOUND, f"no order {order_id} in {symbol}")

    def _is_listed(self, received: Received) -> bool:
        return self._account.now_ms >= received.received_ms + self.lags.orders_ms

    def _placed(self, received: Received) -> PlacedOrder:
        order, done = received.request, received.done
        filled = sum((part.filled for part in done), Decimal(0))
        return PlacedOrder(
            order_id=received.order_id, client_id=order.client_id, symbol=order.symbol,
            side=order.side, kind=order.kind, size=order.size, price=order.price,
            filled_size=filled, filled_value=sum((part.value for part in done), Decimal(0)),
            fee=sum((part.fee for part in done), Decimal(0)), fee_currency=CURRENCY,
            state=self._state(received, filled), created_ms=received.received_ms,
            updated_ms=self._account.now_ms, why=received.rejected,
        )  # fmt: skip

    def _state(self, received: Received, filled: Decimal) -> OrderState:
        if received.rejected and self._account.now_ms >= received.due_ms[0]:
            return "part_canceled" if filled else "rejected"
        if received.rejected or received.next_ms is not None:
            return "accepted"
        return "filled" if filled == received.request.size else received.done[-1].state

    # Stops, targets, leverage

    async def set_stop_loss(self, symbol: str, price: Decimal) -> OpenPosition:
        return self._set(symbol, "stop", price)

    async def set_take_profit(self, symbol: str, price: Decimal) -> OpenPosition:
        return self._set(symbol, "target", price)

    def _set(self, symbol: str, cause: Cause, price: Decimal) -> OpenPosition:
        self._signed()
        try:
            return self._position(self._account.set_trigger(symbol, cause, "mark", price, None))
        except SimRefused as refused:
            raise VenueRefused(REFUSED, refused.text) from None

    async def set_leverage(self, symbol: str, leverage: int) -> int:
        self._signed()
        try:
            self._account.set_leverage(symbol, leverage)
        except SimRefused as refused:
            raise VenueRefused(REFUSED, refused.text) from None
        return leverage

    # Time

    def _signed(self) -> None:
        if not self._is_known:
            why = HOW_TO_SET_KEYS if self._is_known is None else "no such keys"
            raise VenueDenied(REFUSED, why)
        self._ahead_ms = self._pass() - self._clock.now_ms()

    def _pass(self) -> int:
        """Let the venue's time pass until now, executing what is due; return it."""
        now_ms = self._true.now_ms()
        shown_ms = now_ms - self.lags.positions_ms
        for at_ms in (shown_ms, now_ms):
            if at_ms >= self._account.now_ms:
                self._pass_until(at_ms)
                here = [self._position(p) for p in self._account.account.positions.values()]
                self._seen.append((at_ms, here))
        self._seen = [each for each in self._seen if each[0] >= shown_ms - 60_000]
        return now_ms

    def _pass_until(self, now_ms: int) -> None:
        while due := [(r.next_ms, r) for r in self.book_kept.by_client_id.values()
                      if r.next_ms is not None and r.next_ms <= now_ms]:  # fmt: skip
            next_ms, received = min(due, key=lambda each: each[0])
            self._account.advance(next_ms)
            self._execute(received)
        self._account.advance(now_ms)

    def _execute(self, received: Received) -> None:
        order, account = received.request, self._account
        is_last = len(received.done) == len(received.due_ms) - 1
        first = order.size / len(received.due_ms)
        size = order.size - first * len(received.done) if is_last else first
        try:
            if received.closes:
                left = None if received.whole and is_last else size
                done = account.close(order.symbol, order.kind, left, None)
            else:
                done = account.place(order.symbol, order.side, order.kind, size, order.price)
        except SimRefused as refused:
            received.rejected = refused.text
            return
        received.done.append(done)
        self.book_kept.numbers[order.symbol, done.order_id] = received.order_id
        if order.symbol not in account.account.positions or received.is_bare:
            return
        triggers: tuple[tuple[Cause, Decimal | None], ...] = (
            ("stop", order.stop_loss), ("target", order.take_profit)
        )  # fmt: skip
        for cause, price in triggers:
            if price is not None:
                account.set_trigger(order.symbol, cause, "mark", price, None)


class TinyBook:
    """What the venue remembers beside the account: ids given, ids used.

    Args:
        troubles: Of the orders to come, one each; none after the last.
    """

    def __init__(self, troubles: Iterable[Trouble] = ()) -> None:
        self._troubles = iter(troubles)
        self.by_client_id: dict[str, Received] = {}
        self.numbers: dict[tuple[str, int], str] = {}
        self._given: dict[str, int] = {}

    def next_trouble(self) -> Trouble:
        return next(self._troubles, "")

    def next_number(self, symbol: str) -> str:
        """Return the id of the next order of a market: each market counts for itself."""
        self._given[symbol] = self._given.get(symbol, 0) + 1
        return f"o-{self._given[symbol]}"

    def of_account(self, symbol: str, number: int) -> str:
        """Return the id of an order by its number in the account."""
        return self.numbers.get((symbol, number), f"venue-{number}")

    def text(self, symbol: str, letter: str, number: int) -> str:
        """Return an id that the first of another market has as well."""
        key = (f"{symbol}/{letter}", number)
        if key not in self.numbers:
            self.numbers[key] = f"{letter}-{sum(k[0] == key[0] for k in self.numbers) + 1}"
        return self.numbers[key]


def _levels(levels: Sequence[Level], most: int) -> tuple[BookLevel, ...]:
    return tuple(BookLevel(price=level.price, size=level.size) for level in levels[:most])
