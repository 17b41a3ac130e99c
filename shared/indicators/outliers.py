"""Bars whose range is many times that of the bars before them, and a market without them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.indicators.rolling import FLAT
from shared.market import Floats

ATR_PERIOD = 14

Flags = npt.NDArray[np.bool_]


class Outliers(NamedTuple):
    """The outliers of every row; arrays are (rows, bars).

    Attributes:
        limit: In ATR14 of the bar before.
        found: The bar's true range is beyond the limit.
        atr14: ATR14 in which an outlier counts no more than the limit.
        rows: Those with an outlier.
    """

    limit: float
    found: Flags
    atr14: Floats
    rows: list[int]


class ClippedBars(NamedTuple):
    """Bars whose outliers are cut back; all arrays (rows, bars)."""

    high: Floats
    low: Floats
    close: Floats
    ranges: Floats


def find_outliers(ranges: Floats, close: Floats, atr14: Floats, limit: float) -> Outliers:
    """Return the bars whose true range exceeds `limit` ATR14 of the bar before.

    After an outlier the ATR goes on with `limit` ATR in place of its range, so that one outlier
    does not hide the next. (Not with less: in a market that has become that much faster, every
    bar would be an outlier for ever.) A bar after a flat market is none: there the ATR is noise.
    Nor are the first 14 bars, before which there is no ATR.

    Shapes: three times (rows, bars) -> see Outliers.
    Units:  quote currency; limit in ATR14, 0 for no outliers at all.
    Source: this project.
    """
    found = np.zeros(close.shape, np.bool_)
    if not limit:
        return Outliers(limit, found, atr14, [])
    # The first outlier of a row is one by the plain ATR14 too: other rows have none.
    beyond = ranges[:, 1:] > limit * atr14[:, :-1]
    rows = np.flatnonzero(beyond.any(axis=1)).tolist()
    if rows:
        atr14 = atr14.copy()
    for row in rows:
        begin = slice(int(beyond[row].argmax()), None)
        _follow(ranges[row, begin], close[row, begin], limit, found[row, begin], atr14[row, begin])
    return Outliers(limit, found, atr14, [row for row in rows if found[row].any()])


def _follow(ranges: Floats, close: Floats, limit: float, found: Flags, atr14: Floats) -> None:
    """Mark the outliers of one row after its first bar, and let its ATR14 go on without them."""
    weight, keep = 1.0 / ATR_PERIOD, 1.0 - 1.0 / ATR_PERIOD
    before, price = float(atr14[0]), float(close[0])
    smooth = [before]
    for bar, (reach, after) in enumerate(zip(ranges[1:].tolist(), close[1:].tolist(), strict=True)):
        counted, most = reach, limit * before
        if reach > most and before > FLAT * price:
            found[bar + 1], counted = True, most
        before, price = counted * weight + before * keep, after
        smooth.append(before)
    atr14[:] = smooth


def clipped(
    high: Floats, low: Floats, close: Floats, ranges: Floats, outliers: Outliers
) -> ClippedBars:
    """Return the bars with each outlier cut back to what its closes show, and to one ATR.

    A close that itself lies beyond the limit is a jump, or a wrong price if the next close is
    nearer to the one before: then it counts as that. The newest close counts as it is.
    High and low of an outlier become the higher and the lower of its close and the one before.
    Its range counts the distance between the two, at most one ATR of the bar before: clipped at
    the limit it would still double a channel of 20 bars, and open it again when it leaves.

    Shapes: five times (rows, bars) -> see ClippedBars.
    Units:  quote currency.
    Source: this project.
    """
    bars = ClippedBars(high.copy(), low.copy(), close.copy(), ranges.copy())
    newest = close.shape[1] - 1
    for row, bar in np.argwhere(outliers.found).tolist():
        before, atr14 = bars.close[row, bar - 1], outliers.atr14[row, bar - 1]
        here, after = close[row, bar], close[row, min(bar + 1, newest)]
        if abs(here - before) > outliers.limit * atr14 and abs(after - before) < abs(after - here):
            bars.close[row, bar] = here = before
        bars.high[row, bar], bars.low[row, bar] = max(here, before), min(here, before)
        bars.ranges[row, bar] = min(abs(here - before), atr14)
    return bars
