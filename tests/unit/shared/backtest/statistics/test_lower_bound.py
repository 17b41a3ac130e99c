"""The lower bound of a mean: by hand, by its coverage, and against SciPy's t."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shared.backtest.bootstrap import DAY_MS
from shared.backtest.statistics.lower_bound import BLOCK_DAYS, lower_bound
from shared.evidence.record import level_pct

BLOCK_MS = BLOCK_DAYS * DAY_MS


def test_bound_is_that_of_a_hand_computed_ratio() -> None:
    # three blocks: (1, 2), (0), (-1, 2, 1, 1); mean 6/7; left: 9/7, -6/7, -3/7; t(0.95, 2) = 2.920
    results = np.array([1.0, 2.0, 0.0, -1.0, 2.0, 1.0, 1.0])
    block = np.array([0, 0, 1, 2, 2, 2, 2])
    found = lower_bound(results, block * BLOCK_MS + 1000, 95.0)
    error = math.sqrt(3 / 2 * (81 + 36 + 9) / 49) / 7
    assert found.mean == pytest.approx(6 / 7)
    assert found.blocks == 3
    # the approximation of t is rough at 2 degrees of freedom
    assert (found.mean - found.lower) / error == pytest.approx(2.920, rel=0.01)
    order = [6, 0, 3, 2, 5, 1, 4]
    again = lower_bound(results[order], block[order] * BLOCK_MS + 1000, 95.0)
    assert again.lower == pytest.approx(found.lower)


def test_one_trade_a_block_is_the_bound_of_a_mean() -> None:
    results = np.random.default_rng(1).normal(0.1, 1.3, 30)
    found = lower_bound(results, np.arange(30) * BLOCK_MS, 95.0)
    # t(0.95, 29) = 1.6991, a table's
    assert found.lower == pytest.approx(
        results.mean() - 1.6991 * results.std(ddof=1) / math.sqrt(30), abs=1e-4
    )


@pytest.mark.parametrize(("openings", "t"), [(1, 1.8331), (2, 2.2622), (5, 2.8214), (50, 4.2968)])
def test_more_openings_ask_for_more_by_students_t(openings: int, t: float) -> None:
    """Of 10 blocks: quantiles of t with 9 degrees of freedom, from a table."""
    results = np.random.default_rng(2).normal(0.1, 1.0, 10)
    found = lower_bound(results, np.arange(10) * BLOCK_MS, level_pct(openings))
    error = results.std(ddof=1) / math.sqrt(10)
    assert (results.mean() - found.lower) / error == pytest.approx(t, rel=3e-3)


@pytest.mark.parametrize("openings", [1, 5])
def test_bound_is_above_the_truth_no_more_often_than_it_says(openings: int) -> None:
    """On made trades whose blocks have a common part, as coins that fall together have."""
    rng, runs, false = np.random.default_rng(7), 2000, 0
    for _ in range(runs):
        number = rng.poisson(12, 12) + 1
        block = np.repeat(np.arange(12), number)
        common = np.repeat(rng.normal(0.0, 0.4, 12), number)
        results = common + np.where(rng.random(len(block)) < 1 / 3, 2.0, -1.0)
        false += lower_bound(results, block * BLOCK_MS, level_pct(openings)).lower > 0.0
    said = 0.05 / openings
    assert false / runs < said + 3 * math.sqrt(said / runs)


@pytest.mark.parametrize(
    ("results", "level"), [([], 95.0), ([1.0, 2.0], 95.0), ([math.nan], 95.0), ([1.0], 100.0)]
)
def test_what_has_no_bound_is_refused(results: list[float], level: float) -> None:
    with pytest.raises(ValueError):
        lower_bound(np.array(results), np.zeros(min(len(results), 1), dtype=np.int64), level)


def test_a_single_block_has_no_bound() -> None:
    found = lower_bound(np.array([1.0, 2.0]), np.array([0, 1]), 95.0)
    assert math.isnan(found.lower)
