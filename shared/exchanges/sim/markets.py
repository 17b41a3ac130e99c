"""The markets of the simulated venue: rules, prices, books, funding rates."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.errors import UnknownSymbol
from shared.exchanges.sim.account import NOTHING, SimAccount, money
from shared.exchanges.sim.book import BookMaker, Level, SimBook
from shared.exchanges.sim.errors import Reason, SimRefused
from shared.exchanges.sim.funding import FundingSchedule, UsualFunding
from shared.exchanges.sim.prices import PriceFeed
from shared.exchanges.sim.rules import (
    VenueRule,
    rule_of,
    usual_digits,
    usual_price,
)
from shared.exchanges.sim.save_file import VenueState
from shared.exchanges.venue import OrderSide

STALE_MS = 90_000  # with older prices a market cannot be traded


class VenueMarkets:
    """Markets of one account.

    Args:
        feed: The prices.
        state: Changed in place.

    Attributes:
        changed: Whether `state` has unsaved changes; reset by the caller that saves it.
        depth: Available share of the usual book.
        frozen: While True no market can be traded.
        funding: When it is paid, and at which rates.
    """

    def __init__(self, feed: PriceFeed, state: VenueState) -> None:
        self.feed = feed
        self.state = state
        self.changed = False
        self.depth = Decimal(1)
        self.frozen = False
        self.funding: FundingSchedule = UsualFunding()
        self._books = BookMaker()
        self._rules: dict[str, tuple[int, VenueRule]] = {}  # with the feed's digits
        self._unknown_since_ms: dict[str, int] = {}

    @property
    def account(self) -> SimAccount:
        return self.state.account

    @property
    def now_ms(self) -> int:
        """Return the time up to which the venue has advanced."""
        return self.state.at_ms

    @property
    def available(self) -> Decimal:
        """Return the money that is neither margin nor frozen."""
        return self.account.wallet - self.account.margin - self.state.orders.frozen

    def rule(self, market: str) -> VenueRule:
        """Return a market's rules.

        Raises:
            SimRefused: No such market, or its price is unknown yet.
        """
        is_known = market in self.feed.symbols()
        if not is_known and market not in self.account.positions:
            raise SimRefused(Reason.NO_MARKET, f"market {market} not found")
        digits = self.feed.digits(market, self.now_ms) if is_known else usual_digits(market)
        if self._rules.get(market, (None,))[0] != digits:
            price = usual_price(market) or float(self.mark(market))
            self._rules[market] = digits, rule_of(market, price, digits)
        return self._rules[market][1]

    def mark(self, market: str) -> Decimal:
        """Return the price of a market now; while unknown, a position's entry price.

        Raises:
            SimRefused: No such market, or neither price nor position.
        """
        price = self.price(market)
        if price is not None:
            return price
        if market not in self.feed.symbols():
            raise SimRefused(Reason.NO_MARKET, f"market {market} not found")
        raise SimRefused(Reason.STOPPED)

    def price(self, market: str) -> Decimal | None:
        """Return the price of a market now, or a position's entry price; None with neither."""
        try:
            price = self.feed.price(market, self.now_ms)
        except UnknownSymbol:
            price = None
        position = self.account.positions.get(market)
        return money(position.entry_price) if price is None and position is not None else price

    def is_open(self, market: str) -> bool:
        if market not in self.feed.symbols():
            return False
        moved_ms = self.feed.moved_ms(market, self.now_ms)
        return not self.frozen and moved_ms is not None and self.now_ms - moved_ms <= STALE_MS

    def book(self, market: str) -> SimBook:
        """Return a market's order book now; empty while it cannot be traded."""
        rule, price = self.rule(market), self.mark(market)
        return self._books.book(rule, price, self.now_ms, self._depth(market))

    def against(self, market: str, side: OrderSide) -> Iterator[Level]:
        """Yield the levels of that book that an order of `side` trades with."""
        rule, price = self.rule(market), self.mark(market)
        return self._books.against(side, rule, price, self.now_ms, self._depth(market))

    def _depth(self, market: str) -> Decimal:
        return self.depth if self.is_open(market) else NOTHING

    def marks(self) -> dict[str, Decimal]:
        return {market: self.mark(market) for market in self.account.positions}

    def funding_rate(self, market: str, at_ms: int) -> Decimal:
        """Return the rate paid at a funding time: the schedule's, unless set by the operator."""
        if market in self.state.rates:
            return self.state.rates[market]
        return self.funding.rate(market, at_ms)
