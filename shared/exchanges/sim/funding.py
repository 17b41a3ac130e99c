"""When funding is paid at the simulated venue, and at which rate."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from shared.exchanges.sim.rules import next_funding_ms, usual_funding_rate


class FundingSchedule(Protocol):
    """Times and rates of funding."""

    def next_ms(self, markets: Iterable[str], after_ms: int) -> int:
        """Return when funding is paid next in any of some markets, after a time."""

    def rate(self, market: str, at_ms: int) -> Decimal:
        """Return the rate paid at a time; 0 if none is paid then."""


class UsualFunding:
    """Made-up rates at 00:00, 08:00 and 16:00 UTC."""

    def next_ms(self, markets: Iterable[str], after_ms: int) -> int:
        return next_funding_ms(after_ms)

    def rate(self, market: str, at_ms: int) -> Decimal:
        return usual_funding_rate(market, at_ms)
