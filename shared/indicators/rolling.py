"""The windows and recursions that every indicator is made of.

All kernels take and return arrays `[rows, bars]`, oldest bar first; a row is one coin on one
timeframe. A row shorter than the array starts with NaN. Every output bar is made by
element-wise operations in a fixed order, never by a reduction whose order depends on the
shape, so a row gives the same bits alone, among others, and at any offset.

In memory the rows of one bar stand side by side (`by_bar`): a step from bar to bar, or a shift
by some bars, then works on one unbroken stretch. A window is put together from windows of 1, 2,
4, ... bars: some 2 log2(period) passes instead of `period`, and yet each window is added up
anew, so that an old extreme leaves no trace in later ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from shared.market import Floats

FLAT = 1e-9
"""Differences up to this (as a share of price, or in points of 100) are float noise, not moves."""

Parts = tuple[Floats, ...]
"""What is known of every window of one length: one array each, a column per window."""

Join = Callable[[Parts, Parts, int, int], Parts]
"""Makes one window of two adjoining ones: older, newer, and how many bars each has."""


def by_bar(x: Floats) -> Floats:
    """Return the same array with the rows of each bar side by side in memory."""
    return np.asfortranarray(x)


def rolling_mean(x: Floats, period: int) -> Floats:
    """Return the mean of the last `period` bars (SMA).

    Shapes: x (rows, bars) -> (rows, bars); the first `period - 1` bars are NaN, and so is
        every bar with a NaN among its last `period`.
    Units:  those of x.
    Raises: ValueError: period < 1, or x is not 2-D float64.
    Source: agrees with TA-Lib 0.8 SMA to 1e-12 (which keeps a running sum).
    """
    require_rows(x, period)
    (total,) = _windows((by_bar(x),), period, _join_sums)
    result, full = _led_by_nan(x, period)
    np.divide(total, period, out=full)
    return result


def rolling_mean_sd(x: Floats, period: int) -> tuple[Floats, Floats]:
    """Return mean and population standard deviation of the last `period` bars.

    Shapes: x (rows, bars) -> twice (rows, bars); NaN as in `rolling_mean`.
    Units:  those of x.
    Raises: ValueError: period < 1, or x is not 2-D float64.
    Source: Bollinger's definition, divided by `period`. Agrees with TA-Lib 0.8 BBANDS to a
        relative 1e-9. Windows are joined as by Chan, Golub and LeVeque 1979: the sum of
        squares less the square of the sum would lose half the digits on prices.
    """
    require_rows(x, period)
    x = by_bar(x)
    total, squares = _windows((x, np.zeros_like(x)), period, _join_squares)
    (mean, full_mean), (sd, full_sd) = _led_by_nan(x, period), _led_by_nan(x, period)
    np.divide(total, period, out=full_mean)
    np.divide(squares, period, out=full_sd)
    np.sqrt(full_sd, out=full_sd)
    return mean, sd


def rolling_max(x: Floats, period: int) -> Floats:
    """Return the highest of the last `period` bars.

    Shapes: x (rows, bars) -> (rows, bars); the first `period - 1` bars are NaN, and so is
        every bar with a NaN among its last `period`.
    Raises: ValueError: period < 1, or x is not 2-D float64.
    Source: exact, as TA-Lib MAX.
    """
    return _rolling_extreme(x, period, np.maximum)


def rolling_min(x: Floats, period: int) -> Floats:
    """Return the lowest of the last `period` bars; as `rolling_max` in all else."""
    return _rolling_extreme(x, period, np.minimum)


def linreg_end(x: Floats, period: int) -> Floats:
    """Return the end point of the least-squares line through the last `period` bars.

    Shapes: x (rows, bars) -> (rows, bars); the first `period - 1` bars are NaN, and so is
        every bar with a NaN among its last `period`.
    Units:  those of x.
    Raises: ValueError: period < 2, or x is not 2-D float64.
    Source: TradingView `ta.linreg(x, period, 0)`, TA-Lib LINEARREG (to 1e-11 of the price).
        The end point is the weighted sum of the window with the whole-numbered weights
        6 t - 2 period + 4 (t = 0 for the oldest bar), over period (period + 1).
    """
    if period < 2:
        raise ValueError(f"a line needs a period of at least 2 bars, not {period}")
    require_rows(x, period)
    x = by_bar(x)
    total, climb = _windows((x, np.zeros_like(x)), period, _join_climbs)
    result, full = _led_by_nan(x, period)
    np.multiply(total, float(4 - 2 * period), out=full)
    full += 6.0 * climb
    full /= period * (period + 1)
    return result


def running_max[T: np.generic](x: npt.NDArray[T]) -> npt.NDArray[T]:
    """Return the highest value of each row so far; NaN from the first one on."""
    if len(x) == 1:
        return np.maximum.accumulate(x, axis=1)
    x = np.asfortranarray(x)
    step = 1
    while step < x.shape[1]:
        higher = np.empty_like(x)
        higher[:, :step] = x[:, :step]
        np.maximum(x[:, step:], x[:, :-step], out=higher[:, step:])
        x, step = higher, 2 * step
    return x


def ema(x: Floats, periods: Sequence[int]) -> Floats:
    """Return exponential means of several periods in one pass, seeded with the SMA.

    Shapes: x (rows, bars) -> (periods, rows, bars); `period - 1` bars after the first finite
        one are NaN, and everything after a NaN inside the row.
    Units:  those of x; weight of the newest bar 2 / (period + 1).
    Raises: ValueError: a period < 1, or x is not 2-D float64.
    Source: agrees with TA-Lib 0.8, pandas-ta 0.4.71b0 and TradingView's built-in `ta.ema` to
        a relative 1e-9. TradingView's printed reference form is seeded with the first price;
        the difference in EMA89 is 15.6 bps of price at bar 200 and 0.02 at bar 500.
    """
    return _smooth(x, periods, [2.0 / (period + 1) for period in periods])


def rma(x: Floats, period: int) -> Floats:
    """Return Wilder's mean (weight 1 / period), seeded with the SMA.

    Shapes: x (rows, bars) -> (rows, bars); NaN as in `ema`.
    Units:  those of x.
    Raises: ValueError: period < 1, or x is not 2-D float64.
    Source: Wilder 1978; TradingView `ta.rma`. pandas-ta 0.4.71b0 seeds with the first value.
    """
    smooth: Floats = _smooth(x, [period], [1.0 / period])[0]
    return smooth


def true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """Return Wilder's true range; on a row's first bar high - low.

    Shapes: three times (rows, bars) -> (rows, bars); NaN where a needed price is.
    Units:  quote currency.
    Raises: ValueError: close is not 2-D float64.
    Source: Wilder 1978. TradingView counts the first bar; TA-Lib TRANGE starts at the second.
    """
    require_rows(close)
    high, low, close = by_bar(high), by_bar(low), by_bar(close)
    result: Floats = high - low
    before = close[:, :-1]
    gapped = np.abs(high[:, 1:] - before)
    np.maximum(gapped, np.abs(low[:, 1:] - before), out=gapped)
    np.maximum(result[:, 1:], gapped, out=gapped)
    begun = np.isfinite(before)
    if not begun.all():
        begun = np.logical_or.accumulate(begun, axis=1)
        gapped = np.where(begun, gapped, result[:, 1:])
    result[:, 1:] = gapped
    return result


def atr(high: Floats, low: Floats, close: Floats, period: int = 14) -> Floats:
    """Return Wilder's average true range.

    Shapes: three times (rows, bars) -> (rows, bars); the first `period - 1` bars are NaN,
        and everything after a NaN inside the row.
    Units:  quote currency.
    Raises: ValueError: period < 1, or close is not 2-D float64.
    Source: Wilder 1978. Agrees with TradingView `ta.atr` and pandas-ta 0.4.71b0; TA-Lib and
        pandas-ta-classic leave out the first bar, a difference below 1e-9 after bar 300.
    """
    return rma(true_range(high, low, close), period)


def require_rows(x: Floats, period: int = 1) -> None:
    """Raise unless x is float64 of shape (rows, bars), bars and period at least 1.

    Raises:
        ValueError: Names what was found instead.
    """
    if period < 1:
        raise ValueError(f"period must be at least 1 bar, not {period}")
    if x.ndim != 2 or x.dtype != np.float64 or not x.shape[1]:
        raise ValueError(
            f"expected float64 of shape (rows, bars), found {x.dtype} of shape {x.shape}"
        )


def _windows(bars: Parts, period: int, join: Join) -> Parts:
    """Return what `join` makes of every full window, the one that ends first in column 0.

    The order of joining depends on `period` alone.
    """
    if bars[0].shape[1] < period:
        return tuple(part[:, :0] for part in bars)
    size, piece = 1, bars
    covered, whole = 0, bars
    while True:
        if period & size:
            whole = join(*_adjoining(piece, whole, size), size, covered) if covered else piece
            covered += size
        if covered == period:
            return whole
        piece = join(*_adjoining(piece, piece, size), size, size)
        size *= 2


def _adjoining(older: Parts, newer: Parts, size: int) -> tuple[Parts, Parts]:
    """Return both so that each column's newer window starts where the older one of `size` ends."""
    columns = newer[0].shape[1] - size
    return tuple(part[:, :columns] for part in older), tuple(part[:, size:] for part in newer)


