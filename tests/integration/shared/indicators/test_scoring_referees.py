"""What the base score adds to the indicators, against TA-Lib and pandas-ta, bar by bar."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import talib

from shared.indicators.macd import macd_histogram
from shared.indicators.percent_b import percent_b
from shared.indicators.relative_volume import relative_volume
from shared.market import Candles, Floats, Timeframe
from tests.support.candle_series import recorded, walk

SETTLED = 300
"""Bars after which a mean seeded elsewhere has died away."""


def assert_agree(candles: Candles) -> None:
    close, volume = candles.close, candles.volume
    hist, place = macd_histogram(close[None, :])[0], percent_b(close[None, :])[0]
    assert np.isfinite(hist).argmax() == 33

    # TA-Lib begins the fast mean later, so that both begin together.
    other = talib.MACD(close, 12, 26, 9)[2]
    assert_close(hist[SETTLED:] / close[SETTLED:], other[SETTLED:] / close[SETTLED:], 1e-9)
    assert_close(hist / close, by_pandas_ta(close) / close, 1e-12)

    upper, _, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    moved = upper - lower > 1e-6 * close
    assert moved[19:].mean() > 0.9
    expected = (close - lower)[moved] / (upper - lower)[moved]
    assert_close(place[moved], expected, 1e-6)

    usual = talib.SMA(volume, 20)[:-1]
    traded = usual > 0
    assert_close(
        relative_volume(volume[None, :])[0][1:][traded], (volume[1:] / usual)[traded], 1e-8
    )


def by_pandas_ta(close: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated calls, on import and later, not ours to mend
        import pandas as pd
        import pandas_ta

        found = pandas_ta.macd(pd.Series(close), fast=12, slow=26, signal=9, talib=False)
    return np.asarray(found.iloc[:, 1], dtype=np.float64)


def assert_close(found: Floats, other: Floats, atol: float) -> None:
    both = np.isfinite(other)
    assert both.any() and np.isfinite(found[both]).all()
    np.testing.assert_allclose(found[both], other[both], rtol=0, atol=atol)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_on_made_candles(seed: int) -> None:
    assert_agree(walk(seed, 1500))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT", "SEIUSDT"])
@pytest.mark.parametrize("timeframe", [Timeframe.M5, Timeframe.H1])
def test_agrees_on_recorded_candles(data_dir: Path, symbol: str, timeframe: Timeframe) -> None:
    assert_agree(recorded(data_dir, symbol, timeframe))
