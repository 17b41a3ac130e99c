"""Recorded funding rates as the simulated venue's schedule; where there are none, its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from shared.exchanges.sim.funding import UsualFunding
from shared.exchanges.sim.rules import FUNDING_MS, next_funding_ms
from shared.market import Floats, Times
from shared.trading.amounts import exact

NEVER_MS = 2**62
_NOTHING = Decimal(0)

Coverage = Literal["recorded", "partly", "made"]


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRates:
    """Recorded funding rates of one coin, oldest first.

    Shapes: times, rates (rates,).
    Units:  epoch ms; shares of a position's value, which longs pay if positive.

    Attributes:
        known: Ranges of time, in order and apart, of which these are all rates; outside of them
            funding is the simulated venue's.
    """

    times: Times
    rates: Floats
    known: tuple[tuple[int, int], ...]

    def next_ms(self, after_ms: int) -> int:
        """Return when funding is paid next."""
        place = int(self.times.searchsorted(after_ms, side="right"))
        made_ms = next_funding_ms(after_ms)
        for since_ms, until_ms in self.known:
            if since_ms <= made_ms < until_ms:
                made_ms = next_funding_ms(until_ms - 1)
        return min(made_ms, int(self.times[place])) if place < len(self.times) else made_ms

    def at(self, at_ms: int) -> Decimal | None:
        """Return the recorded rate of a time; 0 where none was paid, None where that is unknown."""
        place = int(self.times.searchsorted(at_ms))
        if place < len(self.times) and self.times[place] == at_ms:
            return exact(float(self.rates[place]))
        return _NOTHING if self._is_known(at_ms) else None

    def covers(self, from_ms: int, to_ms: int) -> Coverage:
        """Return whether rates are known in all of a time, in a part of it, or not at all."""
        inside = [(max(a, from_ms), min(b, to_ms)) for a, b in self.known]
        covered_ms = sum(max(0, until - since) for since, until in inside)
        if not covered_ms:
            return "made"
        return "recorded" if covered_ms >= to_ms - from_ms else "partly"

    def between(self, from_ms: int, to_ms: int) -> RecordedRates:
        """Return what is known of `[from_ms, to_ms)`."""
        first, end = self.times.searchsorted([from_ms, to_ms])
        inside = ((max(a, from_ms), min(b, to_ms)) for a, b in self.known)
        return RecordedRates(
            self.times[first:end], self.rates[first:end], tuple(r for r in inside if r[0] < r[1])
        )

    def _is_known(self, at_ms: int) -> bool:
        return any(since_ms <= at_ms < until_ms for since_ms, until_ms in self.known)


class RecordedFunding(UsualFunding):
    """Recorded rates at their times; of coins and times without, made-up ones."""

    def __init__(self, rates: Mapping[str, RecordedRates]) -> None:
        self._rates = rates

    def next_ms(self, markets: Iterable[str], after_ms: int) -> int:
        return min((self._next_ms(market, after_ms) for market in markets), default=NEVER_MS)

    def _next_ms(self, market: str, after_ms: int) -> int:
        known = self._rates.get(market)
        return next_funding_ms(after_ms) if known is None else known.next_ms(after_ms)

    def rate(self, market: str, at_ms: int) -> Decimal:
        known = self._rates.get(market)
        found = None if known is None else known.at(at_ms)
        if found is not None:
            return found
        return _NOTHING if at_ms % FUNDING_MS else super().rate(market, at_ms)
