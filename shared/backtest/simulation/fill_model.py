"""What a backtest assumes of the venue and of the operator, each by a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.backtest.simulation.bar_prices import PathKind
from shared.evidence.hashes import FILLS

Detail = Literal["5m", "1m"]
FundingKind = Literal["recorded", "made", "none"]
Release = Literal["never", "daily"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FillModel:
    """The assumptions of a backtest.

    Attributes:
        path: How the price moves inside a candle; see `bar_prices`.
        detail: Of which candles a path is made; of 5m ones where there are no others.
        latency_ms: From the prices that a plan is made by to its order at the venue.
        funding: Which rates are paid: recorded ones, where there are, else the simulated venue's
            made-up ones; made-up ones alone; or none.
        start_quote: The account's first equity, in quote currency.
        release: When latched breakers are released: never, or each day at 00:00 UTC.
        fills: Number of the code that fills.
    """

    path: PathKind = "adverse"
    detail: Detail = "5m"
    latency_ms: int = 0
    funding: FundingKind = "recorded"
    start_quote: float = 10_000.0
    release: Release = "never"
    fills: int = FILLS
