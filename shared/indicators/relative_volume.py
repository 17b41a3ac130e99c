"""Volume relative to the bars before."""

from __future__ import annotations

import numpy as np

from shared.indicators.rolling import rolling_mean
from shared.market import Floats


def relative_volume(volume: Floats, period: int = 20) -> Floats:
    """Return each bar's volume over the mean of the `period` bars before it.

    Shapes: volume (rows, bars) -> (rows, bars); the first `period` bars are NaN, and so is
        every bar with a NaN among it and the `period` before.
    Units:  1 is usual; NaN where nothing was traded in the bars before.
    Raises: ValueError: period < 1, or volume is not 2-D float64.
    """
    usual = np.full_like(volume, np.nan)
    usual[:, 1:] = rolling_mean(volume, period)[:, :-1]
    np.copyto(usual, np.nan, where=~(usual > 0.0))
    result: Floats = volume / usual
    return result
