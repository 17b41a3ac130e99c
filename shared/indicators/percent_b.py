"""%B: the close relative to its Bollinger bands (20, 2)."""

from __future__ import annotations

import numpy as np

from shared.indicators.rolling import FLAT, rolling_mean_sd
from shared.market import Floats


def percent_b(close: Floats, period: int = 20, mult: float = 2.0) -> Floats:
    """Return 0 at the lower band, 1 at the upper, linear between and beyond.

    Shapes: close (rows, bars) -> (rows, bars); the first `period - 1` bars are NaN, and so is
        every bar with a NaN among its last `period`.
    Units:  share of the bands' distance; NaN where that is below 1e-9 of the price.
    Raises: ValueError: period < 1, or close is not 2-D float64.
    Source: Bollinger 1992 with the population standard deviation. Agrees with TA-Lib 0.8
        BBANDS and TradingView to 1e-9.
    """
    mean, sd = rolling_mean_sd(close, period)
    return within_bands(close, mean, mult * sd)


def within_bands(close: Floats, middle: Floats, half: Floats) -> Floats:
    """Return where the close lies between two bands; see `percent_b`.

    Shapes: close, middle of the bands, half of their distance: (rows, bars) -> (rows, bars).
    """
    width = 2.0 * half
    np.copyto(width, np.nan, where=~(width > FLAT * np.abs(close)))
    result: Floats = 0.5 + (close - middle) / width
    return result
