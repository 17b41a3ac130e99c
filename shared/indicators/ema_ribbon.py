"""The EMA ribbon 8/13/21/34/55/89: its order, and how far it is spread."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.indicators.rolling import FLAT, by_bar, ema
from shared.market import Floats

PERIODS = (8, 13, 21, 34, 55, 89)

SPREAD_SCALE = 3.0
"""Width in ATR14 at which the spread is 63. A driftless random walk has a median width of
2.1 ATR14, and 2.1 / ln 2 = 3.0 puts that median at 50."""


class Ribbon(NamedTuple):
    """The ribbon of every row at every bar.

    Attributes:
        values: The six EMAs (periods, rows, bars), in quote currency; NaN before their time.
        state: 1 stacked bullish, -1 stacked bearish, 0 mixed or not yet known (rows, bars).
        spread: 0..100 (rows, bars); NaN until EMA89 and ATR14 exist.
    """

    values: Floats
    state: npt.NDArray[np.int8]
    spread: Floats


def ema_ribbon(close: Floats, atr14: Floats) -> Ribbon:
    """Return the six EMAs of each row, their order and their spread.

    Bullish means that each shorter EMA lies above the next longer one, bearish the reverse,
    by more than 1e-9 of the price; anything else, ties too, is mixed. The spread is
    100 (1 - exp(-width / 3)), where width = (highest - lowest EMA) / ATR14: 50 is what noise
    shows half the time, whatever the coin and the timeframe.

    Shapes: close, atr14 (rows, bars) -> see Ribbon; the first 88 bars have no state and
        no spread.
    Units:  close and atr14 in quote currency; a flat row (ATR14 up to 1e-9 of the price) has
        spread 0.
    Raises: ValueError: close is not 2-D float64.
    Source: the spread is this project's own; the EMAs are those of `rolling.ema`.
    """
    close, atr14 = by_bar(close), by_bar(atr14)
    values = ema(close, PERIODS)
    margin = FLAT * np.abs(close)
    return Ribbon(values, stacking(values, margin), spread(values, atr14, margin))


def stacking(values: Floats, margin: Floats) -> npt.NDArray[np.int8]:
    """Return the ribbon's state; `margin` is what steps must exceed.

    Shapes: values (periods, rows, bars), margin (rows, bars) -> (rows, bars).
    """
    steps = values[:-1] - values[1:]
    bullish = np.minimum.reduce(steps, axis=0) > margin
    bearish = np.maximum.reduce(steps, axis=0) < -margin
    state: npt.NDArray[np.int8] = bullish.view(np.int8) - bearish.view(np.int8)
    return state


def spread(values: Floats, atr14: Floats, margin: Floats) -> Floats:
    """Return the ribbon's spread; an ATR14 up to `margin` is that of a flat row.

    Shapes: values (periods, rows, bars), atr14, margin (rows, bars) -> (rows, bars).
    """
    width = np.maximum.reduce(values, axis=0)
    width -= np.minimum.reduce(values, axis=0)
    unit = atr14.copy()
    np.copyto(unit, np.inf, where=~(atr14 > margin))
    width /= unit
    width /= -SPREAD_SCALE
    result: Floats = np.exp(width, out=width)
    np.subtract(1.0, result, out=result)
    result *= 100.0
    np.copyto(result, np.nan, where=np.isnan(atr14))
    return result
