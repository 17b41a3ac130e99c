"""The probability of overfitting, counted once more by hand and where it is known."""

from __future__ import annotations

import statistics
from itertools import combinations

import numpy as np
import pytest

from shared.backtest.statistics.overfitting import BLOCKS, overfitting_probability
from shared.market import Floats


def counted(returns: Floats, blocks: int) -> float:
    """Return it as the paper words it, one half after the other."""
    days = len(returns)
    parts = [range(days * block // blocks, days * (block + 1) // blocks) for block in range(blocks)]
    below = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside, outside = (
            [
                ratio([setting[day] for block in part for day in parts[block]])
                for setting in returns.T.tolist()
            ]
            for part in (chosen, [block for block in range(blocks) if block not in chosen])
        )
        reached = outside[inside.index(max(inside))]
        rank = 1 + sum(other < reached for other in outside)
        below.append(rank <= (len(outside) + 1) / 2)
    return statistics.fmean(below)


def ratio(values: list[float]) -> float:
    return statistics.fmean(values) / statistics.pstdev(values)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("days", "settings", "blocks"), [(16, 5, 4), (33, 4, 6)])
def test_it_is_what_the_paper_words(seed: int, days: int, settings: int, blocks: int) -> None:
    returns = np.random.default_rng(seed).normal(0.02, 1.0, (days, settings))
    assert overfitting_probability(returns, blocks) == pytest.approx(counted(returns, blocks))


def test_settings_that_differ_by_luck_alone_give_a_half_on_average() -> None:
    rng = np.random.default_rng(1)
    found = [overfitting_probability(rng.normal(size=(100, 20))) for _ in range(100)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_setting_better_than_the_others_everywhere_gives_0() -> None:
    returns = np.random.default_rng(2).normal(0.0, 1.0, (100, 50))
    returns[:, 17] += 2.0
    assert overfitting_probability(returns) == 0.0


def test_what_was_best_and_then_is_worst_gives_1() -> None:
    # Each gains in one block what it loses in the others: the best of one half loses in the other.
    returns = np.random.default_rng(3).normal(0.0, 1e-3, (BLOCKS * 5, BLOCKS))
    block = np.arange(len(returns)) // 5
    returns += np.where(block[:, None] == np.arange(BLOCKS), 1.0, -1.0 / (BLOCKS - 1))
    assert overfitting_probability(returns) == 1.0


def test_settings_that_are_equal_give_no_choice() -> None:
    one = np.random.default_rng(4).normal(0.5, 1.0, (60, 1))
    assert overfitting_probability(np.repeat(one, 7, axis=1)) == 1.0


def test_scale_and_order_of_settings_do_not_count() -> None:
    rng = np.random.default_rng(5)
    returns = rng.normal(0.05, 1.0, (90, 30))
    found = overfitting_probability(returns)
    scaled = returns * rng.uniform(1e-4, 10.0, 30)
    assert overfitting_probability(scaled[:, rng.permutation(30)]) == found


def test_setting_that_did_not_trade_in_a_half_has_a_ratio_of_0_there() -> None:
    returns = np.random.default_rng(6).normal(-1.0, 1.0, (100, 3))
    returns[:50, 0] = 0.0  # better than losing
    returns[50:, 0] += 3.0
    assert overfitting_probability(returns) == 0.0


@pytest.mark.parametrize(("shape", "blocks"), [((100, 1), 10), ((19, 5), 10), ((100, 5), 9)])
def test_too_little_is_refused(shape: tuple[int, int], blocks: int) -> None:
    with pytest.raises(ValueError, match="expected at least 2 settings"):
        overfitting_probability(np.random.default_rng(7).normal(size=shape), blocks)
