"""One wick: what it widens stays published, and the release it brings gives no points."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest

from shared.backtest import table
from shared.backtest.replay import Recording, replay
from shared.backtest.series import contributions
from shared.config.sections import IndicatorsSection, SqueezeSection
from shared.indicators.outliers import find_outliers
from shared.indicators.rolling import atr, true_range
from shared.indicators.ttm_squeeze import PERIOD, REACH
from shared.market import Candles, Timeframe
from shared.messages.signals import TaSignal
from tests.support.candle_series import walk
from tests.support.kernels import Bars
from tests.support.outliers import points, with_wick

M5, H1 = Timeframe.M5, Timeframe.H1
SETTINGS = IndicatorsSection()
TO_THE_LETTER = IndicatorsSection(squeeze=SqueezeSection(outlier_atr=0))
BARS, AT = 700, 600
LEFT = "Squeeze released by a bar leaving the window, no points"


def candles_of(path: Path) -> Candles:
    with gzip.open(path, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=1)
    return Candles.of(table[:, 0].astype(np.int64), *(table[:, i] for i in range(1, 6)))


def signals(
    candles: Candles, indices: range, settings: IndicatorsSection = SETTINGS
) -> list[TaSignal]:
    recording = Recording("ATOMUSDT", {M5: candles})
    return [s for block in replay(recording, indices, settings) for s in block]


def changed(candles: Candles, at: int, **prices: float) -> Candles:
    """Return the candles with some prices of one of them multiplied by a share of its close."""
    columns = {c: getattr(candles, c).copy() for c in ("open", "high", "low", "close")}
    close = float(candles.close[at])
    for name, share in prices.items():
        columns[name][at] = share * close
    columns["high"][at] = max(c[at] for c in columns.values())
    columns["low"][at] = min(c[at] for c in columns.values())
    return dataclasses.replace(candles, **columns)


def given(signal: TaSignal) -> int:
    return contributions(signal)["squeeze"]


def reasons(signal: TaSignal) -> list[str]:
    return signal.composite_score_adjustment.reasoning


# --- the wick as it was found -------------------------------------------------------------------


def test_the_wick_of_atom_is_named_and_brings_no_points(data_dir: Path) -> None:
    cases, name = data_dir / "cases", "ATOMUSDT-5m.csv.gz"
    wick, clean = candles_of(cases / "wick" / name), candles_of(cases / "wick-without" / name)
    at = int(np.flatnonzero(wick.low != clean.low)[0])
    indices = range(at - 40, len(wick))
    found, expected = signals(wick, indices), signals(clean, indices)
    # TradingView's numbers, published as they are: on for 20 bars, then fired.
    assert [s.ttm_squeeze.squeeze for s in found[40:61]] == [True] * PERIOD + [False]
    assert [s.ttm_squeeze.fired_bars_ago for s in found[60:63]] == [0, 1, 2]
    assert all(given(s) for s in signals(wick, range(at + 20, at + 23), TO_THE_LETTER))
    for index, ours, theirs in zip(indices, found, expected, strict=True):
        assert given(ours) == given(theirs)
        assert (LEFT in reasons(ours)) == (at + 20 <= index < at + 23)
        here = at <= index < at + REACH
        assert ours.ttm_squeeze.outlier_bars == [int(wick.open_time_ms[at])] * here
        assert theirs.ttm_squeeze.outlier_bars == []
        if index < at:
            assert ours == theirs
        elif not here:
            assert past(ours) == past(theirs)


def past(signal: TaSignal) -> dict[str, object]:
    """Return what of the squeeze does not hang on ATR14, whose memory has no end."""
    squeeze = dataclasses.asdict(signal.ttm_squeeze)
    del squeeze["momentum"], squeeze["last_squeeze_bars"]
    return squeeze


# --- others of the kind -------------------------------------------------------------------------

WALKS = [walk(seed, BARS, volatility=0.25) for seed in range(6)]


@pytest.mark.parametrize("seed", range(len(WALKS)))
@pytest.mark.parametrize("wicks", [{AT: 0.001}, {AT: 30.0}, {AT: 0.001, AT + 7: 2.0}])
def test_any_wick_down_up_or_two_gives_the_points_there_are_without_it(
    seed: int, wicks: dict[int, float]
) -> None:
    clean = candles = WALKS[seed]
    for at, to in wicks.items():
        candles = changed(candles, at, **{"low" if to < 1 else "high": to})
    indices = range(AT, AT + 64)
    shown = zip(signals(candles, indices), signals(clean, indices), strict=True)
    for index, (ours, theirs) in zip(indices, shown, strict=True):
        assert given(ours) == (given(theirs) if ours.ttm_squeeze.fired else 0)
        standing = [at for at in wicks if at <= index < at + REACH]
        assert ours.ttm_squeeze.outlier_bars == clean.open_time_ms[standing].tolist()


@pytest.mark.parametrize("to", [0.001, 10.0])
def test_a_true_squeeze_keeps_its_points_on_its_own_side_with_a_wick_in_it(to: float) -> None:
    """The wick stands in the momentum for 39 bars and would turn its sign."""
    rng = np.random.default_rng(4)
    steps = np.concatenate([rng.normal(0, 1, 300), rng.normal(0, 0.02, 40), np.full(20, 3.0)])
    close = 1000 + np.cumsum(steps)
    high, low = close + 0.5, close - 0.5
    still = slice(300, 340)
    high[still], low[still] = close[still] + 0.2, close[still] - 0.2
    clean = Bars.of(Candles.of(np.arange(360) * M5.ms, close, high, low, close, np.ones(360)))
    fired = 340 + np.flatnonzero(points(clean)[0, 340:])
    assert len(fired) == 3 and (points(clean)[0, fired] == 1).all()
    for at in range(301, fired[0] - PERIOD):
        assert (points(with_wick(clean, at, to))[0, fired] == 1).all(), at
    letter = [points(with_wick(clean, at, to), limit=0)[0, fired[0]] for at in range(301, 321)]
    assert -1 in letter


def spiked(bars: Bars, at: int, until: int) -> Bars:
    """Return the bars with the closes from `at` to `until` at half the price."""
    share = np.ones(bars.close.shape[1])
    share[at:until] = 0.5
    close = bars.close * share
    return Bars(bars.high, np.minimum(bars.low, close), close, bars.volume)


def told(bars: Bars, indices: range) -> list[list[int]]:
    """Return the side of the points of every row as it was told at each bar."""
    return [points(bars.prefix(index + 1))[:, -1].tolist() for index in indices]


def test_a_wrong_close_brings_no_release_later_and_turns_no_direction() -> None:
    clean = Bars.of(*(walk(seed, 260, volatility=0.25) for seed in range(200)))
    spike = spiked(clean, 150, 151)
    later = range(153, 200)
    ours, theirs = np.array(told(spike, later)), np.array(told(clean, later))
    letter = points(spike, limit=0)[:, 153:200].T
    assert (letter * theirs < 0).sum() > 50
    assert (ours * theirs < 0).sum() <= 1
    assert not ((ours != 0) & (theirs == 0)).any()


def test_a_jump_out_of_a_true_squeeze_gives_its_points_on_all_three_bars() -> None:
    clean = Bars.of(*(walk(seed, 260, volatility=0.25) for seed in range(200)))
    share = np.ones(260)
    share[150:] = 0.5
    fell = clean.each(lambda x: x * share)
    fell = Bars(fell.high, fell.low, fell.close, clean.volume)
    letter = points(fell, limit=0)[:, 150:153].T
    assert (letter == -1).sum() > 60
    np.testing.assert_array_equal(told(fell, range(150, 153)), letter)


def test_a_wrong_close_that_releases_a_squeeze_gives_no_points_once_it_is_taken_back() -> None:
    calm = walk(2, BARS, volatility=0.25)
    still = changed(calm, 0)
    close = still.close.copy()
    close[AT - 30 :] = close[AT - 30] + np.random.default_rng(1).normal(0, 0.01, BARS - AT + 30)
    still = Candles.of(calm.open_time_ms, close, close + 0.5, close - 0.5, close, calm.volume)
    spike = changed(still, AT, close=0.5)
    first, second, third = signals(spike, range(AT, AT + 3))
    assert first.ttm_squeeze.fired and given(first) == -1
    for later in (second, third):
        assert later.ttm_squeeze.fired and given(later) == 0
        assert "Squeeze released by an outlier, still on without it, no points" in reasons(later)


def test_a_replayed_row_names_the_outliers() -> None:
    candles = changed(changed(WALKS[0], AT, low=0.001), AT + 7, high=2.0)
    (signal,) = signals(candles, range(AT + 9, AT + 10))
    cells = dict(zip(table.COLUMNS, table.row(signal), strict=True))
    first = int(candles.open_time_ms[AT])
    assert cells["outlier_bars"] == f"{first} {first + 7 * M5.ms}"
    (signal,) = signals(WALKS[0], range(AT + 9, AT + 10))
    assert table.row(signal)[-1] is None


def test_a_wick_on_1h_leaves_the_squeeze_of_5m_alone() -> None:
    m5 = WALKS[0]
    h1 = walk(9, 400, timeframe=H1, start_ms=int(m5.open_time_ms[-1]) - 399 * H1.ms)
    index = range(BARS - 1, BARS)
    clean, wick = (
        next(replay(Recording("ATOMUSDT", {M5: m5, H1: hours}), index, SETTINGS))[0]
        for hours in (h1, changed(h1, 395, low=0.001))
    )
    assert wick.ttm_squeeze == clean.ttm_squeeze
    assert wick.composite_score_adjustment == clean.composite_score_adjustment


def test_the_wick_at_the_start_of_the_window_or_of_a_young_coin_is_no_error() -> None:
    for at in (*range(20), 37, 38, 39):
        candles = changed(WALKS[1], at, low=0.001)[: at + 1]
        (signal,) = signals(candles, range(at, at + 1))
        outliers = [int(candles.open_time_ms[at])] if at >= 14 else []
        assert signal.ttm_squeeze.outlier_bars == outliers
    # A window of 500 bars that begins with it.
    wick = signals(changed(WALKS[1], 0, low=0.001), range(499, 500))
    assert wick[0].ttm_squeeze.outlier_bars == []
    assert past(wick[0]) == past(signals(WALKS[1], range(499, 500))[0])


# --- what an outlier is -------------------------------------------------------------------------


def outliers_of(candles: Candles, limit: float = 20) -> list[int]:
    high, low, close = (getattr(candles, c)[np.newaxis] for c in ("high", "low", "close"))
    ranges = true_range(high, low, close)
    found = find_outliers(ranges, close, atr(high, low, close), limit).found
    bars: list[int] = np.flatnonzero(found[0]).tolist()
    return bars


def steady(bars: int = 100, spread: float = 0.5) -> Candles:
    close = np.full(bars, 1000.0)
    times = np.arange(bars, dtype=np.int64) * M5.ms
    return Candles.of(times, close, close + spread, close - spread, close, np.ones(bars))


def test_a_bar_is_an_outlier_beyond_20_times_the_atr_before_it() -> None:
    assert outliers_of(changed(steady(), 60, low=0.98051)) == []
    assert outliers_of(changed(steady(), 60, low=0.98049)) == [60]
    assert outliers_of(changed(steady(), 60, low=0.98049), limit=0) == []
    assert outliers_of(changed(steady(), 60, low=0.98049), limit=30) == []


def test_one_outlier_does_not_hide_the_next() -> None:
    candles = steady()
    for at in (60, 61, 63, 70):
        candles = changed(candles, at, low=0.7)
    assert outliers_of(candles) == [60, 61, 63, 70]


def test_a_market_that_became_faster_has_an_outlier_only_at_first() -> None:
    wild = steady(200)
    high, low = wild.high.copy(), wild.low.copy()
    high[100:], low[100:] = 1020.0, 980.0
    found = outliers_of(
        Candles.of(wild.open_time_ms, wild.open, high, low, wild.close, wild.volume)
    )
    assert found == [100]


def test_after_a_flat_market_no_bar_is_an_outlier() -> None:
    flat = steady(spread=0)
    assert outliers_of(changed(flat, 60, low=0.5)) == []


def test_a_longer_history_changes_no_outlier_and_no_points() -> None:
    candles = changed(WALKS[3], AT, low=0.001)
    whole = points(Bars.of(candles))[0]
    found = signals(candles, range(AT - 64, BARS))
    assert [given(s) for s in found] == whole[AT - 64 : BARS].tolist()
