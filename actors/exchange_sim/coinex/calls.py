"""The endpoints of CoinEx's futures API, carried out on the simulated venue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from actors.exchange_sim.coinex.codes import BAD_ARGUMENT, WireRefused, code_of
from actors.exchange_sim.coinex.replies import (
    Row,
    balance_rows,
    deal_row,
    depth_reply,
    ended_row,
    funding_row,
    index_row,
    level_row,
    market_row,
    order_row,
    position_row,
    ticker_row,
)
from actors.exchange_sim.coinex.requests import CoinexParameters
from shared.exchanges.sim.errors import Reason, SimRefused, invalid
from shared.exchanges.sim.orders import SimOrder
from shared.exchanges.sim.triggers import Cause
from shared.exchanges.sim.venue import SimVenue

_DEPTHS = (5, 10, 20, 50)


@dataclass(frozen=True, slots=True)
class CallReply:
    """The `data` of a reply, and its `pagination` where there is one."""

    data: Any
    pagination: Row | None = None


_Do = Callable[[SimVenue, CoinexParameters], CallReply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One endpoint.

    Attributes:
        rate: Requests per second allowed for its group; None without a limit of its own.
        signed: Needs a signature and `market_type`.
    """

    method: Literal["GET", "POST"]
    path: str
    do: _Do
    group: str = "market"
    rate: int | None = None
    signed: bool = True

    @property
    def endpoint(self) -> str:
        return self.path.rpartition("/")[2]


def calls() -> list[Call]:
    """Return all endpoints served below `/v2`."""
    return [*_public(), *_reading(), *_writing()]


def _public() -> list[Call]:
    public = partial(Call, method="GET", signed=False)
    return [
        public(path="/ping", do=lambda _venue, _given: CallReply({"result": "pong"})),
        public(path="/time", do=lambda venue, _given: CallReply({"timestamp": venue.now_ms})),
        public(path="/maintain/info", do=lambda _venue, _given: CallReply([])),
        public(path="/futures/market", do=_markets),
        public(path="/futures/ticker", do=_tickers),
        public(path="/futures/index", do=_indexes),
        public(path="/futures/depth", do=_depth),
        public(path="/futures/funding-rate", do=_funding_rates),
        public(path="/futures/position-level", do=_levels),
    ]


def _reading() -> list[Call]:
    account = partial(Call, method="GET", group="account", rate=10)
    orders = partial(Call, method="GET", group="orders", rate=50)
    history = partial(Call, method="GET", group="history", rate=10)
    return [
        account(path="/assets/futures/balance", do=lambda venue, _: CallReply(balance_rows(venue))),
        account(path="/futures/pending-position", do=_pending_positions),
        history(path="/futures/finished-position", do=_finished_positions),
        orders(path="/futures/pending-order", do=_pending_orders),
        orders(path="/futures/order-status", do=_order_status),
        history(path="/futures/finished-order", do=_finished_orders),
        history(path="/futures/user-deals", do=_user_deals),
        history(path="/futures/order-deals", do=_order_deals),
    ]


def _writing() -> list[Call]:
    trade = partial(Call, method="POST", group="trade", rate=20)
    cancel = partial(Call, method="POST", group="cancel", rate=40)
    batch = partial(Call, method="POST", group="batch", rate=20)
    return [
        trade(path="/futures/order", do=_order),
        trade(path="/futures/modify-order", do=_modify_order),
        trade(path="/futures/close-position", do=_close_position),
        trade(path="/futures/adjust-position-leverage", do=_leverage),
        trade(path="/futures/adjust-position-margin", do=_margin),
        trade(path="/futures/set-position-stop-loss", do=partial(_set_trigger, "stop")),
        trade(path="/futures/set-position-take-profit", do=partial(_set_trigger, "target")),
        trade(path="/futures/cancel-position-stop-loss", do=partial(_cancel_trigger, "stop")),
        trade(path="/futures/cancel-position-take-profit", do=partial(_cancel_trigger, "target")),
        cancel(path="/futures/cancel-order", do=_cancel),
        batch(path="/futures/cancel-order-by-client-id", do=_cancel_by_client_id),
        batch(path="/futures/cancel-batch-order", do=_cancel_batch),
        batch(path="/futures/cancel-all-order", do=_cancel_all),
    ]


# public


