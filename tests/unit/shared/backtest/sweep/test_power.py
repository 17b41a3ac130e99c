"""What the verdict finds and lets pass, on made sweeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.backtest.bootstrap import DAY_MS
from shared.backtest.sweep.power import FIRST_TEST_DAY, Made, outcomes


def test_made_trades_have_the_edge_and_the_spread_asked_for() -> None:
    made = Made(200_000, settings=1, edge_r=0.1)
    daily, results, times = made.sweep(np.random.default_rng(1))
    assert daily.shape == (96, 1)  # 24 of 120 days are the hold-out
    assert results.min() == -1.0 and len(set(results)) == 2
    assert results.mean() == pytest.approx(0.1, abs=0.015)
    assert results.std() == pytest.approx(1.3, abs=0.02)
    # With one setting to choose, its trades are those of its days.
    by_day = np.bincount(times // DAY_MS, results, minlength=96)
    assert by_day[FIRST_TEST_DAY:] == pytest.approx(daily[FIRST_TEST_DAY:, 0])
    assert not by_day[:FIRST_TEST_DAY].any()


def test_only_the_last_setting_has_the_edge() -> None:
    daily, _, _ = Made(100_000, settings=5, edge_r=0.5).sweep(np.random.default_rng(2))
    per_trade = daily.mean(axis=0) * 120 / 100_000
    assert per_trade == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.5], abs=0.02)


def test_choosing_on_a_few_days_chooses_worse() -> None:
    made = Made(4000, edge_r=0.1)
    means = [
        np.mean([each.sweep(np.random.default_rng(seed))[1].mean() for seed in range(20)])
        for each in (made, replace(made, chosen_on=30), replace(made, chosen_on=5))
    ]
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("together", [0.0, 0.05])
def test_trades_of_one_day_are_correlated_as_asked(together: float) -> None:
    per_day = 50
    daily, _, _ = Made(per_day * 120, settings=500, together=together).sweep(
        np.random.default_rng(3)
    )
    # A sum of n equally correlated results varies n (1 + (n - 1) correlation) times as one does.
    expected = 1.69 * per_day * (1.0 + per_day * together)
    assert daily.var() == pytest.approx(expected, rel=0.05)


def test_edge_with_few_trades_is_undecided() -> None:
    assert outcomes(Made(100, settings=10, edge_r=0.1), 3, seed=1) == {
        "edge": 0.0,
        "no_edge": 0.0,
        "undecided": 1.0,
    }


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"trades": 0}, "trades 0: expected above 0"),
        ({"settings": 0}, "settings 0: expected above 0"),
        ({"sd_r": float("nan")}, "sd nan: expected above 0"),
        ({"edge_r": 100.0}, "edge 100.0: expected above -1 and below 100"),
        ({"edge_r": -1.0}, "edge -1.0: expected above -1"),
        ({"together": 1.0}, "together 1.0: expected from 0 to below 1"),
        ({"chosen_on": 1}, "chosen on 1: expected at least 2 days"),
        ({"days": 49}, "days 49: expected at least 50"),
    ],
)
def test_sweeps_that_cannot_be_made_are_refused(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Made(**({"trades": 600} | wrong))
    with pytest.raises(ValueError, match="0 runs"):
        outcomes(Made(600), 0, seed=1)
