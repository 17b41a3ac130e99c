"""What a backtest assumes of the venue and of the operator, each by a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.backtest.simulation.bar_prices import PathKind

Release = Literal["never", "daily"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FillModel:
    """The assumptions of a backtest.

    Attributes:
        path: How the price moves inside a candle; see `bar_prices`.
        latency_ms: From the prices that a plan is made by to its order at the venue.
        depth: Share of the simulated book that there is.
        has_funding: Whether the simulated venue's funding is paid; it is made up, not recorded.
        start_quote: The account's first equity, in quote currency.
        release: When latched breakers are released: never, or each day at 00:00 UTC.
    """

    path: PathKind = "adverse"
    latency_ms: int = 0
    depth: float = 1.0
    has_funding: bool = True
    start_quote: float = 10_000.0
    release: Release = "never"
