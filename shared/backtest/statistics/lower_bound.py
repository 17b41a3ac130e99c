"""How low the mean of a hold-out's trades may truly be."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from shared.backtest.bootstrap import DAY_MS, student_t
from shared.market import Floats, Times

BLOCK_DAYS = 3
"""Trades of one block may depend on each other; the verdict's, too."""


class Bound(NamedTuple):
    """A mean and its lower bound; `lower` is NaN with fewer than 2 blocks."""

    mean: float
    lower: float
    blocks: int


def lower_bound(results: Floats, entered_ms: Times, level_pct: float) -> Bound:
    """Return the mean of trades, and the one-sided lower bound of the true mean.

    Not a bootstrap: where a hold-out was opened often, the level is so high that drawn samples
    have nothing there.

    Shapes: results, entered_ms (trades,), in any order.
    Units:  results in R, as the mean and its bound; entered_ms epoch ms; level_pct in percent.
    Raises: ValueError: shapes differ, no trade, a result that is not finite, or a level outside 50
        to 100.
    Source: the ratio of sums over blocks with its linearised variance (Cochran 1977, 6.4; the same
        as a cluster-robust standard error), and Student's t with one degree of freedom less than
        blocks.
    """
    if not (results.shape == entered_ms.shape and len(results) and 50 <= level_pct < 100):
        raise ValueError(
            f"{results.shape} results, {entered_ms.shape} times, level {level_pct:g} %: expected "
            "as many times as results, at least one, and a level from 50 to 100"
        )
    if not np.isfinite(results).all():
        raise ValueError("a result is not finite: every trade has one")
    _, block = np.unique(entered_ms // (BLOCK_DAYS * DAY_MS), return_inverse=True)
    number = np.bincount(block).astype(np.float64)
    total, blocks = np.bincount(block, results), len(number)
    mean = float(results.mean())
    if blocks < 2:
        return Bound(mean, math.nan, blocks)
    left = total - mean * number
    error = math.sqrt(blocks / (blocks - 1) * float(left @ left)) / len(results)
    return Bound(mean, mean - student_t(level_pct / 100.0, blocks - 1) * error, blocks)
