"""The first level that a price path reaches: liquidation, stop, target or order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import Literal

from shared.exchanges.sim.account import SimPosition, Trigger
from shared.exchanges.sim.book import spacing
from shared.exchanges.sim.orders import SimOrder
from shared.exchanges.sim.prices import Corner
from shared.exchanges.sim.rules import VenueRule

Cause = Literal["liquidation", "stop", "target", "order"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A price level being watched; `falling`: reached from above."""

    cause: Cause
    level: Decimal
    falling: bool
    what: Trigger | SimOrder | None = None

    def is_reached(self, price: Decimal) -> bool:
        """Return whether a price is at the level or beyond it."""
        return price <= self.level if self.falling else price >= self.level


@dataclass(frozen=True, slots=True)
class Hit:
    """A level that was reached; after a jump the price is beyond it. `rest`: the path from it."""

    at_ms: int
    price: Decimal
    watch: Watch
    rest: Sequence[Corner]


def watches(
    rule: VenueRule, position: SimPosition | None, orders: Sequence[SimOrder]
) -> Iterator[Watch]:
    """Yield the levels of a market; of several reached at once, the first counts."""
    if position is not None:
        long = position.side == "long"
        level = position.liquidation_price(rule.maintenance_rate(position.size))
        if level is not None:
            yield Watch(cause="liquidation", level=level, falling=long)
        for stop in position.stops:
            yield Watch(cause="stop", level=stop.price, falling=long, what=stop)
        for target in position.targets:
            yield Watch(cause="target", level=target.price, falling=not long, what=target)
    for order in orders:
        if order.price is not None:
            # the other side's best price is this far from the price
            gap = spacing(rule, order.price)
            buys = order.side == "buy"
            level = order.price - gap if buys else order.price + gap
            yield Watch(cause="order", level=level, falling=buys, what=order)


def first_hit(path: Sequence[Corner], waiting: Sequence[Watch], tick: Decimal) -> Hit | None:
    """Return the first level reached on a path, or None.

    A level reached at the first corner is hit there. On a straight segment the price of a hit is
    the level, rounded to the tick beyond it; after a jump it is the price jumped to.
    """
    if not path or not waiting:
        return None
    for watch in waiting:
        if watch.is_reached(path[0].price):
            return Hit(path[0].at_ms, path[0].price, watch, path)
    for number, (start, end) in enumerate(pairwise(path), 1):
        reached = [watch for watch in waiting if watch.is_reached(end.price)]
        if not reached:
            continue
        if start.at_ms == end.at_ms:
            return Hit(end.at_ms, end.price, reached[0], path[number:])
        watch = min(reached, key=lambda w: abs(w.level - start.price))
        at = _on_straight(start, end, watch, tick)
        return Hit(at.at_ms, at.price, watch, [at, *path[number:]])
    return None


def _on_straight(start: Corner, end: Corner, watch: Watch, tick: Decimal) -> Corner:
    share = (watch.level - start.price) / (end.price - start.price)
    passed_ms = ((end.at_ms - start.at_ms) * share).to_integral_value(ROUND_CEILING)
    rounding = ROUND_FLOOR if watch.falling else ROUND_CEILING
    price = (watch.level / tick).to_integral_value(rounding) * tick
    bound = max if watch.falling else min
    return Corner(start.at_ms + int(passed_ms), bound(price, end.price))