def _named(venue: SimVenue, given: CoinexParameters) -> list[str]:
    """Return the requested markets.

    Raises:
        SimRefused: One is unknown ("invalid argument", as recorded), or has no price yet.
    """
    names, known = given.names(), venue.feed.symbols()
    if names is None:
        return [market for market in known if venue.price(market) is not None]
    if any(name not in known for name in names):
        raise WireRefused(*BAD_ARGUMENT)
    if unpriced := [name for name in names if venue.price(name) is None]:
        raise WireRefused(BAD_ARGUMENT[0], f"no price of {', '.join(unpriced)} yet")
    return names


def _markets(venue: SimVenue, given: CoinexParameters) -> CallReply:
    names = _named(venue, given)
    return CallReply([market_row(venue.rule(m), is_open=venue.is_open(m)) for m in names])


def _tickers(venue: SimVenue, given: CoinexParameters) -> CallReply:
    names, at_ms = _named(venue, given), venue.now_ms
    return CallReply([ticker_row(m, venue.mark(m), venue.feed.day(m, at_ms)) for m in names])


def _indexes(venue: SimVenue, given: CoinexParameters) -> CallReply:
    names, at_ms = _named(venue, given), venue.now_ms
    return CallReply(
        [index_row(m, venue.mark(m), venue.feed.moved_ms(m, at_ms) or 0) for m in names]
    )


def _depth(venue: SimVenue, given: CoinexParameters) -> CallReply:
    (market,) = _one(_named(venue, given))
    levels = given.whole("limit")
    if levels not in _DEPTHS or given.text("interval") != "0":
        raise WireRefused(*BAD_ARGUMENT)
    moved_ms = venue.feed.moved_ms(market, venue.now_ms) or 0
    book = venue.book(market)
    return CallReply(depth_reply(market, book, levels, venue.mark(market), moved_ms))


def _funding_rates(venue: SimVenue, given: CoinexParameters) -> CallReply:
    return CallReply([funding_row(venue, m) for m in _named(venue, given)])


def _levels(venue: SimVenue, given: CoinexParameters) -> CallReply:
    return CallReply([level_row(venue.rule(m)) for m in _named(venue, given)])


def _one(names: Sequence[str]) -> Sequence[str]:
    if len(names) != 1:
        raise WireRefused(*BAD_ARGUMENT)
    return names


# reading


def _paged(given: CoinexParameters, rows: Sequence[Row], *, counted: bool = False) -> CallReply:
    page, limit = given.page()
    first = (page - 1) * limit
    pagination: Row = {"total": len(rows)} if counted else {}
    pagination["has_next"] = len(rows) > first + limit
    return CallReply(rows[first : first + limit], pagination)


def _market(venue: SimVenue, given: CoinexParameters) -> str | None:
    market = given.maybe("market")
    if market is not None and market not in venue.feed.symbols():
        raise SimRefused(Reason.NO_MARKET, f"market {market} not found")
    return market


def _within(given: CoinexParameters, at_ms: int) -> bool:
    start_ms, end_ms = given.maybe_whole("start_time"), given.maybe_whole("end_time")
    return (start_ms is None or at_ms >= start_ms) and (end_ms is None or at_ms <= end_ms)


def _pending_positions(venue: SimVenue, given: CoinexParameters) -> CallReply:
    market = _market(venue, given)
    positions = [p for p in venue.account.positions.values() if market in (None, p.market)]
    return _paged(given, [position_row(venue, p) for p in reversed(positions)])


def _finished_positions(venue: SimVenue, given: CoinexParameters) -> CallReply:
    market = _market(venue, given)
    rows = [
        ended_row(ended)
        for ended in reversed(venue.account.ended)
        if market in (None, ended.position.market) and _within(given, ended.position.updated_ms)
    ]
    return _paged(given, rows)


def _pending_orders(venue: SimVenue, given: CoinexParameters) -> CallReply:
    return _orders(venue, given, venue.state.orders.pending, counted=True)


def _finished_orders(venue: SimVenue, given: CoinexParameters) -> CallReply:
    return _orders(venue, given, venue.state.orders.finished(), counted=False)


def _orders(
    venue: SimVenue, given: CoinexParameters, orders: Sequence[SimOrder], *, counted: bool
) -> CallReply:
    market, side, client_id = _market(venue, given), given.maybe_side(), given.client_id()
    rows = [
        order_row(order)
        for order in reversed(orders)
        if market in (None, order.market)
        and side in (None, order.side)
        and client_id in ("", order.client_id)
    ]
    return _paged(given, rows, counted=counted)


def _order_status(venue: SimVenue, given: CoinexParameters) -> CallReply:
    order = venue.order(given.text("market"), given.whole("order_id"))
    return CallReply({**order_row(order), "status": order.state})


