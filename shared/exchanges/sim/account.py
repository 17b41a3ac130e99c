"""The account at the simulated venue: positions, margin and ledger.

Money is exact: bookings are multiples of `MONEY_STEP`, and the remainder of a division stays with
what was divided. The wallet is always the sum of all bookings:

    equity = wallet + unrealized PnL
           = deposits + PnL of fills - fees + funding - liquidation fees + unrealized PnL

Of the wallet, some is margin of positions and some is frozen for orders; the rest is available.
Margin is isolated: a liquidation takes the margin of its position and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import partial
from typing import Literal

from shared.exchanges.venue import CLOSES, OPENS, OrderSide, Role
from shared.messages.trading import TradeSide

MONEY_STEP = Decimal("1e-12")
KEEP = 2000
DEFAULT_LEVERAGE = 3
FIRST_ID = 1_000_000
NOTHING = Decimal(0)

Booking = Literal["transfer", "pnl", "fee", "funding", "liquidation"]
PriceKind = Literal["last", "mark", "index"]
SIGN: dict[TradeSide, int] = {"long": 1, "short": -1}


def money(amount: Decimal, rounding: str = ROUND_FLOOR) -> Decimal:
    """Round an amount to `MONEY_STEP`."""
    return amount.quantize(MONEY_STEP, rounding)


@dataclass(slots=True, kw_only=True)
class Trigger:
    """A stop or a target of a position; `amount` is None for the whole position."""

    trigger_id: int
    price: Decimal
    kind: PriceKind
    amount: Decimal | None
    created_ms: int


@dataclass(slots=True, kw_only=True)
class SimPosition:
    """The one net position of a market.

    Attributes:
        cost: Value of its size at the prices it was opened at.
        entry_price: The average: cost divided by size.
        realized: PnL of what was closed, fees and funding, since it was opened.
    """

    position_id: int
    market: str
    side: TradeSide
    leverage: int
    created_ms: int
    updated_ms: int
    size: Decimal = NOTHING
    cost: Decimal = NOTHING
    entry_price: Decimal = NOTHING
    margin: Decimal = NOTHING
    realized: Decimal = NOTHING
    opened_value: Decimal = NOTHING
    most_size: Decimal = NOTHING
    most_value: Decimal = NOTHING
    most_margin: Decimal = NOTHING
    stops: list[Trigger] = field(default_factory=list)
    targets: list[Trigger] = field(default_factory=list)

    def unrealized(self, mark: Decimal) -> Decimal:
        """Return the PnL of closing at a price, without fees."""
        return SIGN[self.side] * (mark * self.size - self.cost)

    def bankruptcy_price(self) -> Decimal:
        """Return the price at which its margin is lost; 0 or less if there is none."""
        return (self.cost - SIGN[self.side] * self.margin) / self.size

    def liquidation_price(self, maintenance_rate: Decimal) -> Decimal | None:
        """Return the mark price at which it is liquidated; None if there is none."""
        price = self.bankruptcy_price() / (1 - SIGN[self.side] * maintenance_rate)
        return price if price > 0 else None


@dataclass(slots=True, kw_only=True)
class SimClosedPosition:
    """A closed position, and what closed it."""

    position: SimPosition
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SimFill:
    """One fill; it either opens or closes."""

    deal_id: int
    at_ms: int
    market: str
    side: OrderSide
    order_id: int
    position_id: int
    price: Decimal
    amount: Decimal
    role: Role
    fee: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One change of the wallet. `number` is the deal's, or the position's."""

    at_ms: int
    kind: Booking
    market: str
    amount: Decimal
    number: int


