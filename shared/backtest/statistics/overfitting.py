"""Whether choosing the best setting chooses anything."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from shared.market import Floats

BLOCKS = 10


def overfitting_probability(returns: Floats, blocks: int = BLOCKS) -> float:
    """Return how often the best of one half of the days is below the middle in the other (PBO).

    The days are cut into blocks; every way to put half of them together is one half, the rest the
    other. Settings that differ by luck alone give about 0.5, with much scatter; a setting that is
    better than the others everywhere gives 0. The best of each half is that of the highest Sharpe
    ratio per day.

    Shapes: returns (days, settings).
    Units:  share of the equity (any scale gives the same); result 0 to 1.
    Raises: ValueError: fewer than two settings, an odd number of blocks, or not 2 days per block.
    Source: Bailey, Borwein, Lopez de Prado and Zhu 2015, "The Probability of Backtest Overfitting",
        by combinatorially symmetric cross-validation. A setting without a change in one half has a
        Sharpe ratio of 0 there. Settings that are equal share a rank.
    """
    days, settings = returns.shape
    if settings < 2 or blocks % 2 or days < 2 * blocks:
        raise ValueError(
            f"{settings} settings, {days} days, {blocks} blocks: expected at least 2 settings, an "
            "even number of blocks, and 2 days for each"
        )
    starts = np.arange(blocks) * days // blocks
    number = np.diff(starts, append=days)[:, None].astype(np.float64)
    total = np.add.reduceat(returns, starts)
    squares = np.add.reduceat(returns**2, starts)
    chosen = list(combinations(range(blocks), blocks // 2))
    halves = np.zeros((len(chosen), blocks))
    np.put_along_axis(halves, np.array(chosen), 1.0, axis=1)
    inside, outside = (
        _sharpe(half @ number, half @ total, half @ squares) for half in (halves, 1.0 - halves)
    )
    best = inside.argmax(axis=1)[:, None]
    reached = np.take_along_axis(outside, best, axis=1)
    rank = (outside < reached).sum(axis=1) + ((outside == reached).sum(axis=1) + 1) / 2.0
    return float(np.mean(rank <= (settings + 1) / 2.0))


def _sharpe(number: Floats, total: Floats, squares: Floats) -> Floats:
    """Return mean over standard deviation from sums, 0 where nothing changed."""
    mean = total / number
    variance = squares / number - mean**2
    ratios = np.zeros(mean.shape)
    np.divide(mean, np.sqrt(np.abs(variance)), out=ratios, where=variance > 1e-12 * mean**2)
    return ratios
