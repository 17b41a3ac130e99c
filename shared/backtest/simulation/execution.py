"""Carries out the trader's decisions at the simulated venue, in the order the trader does.

The account, its book, triggers and funding are the simulated venue's own (`shared/exchanges/sim/`);
plan, stop and target are the trader's (`shared/trading/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from shared.backtest.simulation.bar_prices import BarPrices, CoinBars
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.funding_rates import RecordedFunding
from shared.backtest.simulation.outlook import Outlook
from shared.backtest.simulation.trades import How, Trade
from shared.config.sections import TraderSection
from shared.exchanges.sim.account import (
    SIGN,
    SimAccount,
    SimClosedPosition,
    SimFill,
    SimPosition,
    money,
)
from shared.exchanges.sim.errors import SimRefused
from shared.exchanges.sim.orders import SimOrders
from shared.exchanges.sim.rules import (
    FUNDING_MS,
    MAKER_FEE,
    TAKER_FEE,
    VenueRule,
)
from shared.exchanges.sim.save_file import VenueState
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue import (
    OPENS,
    BookLevel,
    Funding,
    MarketRule,
    OrderBook,
    OrderSide,
    Ticker,
)
from shared.messages.trading import TradeSide
from shared.trading.amounts import exact
from shared.trading.breakers import HOUR_MS
from shared.trading.entries import OTHER
from shared.trading.exits import is_beyond, levels
from shared.trading.exposure import Exposure, Holding
from shared.trading.plan import Candidate, EntryPlan, Refusal
from shared.trading.sizing import no_room, plan_entry

_BY_ORDER = "market"
_ZERO = Decimal(0)
_SIDES: tuple[OrderSide, ...] = ("buy", "sell")
NO_ENTRY = "nothing was filled at the limit"


@dataclass(slots=True, kw_only=True)
class OpenTrade:
    """A position with what it was entered by.

    Attributes:
        closing: What the trader closes it for; None while the venue's triggers guard it.
        spread: See `Trade`; of the entry.
        outlook: The last one.
        left_at: The price before it was closed by an order; None without one.
    """

    position: SimPosition
    plan: EntryPlan
    opened_ms: int
    stop: Decimal
    target: Decimal
    spread: Decimal
    closing: How | None = None
    left_at: Decimal | None = None
    outlook: Outlook | None = None


class Execution:
    """The account and its open trades.

    Attributes:
        open: By coin.
        trades: Those that ended, in order.
        sent_ms: When orders were sent, oldest first.
    """

    def __init__(
        self,
        bars: Mapping[str, CoinBars],
        settings: TraderSection,
        model: FillModel,
        begin_ms: int,
    ) -> None:
        self._settings = settings
        self._hold_ms = int(exact(settings.max_hold_h) * HOUR_MS)
        self._model = model
        self.prices = BarPrices(bars, model.path, self._side_of)
        state = VenueState(at_ms=begin_ms, account=SimAccount(), orders=SimOrders())
        state.account.transfer(exact(model.start_quote), begin_ms)
        if model.funding == "none":
            state.rates = dict.fromkeys(bars, _ZERO)
        self._venue = SimVenue(self.prices, state)
        if rates := {symbol: each.rates for symbol, each in bars.items() if each.rates}:
            self._venue.funding = RecordedFunding(rates)
        self._rules: dict[str, MarketRule] = {}
        self._exposure: tuple[tuple[int, int, int], Exposure] | None = None
        self.open: dict[str, OpenTrade] = {}
        self.trades: list[Trade] = []
        self.sent_ms: list[int] = []

    @property
    def now_ms(self) -> int:
        return self._venue.now_ms

    @property
    def wallet(self) -> Decimal:
        return self._venue.account.wallet

    @property
    def equity(self) -> Decimal:
        """Return the account's value now, open positions at the mark."""
        return self.wallet + self._venue.account.unrealized(self._venue.marks())

    def equity_at(self, at_ms: int) -> Decimal:
        """Return the equity at a later time, if nothing happens until then."""
        marks = {symbol: self.prices.price(symbol, at_ms) for symbol in self.open}
        known = {symbol: mark for symbol, mark in marks.items() if mark is not None}
        return self.wallet + self._venue.account.unrealized(known)

    @property
    def state(self) -> tuple[int, int, int]:
        """Return what changes whenever the account or a mark may have."""
        return self.now_ms, len(self.sent_ms), len(self.trades)

    def exposure(self) -> Exposure:
        """Return equity, free margin and positions now."""
        if self._exposure is None or self._exposure[0] != self.state:
            self._exposure = self.state, self._current_exposure()
        return self._exposure[1]

    def _current_exposure(self) -> Exposure:
        venue = self._venue
        positions = venue.account.positions.values()
        holdings = tuple(_holding(each, venue.mark(each.market)) for each in positions)
        return Exposure(equity=self.equity, available=venue.available, holdings=holdings)

    # Time

    def advance(self, until_ms: int) -> None:
        """Let time pass; record the trades that end."""
        self._venue.advance(until_ms)
        self._record_ended()

    def close_due(self) -> None:
        """Close what has been open for too long, and what is to be closed."""
        for trade in list(self.open.values()):
            if trade.closing is None and self.due_ms(trade) <= self.now_ms:
                trade.closing = "time"
            elif trade.closing is None and self.last_ms(trade) <= self.now_ms:
                trade.closing = "rescaled"
            if trade.closing is not None:
                self._close(trade)

    def next_funding_ms(self) -> int:
        """Return when funding is paid next for something that is open now."""
        return self._venue.funding.next_ms(self.open, self.now_ms)

    def due_ms(self, trade: OpenTrade) -> int:
        """Return when a position has been open for too long."""
        return trade.opened_ms + self._hold_ms

    def last_ms(self, trade: OpenTrade) -> int:
        """Return the last time before a position's price scale breaks."""
        return self.prices.coins[trade.plan.symbol].next_break_ms(trade.opened_ms) - 1

    def close_all(self, how: How) -> None:
        """Close every position at the market."""
        for trade in list(self.open.values()):
            trade.closing = how
            self._close(trade)

    def liquidation_price(self, trade: OpenTrade) -> Decimal | None:
        position = trade.position
        rate = self._venue.rule(position.market).maintenance_rate(position.size)
        return position.liquidation_price(rate)

    # Entries

    def plan(self, candidate: Candidate) -> EntryPlan | Refusal:
        """Return the trader's plan for a candidate at the venue's prices now, or its refusal.

        Prices are looked at only if there is room for an entry.
        """
        symbol, venue = candidate.symbol, self._venue
        rule, account = self._market_rule(venue.rule(symbol)), self.exposure()
        if faults := list(no_room(candidate, rule, account, self._settings)):
            return Refusal(symbol=symbol, side=candidate.side, why="; ".join(faults))
        price = venue.mark(symbol)
        next_ms = venue.funding.next_ms((symbol,), self.now_ms)
        latest_ms = self.now_ms - self.now_ms % FUNDING_MS
        return plan_entry(
            candidate,
            rule=rule,
            book=self._book(candidate),
            ticker=Ticker(symbol=symbol, last=price, mark=price, index=price),
            funding=Funding(
                symbol=symbol,
                latest_rate=venue.funding_rate(symbol, latest_ms),
                latest_ms=latest_ms,
                next_rate=venue.funding_rate(symbol, next_ms),
                next_ms=next_ms,
            ),
            account=account,
            settings=self._settings,
            now_ms=self.now_ms,
        )

    def _book(self, candidate: Candidate) -> OrderBook:
        """Return as much of the book as the largest order could reach."""
        most = exact(self._settings.max_notional) * self.equity
        sides: dict[OrderSide, tuple[BookLevel, ...]] = {}
        for side in _SIDES:
            levels, value = [], _ZERO
            for price, size in self._venue.against(candidate.symbol, side):
                levels.append(BookLevel(price=price, size=size))
                value += price * size
                if value > most or side != OPENS[candidate.side]:
                    break
            sides[side] = tuple(levels)
        return OrderBook(
            symbol=candidate.symbol, bids=sides["sell"], asks=sides["buy"], updated_ms=None
        )

    def enter(self, plan: EntryPlan) -> str:
        """Send an entry, and protect what it filled; return why nothing was entered, or ""."""
        venue, symbol = self._venue, plan.symbol
        if self._model.latency_ms:
            self.advance(self.now_ms + self._model.latency_ms)
        if symbol in venue.account.positions:
            return "there is a position in this coin"
        try:
            venue.set_leverage(symbol, plan.leverage)
            met = venue.mark(symbol)  # with a position, the path may be another
            order = venue.place(symbol, OPENS[plan.side], "ioc", plan.size, plan.limit_price)
        except SimRefused as error:
            return str(error)
        self.sent_ms.append(self.now_ms)
        if not order.filled:
            return NO_ENTRY
        self._protect(plan, venue.position(symbol), met)
        return ""

    def _protect(self, plan: EntryPlan, position: SimPosition, met: Decimal) -> None:
        """Set stop and target of a new position, or close it if it is unfit.

        Args:
            met: The price before the entry.
        """
        venue, symbol, side = self._venue, plan.symbol, plan.side
        rule, mark = venue.rule(symbol), venue.mark(symbol)
        wanted = levels(
            side, position.entry_price, plan.stop_fraction, plan.target_fraction, rule.tick
        )
        spread = SIGN[side] * (position.cost - met * position.size)
        trade = OpenTrade(
            position=position, plan=plan, opened_ms=self.now_ms,
            stop=wanted.stop, target=wanted.target, spread=spread,
        )  # fmt: skip
        self.open[symbol] = trade
        if self._is_unfit(trade, rule):
            trade.closing = "protection"
        elif is_beyond(side, mark, wanted.stop):
            trade.closing = "stop"
        else:
            venue.set_trigger(symbol, "stop", "mark", wanted.stop, None)
            if is_beyond(OTHER[side], mark, wanted.target):
                trade.closing = "target"
            else:
                venue.set_trigger(symbol, "target", "mark", wanted.target, None)
        if trade.closing is not None:
            self._close(trade)

    def _is_unfit(self, trade: OpenTrade, rule: VenueRule) -> bool:
        """Return whether it is too small, or its liquidation too near."""
        position, liquidation = trade.position, self.liquidation_price(trade)
        if position.size < rule.least:
            return True
        if liquidation is None:
            return False
        room = abs(position.entry_price - liquidation) / position.entry_price
        return room < exact(self._settings.liquidation_stops) * trade.plan.stop_fraction

    # Exits

    def _close(self, trade: OpenTrade) -> None:
        """Send a close; one that is refused is sent again with the next look."""
        symbol, size = trade.plan.symbol, trade.position.size
        trade.left_at = self._venue.mark(symbol)
        is_dust = size < self._venue.rule(symbol).least
        try:
            self._venue.close(symbol, "market", None if is_dust else size, None)
        except SimRefused:
            return
        self.sent_ms.append(self.now_ms)
        self._record_ended()

    def _record_ended(self) -> None:
        positions = self._venue.account.positions
        gone = [trade for symbol, trade in self.open.items() if symbol not in positions]
        if not gone:
            return
        ended = {each.position.position_id: each for each in self._venue.account.ended[-64:]}
        found = [(ended[trade.position.position_id], trade) for trade in gone]
        for end, trade in sorted(found, key=lambda each: each[0].position.updated_ms):
            del self.open[trade.plan.symbol]
            self.trades.append(self._trade(end, trade))

    def _trade(self, end: SimClosedPosition, trade: OpenTrade) -> Trade:
        position, plan = end.position, trade.plan
        fills = self._fills(position)
        entries = [f for f in fills if f.side == OPENS[plan.side]]
        exits = [f for f in fills if f.side != OPENS[plan.side]]
        size, bought = _sums(entries)
        _, sold = _sums(exits)
        fees = sum((f.fee for f in fills), _ZERO)
        met = self._met(end, trade, sold / size)
        moved = sold - bought if plan.side == "long" else bought - sold
        return Trade(
            symbol=plan.symbol,
            side=plan.side,
            entered_ms=trade.opened_ms,
            left_ms=position.updated_ms,
            entry_price=bought / size,
            exit_price=sold / size,
            size=size,
            how=_how(end, trade),
            pnl=position.realized,
            risk=bought * plan.stop_fraction,
            fees=fees,
            funding=money(position.realized - moved + fees),
            spread=trade.spread + SIGN[plan.side] * (size * met - sold),
            base=plan.base,
            bonus=plan.bonus,
            stop=trade.stop,
            target=trade.target,
        )

    def _met(self, end: SimClosedPosition, trade: OpenTrade, filled: Decimal) -> Decimal:
        """Return the price that a position's end met: its trigger, or where a jump over it landed.

        Of a liquidation, which no book takes, that is where it was filled.
        """
        if end.how == _BY_ORDER:
            return trade.left_at or filled
        position = end.position
        level = {"stop": trade.stop, "target": trade.target}.get(end.how)
        if level is None:
            return filled
        landed = self.prices.landed(position.market, position.updated_ms)
        if landed is None:
            return level
        falling = (end.how == "stop") == (trade.plan.side == "long")
        return min(level, landed) if falling else max(level, landed)

    def _fills(self, position: SimPosition) -> list[SimFill]:
        found = []
        for deal in reversed(self._venue.account.deals):
            if deal.at_ms < position.created_ms:
                break
            if deal.position_id == position.position_id:
                found.append(deal)
        return found

    def _side_of(self, symbol: str) -> TradeSide | None:
        position = self._venue.account.positions.get(symbol)
        return None if position is None else position.side

    def _market_rule(self, rule: VenueRule) -> MarketRule:
        known = self._rules.get(rule.market)
        if known is None or known.tick != rule.tick:
            known = self._rules[rule.market] = MarketRule(
                symbol=rule.market,
                min_size=rule.least,
                size_step=rule.step,
                min_value=None,
                tick=rule.tick,
                maker_fee=MAKER_FEE,
                taker_fee=TAKER_FEE,
                leverages=rule.leverages,
                available=True,
            )
        return known


def _how(end: SimClosedPosition, trade: OpenTrade) -> How:
    if end.how == _BY_ORDER:
        return trade.closing or "protection"
    return end.how  # type: ignore[return-value]  # a trigger's cause, or liquidation


def _sums(fills: list[SimFill]) -> tuple[Decimal, Decimal]:
    size = sum((f.amount for f in fills), _ZERO)
    return size, sum((f.amount * f.price for f in fills), _ZERO)


def _holding(position: SimPosition, mark: Decimal) -> Holding:
    unrealized = position.unrealized(mark)
    moved = unrealized if position.side == "long" else -unrealized
    notional = max(position.size * position.entry_price + moved, _ZERO)
    return Holding(symbol=position.market, side=position.side, notional=notional)
