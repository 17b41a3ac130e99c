"""The side that a release of the squeeze gives points to, at every bar of a stretch of candles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from shared.config.sections import IndicatorsSection
from shared.indicators.outliers import Outliers, clipped, find_outliers
from shared.indicators.rolling import FLAT
from shared.indicators.ttm_squeeze import (
    FIRED_BARS,
    PERIOD,
    REACH,
    Flags,
    Squeeze,
    ttm_squeeze,
)
from shared.market import Floats


class Bars(NamedTuple):
    """Bars with their true ranges and ATR14; all arrays (rows, bars)."""

    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    ranges: Floats
    atr14: Floats


def squeeze_sides(bars: Bars, settings: IndicatorsSection) -> tuple[Floats, Flags, Squeeze]:
    """Return the side that the squeeze gives points to, where windows must decide, and the squeeze.

    A release near an outlier counts as it is with the outliers cut back, which takes a few bars
    before. With a momentum that is none the direction is one from long before.
    """
    squeeze = _squeeze(bars, settings)
    sides, tied = _side(squeeze), _tied(squeeze, bars.close)
    found, atr14 = _outliers(bars, settings)
    options = settings.squeeze
    reach = max(REACH, PERIOD + options.min_squeeze_bars) + FIRED_BARS
    released = squeeze.fired_ago >= 0
    rows = np.flatnonzero(released & after(found, reach))
    if len(rows):
        at = rows[:, None] + np.arange(-reach - 1, 1)
        there, at = at >= 0, np.maximum(at, 0)
        near = Bars(*(np.where(there, column[0, at], np.nan) for column in bars))
        outliers = Outliers(options.outlier_atr, there & found[0, at], atr14[0, at], [])
        # The first bar counts only as the one before the second. As an outlier it is not cut back,
        # as the bar before it is not here.
        tied[0, rows] = outliers.found[:, 0] & outliers.found[:, 1]
        outliers.found[:, 0] = False
        cut = clipped(near.high, near.low, near.close, near.ranges, outliers)
        again = _squeeze(near._replace(**cut._asdict()), settings)
        sides[0, rows] = _side(again)[:, -1]
        tied[0, rows] |= _tied(again, cut.close)[:, -1]
    return sides, released & tied, squeeze


def _squeeze(bars: Bars, settings: IndicatorsSection) -> Squeeze:
    return ttm_squeeze(
        bars.high, bars.low, bars.close, bars.volume, ranges=bars.ranges,
        bb_mult=settings.squeeze.bb_mult, kc_mult=settings.squeeze.kc_mult,
        min_squeeze_bars=settings.squeeze.min_squeeze_bars,
    )  # fmt: skip


def _side(squeeze: Squeeze) -> Floats:
    agree = (squeeze.fired_ago >= 0) & (squeeze.direction == squeeze.fired_direction)
    side: Floats = np.multiply(squeeze.direction, agree, dtype=np.float64)
    return side


def _tied(squeeze: Squeeze, close: Floats) -> Flags:
    tied: Flags = np.abs(squeeze.momentum) <= FLAT * close
    return tied


def _outliers(bars: Bars, settings: IndicatorsSection) -> tuple[Flags, Floats]:
    """Return the outliers, and the ATR14 that goes on without them."""
    limit = settings.squeeze.outlier_atr
    found, atr14 = np.zeros(bars.close.shape, np.bool_), bars.atr14.copy()
    until = 0
    for at in np.flatnonzero(limit and bars.ranges[0, 1:] > limit * atr14[0, :-1]).tolist():
        if at >= until:
            until = at + settings.history
            part = (slice(None), slice(at, until))
            one = find_outliers(bars.ranges[part], bars.close[part], bars.atr14[part], limit)
            found[part], atr14[part] = one.found, one.atr14
    return found, atr14


def after(flags: Flags, bars: int) -> Flags:
    """Return where a flag is set at this bar or one of the `bars` before."""
    if not flags.any():
        return flags
    found, covered = flags.copy(), 0
    while covered < bars:
        step = min(covered + 1, bars - covered)
        found[:, step:] |= found[:, :-step]
        covered += step
    return found
