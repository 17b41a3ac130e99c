"""CoinEx perpetual futures over REST (API v2), an implementation of `Venue`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import batched
from types import MappingProxyType

from shared.errors import OutcomeUnknown, VenueRefused, VenueUnavailable
from shared.exchanges.coinex import rows as read
from shared.exchanges.coinex.limits import LimitGroup
from shared.exchanges.coinex.replies import UNLISTED, CoinExReply
from shared.exchanges.coinex.rows import FinishedPosition, Row, Unreadable
from shared.exchanges.coinex.wire import CoinExWire, Query
from shared.exchanges.venue import (
    AccountBalance,
    AccountCheck,
    EndedPosition,
    Fill,
    Funding,
    MarketRule,
    OpenPosition,
    OrderBook,
    OrderRequest,
    PlacedOrder,
    Ticker,
)
from shared.messages.trading import TradeSide

NAMES_PER_CALL = 10
BOOK_LEVELS = (5, 10, 20, 50)
FUTURES = {"market_type": "FUTURES"}
# `start_time` may mean a position's start or end: positions are requested from this long before,
# and filtered here by their end.
LONGEST_HELD_MS = 30 * 86_400_000
BEFORE_MS = 1_000  # the order that opened a position was placed before
CHECKS = (
    AccountCheck(
        name="key",
        is_fit=None,
        text="CoinEx does not tell what a key may do: give it the right to trade, not to withdraw, "
        "and bind it to this machine's address",
    ),
)
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class CoinExClient:
    """Trades on CoinEx; see `Venue`.

    Only calls refused for their timestamp are retried, orders never. Markets that are not linear
    are left out: their sizes are not in the base currency.
    """

    name = "CoinEx"
    protects_entry = False

    def __init__(self, wire: CoinExWire, currency: str = "USDT") -> None:
        self._wire = wire
        self.currency = currency
        self.window_ms = wire.window_ms

    def now_ms(self) -> int:
        return self._wire.now_ms()

    async def server_time(self) -> int:
        return await self._wire.sync_time()

    async def markets(self, symbols: Sequence[str] | None = None) -> Mapping[str, MarketRule]:
        def rule(row: Row) -> MarketRule | None:
            return read.market_rule(row) if read.is_linear(row) else None

        return await self._of_markets("futures/market", symbols, rule)

    async def tickers(self, symbols: Sequence[str] | None = None) -> Mapping[str, Ticker]:
        return await self._of_markets("futures/ticker", symbols, read.ticker)

    async def book(self, symbol: str, levels: int = 20) -> OrderBook:
        if levels not in BOOK_LEVELS:
            raise ValueError(f"levels: expected one of {BOOK_LEVELS}, found {levels}")
        query: Query = {"market": symbol, "limit": levels, "interval": "0"}
        reply = await self._wire.get("futures/depth", query, LimitGroup.PUBLIC)
        book = read.book(reply.row())
        _same(reply, "market", book.symbol, symbol)
        return book

    async def funding(self, symbol: str) -> Funding:
        reply = await self._wire.get("futures/funding-rate", {"market": symbol}, LimitGroup.PUBLIC)
        for row in reply.rows():
            if row.market() == symbol:
                return read.funding(row)
        raise VenueUnavailable(f"{reply.endpoint}: no funding of {symbol}")

    async def balance(self) -> Sequence[AccountBalance]:
        reply = await self._wire.get("assets/futures/balance", {}, LimitGroup.ACCOUNT)
        return [read.balance(row) for row in reply.rows()]

    async def positions(self) -> Sequence[OpenPosition]:
        found = await self._wire.steady_pages(
            "futures/pending-position",
            FUTURES,
            LimitGroup.ACCOUNT,
            "position_id",
            read.open_position,
        )
        return [position for position in found if position.size]

    async def ended(
        self, symbol: str, side: TradeSide, opened_ms: int, position_id: str | None
    ) -> EndedPosition | None:
        """Return how a position ended; never one without an id, or held for more than 30 days."""
        if position_id is None:
            return None
        finished = await self._finished(opened_ms, {"market": symbol})
        wanted = (symbol, position_id)
        found = (each.end for each in finished if (each.symbol, each.position_id) == wanted)
        return next(found, None)

    async def traded_since(self, since_ms: int) -> Mapping[str, int]:
        began: dict[str, int] = {}
        for each in await self._finished(since_ms):
            opened_ms = each.opened_ms - BEFORE_MS
            began[each.symbol] = min(opened_ms, began.get(each.symbol, opened_ms))
        return began

    async def _finished(
        self, since_ms: int, query: Query = MappingProxyType({})
    ) -> list[FinishedPosition]:
        """Return the positions that ended since."""
        found = await self._wire.pages(
            "futures/finished-position",
            {**FUTURES, **query, "start_time": max(0, since_ms - LONGEST_HELD_MS)},
            LimitGroup.HISTORY,
            "position_id",
            read.finished_position,
        )
        return [each for each in found if each.end.closed_ms >= since_ms]

    async def account_checks(self, symbols: Sequence[str]) -> Sequence[AccountCheck]:
        """Return what nobody can ask; positions are net, and margin is isolated with leverage."""
        return CHECKS

    async def orders_by_client_id(self, symbol: str, client_id: str) -> Sequence[PlacedOrder]:
        query = {**FUTURES, "market": symbol, "client_id": _checked_id(client_id)}
        found: dict[str, PlacedOrder] = {}
        # In this order: an order that ends in between is listed twice, never missed.
        for endpoint, group in (
            ("futures/pending-order", LimitGroup.ORDERS),
            ("futures/finished-order", LimitGroup.HISTORY),
        ):
            orders = await self._wire.pages(endpoint, query, group, "order_id", read.placed_order)
            found |= {order.order_id: order for order in orders if order.client_id == client_id}
        return list(found.values())

    async def fills(
        self, symbol: str, since_ms: int, until_ms: int | None = None
    ) -> Sequence[Fill]:
        query: dict[str, str | int] = {**FUTURES, "market": symbol, "start_time": since_ms}
        if until_ms is not None:
            query["end_time"] = until_ms
        found = await self._wire.pages(
            "futures/user-deals", query, LimitGroup.HISTORY, "deal_id", read.fill
        )
        fills = (
            fill
            for fill in found
            if fill.at_ms >= since_ms and (until_ms is None or fill.at_ms <= until_ms)
        )
        return sorted(fills, key=lambda fill: (fill.at_ms, int(fill.fill_id)))

    async def place_order(self, order: OrderRequest) -> PlacedOrder:
        if (order.price is None) != (order.kind == "market"):
            raise ValueError(f"{order.client_id}: a price is for all orders but market orders")
        if (order.stop_loss, order.take_profit) != (None, None):
            raise ValueError(f"{order.client_id}: no stop or target rides on an order here")
        body = {
            "market": order.symbol,
            **FUTURES,
            "side": order.side,
            "type": order.kind,
            "amount": number_text("size", order.size),
            "client_id": _checked_id(order.client_id),
        }
        if order.price is not None:
            body["price"] = number_text("price", order.price)
        return await self._order("futures/order", body)

    async def close_position(
        self, symbol: str, client_id: str, size: Decimal | None = None
    ) -> PlacedOrder:
        body = {"market": symbol, **FUTURES, "type": "market", "client_id": _checked_id(client_id)}
        if size is not None:
            body["amount"] = number_text("size", size)
        return await self._order("futures/close-position", body)

    async def cancel(self, symbol: str, order_id: str) -> PlacedOrder:
        body = {"market": symbol, **FUTURES, "order_id": int(order_id)}
        reply = await self._wire.post("futures/cancel-order", body, LimitGroup.CANCEL)
        return _that_order(reply, order_id)

    async def order_status(self, symbol: str, order_id: str) -> PlacedOrder:
        query: Query = {"market": symbol, "order_id": order_id}
        reply = await self._wire.get("futures/order-status", query, LimitGroup.ORDERS)
        return _that_order(reply, order_id)

    async def set_stop_loss(self, symbol: str, price: Decimal) -> OpenPosition:
        return await self._position(
            "futures/set-position-stop-loss",
            symbol,
            {"stop_loss_type": "mark_price", "stop_loss_price": number_text("price", price)},
        )

    async def set_take_profit(self, symbol: str, price: Decimal) -> OpenPosition:
        return await self._position(
            "futures/set-position-take-profit",
            symbol,
            {"take_profit_type": "mark_price", "take_profit_price": number_text("price", price)},
        )

    async def set_leverage(self, symbol: str, leverage: int) -> int:
        body = {"market": symbol, **FUTURES, "margin_mode": "isolated", "leverage": leverage}
        reply = await self._wire.post("futures/adjust-position-leverage", body, LimitGroup.TRADE)
        row = reply.row()
        _same(reply, "margin_mode", row.text("margin_mode"), "isolated")
        return row.leverage()

    async def _of_markets[T](
        self, endpoint: str, symbols: Sequence[str] | None, parse: Callable[[Row], T | None]
    ) -> dict[str, T]:
        """Return some markets, parsed; one unlisted name in ten must not hide the others."""
        if symbols is None:
            return await self._of_call(endpoint, {}, parse)
        found: dict[str, T] = {}
        try:
            for names in batched(symbols, NAMES_PER_CALL):
                found |= await self._of_call(endpoint, {"market": ",".join(names)}, parse, names)
        except VenueRefused as refused:
            if refused.code not in UNLISTED:
                raise
            found = await self._of_call(endpoint, {}, parse, symbols)
        return found

    async def _of_call[T](
        self,
        endpoint: str,
        query: Query,
        parse: Callable[[Row], T | None],
        wanted: Sequence[str] | None = None,
    ) -> dict[str, T]:
        reply = await self._wire.get(endpoint, query, LimitGroup.PUBLIC)
        names = None if wanted is None else set(wanted)
        rows = ((row.market(), row) for row in reply.rows())
        parsed = ((name, parse(row)) for name, row in rows if names is None or name in names)
        return {name: market for name, market in parsed if market is not None}

    async def _order(self, endpoint: str, body: Mapping[str, str]) -> PlacedOrder:
        client_id = body["client_id"]
        try:
            reply = await self._wire.post(endpoint, body, LimitGroup.TRADE, once=True)
            order = read.placed_order(reply.row())
            _same(reply, "client_id", order.client_id, client_id)
            _same(reply, "market", order.symbol, body["market"])
        except Unreadable as unreadable:
            raise OutcomeUnknown(client_id, str(unreadable)) from None
        return order

    async def _position(
        self, endpoint: str, symbol: str, fields: Mapping[str, str]
    ) -> OpenPosition:
        body = {"market": symbol, **FUTURES, **fields}
        reply = await self._wire.post(endpoint, body, LimitGroup.TRADE)
        position = read.open_position(reply.row())
        _same(reply, "market", position.symbol, symbol)
        return position


def _that_order(reply: CoinExReply, order_id: str) -> PlacedOrder:
    order = read.placed_order(reply.row())
    _same(reply, "order_id", order.order_id, order_id)
    return order


def _same(reply: CoinExReply, name: str, found: object, asked: object) -> None:
    if found != asked:
        raise Unreadable(f"{reply.endpoint}: data.{name}: expected {asked!r}, found {found!r}")


def _checked_id(client_id: str) -> str:
    if not _CLIENT_ID.fullmatch(client_id):
        raise ValueError(f"client id {client_id!r}: expected 1 to 32 letters, digits, '-' and '_'")
    return client_id


def number_text(name: str, value: Decimal) -> str:
    """Format a size or price exactly, without exponent; raise ValueError unless above 0."""
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{name}: expected a number above 0, found {value}")
    return format(value, "f")
