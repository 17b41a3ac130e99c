"""Windows and recursions on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shared.indicators.rolling import (
    atr,
    ema,
    linreg_end,
    rma,
    rolling_max,
    rolling_mean,
    rolling_mean_sd,
    rolling_min,
    true_range,
)
from shared.market import Floats

NAN = float("nan")


def row(*values: float) -> Floats:
    return np.array([values], dtype=np.float64)


def test_mean_of_the_last_bars() -> None:
    np.testing.assert_array_equal(rolling_mean(row(1, 2, 6, 4), 2), row(NAN, 1.5, 4, 5))


def test_mean_recovers_once_a_missing_bar_has_left_the_window() -> None:
    found = rolling_mean(row(1, NAN, 3, 5, 7), 2)
    np.testing.assert_array_equal(found, row(NAN, NAN, NAN, 4, 6))


def test_an_old_extreme_leaves_no_trace_in_the_mean() -> None:
    x = row(1e16, *[0.1] * 10)
    assert rolling_mean(x, 3)[0, -1] == rolling_mean(row(*[0.1] * 10), 3)[0, -1]


def test_deviation_is_that_of_the_population() -> None:
    x = row(2, 4, 4, 4, 5, 5, 7, 9)
    assert rolling_mean_sd(x, 8)[1][0, -1] == 2.0


def test_deviation_keeps_its_digits_on_large_prices() -> None:
    x = row(*[100_000_000 + v for v in (2, 4, 4, 4, 5, 5, 7, 9)])
    assert rolling_mean_sd(x, 8)[1][0, -1] == 2.0


@pytest.mark.parametrize("period", [1, 2, 3, 5, 7, 16, 20])
def test_extremes_are_those_of_every_window(period: int) -> None:
    x = np.random.default_rng(period).normal(size=(2, 40))
    highest, lowest = rolling_max(x, period), rolling_min(x, period)
    for bar in range(period - 1, 40):
        window = x[:, bar - period + 1 : bar + 1]
        np.testing.assert_array_equal(highest[:, bar], window.max(axis=1))
        np.testing.assert_array_equal(lowest[:, bar], window.min(axis=1))
    assert np.isnan(highest[:, : period - 1]).all()


def test_line_through_a_straight_row_ends_on_it() -> None:
    x = row(*(3.0 + 0.5 * bar for bar in range(30)))
    np.testing.assert_allclose(linreg_end(x, 20)[0, 19:], x[0, 19:], rtol=1e-14)


def test_line_end_is_that_of_the_least_squares_fit() -> None:
    x = np.random.default_rng(4).normal(size=(1, 20))
    slope, start = np.polyfit(np.arange(20.0), x[0], 1)
    assert linreg_end(x, 20)[0, -1] == pytest.approx(start + 19 * slope, abs=1e-13)


def test_ema_starts_with_the_mean_and_then_leans_to_the_newest() -> None:
    # weight 2 / (3 + 1) = 1/2: mean(1, 2, 6) = 3, then (3 + 5) / 2, (4 + 8) / 2
    np.testing.assert_array_equal(ema(row(1, 2, 6, 5, 8), [3])[0], row(NAN, NAN, 3, 4, 6))


def test_rma_weighs_the_newest_bar_by_one_over_the_period() -> None:
    # mean(2, 4) = 3, then 8/2 + 3/2, 1/2 + 5.5/2
    np.testing.assert_array_equal(rma(row(2, 4, 8, 1), 2), row(NAN, 3, 5.5, 3.25))


def test_several_periods_in_one_pass_equal_each_alone() -> None:
    x = np.random.default_rng(1).normal(size=(3, 60)) + 100
    together = ema(x, [5, 13, 50])
    for found, period in zip(together, [5, 13, 50], strict=True):
        np.testing.assert_array_equal(found, ema(x, [period])[0])


def test_recursions_start_at_the_first_number_of_each_row() -> None:
    x = np.array([[1.0, 2, 6, 5, 8], [NAN, NAN, 1, 2, 6]])
    found = ema(x, [3])[0]
    np.testing.assert_array_equal(found[1], [NAN, NAN, NAN, NAN, 3])


def test_a_missing_bar_ends_a_recursion_for_good() -> None:
    found = rma(row(1, 2, 3, NAN, 4, 5, 6), 2)
    assert np.isfinite(found[0, 1:3]).all() and np.isnan(found[0, 3:]).all()


def test_a_row_shorter_than_the_period_has_no_value() -> None:
    assert np.isnan(ema(row(1, 2), [3])).all()
    assert np.isnan(ema(row(NAN, NAN), [1])).all()


def test_true_range_sees_the_jump_from_the_close_before() -> None:
    high, low, close = row(10, 12, 9), row(9, 11, 8), row(9.5, 11.5, 8.5)
    np.testing.assert_array_equal(true_range(high, low, close), row(1, 2.5, 3.5))


def test_true_range_of_a_rows_first_bar_is_its_height() -> None:
    high, low, close = row(NAN, 12, 9), row(NAN, 11, 8), row(NAN, 11.5, 8.5)
    np.testing.assert_array_equal(true_range(high, low, close), row(NAN, 1, 3.5))


def test_true_range_does_not_bridge_a_missing_bar() -> None:
    high, low, close = row(10, NAN, 9, 9), row(9, NAN, 8, 8), row(9.5, NAN, 8.5, 8.5)
    np.testing.assert_array_equal(true_range(high, low, close), row(1, NAN, NAN, 1))


def test_atr_begins_with_the_mean_of_the_first_ranges() -> None:
    high, low, close = row(2, 3, 4, 5), row(1, 2, 3, 4), row(1.5, 2.5, 3.5, 4.5)
    # ranges 1, 1.5, 1.5, 1.5; means of two, then weight 1/2
    np.testing.assert_array_equal(atr(high, low, close, 2), row(NAN, 1.25, 1.375, 1.4375))


@pytest.mark.parametrize(
    "x",
    [
        np.ones(5),
        np.ones((2, 5), dtype=np.float32),
        np.ones((2, 5), dtype=np.int64),
        np.ones((2, 0)),
    ],
)
def test_the_wrong_kind_of_array_is_refused_by_name(x: Floats) -> None:
    for kernel in (rolling_mean, rolling_max, rma, linreg_end):
        with pytest.raises(ValueError, match="expected float64 of shape"):
            kernel(x, 3)


def test_a_period_below_one_bar_is_refused() -> None:
    with pytest.raises(ValueError, match="period must be at least 1 bar, not 0"):
        rolling_mean(row(1, 2), 0)
    with pytest.raises(ValueError, match="at least 2 bars, not 1"):
        linreg_end(row(1, 2), 1)