def _user_deals(venue: SimVenue, given: CoinexParameters) -> CallReply:
    market = given.text("market")
    _market(venue, given)
    side = given.maybe_side()
    rows = [
        deal_row(deal)
        for deal in reversed(venue.account.deals)
        if deal.market == market and side in (None, deal.side) and _within(given, deal.at_ms)
    ]
    return _paged(given, rows)


def _order_deals(venue: SimVenue, given: CoinexParameters) -> CallReply:
    order = venue.order(given.text("market"), given.whole("order_id"))
    deals = [deal for deal in venue.account.deals if deal.order_id == order.order_id]
    return _paged(given, [deal_row(deal) for deal in reversed(deals)])


# writing


def _order(venue: SimVenue, given: CoinexParameters) -> CallReply:
    kind = given.kind()
    order = venue.place(
        given.text("market"),
        given.side(),
        kind,
        given.amount("amount"),
        None if kind == "market" else given.amount("price"),
        client_id=given.client_id(),
    )
    return CallReply(order_row(order))


def _modify_order(venue: SimVenue, given: CoinexParameters) -> CallReply:
    order = venue.modify(
        given.text("market"),
        given.whole("order_id"),
        given.maybe_amount("amount"),
        given.maybe_amount("price"),
    )
    return CallReply(order_row(order))


def _close_position(venue: SimVenue, given: CoinexParameters) -> CallReply:
    kind = given.kind()
    order = venue.close(
        given.text("market"),
        kind,
        given.maybe_amount("amount"),
        None if kind == "market" else given.amount("price"),
        client_id=given.client_id(),
    )
    return CallReply(order_row(order))


def _leverage(venue: SimVenue, given: CoinexParameters) -> CallReply:
    if given.text("margin_mode") != "isolated":
        raise invalid("margin_mode: the simulator has isolated margin only")
    leverage = given.whole("leverage")
    venue.set_leverage(given.text("market"), leverage)
    return CallReply({"leverage": leverage, "margin_mode": "isolated"})


def _margin(venue: SimVenue, given: CoinexParameters) -> CallReply:
    position = venue.move_margin(given.text("market"), given.amount("amount"))
    return CallReply(position_row(venue, position))


_TRIGGER_NAMES: dict[Cause, str] = {"stop": "stop_loss", "target": "take_profit"}


def _set_trigger(cause: Cause, venue: SimVenue, given: CoinexParameters) -> CallReply:
    name = _TRIGGER_NAMES[cause]
    position = venue.set_trigger(
        given.text("market"),
        cause,
        given.price_kind(f"{name}_type"),
        given.amount(f"{name}_price"),
        given.maybe_amount(f"{name}_amount"),
    )
    return CallReply(position_row(venue, position))


def _cancel_trigger(cause: Cause, venue: SimVenue, given: CoinexParameters) -> CallReply:
    number = given.maybe_whole("id")
    return CallReply(
        position_row(venue, venue.cancel_triggers(given.text("market"), cause, number))
    )


def _cancel(venue: SimVenue, given: CoinexParameters) -> CallReply:
    return CallReply(order_row(venue.cancel(given.text("market"), given.whole("order_id"))))


def _cancel_by_client_id(venue: SimVenue, given: CoinexParameters) -> CallReply:
    market, client_id = _market(venue, given), given.client_id()
    if not client_id:
        raise invalid("client_id is missing")
    found = [
        order
        for order in venue.state.orders.pending
        if order.client_id == client_id and market in (None, order.market)
    ]
    if not found:
        raise SimRefused(Reason.NO_ORDER)
    return CallReply([_item(partial(venue.cancel, o.market, o.order_id)) for o in found])


def _cancel_batch(venue: SimVenue, given: CoinexParameters) -> CallReply:
    market = given.text("market")
    return CallReply([_item(partial(venue.cancel, market, n)) for n in given.wholes("order_ids")])


def _item(cancel: Callable[[], SimOrder]) -> Row:
    try:
        return {"code": 0, "data": order_row(cancel()), "message": ""}
    except SimRefused as refused:
        code, text = code_of(refused)
        return {"code": code, "data": {}, "message": text}


def _cancel_all(venue: SimVenue, given: CoinexParameters) -> CallReply:
    market, side = given.text("market"), given.maybe_side()
    venue.rule(market)
    for order in venue.state.orders.of(market):
        if side in (None, order.side):
            venue.cancel(market, order.order_id)
    return CallReply({})
