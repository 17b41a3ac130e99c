"""The MACD histogram (12, 26, 9)."""

from __future__ import annotations

from shared.indicators.rolling import ema
from shared.market import Floats

FAST, SLOW, SIGNAL = 12, 26, 9


def macd_histogram(close: Floats) -> Floats:
    """Return the distance of EMA12 - EMA26 from its own EMA9.

    Shapes: close (rows, bars) -> (rows, bars); the first 33 bars are NaN, and
        everything after a NaN inside the row.
    Units:  quote currency.
    Raises: ValueError: close is not 2-D float64.
    Source: Appel 1979; every mean is seeded with the SMA of its first bars, as TradingView's
        `ta.macd` and pandas-ta 0.4.71b0 do (relative to price 1e-12). TA-Lib 0.8 MACD seeds the
        fast mean later; the difference is below 1e-9 of price after bar 300.
    """
    fast, slow = ema(close, (FAST, SLOW))
    line = fast - slow
    result: Floats = line - ema(line, (SIGNAL,))[0]
    return result
