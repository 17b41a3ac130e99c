"""The simulated venue: orders, stops, targets, and the passage of time.

`advance` executes everything due since the last call, in order of time along the price paths.
Times are arguments, in epoch ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

from shared.errors import UnknownSymbol
from shared.exchanges.sim.account import NOTHING, PriceKind, SimPosition, Trigger, money
from shared.exchanges.sim.book import Level, total, walk, whole_ticks
from shared.exchanges.sim.errors import Reason, SimRefused, invalid
from shared.exchanges.sim.matching import VenueOrders, check_size
from shared.exchanges.sim.orders import SimOrder
from shared.exchanges.sim.prices import Corner
from shared.exchanges.sim.rules import FUNDING_MS, VenueRule, next_funding_ms
from shared.exchanges.sim.triggers import Cause, Hit, first_hit, watches
from shared.exchanges.venue import CLOSES, OrderSide

MOST_TRIGGERS = 20
_REMEMBERED_MS = 600_000
_GAP_OUT = Decimal("0.005")  # price penalty of a forced close for what the book lacks


class SimVenue(VenueOrders):
    """One account at one venue."""

    def set_trigger(
        self, market: str, cause: Cause, kind: PriceKind, price: Decimal, amount: Decimal | None
    ) -> SimPosition:
        """Set a stop or a target; one for the whole position replaces all others.

        Raises:
            SimRefused: No position, a price off the ticks, or too many of them.
        """
        rule = self.rule(market)
        position = self.position(market)
        if price <= 0 or price % rule.tick:
            raise invalid(f"price {price} is no multiple of the tick size {rule.tick}")
        triggers = position.stops if cause == "stop" else position.targets
        if amount is None:
            triggers.clear()
        else:
            check_size(rule, amount, rule.step)
            if len(triggers) >= MOST_TRIGGERS:
                raise invalid(f"{market} has {MOST_TRIGGERS} of them already")
        triggers.append(
            Trigger(
                trigger_id=self.account.next_id(),
                price=price,
                kind=kind,
                amount=amount,
                created_ms=self.now_ms,
            )
        )
        position.updated_ms = self.now_ms
        self.changed = True
        return position

    def cancel_triggers(self, market: str, cause: Cause, trigger_id: int | None) -> SimPosition:
        """Remove one stop or target, or all of them.

        Raises:
            SimRefused: No position, or none of that number.
        """
        position = self.position(market)
        triggers = position.stops if cause == "stop" else position.targets
        gone = [t for t in triggers if trigger_id in (None, t.trigger_id)]
        if trigger_id is not None and not gone:
            raise invalid(f"{market} has none of the number {trigger_id}")
        for trigger in gone:
            triggers.remove(trigger)
        position.updated_ms = self.now_ms
        self.changed = True
        return position

    def set_leverage(self, market: str, leverage: int) -> None:
        """Set the leverage of a market; an open position's margin changes with it.

        Raises:
            SimRefused: The market does not offer it, or the margin is not available.
        """
        rule = self.rule(market)
        if leverage not in rule.leverages:
            raise invalid(f"leverage {leverage} is not among {rule.leverages}")
        position = self.account.positions.get(market)
        if position is not None:
            more = money(position.cost / leverage, ROUND_CEILING) - position.margin
            self._move_margin(position, more)
            position.leverage = leverage
        self.account.leverages[market] = leverage
        self.changed = True

    def move_margin(self, market: str, amount: Decimal) -> SimPosition:
        """Add to a position's margin, or take (negative) from it.

        Raises:
            SimRefused: The money is not available, or too little margin would be left.
        """
        position = self.position(market)
        self._move_margin(position, amount)
        self.changed = True
        return position

    def _move_margin(self, position: SimPosition, amount: Decimal) -> None:
        if amount > self.available:
            raise SimRefused(Reason.NO_BALANCE)
        mark = self.mark(position.market)
        least = position.cost / self.rule(position.market).leverages[-1]
        if (
            amount < 0
            and position.margin + amount + min(position.unrealized(mark), NOTHING) < least
        ):
            raise SimRefused(Reason.NO_BALANCE)
        self.account.move_margin(position.market, amount, self.now_ms)

    def transfer(self, amount: Decimal) -> None:
        """Book a deposit, or a withdrawal (negative) of what is available.

        Raises:
            SimRefused: More is withdrawn than is available.
        """
        if amount < 0 and -amount > self.available:
            raise SimRefused(Reason.NO_BALANCE)
        self.account.transfer(amount, self.now_ms)
        self.changed = True

    def set_funding_rate(self, market: str, rate: Decimal | None) -> None:
        """Set a market's funding rate from now on; None restores the generated one.

        Raises:
            SimRefused: No such market.
        """
        self.rule(market)
        self.state.rates.pop(market, None)
        if rate is not None:
            self.state.rates[market] = rate
        self.changed = True

    def advance(self, now_ms: int) -> None:
        """Execute everything due until a time; a time in the past changes nothing."""
        while self.now_ms < now_ms:
            due_ms = self.funding.next_ms(self.account.positions, self.now_ms)
            until_ms = min(now_ms, due_ms)
            self._pass(until_ms)
            if until_ms == due_ms:
                self._fund(due_ms)

    def skip(self, now_ms: int) -> None:
        """End a freeze: prices jump, then missed funding is paid."""
        missed = range(next_funding_ms(self.now_ms), now_ms + 1, FUNDING_MS)
        before = {m: price for m in self.state.busy() if (price := self.price(m)) is not None}
        self.state.at_ms = max(self.now_ms, now_ms)
        for market, price in before.items():
            path = [Corner(self.now_ms, price), Corner(self.now_ms, self.mark(market))]
            self._follow(market, path)
        for _ in missed:
            self._fund(self.now_ms - self.now_ms % FUNDING_MS)
        self.changed = True

    def _pass(self, until_ms: int) -> None:
        busy = self.state.busy()
        hits = {m: self._first(m, self._path(m, self.now_ms, until_ms)) for m in busy}
        while True:
            due = [(hit.at_ms, market) for market, hit in hits.items() if hit is not None]
            if not due:
                break
            market = min(due)[1]
            hit = hits[market]
            assert hit is not None, "it is due"
            self.state.at_ms = max(self.now_ms, hit.at_ms)
            self._happen(market, hit)
            hits[market] = self._first(market, hit.rest)
        self.state.at_ms = until_ms
        self.feed.forget(until_ms - _REMEMBERED_MS)

    def _path(self, market: str, from_ms: int, until_ms: int) -> Sequence[Corner]:
        """Return the price path since `from_ms`, or since the price became unknown."""
        from_ms = self._unknown_since_ms.pop(market, from_ms)
        try:
            path = self.feed.path(market, from_ms, until_ms)
        except UnknownSymbol:  # its recording is gone
            path = []
        if not path:
            self._unknown_since_ms[market] = from_ms
        return path

    def _first(self, market: str, path: Sequence[Corner]) -> Hit | None:
        if not path:
            return None
        rule = self.rule(market)
        waiting = watches(rule, self.account.positions.get(market), self.state.orders.of(market))
        return first_hit(path, list(waiting), rule.tick)

    def _follow(self, market: str, path: Sequence[Corner]) -> None:
        while (hit := self._first(market, path)) is not None:
            self._happen(market, hit)
            path = hit.rest

    def _happen(self, market: str, hit: Hit) -> None:
        what, rule = hit.watch.what, self.rule(market)
        if isinstance(what, SimOrder):
            self._fill_resting(rule, what)
        elif isinstance(what, Trigger):
            self._close_by(rule, hit, what)
        else:
            side = CLOSES[self.account.positions[market].side]
            amount = self.account.positions[market].size
            order = self._forced(rule, side, amount)
            before = self.account.totals.get("pnl", NOTHING)
            mark = whole_ticks(hit.price, rule.tick)
            deal = self.account.liquidate(market, mark, rule.tick, order.order_id, self.now_ms)
            order.take([deal], self.account.totals["pnl"] - before)
            self._cancel_orphans(market, order)
        self.changed = True

    def _fill_resting(self, rule: VenueRule, order: SimOrder) -> None:
        assert order.price is not None, "market orders do not rest"
        position = self.account.positions.get(order.market)
        size = order.unfilled
        if order.closes:
            size = (
                min(size, position.size)
                if position and CLOSES[position.side] == order.side
                else NOTHING
            )
        order.frozen = NOTHING
        try:
            self._needed(order, [Level(order.price, size)], rests=False)
        except SimRefused:
            size = NOTHING
        if not size:
            self._cancel_order(order)
            return
        self._fill(order, Level(order.price, size), "maker", "limit")
        if order.unfilled:
            order.cancel(self.now_ms)
        self.state.orders.finish(order)

    def _close_by(self, rule: VenueRule, hit: Hit, trigger: Trigger) -> None:
        """Close at market around the price of the hit, however thin the book is."""
        position = self.account.positions[rule.market]
        triggers = position.stops if hit.watch.cause == "stop" else position.targets
        triggers.remove(trigger)
        amount = position.size if trigger.amount is None else min(trigger.amount, position.size)
        side = CLOSES[position.side]
        levels = self._books.against(side, rule, hit.price, self.now_ms, self.depth)
        fills = walk(levels, amount, None)
        missing = amount - total(fills)
        if missing:
            sign = 1 if side == "buy" else -1
            fills.append(Level(whole_ticks(hit.price * (1 + sign * _GAP_OUT), rule.tick), missing))
        self._books.take(rule.market, side, fills, self.now_ms)
        order = self._forced(rule, side, amount)
        for fill in fills:
            self._fill(order, fill, "taker", hit.watch.cause)

    def _forced(self, rule: VenueRule, side: OrderSide, amount: Decimal) -> SimOrder:
        """Return a market order placed by the venue itself."""
        order = SimOrder(
            order_id=self.account.next_id(),
            market=rule.market,
            side=side,
            kind="market",
            amount=amount,
            price=None,
            client_id="",
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
            closes=True,
        )
        self.state.orders.finish(order)
        return order

    def _fund(self, at_ms: int) -> None:
        for market in list(self.account.positions):
            rate = self.funding_rate(market, at_ms)
            self.account.fund(market, rate, self.mark(market), self.now_ms)
            self.changed = True
