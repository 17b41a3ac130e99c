"""Outliers by their definition, bar by bar, and the points that squeezes give with wicks put in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shared.indicators.outliers import ClippedBars, clipped, find_outliers
from shared.indicators.rolling import atr, true_range
from shared.indicators.ttm_squeeze import Squeeze, ttm_squeeze
from tests.support.kernels import Bars

Signs = npt.NDArray[np.int8]
LIMIT = 20.0


def outliers_by_hand(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], limit: float
) -> tuple[list[int], list[tuple[float, float, float, float]]]:
    """Return the outliers of one row, and high, low, close, range of every bar, those cut back."""
    found: list[int] = []
    bars: list[tuple[float, float, float, float]] = []
    counted: list[float] = []
    atr14 = 0.0
    for i in range(len(close)):
        before = close[i - 1] if i else None
        true_range = high[i] - low[i]
        if before is not None:
            true_range = max(true_range, abs(high[i] - before), abs(low[i] - before))
        outlier = (
            before is not None and i >= 14 and atr14 > 1e-9 * before and true_range > limit * atr14
        )
        counted.append(limit * atr14 if outlier else true_range)
        bars.append((high[i], low[i], close[i], true_range))
        if outlier and before is not None:
            found.append(i)
            believed = bars[i - 1][2]
            wrong = abs(close[i] - believed) > limit * atr14 and (
                i < len(close) - 1 and abs(close[i + 1] - believed) < abs(close[i + 1] - close[i])
            )
            here = believed if wrong else close[i]
            moved = min(abs(here - believed), atr14)
            bars[i] = (max(here, believed), min(here, believed), here, moved)
        if i == 13:
            atr14 = sum(counted) / 14
        elif i > 13:
            atr14 = (13 * atr14 + counted[i]) / 14
    return found, bars


def cut_back(bars: Bars, limit: float = LIMIT) -> tuple[npt.NDArray[np.bool_], ClippedBars]:
    """Return the outliers, and the bars with them cut back."""
    ranges = true_range(bars.high, bars.low, bars.close)
    atr14 = atr(bars.high, bars.low, bars.close)
    outliers = find_outliers(ranges, bars.close, atr14, limit)
    return outliers.found, clipped(bars.high, bars.low, bars.close, ranges, outliers)


def both_squeezes(bars: Bars, limit: float = LIMIT) -> tuple[Squeeze, Squeeze]:
    """Return the squeeze as published, and with outliers cut back."""
    _, cut = cut_back(bars, limit)
    return (
        ttm_squeeze(bars.high, bars.low, bars.close, bars.volume),
        ttm_squeeze(cut.high, cut.low, cut.close, bars.volume, ranges=cut.ranges),
    )


def points(bars: Bars, limit: float = LIMIT) -> Signs:
    """Return the side that the squeeze gives points to at each bar: 1, -1 or 0.

    Where an outlier's close itself is beyond the limit, only the last bar is as it was told then.
    """
    shown, judged = both_squeezes(bars, limit)
    given = (shown.fired_ago >= 0) & (judged.fired_ago >= 0)
    given &= judged.direction == judged.fired_direction
    return np.where(given, judged.direction, np.int8(0))


def with_wick(bars: Bars, at: int, to: float) -> Bars:
    """Return the bars with one of them, of every row, reaching to a share of its close."""
    high, low = bars.high.copy(), bars.low.copy()
    side, pick = (low, np.minimum) if to < 1 else (high, np.maximum)
    side[:, at] = pick(side[:, at], to * bars.close[:, at])
    return Bars(high, low, bars.close, bars.volume)