def _join_sums(older: Parts, newer: Parts, older_bars: int, newer_bars: int) -> Parts:
    return (older[0] + newer[0],)


def _join_squares(older: Parts, newer: Parts, older_bars: int, newer_bars: int) -> Parts:
    """Parts: sum, and sum of the squared distances from the mean."""
    if older_bars == newer_bars:
        apart, share = older[0] - newer[0], 0.5 / older_bars
    else:
        apart = older[0] * newer_bars
        apart -= newer[0] * older_bars
        share = 1.0 / (older_bars * newer_bars * (older_bars + newer_bars))
    apart *= apart
    apart *= share
    if older_bars > 1:
        apart += older[1]
    if newer_bars > 1:
        apart += newer[1]
    return older[0] + newer[0], apart


def _join_climbs(older: Parts, newer: Parts, older_bars: int, newer_bars: int) -> Parts:
    """Parts: sum, and sum of each bar times its place in the window, from 0."""
    climb = newer[0] * float(older_bars)
    if older_bars > 1:
        climb += older[1]
    if newer_bars > 1:
        climb += newer[1]
    return older[0] + newer[0], climb


def _led_by_nan(like: Floats, period: int) -> tuple[Floats, Floats]:
    """Return an array with NaN before the first full window, and the view on what follows."""
    result = np.empty(like.shape, order="F")
    lead = min(period - 1, like.shape[1])
    result[:, :lead] = np.nan
    return result, result[:, lead:]