@dataclass(slots=True, kw_only=True)
class SimAccount:
    """The account. Of deals, ended positions and ledger entries the newest `KEEP` are kept."""

    wallet: Decimal = NOTHING
    totals: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, SimPosition] = field(default_factory=dict)
    leverages: dict[str, int] = field(default_factory=dict)
    ended: list[SimClosedPosition] = field(default_factory=list)
    deals: list[SimFill] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)
    last_id: int = FIRST_ID

    def next_id(self) -> int:
        """Return a new unique number."""
        self.last_id += 1
        return self.last_id

    @property
    def margin(self) -> Decimal:
        """Return the margin of all positions."""
        return sum((p.margin for p in self.positions.values()), NOTHING)

    def unrealized(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Return the unrealized PnL of all positions; `marks` has the price of each."""
        return sum((p.unrealized(marks[m]) for m, p in self.positions.items()), NOTHING)

    def leverage(self, market: str) -> int:
        """Return the leverage the next position of a market is opened with."""
        return self.leverages.get(market, DEFAULT_LEVERAGE)

    def transfer(self, amount: Decimal, at_ms: int) -> None:
        """Book a deposit, or a withdrawal (negative)."""
        self._book("transfer", "", money(amount), 0, at_ms)

    def fill(
        self, market: str, side: OrderSide, price: Decimal, amount: Decimal, *,
        role: Role, fee_rate: Decimal, order_id: int, at_ms: int, how: str,
    ) -> list[SimFill]:  # fmt: skip
        """Execute: first reduce an opposite position, then open with the rest.

        Args:
            how: What closed the position, if this does.

        Returns:
            One deal, or two if it reversed the position.
        """
        deal = partial(
            self._deal, side=side, price=price,
            role=role, fee_rate=fee_rate, order_id=order_id, at_ms=at_ms,
        )  # fmt: skip
        deals = []
        position = self.positions.get(market)
        if position is not None and CLOSES[position.side] == side:
            closing = min(amount, position.size)
            pnl = self._reduce(position, price, closing)
            deals.append(deal(position, amount=closing, pnl=pnl))
            amount -= closing
            if not position.size:
                self._end(position, how)
        if amount:
            position = self.positions.get(market)
            if position is None:
                position = SimPosition(
                    position_id=self.next_id(),
                    market=market,
                    side="long" if OPENS["long"] == side else "short",
                    leverage=self.leverage(market),
                    created_ms=at_ms,
                    updated_ms=at_ms,
                )
                self.positions[market] = position
            _enlarge(position, price, amount)
            deals.append(deal(position, amount=amount, pnl=NOTHING))
        return deals

    def fund(self, market: str, rate: Decimal, mark: Decimal, at_ms: int) -> Decimal:
        """Pay or receive funding: longs pay a positive rate; return the amount received.

        What the available money does not cover is taken from the position's own margin.
        """
        position = self.positions[market]
        amount = money(-SIGN[position.side] * rate * mark * position.size)
        position.realized += amount
        self._book("funding", market, amount, position.position_id, at_ms)
        shortfall = self.margin - self.wallet
        if shortfall > 0:
            position.margin -= min(shortfall, position.margin)
        return amount

    def liquidate(
        self, market: str, mark: Decimal, tick: Decimal, order_id: int, at_ms: int
    ) -> SimFill:
        """Close a position at the mark; the rest of its margin is the fee.

        The account loses no more than the margin: beyond the bankruptcy price the position is
        closed at that price, rounded to the tick in favour of the account.
        """
        position = self.positions[market]
        sign = SIGN[position.side]
        ticks = position.bankruptcy_price() / tick
        bound = ticks.to_integral_value(ROUND_CEILING if sign > 0 else ROUND_FLOOR) * tick
        price = max(mark, bound) if sign > 0 else min(mark, bound)
        margin, amount, side = position.margin, position.size, CLOSES[position.side]
        pnl = self._reduce(position, price, amount)
        deal = self._deal(
            position, side, price, amount,
            pnl=pnl, role="taker", fee_rate=NOTHING, order_id=order_id, at_ms=at_ms,
        )  # fmt: skip
        fee = max(margin + pnl, NOTHING)
        position.realized -= fee
        self._book("liquidation", market, -fee, position.position_id, at_ms)
        self._end(position, "liquidation")
        return deal

    def move_margin(self, market: str, amount: Decimal, at_ms: int) -> None:
        """Add available money to a position's margin, or take (negative) from it."""
        position = self.positions[market]
        position.margin += money(amount)
        position.most_margin = max(position.most_margin, position.margin)
        position.updated_ms = at_ms

    def _reduce(self, position: SimPosition, price: Decimal, amount: Decimal) -> Decimal:
        whole = amount == position.size
        cost = position.cost if whole else money(position.cost * amount / position.size)
        margin = position.margin if whole else money(position.margin * amount / position.size)
        position.size -= amount
        position.cost -= cost
        position.margin -= margin
        return SIGN[position.side] * (money(price * amount) - cost)

    def _deal(
        self, position: SimPosition, side: OrderSide, price: Decimal, amount: Decimal, *,
        pnl: Decimal, role: Role, fee_rate: Decimal, order_id: int, at_ms: int,
    ) -> SimFill:  # fmt: skip
        fee = money(price * amount * fee_rate, ROUND_CEILING)
        deal = SimFill(
            deal_id=self.next_id(),
            at_ms=at_ms,
            market=position.market,
            side=side,
            order_id=order_id,
            position_id=position.position_id,
            price=price,
            amount=amount,
            role=role,
            fee=fee,
        )
        self.deals.append(deal)
        del self.deals[:-KEEP]
        position.realized += pnl - fee
        position.updated_ms = at_ms
        self._book("pnl", position.market, pnl, deal.deal_id, at_ms)
        self._book("fee", position.market, -fee, deal.deal_id, at_ms)
        return deal

    def _end(self, position: SimPosition, how: str) -> None:
        del self.positions[position.market]
        self.ended.append(SimClosedPosition(position=position, how=how))
        del self.ended[:-KEEP]

    def _book(self, kind: Booking, market: str, amount: Decimal, number: int, at_ms: int) -> None:
        self.wallet += amount
        self.totals[kind] = self.totals.get(kind, NOTHING) + amount
        if amount:
            self.ledger.append(
                LedgerEntry(at_ms=at_ms, kind=kind, market=market, amount=amount, number=number)
            )
            del self.ledger[:-KEEP]


def _enlarge(position: SimPosition, price: Decimal, amount: Decimal) -> None:
    value = money(price * amount)
    position.size += amount
    position.cost += value
    position.entry_price = position.cost / position.size
    position.margin += money(value / position.leverage, ROUND_CEILING)
    position.opened_value += value
    position.most_size = max(position.most_size, position.size)
    position.most_value = max(position.most_value, position.cost)
    position.most_margin = max(position.most_margin, position.margin)
