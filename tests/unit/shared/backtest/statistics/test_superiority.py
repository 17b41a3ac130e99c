"""Hansen's test of the best of many, where its p-value is known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from shared.backtest.statistics.superiority import MEAN_BLOCK_DAYS, superiority_p
from shared.market import Floats


def p_of(returns: Floats, draws: int = 500) -> float:
    return superiority_p(returns, np.random.default_rng(9), draws=draws)


def standardised(returns: Floats) -> Floats:
    found: Floats = (returns - returns.mean(axis=0)) / returns.std(axis=0)
    return found


def long_run_sd(values: Floats) -> float:
    """Return what Politis and Romano 1994, lemma 1, say of the mean of a resampled series."""
    count, stay = len(values), 1.0 - 1.0 / MEAN_BLOCK_DAYS
    variance = float(np.mean(values**2))
    for lag in range(1, count):
        weight = (1 - lag / count) * stay**lag + lag / count * stay ** (count - lag)
        variance += 2.0 * weight * float(values[lag:] @ values[:-lag]) / count
    return float(np.sqrt(variance))


@pytest.mark.parametrize("z", [0.5, 1.5, 2.2])
def test_of_one_setting_it_is_that_of_its_mean(z: float) -> None:
    noise = standardised(np.random.default_rng(1).normal(size=(400, 1)))
    expected = 1.0 - NormalDist().cdf(z / long_run_sd(noise[:, 0]))
    assert p_of(noise + z / np.sqrt(400), 2000) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("z", [2.2, 3.0])
def test_of_many_it_is_that_of_the_largest_of_as_many(z: float) -> None:
    returns = standardised(np.random.default_rng(2).normal(size=(400, 20)))
    returns[:, 3] += z / np.sqrt(400)
    assert p_of(returns, 1000) == pytest.approx(1.0 - NormalDist().cdf(z) ** 20, abs=0.04)


def test_settings_that_are_much_worse_do_not_hide_the_best() -> None:
    rng = np.random.default_rng(3)
    good = standardised(rng.normal(size=(400, 1))) + 2.2 / np.sqrt(400)
    poor = rng.normal(-0.5, 1.0, (400, 200))
    assert p_of(np.hstack([good, poor])) < 0.05


def test_days_that_resemble_those_before_prove_less() -> None:
    once = standardised(np.random.default_rng(4).normal(size=(100, 1))) + 0.13
    assert p_of(np.repeat(once, 3, axis=0)) > p_of(np.random.default_rng(5).permutation(
        np.repeat(once, 3, axis=0)
    ))  # fmt: skip


def test_setting_that_varies_most_does_not_decide() -> None:
    returns = np.random.default_rng(6).normal(size=(120, 10))
    returns[:, 2] += 0.4
    expected = p_of(returns)
    returns[:, 5] *= 1000.0
    assert p_of(returns) == expected < 0.05


@pytest.mark.parametrize(
    ("returns", "fault"),
    [
        (np.zeros((40, 2)), "setting 0 never changes"),
        (np.full((40, 2), np.inf), "expected finite"),
        (np.ones((2, 2)), "at least 3 days"),
        (np.ones(40), "expected finite"),
    ],
)
def test_what_would_say_anything_is_refused(returns: Floats, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        p_of(returns)
