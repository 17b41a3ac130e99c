"""Order matching of the simulated venue: check, fill from the book, rest, cancel."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

from shared.exchanges.sim.account import NOTHING, SimAccount, SimPosition, money
from shared.exchanges.sim.book import Level, is_beyond, total, walk
from shared.exchanges.sim.errors import Reason, SimRefused, invalid
from shared.exchanges.sim.markets import VenueMarkets
from shared.exchanges.sim.orders import SimOrder
from shared.exchanges.sim.rules import MAKER_FEE, TAKER_FEE, VenueRule
from shared.exchanges.venue import CLOSES, OPENS, OrderKind, OrderSide, Role

_FARTHEST = Decimal("0.05")


class VenueOrders(VenueMarkets):
    """Markets that accept orders."""

    def place(
        self, market: str, side: OrderSide, kind: OrderKind, amount: Decimal,
        price: Decimal | None, *, client_id: str = "",
    ) -> SimOrder:  # fmt: skip
        """Accept an order, and fill at once what can be filled.

        Raises:
            SimRefused: It is refused; nothing has changed.
        """
        rule = self.rule(market)
        check_size(rule, amount, rule.least)
        return self._take(rule, side, kind, amount, price=price, client_id=client_id, closes=False)

    def close(
        self, market: str, kind: OrderKind, amount: Decimal | None, price: Decimal | None,
        *, client_id: str = "",
    ) -> SimOrder:  # fmt: skip
        """Accept an order that closes a position, `amount` or all that no other order closes.

        Raises:
            SimRefused: It is refused; nothing has changed.
        """
        rule = self.rule(market)
        position = self.position(market)
        free = self.closable(position)
        if amount is None:
            amount = free
        check_size(rule, amount, rule.step)
        if amount > free:
            raise invalid(f"amount {amount} is more than the {free} that can be closed")
        return self._take(
            rule, CLOSES[position.side], kind, amount, price=price, client_id=client_id, closes=True
        )

    def position(self, market: str) -> SimPosition:
        """Return a market's position.

        Raises:
            SimRefused: There is none.
        """
        position = self.account.positions.get(market)
        if position is None:
            self.rule(market)
            raise SimRefused(Reason.NO_POSITION, f"no position in {market}")
        return position

    def closable(self, position: SimPosition) -> Decimal:
        """Return how much of a position no resting order closes."""
        orders = self.state.orders.of(position.market)
        return position.size - sum((o.unfilled for o in orders if o.closes), NOTHING)

    def order(self, market: str, order_id: int) -> SimOrder:
        """Return an order, resting or over.

        Raises:
            SimRefused: There is none of that number in that market.
        """
        found = self.state.orders.find(order_id)
        if found is None or found.market != market:
            self.rule(market)
            raise SimRefused(Reason.NO_ORDER)
        return found

    def cancel(self, market: str, order_id: int) -> SimOrder:
        """Cancel a resting order.

        Raises:
            SimRefused: No such order rests.
        """
        order = self.order(market, order_id)
        if order not in self.state.orders.pending:
            raise SimRefused(Reason.NO_ORDER)
        self._cancel_order(order)
        return order

    def modify(
        self, market: str, order_id: int, amount: Decimal | None, price: Decimal | None
    ) -> SimOrder:
        """Change size or price of a resting order, which keeps its number.

        Raises:
            SimRefused: It does not rest, or the change is refused; it is unchanged.
        """
        old = self.order(market, order_id)
        if old not in self.state.orders.pending:
            raise SimRefused(Reason.NO_ORDER)
        rule = self.rule(market)
        amount = old.amount if amount is None else amount
        check_size(rule, amount, rule.step if old.closes else rule.least)
        if amount <= old.filled:
            raise invalid(f"amount {amount} is not more than the {old.filled} filled already")
        changed = copy.copy(old)
        changed.amount = amount
        changed.price = old.price if price is None else price
        changed.updated_ms = self.now_ms
        pending = self.state.orders.pending
        index = pending.index(old)
        pending.remove(old)
        try:
            self._execute(rule, changed)
        except SimRefused:
            pending.insert(index, old)
            raise
        return changed

    def _take(
        self, rule: VenueRule, side: OrderSide, kind: OrderKind, amount: Decimal, *,
        price: Decimal | None, client_id: str, closes: bool,
    ) -> SimOrder:  # fmt: skip
        order = SimOrder(
            order_id=self.account.last_id + 1,
            market=rule.market,
            side=side,
            kind=kind,
            amount=amount,
            price=None if kind == "market" else price,
            client_id=client_id,
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
            closes=closes,
        )
        self._execute(rule, order, new=True)
        return order

    def _execute(self, rule: VenueRule, order: SimOrder, *, new: bool = False) -> None:
        """Fill an order; let its rest rest, or cancel it.

        Raises:
            SimRefused: It is refused; nothing has changed.
        """
        if not self.is_open(rule.market):
            raise SimRefused(Reason.STOPPED)
        fills = self._matches(rule, order)
        rests = order.kind in ("limit", "maker_only") and total(fills) < order.unfilled
        frozen = self._needed(order, fills, rests=rests)
        if new:
            self.account.next_id()
        order.frozen = frozen
        self._books.take(rule.market, order.side, fills, self.now_ms)
        for fill in fills:
            self._fill(order, fill, "taker", order.kind)
        if rests:
            self.state.orders.rest(order)
        else:
            if order.unfilled:
                order.cancel(self.now_ms)
            self.state.orders.finish(order)
        self.changed = True

    def _matches(self, rule: VenueRule, order: SimOrder) -> list[Level]:
        """Return an order's immediate fills."""
        levels = self.against(rule.market, order.side)
        if order.kind == "market":
            fills = walk(levels, order.unfilled, None)
            if total(fills) < order.unfilled:
                raise SimRefused(Reason.TOO_THIN)
            return fills
        price = order.price
        if price is None or price <= 0 or price % rule.tick:
            raise invalid(f"price {price} is no multiple of the tick size {rule.tick}")
        far = _FARTHEST if order.side == "buy" else -_FARTHEST
        if is_beyond(price, order.side, self.mark(rule.market) * (1 + far)):
            raise SimRefused(Reason.TOO_FAR)
        fills = walk(levels, order.unfilled, (order.side, price))
        if order.kind == "fok" and total(fills) < order.unfilled:
            raise SimRefused(Reason.NOT_WHOLE)
        if order.kind == "maker_only" and fills:
            raise SimRefused(Reason.NOT_MAKER)
        return fills

    def _needed(self, order: SimOrder, fills: Sequence[Level], *, rests: bool) -> Decimal:
        """Return the money to freeze for the rest of an order.

        Raises:
            SimRefused: The money for the order is not available.
        """
        if order.closes:
            return NOTHING
        trial = SimAccount(wallet=self.available, positions={}, leverages=self.account.leverages)
        position = self.account.positions.get(order.market)
        if position is not None:
            trial.wallet += position.margin
            trial.positions[order.market] = copy.copy(position)
        opens = _opens(position, order.side, order.unfilled)
        for price, size in fills:
            trial.fill(
                order.market, order.side, price, size,
                role="taker", fee_rate=TAKER_FEE, order_id=0, at_ms=self.now_ms, how="",
            )  # fmt: skip
        frozen = NOTHING
        if rests and order.price is not None:
            rest = order.unfilled - total(fills)
            left = trial.positions.get(order.market)
            opening = _opens(left, order.side, rest)
            leverage = left.leverage if left else self.account.leverage(order.market)
            frozen = money(order.price * (opening / leverage + rest * TAKER_FEE), ROUND_CEILING)
        if opens and trial.wallet - trial.margin - frozen < 0:
            raise SimRefused(Reason.NO_BALANCE)
        return frozen

    def _fill(self, order: SimOrder, fill: Level, role: Role, how: str) -> None:
        before = self.account.totals.get("pnl", NOTHING)
        deals = self.account.fill(
            order.market, order.side, fill.price, fill.size,
            role=role, fee_rate=TAKER_FEE if role == "taker" else MAKER_FEE,
            order_id=order.order_id, at_ms=self.now_ms, how=how,
        )  # fmt: skip
        order.take(deals, self.account.totals["pnl"] - before)
        self._cancel_orphans(order.market, order)
        self.changed = True

    def _cancel_order(self, order: SimOrder) -> None:
        order.cancel(self.now_ms)
        self.state.orders.finish(order)
        self.changed = True

    def _cancel_orphans(self, market: str, cause: SimOrder) -> None:
        """Cancel closing orders of a position that is gone or reversed."""
        position = self.account.positions.get(market)
        side = CLOSES[position.side] if position is not None else None
        for other in self.state.orders.of(market):
            if other.closes and other is not cause and other.side != side:
                self._cancel_order(other)


def _opens(position: SimPosition | None, side: OrderSide, amount: Decimal) -> Decimal:
    """Return how much of an order opens or enlarges a position, after reducing an opposite one."""
    if position is None or OPENS[position.side] == side:
        return amount
    return max(amount - position.size, NOTHING)


def check_size(rule: VenueRule, amount: Decimal, least: Decimal) -> None:
    """Refuse a size that is too small or no multiple of the step."""
    if amount < least:
        raise SimRefused(Reason.TOO_SMALL)
    if amount % rule.step:
        raise invalid(f"amount {amount} is no multiple of {rule.step}")
