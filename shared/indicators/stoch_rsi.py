"""Wilder's RSI and the Stochastic RSI (14, 14, 3, 3)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shared.indicators.rolling import (
    FLAT,
    by_bar,
    require_rows,
    rma,
    rolling_max,
    rolling_mean,
    rolling_min,
)
from shared.market import Floats


class StochRsi(NamedTuple):
    """RSI, %K and %D of every row at every bar (rows, bars), each 0..100 or NaN."""

    rsi: Floats
    k: Floats
    d: Floats


def rsi(close: Floats, period: int = 14) -> Floats:
    """Return Wilder's relative strength index of each row.

    Shapes: close (rows, bars) -> (rows, bars); the first `period` bars are NaN, and
        everything after a NaN inside the row.
    Units:  close in quote currency; result 0..100. Without any move so far it is 50 (house
        rule: TA-Lib gives 0, TradingView 100); with rises only it is 100.
    Raises: ValueError: period < 1, or close is not 2-D float64.
    Source: Wilder 1978. Agrees with TA-Lib 0.8 and TradingView to 1e-9 except flat rows;
        pandas-ta 0.4.71b0 seeds otherwise: 7.2 points at bar 14, below 2e-6 after bar 300.
    """
    require_rows(close, period)
    close = by_bar(close)
    rows = len(close)
    change = close[:, 1:] - close[:, :-1]
    both = np.empty((2 * rows, close.shape[1]), order="F")  # rises, then falls
    both[:, 0] = np.nan
    np.maximum(change, 0.0, out=both[:rows, 1:])
    np.negative(change, out=change)
    np.maximum(change, 0.0, out=both[rows:, 1:])
    smooth = rma(both, period)
    return strength_index(smooth[:rows], smooth[rows:])


def strength_index(up: Floats, down: Floats) -> Floats:
    """Return the share of the rises in all moves, 0..100; 50 where nothing has moved.

    Shapes: up, down (rows, bars), Wilder's means of rises and falls -> (rows, bars).
    """
    total = up + down
    still = total == 0.0
    np.copyto(total, 1.0, where=still)
    index: Floats = np.divide(up, total, out=total)
    index *= 100.0
    np.copyto(index, 50.0, where=still)
    return index


def stoch_rsi(close: Floats) -> StochRsi:
    """Return RSI14 and where it stands in its own last 14 values: %K (SMA3) and %D (SMA3 of %K).

    Shapes: close (rows, bars) -> see StochRsi; the first 29 bars have no %K, the first
        31 no %D.
    Units:  0..100. Where 14 RSIs lie within 1e-9 of each other there is no range to stand in:
        %K is NaN for as long as such a bar is among its three (TradingView gives na,
        pandas-ta 0 through an epsilon).
    Raises: ValueError: close is not 2-D float64.
    Source: Chande and Kroll 1994 as TradingView computes it. TA-Lib 0.8 STOCHRSI(14, 14, 3, 0)
        calls its unsmoothed value fastk; its fastd is this %K (to 1e-6).
    """
    index = rsi(close)
    k = stochastic(index)
    return StochRsi(index, k, rolling_mean(k, 3))


def stochastic(index: Floats) -> Floats:
    """Return %K of an RSI; see `stoch_rsi`.

    Shapes: index (rows, bars) -> (rows, bars).
    """
    top, bottom = rolling_max(index, 14), rolling_min(index, 14)
    spread = top - bottom
    np.copyto(spread, np.nan, where=spread <= FLAT)
    raw = index - bottom
    raw /= spread
    raw *= 100.0
    return rolling_mean(raw, 3)
