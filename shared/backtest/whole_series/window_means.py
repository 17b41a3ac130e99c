"""The exponential means that windows give, at every bar of a series at once.

A window's mean is seeded with the plain mean of the window's own first bars, so it differs from
one that has been running since the series began. It is a weighted sum of the window's bars, and
such sums are put together from shorter ones, as in `shared/indicators/rolling.py`: no term of a bar
before the window ever enters, to be taken out again with its rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from shared.indicators.rolling import rolling_mean
from shared.market import Floats

NEGLIGIBLE = 1e-17
"""A weight below this moves no mean of prices."""


def window_emas(x: Floats, periods: Sequence[int], history: int) -> Floats:
    """Return `rolling.ema` of the last `history` bars, at each bar; of all while there are fewer.

    Shapes: x (1, bars), of one scale, such as prices -> (periods, 1, bars); the first
        `period - 1` bars are NaN.
    """
    found = np.empty((len(periods), *x.shape))
    for result, period, seeds in zip(found, periods, _means_of(x, periods), strict=True):
        keep = 1.0 - 2.0 / (period + 1)
        later = 1
        while keep**later > NEGLIGIBLE:
            later *= 2
        # with fewer bars after it, the seed still has weight
        seeded = later > history - period
        later = history - period if seeded else later
        result[:] = _means(x, period, keep, seeds, later, seeded=seeded)
    return found


def _means_of(x: Floats, periods: Sequence[int]) -> Iterator[Floats]:
    """Yield what `rolling_mean` gives of each period, to rounding, from sums in common."""
    parts = [x]
    while 2 ** len(parts) <= min(max(periods), x.shape[1]):
        half = 2 ** (len(parts) - 1)
        parts.append(parts[-1][:, half:] + parts[-1][:, :-half])
    for period in periods:
        means = np.full_like(x, np.nan)
        if period <= x.shape[1]:
            sizes = [size for size in range(len(parts)) if period & 2**size]
            total, covered = parts[sizes[0]], 2 ** sizes[0]
            for size in sizes[1:]:
                later = parts[size][:, covered:]
                total = later + total[:, : later.shape[1]]
                covered += 2**size
            np.divide(total, period, out=means[:, period - 1 :])
        yield means


def window_rma(x: Floats, period: int, history: int, first: Floats | None = None) -> Floats:
    """Return `rolling.rma` of the last `history` bars, at each bar; of all while there are fewer.

    Args:
        first: What a bar counts where it is its window's first.

    Shapes: x, first (1, bars) -> (1, bars); the first `period - 1` are NaN.
    """
    seeds = rolling_mean(x, period)
    if first is not None:
        bars = max(0, x.shape[1] - period + 1)
        seeds[:, period - 1 :] += (first[:, :bars] - x[:, :bars]) / period
    return _means(x, period, 1.0 - 1.0 / period, seeds, history - period, seeded=True)


def _means(
    x: Floats, period: int, keep: float, seeds: Floats, later: int, *, seeded: bool
) -> Floats:
    """Return the means of windows with `later` bars after their seed, and of the first, shorter.

    Args:
        seeds: The mean of `period` bars, at the last of them.
        seeded: A seed `later` bars ago counts.
    """
    bars = x.shape[1]
    if bars < period:
        return np.full_like(x, np.nan)
    # Nothing before the first seed, which enters like any other bar.
    weighted = np.zeros((1, later - 1 + bars))
    body = weighted[:, later - 1 :]
    np.multiply(x[:, period:], 1.0 - keep, out=body[:, period:])
    body[:, period - 1] = seeds[:, period - 1]

    means = _weighted_sums(weighted, keep, later)
    if seeded:
        means[:, later + period - 1 :] += keep**later * seeds[:, period - 1 : max(0, bars - later)]
    means[:, : period - 1] = np.nan
    return means


def _weighted_sums(x: Floats, keep: float, bars: int) -> Floats:
    """Return the sum over each window of so many bars, a bar weighing `keep` times the next one.

    Shapes: x (1, n) -> (1, n - bars + 1), the window that ends first in column 0.
    """
    size, piece = 1, x
    covered, whole = 0, x
    while True:
        if bars & size:
            whole = _joined(piece, whole, size, keep**covered) if covered else piece
            covered += size
        if covered == bars:
            return whole
        piece = _joined(piece, piece, size, keep**size)
        size *= 2


def _joined(older: Floats, newer: Floats, older_bars: int, weight: float) -> Floats:
    columns = newer.shape[1] - older_bars
    total = older[:, :columns] * weight
    total += newer[:, older_bars:]
    return total
