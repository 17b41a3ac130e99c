"""Orders at the simulated venue, resting and ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from shared.exchanges.sim.account import KEEP, NOTHING, SimFill, money
from shared.exchanges.venue import OrderKind, OrderSide, OrderState


@dataclass(slots=True, kw_only=True)
class SimOrder:
    """One order.

    Attributes:
        price: None for market orders.
        frozen: Money set aside for it while it rests.
        closes: It may only reduce the position.
    """

    order_id: int
    market: str
    side: OrderSide
    kind: OrderKind
    amount: Decimal
    price: Decimal | None
    client_id: str
    created_ms: int
    updated_ms: int
    closes: bool = False
    filled: Decimal = NOTHING
    value: Decimal = NOTHING
    fee: Decimal = NOTHING
    realized: Decimal = NOTHING
    last_amount: Decimal = NOTHING
    last_price: Decimal = NOTHING
    frozen: Decimal = NOTHING
    state: OrderState = "open"

    @property
    def unfilled(self) -> Decimal:
        return self.amount - self.filled

    def take(self, deals: Sequence[SimFill], realized: Decimal) -> None:
        """Add deals; `realized` is their PnL without fees."""
        for deal in deals:
            self.filled += deal.amount
            self.value += money(deal.price * deal.amount)
            self.fee += deal.fee
            self.last_amount, self.last_price = deal.amount, deal.price
            self.updated_ms = deal.at_ms
        self.realized += realized
        self.state = "filled" if not self.unfilled else "part_filled"

    def cancel(self, at_ms: int) -> None:
        self.state = "part_canceled" if self.filled else "canceled"
        self.updated_ms = at_ms


@dataclass(slots=True, kw_only=True)
class SimOrders:
    """Resting orders, oldest first, and the newest `KEEP` ended ones."""

    pending: list[SimOrder] = field(default_factory=list)
    over: list[SimOrder] = field(default_factory=list)

    @property
    def frozen(self) -> Decimal:
        """Return the money set aside for resting orders."""
        return sum((order.frozen for order in self.pending), NOTHING)

    def of(self, market: str) -> list[SimOrder]:
        return [order for order in self.pending if order.market == market]

    def find(self, order_id: int) -> SimOrder | None:
        """Return an order by its number, resting or ended."""
        both = (*self.pending, *reversed(self.over))
        return next((order for order in both if order.order_id == order_id), None)

    def rest(self, order: SimOrder) -> None:
        self.pending.append(order)

    def finish(self, order: SimOrder) -> None:
        """Move a filled or cancelled order to the ended ones."""
        order.frozen = NOTHING
        if order in self.pending:
            self.pending.remove(order)
        self.over.append(order)
        del self.over[:-KEEP]

    def finished(self) -> list[SimOrder]:
        """Return the orders the venue lists as finished: not those cancelled without a fill."""
        return [order for order in self.over if order.filled]
