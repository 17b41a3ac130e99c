"""What an outlier is, and that a wick never gives points to a release it brings about."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.indicators.rolling import atr, true_range
from shared.indicators.ttm_squeeze import REACH, ttm_squeeze
from tests.support.candle_series import walk
from tests.support.kernels import Bars
from tests.support.outliers import both_squeezes, cut_back, outliers_by_hand, points, with_wick

SEEDS = st.integers(0, 2**32 - 1)
LAWFUL = settings(max_examples=30, deadline=None, derandomize=True)
WICKS = st.lists(
    st.tuples(st.integers(14, 240), st.sampled_from([0.0003, 0.3, 1.9, 30.0])),
    min_size=1, max_size=3, unique_by=lambda wick: wick[0],
)  # fmt: skip


def bars_of(seed: int, rows: int = 20, bars: int = 300) -> Bars:
    """Return calm walks: a tenth of the usual volatility, so that a wick is hundreds of ATR."""
    return Bars.of(*(walk(seed + row, bars, volatility=0.25) for row in range(rows)))


@LAWFUL
@given(seed=SEEDS, limit=st.floats(2.5, 30), wicks=WICKS, shift=st.integers(0, 299))
def test_outliers_follow_their_definition_bar_by_bar(
    seed: int, limit: float, wicks: list[tuple[int, float]], shift: int
) -> None:
    bars = bars_of(seed, rows=2)
    for at, to in wicks:
        bars = with_wick(bars, at, to)
    bars.close[1, shift] = bars.low[1, shift] = bars.low[1, shift] / 2
    found, cut = cut_back(bars, limit)
    for row in range(2):
        outliers, expected = outliers_by_hand(
            bars.high[row].tolist(), bars.low[row].tolist(), bars.close[row].tolist(), limit
        )
        assert np.flatnonzero(found[row]).tolist() == outliers
        np.testing.assert_allclose(
            np.column_stack([values[row] for values in cut]), expected, rtol=1e-12
        )


@LAWFUL
@given(seed=SEEDS, wicks=WICKS)
def test_a_wick_adds_no_release_that_gives_points(
    seed: int, wicks: list[tuple[int, float]]
) -> None:
    clean = bars_of(seed)
    bars = clean
    for at, to in wicks:
        bars = with_wick(bars, at, to)
    found, _ = cut_back(bars)
    assert found[:, [at for at, _ in wicks]].all()
    fired = ttm_squeeze(clean.high, clean.low, clean.close, clean.volume).fired_ago >= 0
    assert not (points(bars) != 0)[~fired].any()


@LAWFUL
@given(seed=SEEDS, wick=st.tuples(st.integers(14, 240), st.sampled_from([0.0003, 0.3, 1.9])))
def test_once_past_a_wick_leaves_no_trace_in_the_squeeze(
    seed: int, wick: tuple[int, float]
) -> None:
    clean = bars_of(seed)
    bars = with_wick(clean, *wick)
    shown, _ = both_squeezes(bars)
    before, _ = both_squeezes(clean)
    past = slice(wick[0] + REACH, None)
    for name in ("mid", "bollinger_half", "keltner_half", "known", "on", "momentum"):
        found, expected = getattr(shown, name), getattr(before, name)
        np.testing.assert_array_equal(found[:, past], expected[:, past], err_msg=name)
    np.testing.assert_array_equal(points(bars)[:, past], points(clean)[:, past])


@LAWFUL
@given(seed=SEEDS)
def test_without_an_outlier_nothing_is_cut_back(seed: int) -> None:
    bars = bars_of(seed)
    ranges = true_range(bars.high, bars.low, bars.close)
    atr14 = atr(bars.high, bars.low, bars.close)
    calm = ~(ranges[:, 1:] > 20 * atr14[:, :-1]).any(axis=1)
    assert calm.any()
    found, _ = cut_back(bars)
    assert not found[calm].any()
    shown, judged = both_squeezes(bars)
    for name, ours in shown._asdict().items():
        np.testing.assert_array_equal(ours[calm], getattr(judged, name)[calm], err_msg=name)
    off, plain = both_squeezes(bars, 0)
    for ours, theirs in zip(off, plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)
