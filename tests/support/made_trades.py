"""Made results of trades whose true mean is zero: what an interval should hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from shared.backtest.bootstrap import DAY_MS, Blocks
from shared.market import Floats, Times

PER_DAY = 20
MARKET = 0.5
"""R that the market gives or takes on a day, in standard deviations."""


def made_trades(days: int, rng: np.random.Generator) -> tuple[Floats, Times]:
    """Return results in R and times of entry of as many days, without a day that has none.

    Each wins 2 R or loses 1 R, and its market's: it lasts a day, so that of two days in part. There
    are many trades on some days and few on others.
    """
    counts = 1 + rng.poisson((PER_DAY - 1) * rng.gamma(2.0, 0.5, days))
    day = np.repeat(np.arange(days), counts)
    part = rng.random(len(day))
    market = rng.normal(0.0, MARKET, days + 1)
    own = np.where(rng.random(len(day)) < 1 / 3, 2.0, -1.0)
    times = (day * DAY_MS + part * DAY_MS).astype(np.int64)
    return own + (1.0 - part) * market[day] + part * market[day + 1], times


def intervals(
    blocks: int, block_days: int, runs: int, rng: np.random.Generator, draws: int
) -> Iterator[tuple[float, float]]:
    """Yield the intervals of the mean of made trades in as many blocks."""
    for _ in range(runs):
        values, times = made_trades(blocks * block_days, rng)
        drawn = Blocks(times, block_days, rng, draws=draws)
        groups = np.zeros(len(values), dtype=np.int64)
        means = drawn.means(values, groups, drawn.at(times), 1)
        yield float(means.low[0]), float(means.high[0])


def coverage_pct(found: Iterator[tuple[float, float]]) -> float:
    return 100.0 * float(np.mean([low <= 0.0 <= high for low, high in found]))
