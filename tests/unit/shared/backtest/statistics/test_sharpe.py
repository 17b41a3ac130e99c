"""Sharpe ratios, on the numbers that the papers print and on made returns."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from shared.backtest.statistics.sharpe import (
    ENOUGH_SETTINGS,
    best_by_chance,
    deflated_sharpe,
    probability_above,
    sharpe,
)
from shared.market import Floats


def test_ratio_is_mean_over_standard_deviation_and_0_where_nothing_changed() -> None:
    returns = np.random.default_rng(1).normal(0.1, 1.0, (50, 3))
    returns[:, 1] = 0.0
    first, still, last = sharpe(returns)
    for found, column in ((first, returns[:, 0]), (last, returns[:, 2])):
        values = column.tolist()
        assert found == pytest.approx(statistics.mean(values) / statistics.stdev(values))
    assert still == 0.0


@pytest.mark.parametrize("returns", [np.zeros((1, 3)), np.zeros(9), np.full((9, 2), np.nan)])
def test_returns_that_have_no_ratio_are_refused(returns: Floats) -> None:
    with pytest.raises(ValueError, match="expected finite numbers"):
        sharpe(returns)


# Bailey and Lopez de Prado 2012, 2 years of months of a hedge fund style: 0.913; 0.982 if it were
# normal.
@pytest.mark.parametrize(
    ("skew", "kurtosis", "expected"), [(-2.448, 10.164, 0.913), (0.0, 3.0, 0.982)]
)
def test_fat_tails_make_a_ratio_less_certain(skew: float, kurtosis: float, expected: float) -> None:
    assert probability_above(0.458, 0.0, 24, skew, kurtosis) == pytest.approx(expected, abs=5e-4)


# Bailey and Lopez de Prado 2014, section 4: 2.5 a year in 5 years of 250 days, the tries' variance
# 1/2 a year.
@pytest.mark.parametrize(
    ("tries", "skew", "kurtosis", "expected"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_deflated_ratio_is_that_of_the_paper(
    tries: int, skew: float, kurtosis: float, expected: float
) -> None:
    luck = best_by_chance(tries, math.sqrt(0.5 / 250))
    found = probability_above(2.5 / math.sqrt(250), luck, 1250, skew, kurtosis)
    assert found == pytest.approx(expected, abs=5e-5)


# Tippett 1925: mean of the largest of so many normal draws.
@pytest.mark.parametrize(("tries", "expected"), [(10, 1.5388), (100, 2.5076), (1000, 3.2414)])
def test_best_by_chance_is_the_largest_of_normal_draws(tries: int, expected: float) -> None:
    assert best_by_chance(tries, 2.0) == pytest.approx(2.0 * expected, rel=0.025)


def test_one_try_needs_no_luck() -> None:
    assert best_by_chance(1, 5.0) == 0.0
    with pytest.raises(ValueError, match="0 tries"):
        best_by_chance(0, 1.0)
    with pytest.raises(ValueError, match="1 days"):
        probability_above(0.1, 0.0, 1, 0.0, 3.0)


def test_deflated_ratio_takes_skew_and_kurtosis_from_the_returns() -> None:
    returns = np.random.default_rng(3).exponential(1.0, (60, ENOUGH_SETTINGS)) - 0.9
    best = returns[:, int(sharpe(returns).argmax())].tolist()
    mean, sd = statistics.mean(best), statistics.pstdev(best)
    skew = statistics.fmean(((v - mean) / sd) ** 3 for v in best)
    kurtosis = statistics.fmean(((v - mean) / sd) ** 4 for v in best)
    luck = best_by_chance(ENOUGH_SETTINGS, statistics.stdev(sharpe(returns).tolist()))
    expected = probability_above(mean / statistics.stdev(best), luck, 60, skew, kurtosis)
    assert deflated_sharpe(returns, ENOUGH_SETTINGS) == pytest.approx(expected)
    assert deflated_sharpe(returns * 1e-4, ENOUGH_SETTINGS) == pytest.approx(expected)


def test_every_try_makes_the_best_prove_less() -> None:
    returns = np.random.default_rng(4).normal(0.05, 1.0, (200, 20))
    found = [deflated_sharpe(returns, tries) for tries in (20, 50, 1000)]
    assert found == sorted(found, reverse=True) and found[0] - found[-1] > 0.1


def test_a_sweep_of_one_setting_after_many_others_is_deflated() -> None:
    returns = np.random.default_rng(5).normal(0.0, 1.0, (100, 1))
    returns += 0.25 * returns.std() - returns.mean()
    alone, after_many = deflated_sharpe(returns, 1), deflated_sharpe(returns, 1000)
    assert alone > 0.9 and after_many < 0.5


@pytest.mark.parametrize("settings", [1, 9, 10, 60])
def test_copies_of_the_best_of_many_tries_prove_no_more_than_it_did(settings: int) -> None:
    rng = np.random.default_rng(9)
    wide = rng.normal(0.0, 1.0, (90, 1000))
    best = wide[:, [int(sharpe(wide).argmax())]]
    copies = best + 0.01 * rng.normal(size=(90, settings))
    found = deflated_sharpe(copies, 1000 + settings)
    assert found == pytest.approx(deflated_sharpe(wide, 1000), abs=0.1) and found < 0.6


def test_settings_that_resemble_each_other_count_as_fewer() -> None:
    rng = np.random.default_rng(6)
    market = rng.normal(0.25, 1.0, (100, 1))
    alike = market + 0.05 * rng.normal(size=(100, 200))
    unlike = rng.normal(0.0, 1.0, (100, 200))
    unlike[:, :1] = market
    assert deflated_sharpe(alike, 200) > deflated_sharpe(unlike, 200)


def test_noise_seldom_looks_like_more_than_luck() -> None:
    rng = np.random.default_rng(7)
    found = [deflated_sharpe(rng.normal(size=(96, 200)), 200) for _ in range(300)]
    assert np.mean(np.array(found) >= 0.95) <= 0.05


def test_fewer_tries_than_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="2 tries for 3 settings"):
        deflated_sharpe(np.random.default_rng(8).normal(size=(30, 3)), 2)
