"""The account at the simulated venue: positions, margin, and a ledger that adds up.

Money is exact: what is booked is a multiple of `MONEY_STEP`, and whatever a division leaves over
stays with what was divided. The wallet is always the sum of all that was ever booked:

    equity = wallet + unrealized PnL
           = deposits + PnL of fills - fees + funding - liquidation fees + unrealized PnL

Of the wallet, margin lies with positions, and what orders may need is frozen; the rest is
available. Margin is isolated: a liquidation takes the margin of its position and nothing else.
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
PriceKind = Literal["latest_price", "mark_price", "index_price"]
SIGN: dict[TradeSide, int] = {"long": 1, "short": -1}


def money(amount: Decimal, rounding: str = ROUND_FLOOR) -> Decimal:
    """Return an amount in whole steps of money."""
    return amount.quantize(MONEY_STEP, rounding)


@dataclass(slots=True, kw_only=True)
class Trigger:
    """A stop or a target of a position; `amount` is None where it is for all of it."""

    trigger_id: int
    price: Decimal
    kind: PriceKind
    amount: Decimal | None
    created_ms: int


@dataclass(slots=True, kw_only=True)
class SimPosition:
    """The one net position of a market.

    Attributes:
        cost: What its size cost to open.
        entry_price: The average price it was opened at: the cost divided by the size.
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
        """Return its PnL if it were closed at that price, without fees."""
        return SIGN[self.side] * (mark * self.size - self.cost)

    def bankruptcy_price(self) -> Decimal:
        """Return the price at which its margin is lost; 0 or less where that cannot be."""
        return (self.cost - SIGN[self.side] * self.margin) / self.size

    def liquidation_price(self, maintenance_rate: Decimal) -> Decimal | None:
        """Return the mark price at which it is liquidated; None where that cannot be."""
        price = self.bankruptcy_price() / (1 - SIGN[self.side] * maintenance_rate)
        return price if price > 0 else None