def _rolling_extreme(x: Floats, period: int, pick: np.ufunc) -> Floats:
    require_rows(x, period)
    result, full = _led_by_nan(x, period)
    if x.shape[1] < period:
        return result
    found, span = by_bar(x), 1
    while 2 * span < period:
        found = pick(found[:, span:], found[:, :-span])
        span *= 2
    step = period - span
    pick(found[:, step:], found[:, : found.shape[1] - step], out=full)
    return result


def _smooth(x: Floats, periods: Sequence[int], weights: Sequence[float]) -> Floats:
    """Return y_i = w x_i + (1 - w) y_(i-1) from the mean of each row's first `period` bars on."""
    for period in periods:
        require_rows(x, period)
    rows, bars = x.shape
    x = by_bar(x)
    finite = np.isfinite(x)
    first = np.where(finite.any(axis=1), finite.argmax(axis=1), bars)
    row = np.arange(rows)
    opening = np.minimum(first[:, None] + np.arange(max(periods)), bars - 1)
    # cumsum adds strictly from left to right, whatever the shape
    sums = x[row[:, None], opening].cumsum(axis=1)

    # Before its seed a column holds zeros: then the seed enters like any other bar.
    y = np.empty((bars, len(periods), rows))
    np.multiply(x.T[:, None], np.array(weights)[:, None], out=y)
    seed_bar = first + np.array(periods)[:, None] - 1
    for p, period in enumerate(periods):
        seeded = seed_bar[p] < bars
        y[seed_bar[p, seeded], p, row[seeded]] = sums[seeded, period - 1] / period
    opened = y[: seed_bar.max(initial=0)]
    early = np.arange(len(opened))[:, None, None] < seed_bar
    np.copyto(opened, 0.0, where=early)

    keep = np.repeat(1.0 - np.array(weights), rows)
    before, kept = np.zeros_like(keep), np.empty_like(keep)
    multiply, add = np.multiply, np.add
    for now in y.reshape(bars, len(periods) * rows):
        multiply(before, keep, kept)
        add(now, kept, now)
        before = now
    np.copyto(opened, np.nan, where=early)
    # The loop needs all periods of a bar together, readers one period after the other.
    return np.ascontiguousarray(y.transpose(1, 0, 2)).transpose(0, 2, 1)
