"""A whole series gives, at every close, what the close's own windows give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shared.backtest.recording import read_recording
from shared.backtest.replay import Recording, replay, replay_scores
from shared.backtest.series import POINTS, Series, base_pair, series_of
from shared.backtest.whole_series.signal_series import signal_series
from shared.candles.files import aggregated
from shared.config.sections import DivergenceSection, IndicatorsSection, SqueezeSection
from shared.market import Candles, Floats, Timeframe
from tests.support.candle_series import walk

M5, H1, H4 = Timeframe.M5, Timeframe.H1, Timeframe.H4
BARS = 6_000
SETTINGS = IndicatorsSection()
# Without shrinking: an example takes a tenth of a second, and its events say what is special.
PHASES = (Phase.explicit, Phase.generate)
LAWFUL = settings(max_examples=12, deadline=None, derandomize=True, phases=PHASES)
ROUNDED = {"atr_1h", "spread_5m", "momentum", "stoch_k", "rsi"}
"""Columns that may differ by rounding; all others are equal."""

Change = Callable[[Candles, int, int], Candles]


def by_windows(recording: Recording, chosen: Sequence[int], of: IndicatorsSection) -> Series:
    signals = [s for block in replay(recording, chosen, of) for s in block]
    scores = [s for block in replay_scores(recording, chosen, of.history) for s in block]
    return series_of(signals, [base_pair(score) for score in scores])


def require_same(recording: Recording, chosen: Sequence[int], of: IndicatorsSection) -> Series:
    """Require that whole series and windows agree at some closes; return what they agree on."""
    part = range(chosen[0], chosen[-1] + 1)
    expected, whole = by_windows(recording, chosen, of), signal_series(recording, of, part)
    assert expected.columns.keys() == whole.columns.keys()
    chosen = [index - part.start for index in chosen]
    np.testing.assert_array_equal(whole.times[chosen], expected.times)
    for name, values in expected.columns.items():
        tolerance = 1e-9 if name in ROUNDED else 0.0
        np.testing.assert_allclose(
            whole.columns[name][chosen], values, rtol=tolerance, atol=tolerance, err_msg=name
        )
    return expected


def recording_of(m5: Candles, *refused: int) -> Recording:
    return Recording("BTCUSDT", {M5: m5} | {t: aggregated(m5, t) for t in (H1, H4)}, {M5: refused})


def halted(candles: Candles, at: int, bars: int) -> Candles:
    there = np.ones(len(candles), np.bool_)
    there[at : at + bars] = False
    return candles[there]


def flat(candles: Candles, at: int, bars: int) -> Candles:
    """Nothing is traded for a while: every price is that of the close before."""
    part, price = slice(at, at + bars), candles.close[at - 1]
    return changed(candles, part, open=price, high=price, low=price, close=price, volume=0.0)


def calm(candles: Candles, at: int, bars: int) -> Candles:
    """The close rests while high and low go on."""
    part, price = slice(at, at + bars), candles.close[at - 1]
    return changed(
        candles, part, open=price, close=price,
        high=np.maximum(candles.high[part], price), low=np.minimum(candles.low[part], price),
    )  # fmt: skip


def spiked(candles: Candles, at: int, bars: int) -> Candles:
    """A wick of up to seven times the price."""
    return changed(candles, slice(at, at + 1), high=candles.high[at] * (1 + bars / 100))


def jumped(candles: Candles, at: int, bars: int) -> Candles:
    """A close so far away that it is an outlier, or a wrong price."""
    to = candles.close[at] * (1 + bars / 1000)
    return changed(candles, slice(at, at + 1), close=to, high=np.maximum(to, candles.high[at]))


def redenominated(candles: Candles, at: int, bars: int) -> Candles:
    """After a hole everything costs a thousandth."""
    later = slice(at + bars, None)
    prices = {n: getattr(candles, n)[later] / 1000 for n in ("open", "high", "low", "close")}
    return halted(changed(candles, later, **prices), at, bars)


def changed(candles: Candles, part: slice, **columns: Floats | float) -> Candles:
    names = ("open", "high", "low", "close", "volume")
    made = {name: getattr(candles, name).copy() for name in names}
    for name, values in columns.items():
        made[name][part] = values
    return Candles(candles.open_time_ms, **made)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from([halted, flat, flat, calm, spiked, spiked, jumped, redenominated]),
        st.integers(1, 5_000),
        st.sampled_from([1, 3, 40, 130, 300, 480, 520, 700]),
    ),
    max_size=4,
)


@LAWFUL
@given(seed=st.integers(0, 2**32 - 1), events=EVENTS)
def test_series_equal_windows_at_any_close(
    seed: int, events: list[tuple[Change, int, int]]
) -> None:
    candles = walk(seed, BARS)
    for change, at, bars in events:
        candles = change(candles, at, bars)
    near = [at + bars + after for _, at, bars in events for after in (-1, 0, 1, 2, 19, 40, 470)]
    rng = np.random.default_rng(seed)
    anywhere = np.concatenate([rng.integers(0, 600, 10), rng.integers(3_600, len(candles), 50)])
    chosen = sorted({i for i in (*near, *anywhere.tolist()) if i < len(candles)})
    require_same(recording_of(candles), chosen, SETTINGS)


@pytest.mark.parametrize(
    "asked",
    [
        IndicatorsSection(history=1000),
        IndicatorsSection(history=300),
        IndicatorsSection(
            squeeze=SqueezeSection(outlier_atr=2.5, min_squeeze_bars=1, bb_mult=2.5, kc_mult=2.0),
            divergence=DivergenceSection(left=2, right=1, window=100, fresh=30, min_strength=0.0),
        ),
    ],
    ids=["long windows", "short windows", "other kernels"],
)
def test_series_equal_windows_with_other_settings(asked: IndicatorsSection) -> None:
    recording = recording_of(halted(walk(5, 6_000), 4_000, 30))
    found = require_same(recording, range(5_600, 5_960, 3), asked)
    assert {-1.0, 1.0} <= {float(side) for p in POINTS for side in np.unique(found.columns[p])}


def test_a_release_by_an_outlier_is_judged_as_in_its_window() -> None:
    candles = walk(9, BARS, volatility=0.25)
    for at in (4_000, 4_400, 4_800, 5_200):
        candles = jumped(spiked(candles, at, 300), at + 90, 300)
    recording = recording_of(candles)
    near = [at + after for at in (4_000, 4_400, 4_800, 5_200) for after in range(15, 130)]
    signals = [s for block in replay(recording, near, SETTINGS) for s in block]
    reasons = [r for s in signals for r in s.composite_score_adjustment.reasoning]
    assert any("released by an outlier" in r or "a bar leaving" in r for r in reasons)
    require_same(recording, near, SETTINGS)


def test_a_gap_that_a_refused_row_left_is_unfilled_at_first() -> None:
    candles = walk(2, BARS)
    recording = recording_of(halted(candles, 5_000, 2), int(candles.open_time_ms[5_001]))
    found = require_same(recording, range(4_995, 5_060), SETTINGS)
    unknown = np.isnan(found.columns["rsi"])
    assert np.flatnonzero(unknown).tolist() == list(range(5, 45))


def test_a_recording_without_longer_candles_scores_nothing_else() -> None:
    m5 = walk(4, 1_000)
    recording = Recording("BTCUSDT", {M5: m5, H1: Candles.empty(), H4: Candles.empty()})
    found = require_same(recording, range(0, 1_000, 9), SETTINGS)
    assert np.isnan(found.columns["base_long"]).all() and np.isnan(found.columns["atr_1h"]).all()


def test_parts_of_a_series_are_those_of_the_whole_to_the_bit() -> None:
    recording = recording_of(halted(walk(6, BARS), 4_500, 3))
    whole = signal_series(recording, SETTINGS)
    for part in (range(0, 100), range(450, 777), range(3_999, 5_997)):
        found = signal_series(recording, SETTINGS, part)
        for name, values in found.columns.items():
            np.testing.assert_array_equal(values, whole.columns[name][part], err_msg=name)


@pytest.mark.parametrize("part", [range(0, 301), range(-1, 5), range(0, 300, 2)])
def test_closes_that_are_not_recorded_are_refused_by_name(part: range) -> None:
    recording = recording_of(walk(3, 300))
    assert not len(signal_series(recording, SETTINGS, range(7, 7)))
    with pytest.raises(ValueError, match=r"BTCUSDT: range\(.* of 300 recorded 5m candles"):
        signal_series(recording, SETTINGS, part)


def test_series_equal_windows_on_recorded_candles(data_dir: Path) -> None:
    candles = data_dir / "candles"
    if not candles.is_dir():
        pytest.skip(f"no recorded candles in {candles}")
    for symbol, seed in (("BTCUSDT", 1), ("XRPUSDT", 2)):
        recording = read_recording(candles, symbol)
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(len(recording.closes), 250, replace=False)).tolist()
        found = require_same(recording, chosen, SETTINGS)
        assert np.nanmax(found.columns["base_long"]) > 60