@dataclass(slots=True, kw_only=True)
class SimClosedPosition:
    """A position that ended, as it was when nothing was left, and by what."""

    position: SimPosition
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SimFill:
    """One fill, on one side of zero: it opened or closed."""

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
    """All the account holds. Of deals, ended positions and entries the newest `KEEP` are kept."""

    wallet: Decimal = NOTHING
    totals: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, SimPosition] = field(default_factory=dict)
    leverages: dict[str, int] = field(default_factory=dict)
    ended: list[SimClosedPosition] = field(default_factory=list)
    deals: list[SimFill] = field(default_factory=list)
    ledger: list[LedgerEntry] = field(default_factory=list)
    last_id: int = FIRST_ID

    def next_id(self) -> int:
        """Return a number nothing else has."""
        self.last_id += 1
        return self.last_id

    @property
    def margin(self) -> Decimal:
        """Return what lies with positions."""
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
        """Execute: first reduce an opposite position, then open with what is left.

        Args:
            how: By what a position ends, if this ends one.

        Returns:
            One deal, or two where it turned the position round.
        """
        deal = partial(
            self._deal, side=side, price=price,
            role=role, fee_rate=fee_rate, order_id=order_id, at_ms=at_ms,
        )  # fmt: skip
        deals = []
        held = self.positions.get(market)
        if held is not None and CLOSES[held.side] == side:
            closing = min(amount, held.size)
            pnl = self._reduce(held, price, closing)
            deals.append(deal(held, amount=closing, pnl=pnl))
            amount -= closing
            if not held.size:
                self._end(held, how)
        if amount:
            held = self.positions.get(market)
            if held is None:
                held = SimPosition(
                    position_id=self.next_id(),
                    market=market,
                    side="long" if OPENS["long"] == side else "short",
                    leverage=self.leverage(market),
                    created_ms=at_ms,
                    updated_ms=at_ms,
                )
                self.positions[market] = held
            _enlarge(held, price, amount)
            deals.append(deal(held, amount=amount, pnl=NOTHING))
        return deals

    def fund(self, market: str, rate: Decimal, mark: Decimal, at_ms: int) -> Decimal:
        """Pay or receive funding: a positive rate is paid by longs; return what was received.

        What is not available for it is taken from the position's own margin.
        """
        held = self.positions[market]
        amount = money(-SIGN[held.side] * rate * mark * held.size)
        held.realized += amount
        self._book("funding", market, amount, held.position_id, at_ms)
        lacking = self.margin - self.wallet
        if lacking > 0:
            held.margin -= min(lacking, held.margin)
        return amount

    def liquidate(
        self, market: str, mark: Decimal, tick: Decimal, order_id: int, at_ms: int
    ) -> SimFill:
        """Close a position at the mark, and keep what is left of its margin as the fee.

        Beyond the bankruptcy price others bear the loss: the position is closed at that price,
        rounded to the tick in favour of the account.
        """
        held = self.positions[market]
        sign = SIGN[held.side]
        ticks = held.bankruptcy_price() / tick
        bound = ticks.to_integral_value(ROUND_CEILING if sign > 0 else ROUND_FLOOR) * tick
        price = max(mark, bound) if sign > 0 else min(mark, bound)
        margin, amount, side = held.margin, held.size, CLOSES[held.side]
        pnl = self._reduce(held, price, amount)
        deal = self._deal(
            held, side, price, amount,
            pnl=pnl, role="taker", fee_rate=NOTHING, order_id=order_id, at_ms=at_ms,
        )  # fmt: skip
        fee = max(margin + pnl, NOTHING)
        held.realized -= fee
        self._book("liquidation", market, -fee, held.position_id, at_ms)
        self._end(held, "liq")
        return deal

    def move_margin(self, market: str, amount: Decimal, at_ms: int) -> None:
        """Add available money to a position's margin, or take (negative) from it."""
        held = self.positions[market]
        held.margin += money(amount)
        held.most_margin = max(held.most_margin, held.margin)
        held.updated_ms = at_ms

    def _reduce(self, held: SimPosition, price: Decimal, amount: Decimal) -> Decimal:
        whole = amount == held.size
        cost = held.cost if whole else money(held.cost * amount / held.size)
        margin = held.margin if whole else money(held.margin * amount / held.size)
        held.size -= amount
        held.cost -= cost
        held.margin -= margin
        return SIGN[held.side] * (money(price * amount) - cost)

    def _deal(
        self, held: SimPosition, side: OrderSide, price: Decimal, amount: Decimal, *, pnl: Decimal,
        role: Role, fee_rate: Decimal, order_id: int, at_ms: int,
    ) -> SimFill:  # fmt: skip
        fee = money(price * amount * fee_rate, ROUND_CEILING)
        deal = SimFill(
            deal_id=self.next_id(),
            at_ms=at_ms,
            market=held.market,
            side=side,
            order_id=order_id,
            position_id=held.position_id,
            price=price,
            amount=amount,
            role=role,
            fee=fee,
        )
        self.deals.append(deal)
        del self.deals[:-KEEP]
        held.realized += pnl - fee
        held.updated_ms = at_ms
        self._book("pnl", held.market, pnl, deal.deal_id, at_ms)
        self._book("fee", held.market, -fee, deal.deal_id, at_ms)
        return deal

    def _end(self, held: SimPosition, how: str) -> None:
        del self.positions[held.market]
        self.ended.append(SimClosedPosition(position=held, how=how))
        del self.ended[:-KEEP]

    def _book(self, kind: Booking, market: str, amount: Decimal, number: int, at_ms: int) -> None:
        self.wallet += amount
        self.totals[kind] = self.totals.get(kind, NOTHING) + amount
        if amount:
            self.ledger.append(
                LedgerEntry(at_ms=at_ms, kind=kind, market=market, amount=amount, number=number)
            )
            del self.ledger[:-KEEP]


def _enlarge(held: SimPosition, price: Decimal, amount: Decimal) -> None:
    value = money(price * amount)
    held.size += amount
    held.cost += value
    held.entry_price = held.cost / held.size
    held.margin += money(value / held.leverage, ROUND_CEILING)
    held.opened_value += value
    held.most_size = max(held.most_size, held.size)
    held.most_value = max(held.most_value, held.cost)
    held.most_margin = max(held.most_margin, held.margin)
