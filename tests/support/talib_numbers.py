"""The indicators as TA-Lib computes them; what it has no function for is composed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import talib

from shared.indicators.ema_ribbon import PERIODS
from shared.market import Candles, Floats

Numbers = Mapping[str, Floats]


def by_talib(candles: Candles) -> Numbers:
    """Return TA-Lib's numbers at every bar; NaN before their time."""
    high, low, close = candles.high, candles.low, candles.close
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    reach = talib.TRANGE(high, low, close)
    reach[0] = high[0] - low[0]
    center = (talib.MAX(high, 20) + talib.MIN(low, 20)) / 2
    away = close - (center + talib.SMA(close, 20)) / 2
    momentum = np.full_like(close, np.nan)
    momentum[19:] = talib.LINEARREG(away[19:], 20)
    k = talib.STOCHRSI(close, 14, 14, 3)[1]  # smoothed by SMA unless told otherwise
    return {
        **{f"ema{period}": talib.EMA(close, period) for period in PERIODS},
        "atr": talib.ATR(high, low, close, 14),
        "rsi": talib.RSI(close, 14),
        "k": k,
        "d": np.concatenate([np.full(29, np.nan), talib.SMA(k[29:], 3)]),
        "mid": middle,
        "upper": upper,
        "lower": lower,
        "keltner_half": 1.5 * talib.SMA(reach, 20),
        "momentum": momentum,
    }
