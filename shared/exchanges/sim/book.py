"""A small order book around the price.

The book is made from the price alone; what our orders took from it is missing for `REFILL_MS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import NamedTuple

from shared.exchanges.sim.rules import VenueRule
from shared.exchanges.venue import OrderSide

LEVELS = 50
REFILL_MS = 2000
_STEP = Decimal("0.00005")  # of the price, from the price to the best level and between levels
_FIRST_NOTIONAL = Decimal(1000)
_GROWTH = Decimal("0.25")  # each level is larger than the one before by so much of the first


class Level(NamedTuple):
    """Resting size at a price."""

    price: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SimBook:
    """An order book, best price first."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class BookMaker:
    """Makes books, less what orders took from them recently."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, OrderSide, Decimal], tuple[Decimal, int]] = {}

    def book(self, rule: VenueRule, price: Decimal, at_ms: int, share: Decimal) -> SimBook:
        """Return the book around a price; `share` below 1 makes it thin, at 0 it is empty."""
        return SimBook(
            bids=tuple(self.against("sell", rule, price, at_ms, share)),
            asks=tuple(self.against("buy", rule, price, at_ms, share)),
        )

    def against(
        self, side: OrderSide, rule: VenueRule, price: Decimal, at_ms: int, share: Decimal
    ) -> Iterator[Level]:
        """Yield the levels that an order of `side` trades with, best price first."""
        gap = spacing(rule, price) * (1 if side == "buy" else -1)
        middle = whole_ticks(price, rule.tick)
        for number in range(LEVELS):
            price = middle + gap * (number + 1)
            if price <= 0:
                break
            notional = _FIRST_NOTIONAL * (1 + _GROWTH * number) * share
            size = (notional / price).quantize(rule.step, ROUND_FLOOR)
            size -= self._missing((rule.market, side, price), at_ms)
            if size > 0:
                yield Level(price, size)

    def take(self, market: str, side: OrderSide, fills: Sequence[Level], at_ms: int) -> None:
        """Remove what an order of `side` took."""
        for price, size in fills:
            key = (market, side, price)
            self._taken[key] = (self._missing(key, at_ms) + size, at_ms)
        for key, (_, when_ms) in list(self._taken.items()):
            if at_ms - when_ms >= REFILL_MS:
                del self._taken[key]

    def _missing(self, key: tuple[str, OrderSide, Decimal], at_ms: int) -> Decimal:
        size, when_ms = self._taken.get(key, (Decimal(0), 0))
        return size if at_ms - when_ms < REFILL_MS else Decimal(0)


def whole_ticks(price: Decimal, tick: Decimal) -> Decimal:
    """Round a price to the nearest tick."""
    return (price / tick).to_integral_value(ROUND_HALF_UP) * tick


def spacing(rule: VenueRule, price: Decimal) -> Decimal:
    """Return the distance from the price to the best level, in whole ticks."""
    return max(whole_ticks(price * _STEP, rule.tick), rule.tick)


def walk(levels: Iterable[Level], amount: Decimal, limit: tuple[OrderSide, Decimal] | None
         ) -> list[Level]:  # fmt: skip
    """Return an order's fills, level by level, until it is filled, at its limit, or the book empty.

    Args:
        limit: The order's side and limit price; None for a market order.
    """
    found = []
    for price, size in levels:
        if not amount or (limit is not None and is_beyond(price, *limit)):
            break
        part = min(size, amount)
        found.append(Level(price, part))
        amount -= part
    return found


def is_beyond(price: Decimal, side: OrderSide, limit: Decimal) -> bool:
    """Return whether a price is worse than an order's limit."""
    return price > limit if side == "buy" else price < limit


def total(fills: Sequence[Level]) -> Decimal:
    return sum((fill.size for fill in fills), Decimal(0))
