"""The platform's interfaces to exchanges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from shared.candles.admission import Admitted
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
from shared.market import Timeframe
from shared.messages.trading import TradeSide


class CandleSource(Protocol):
    """An exchange that serves candles.

    Every call raises RateLimited while nothing may be sent, ExchangeUnavailable when the exchange
    fails or its answer is unreadable.
    """

    def now_ms(self) -> int:
        """Return exchange time."""

    async def sync_time(self) -> int:
        """Read the exchange's time and return it minus our own."""

    async def statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        """Return symbol -> status: `TRADING` when it can be traded; anything else when not.

        Raises:
            UnknownSymbol: One of `symbols` is not listed.
        """

    async def klines(
        self, symbol: str, timeframe: Timeframe, *, limit: int, start_ms: int | None = None
    ) -> Admitted:
        """Return the newest candles, or from `start_ms` the oldest; the last may be open.

        Raises:
            UnknownSymbol: The coin is not listed.
            BadCandle: The answer is not of what was asked for, or in another unit of time.
        """


class Venue(Protocol):
    """A trading venue: perpetual futures, one net position per market.

    Lists are complete: every page is read. Every call raises VenueUnavailable when the venue
    fails or its answer is unreadable, VenueDenied when it rejects our credentials, VenueRefused
    when it refuses the request. Calls that place an order raise OutcomeUnknown instead of
    VenueUnavailable once anything may have reached the venue, and DuplicateOrder, a kind of it,
    when the venue has an order of that client id; a refused one was not accepted. What a venue
    does in several steps, the adapter reads back before it returns.
    """

    @property
    def name(self) -> str:
        """Return the name for people."""

    @property
    def currency(self) -> str:
        """Return the settlement currency of the account: of balances, P&L and fees."""

    @property
    def window_ms(self) -> int:
        """Return for how long after its timestamp the venue accepts a request."""

    @property
    def protects_entry(self) -> bool:
        """Return whether an order may bring the stop and target of the position it opens."""

    def now_ms(self) -> int:
        """Return venue time: our clock, corrected by the last `server_time`."""

    async def server_time(self) -> int:
        """Read the venue's time, correct `now_ms` by it, and return it."""

    async def markets(self, symbols: Sequence[str] | None = None) -> Mapping[str, MarketRule]:
        """Return the rules of some markets (None: of all); those it does not list are left out."""

    async def tickers(self, symbols: Sequence[str] | None = None) -> Mapping[str, Ticker]:
        """Return prices of some markets (None: of all); those it does not list are left out."""

    async def book(self, symbol: str, levels: int = 20) -> OrderBook:
        """Return the order book; `levels` is 5, 10, 20 or 50."""

    async def funding(self, symbol: str) -> Funding:
        """Return the last and the next funding."""

    async def balance(self) -> Sequence[AccountBalance]:
        """Return the account's balances, one per currency."""

    async def positions(self) -> Sequence[OpenPosition]:
        """Return every open position of the account, ours and others'."""

    async def ended(
        self, symbol: str, side: TradeSide, opened_ms: int, position_id: str | None
    ) -> EndedPosition | None:
        """Return how one position ended; None while the venue does not show that.

        Args:
            opened_ms: Venue time at which it was open, or an order that opened it was placed.
            position_id: None if it was never seen, or the venue does not number positions: then
                one that had ended by `opened_ms` is an earlier one.
        """

    async def traded_since(self, since_ms: int) -> Mapping[str, int]:
        """Return the markets in which the account traded since, or more of them.

        Returns:
            symbol -> venue time from which on its fills may concern a position of that time.
        """

    async def account_checks(self, symbols: Sequence[str]) -> Sequence[AccountCheck]:
        """Return whether the account is set up as the trader needs it; read only.

        One net position per market, isolated margin, nothing that adds margin by itself, a key
        that may trade and not withdraw, bound to an address: what does not hold by nature.

        Args:
            symbols: The markets that may be entered.
        """

    async def orders_by_client_id(self, symbol: str, client_id: str) -> Sequence[PlacedOrder]:
        """Return the orders, pending or finished, that carry this id; normally none or one."""

    async def fills(
        self, symbol: str, since_ms: int, until_ms: int | None = None
    ) -> Sequence[Fill]:
        """Return our fills in one market, oldest first; both times are included."""

    async def place_order(self, order: OrderRequest) -> PlacedOrder:
        """Place an order; never retried. It may come back as no more than `accepted`.

        Raises:
            ValueError: The order is malformed.
        """

    async def cancel(self, symbol: str, order_id: str) -> PlacedOrder:
        """Cancel an order."""

    async def order_status(self, symbol: str, order_id: str) -> PlacedOrder:
        """Return the current state of an order.

        Raises:
            VenueRefused: The order is unknown: not yet known, or not any more.
        """

    async def close_position(
        self, symbol: str, client_id: str, size: Decimal | None = None
    ) -> PlacedOrder:
        """Close a position at market, all of it or `size` of it; never retried.

        Raises:
            ValueError: The id or the size is malformed.
        """

    async def set_stop_loss(self, symbol: str, price: Decimal) -> OpenPosition:
        """Set or replace the stop of the whole position, triggered by the mark price.

        Where a stop cannot be replaced in place, the adapter sees to it that the position is
        protected in between.
        """

    async def set_take_profit(self, symbol: str, price: Decimal) -> OpenPosition:
        """Set or replace the target of the whole position, triggered by the mark price."""

    async def set_leverage(self, symbol: str, leverage: int) -> int:
        """Set isolated margin, where that is of a market, and leverage; return what is in force."""
