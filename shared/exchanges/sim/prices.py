"""The simulated venue's price feed, and paths of prices."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple, Protocol


class Corner(NamedTuple):
    """A price at a time; straight lines in between, two at one time are a jump."""

    at_ms: int
    price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The last 24 hours of a market; volume in base, value in quote currency."""

    open: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    value: Decimal


class PriceFeed(Protocol):
    """Prices of the venue's markets; last, mark and index price are the same."""

    def symbols(self) -> Sequence[str]:
        """Return all markets."""

    def digits(self, symbol: str, at_ms: int) -> int:
        """Return the least number of decimals of prices."""

    def price(self, symbol: str, at_ms: int) -> Decimal | None:
        """Return the price at a time; None if unknown."""

    def path(self, symbol: str, from_ms: int, until_ms: int) -> Sequence[Corner]:
        """Return the price path, with a corner at `from_ms` and `until_ms`; empty if unknown."""

    def day(self, symbol: str, at_ms: int) -> Day | None:
        """Return the last 24 hours; None if too little is known."""

    def moved_ms(self, symbol: str, at_ms: int) -> int | None:
        """Return the time of the last price at or before a time."""

    def forget(self, before_ms: int) -> None:
        """Drop prices before a time, which are not requested any more."""


def between(corners: Sequence[Corner], from_ms: int, until_ms: int, digits: int) -> list[Corner]:
    """Return the part of a path between two times, with a corner at each.

    Args:
        corners: In order of time, the first at or before `from_ms`; else the result is empty.
            The last price stays.
        digits: Prices between corners are rounded down to this many decimals.
    """
    if not corners or corners[0].at_ms > from_ms:
        return []
    times = [corner.at_ms for corner in corners]
    first, last = bisect_right(times, from_ms), bisect_right(times, until_ms)
    path = [Corner(from_ms, price_at(corners, first, from_ms, digits)), *corners[first:last]]
    if path[-1].at_ms < until_ms:
        path.append(Corner(until_ms, price_at(corners, last, until_ms, digits)))
    return path


def price_at(corners: Sequence[Corner], following: int, at_ms: int, digits: int) -> Decimal:
    """Return the price at a time; `following` is the index of the first corner after it."""
    before = corners[following - 1]
    if following == len(corners) or before.at_ms == at_ms:
        return before.price
    after = corners[following]
    share = Decimal(at_ms - before.at_ms) / (after.at_ms - before.at_ms)
    price = before.price + (after.price - before.price) * share
    return price.quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR)
