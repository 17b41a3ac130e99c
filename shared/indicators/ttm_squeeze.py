"""The TTM Squeeze: Bollinger bands inside the Keltner channel, its release, its momentum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.indicators.rolling import (
    FLAT,
    by_bar,
    linreg_end,
    rolling_max,
    rolling_mean,
    rolling_mean_sd,
    rolling_min,
    running_max,
    true_range,
)
from shared.market import Floats

PERIOD = 20
REACH = 2 * PERIOD - 1
"""Bars that the numbers of one bar are made of: the momentum's two windows."""

FIRED_BARS = 3
"""A release stays `fired` on its own bar and the next two."""

Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int32]
Signs = npt.NDArray[np.int8]


class Squeeze(NamedTuple):
    """The squeeze of every row at every bar; all arrays (rows, bars).

    Attributes:
        mid: SMA20 of close, the middle of both bands.
        bollinger_half: Half the height of the Bollinger bands.
        keltner_half: Half the height of the Keltner channel.
        known: Both heights exist.
        on: The Bollinger bands lie inside the channel; False where not known.
        run: Bars since the squeeze went on, this one included; 0 while it is off.
        last_run: Length of the newest finished run; 0 if there was none.
        momentum: In quote currency.
        direction: Sign of the momentum, kept through ties; 0 before the first.
        rising: The momentum moved away from the bar before by more than noise: 1 up, -1 down.
        fired_ago: Bars since the release, 0 to 2; -1 where not `fired`.
        fired_direction: Sign of the momentum at the release; 0 where not fired, or at a tie.
    """

    mid: Floats
    bollinger_half: Floats
    keltner_half: Floats
    known: Flags
    on: Flags
    run: Counts
    last_run: Counts
    momentum: Floats
    direction: Signs
    rising: Signs
    fired_ago: Signs
    fired_direction: Signs


def ttm_squeeze(
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    *,
    ranges: Floats | None = None,
    bb_mult: float = 2.0,
    kc_mult: float = 1.5,
    min_squeeze_bars: int = 3,
) -> Squeeze:
    """Return the squeeze, its release and its momentum for each row.

    On: `bb_mult` population standard deviations of 20 closes are less than `kc_mult` times
    the SMA20 of the true range, by more than 1e-9 of the price. Fired: the first off bar after
    at least `min_squeeze_bars` on, and the next two, until the squeeze is on again; never on a
    bar without volume, and a release without volume does not fire later either.
    Momentum: end point of the 20-bar least-squares line through
    close - ((highest high + lowest low) / 2 + SMA20) / 2.

    Args:
        ranges: Counted instead of the true range.

    Shapes: four or five times (rows, bars) -> see Squeeze; 19 bars come before the first state, 38
        before the first momentum.
    Units:  prices in quote currency, volume in base currency.
    Raises: ValueError: close is not 2-D float64.
    Source: TTM in its textbook form 20/2.0/1.5. The bands agree with TA-Lib 0.8 BBANDS to a
        relative 1e-9, the momentum with pandas-ta `squeeze(lazybear=True)` to 1e-6 ATR.
        LazyBear's published script uses the Keltner factor for the Bollinger bands too:
        `bb_mult=1.5` reproduces its dots (other on-states in 19 % of bars). A channel from
        EMA and ATR, as on TradingView and in talipp, differs in 7 to 8 % of bars.
    """
    high, low, close, volume = (by_bar(x) for x in (high, low, close, volume))
    mid, bollinger_half = rolling_mean_sd(close, PERIOD)
    bollinger_half *= bb_mult
    ranges = true_range(high, low, close) if ranges is None else by_bar(ranges)
    keltner_half = rolling_mean(ranges, PERIOD)
    keltner_half *= kc_mult
    noise = FLAT * np.abs(close)
    inside = keltner_half - bollinger_half  # NaN unless both exist
    known, on = np.isfinite(inside), inside > noise

    center = rolling_max(high, PERIOD)
    center += rolling_min(low, PERIOD)
    center /= 2.0
    center += mid
    center /= 2.0
    momentum = linreg_end(np.subtract(close, center, out=center), PERIOD)
    sign = _sign(momentum, noise)
    rising = np.zeros_like(sign)
    rising[:, 1:] = _sign(momentum[:, 1:] - momentum[:, :-1], noise[:, 1:])

    run = _bars_since(~on)
    finished, length = _earlier(on, 1) & ~on, _earlier(run, 1)
    traded = volume > 0
    fired_ago, fired_direction = _fired(
        finished & (length >= min_squeeze_bars) & traded, ~on, known & traded, sign
    )
    return Squeeze(
        mid=mid,
        bollinger_half=bollinger_half,
        keltner_half=keltner_half,
        known=known,
        on=on,
        run=run,
        last_run=_latest(finished, length),
        momentum=momentum,
        direction=_through_ties(sign, ~np.isnan(momentum)),
        rising=rising,
        fired_ago=fired_ago,
        fired_direction=fired_direction,
    )


def _sign(x: Floats, noise: Floats) -> Signs:
    return (x > noise).view(np.int8) - (x < -noise).view(np.int8)


def _fired(released: Flags, off: Flags, scored: Flags, sign: Signs) -> tuple[Signs, Signs]:
    """Return bars since the release (-1: not fired), and the momentum's sign at the release."""
    ago, direction = np.full_like(sign, -1), np.zeros_like(sign)
    fresh = released
    for bars in range(FIRED_BARS):
        here = (fresh & scored & (ago < 0)).view(np.int8)
        ago += here * np.int8(bars + 1)
        direction += here * _earlier(sign, bars)
        fresh = _earlier(fresh, 1) & off
    return ago, direction


def _through_ties(sign: Signs, known: Flags) -> Signs:
    """Return the sign at each bar, and at a tie the newest one before it."""
    tie = known & (sign == 0)
    if not tie.any():
        return sign
    newest = _latest(sign != 0, np.where(sign > 0, np.int32(1), np.int32(2)))
    return np.where(tie, np.array([0, 1, -1], np.int8)[newest], sign)


def _earlier[T: np.generic](values: npt.NDArray[T], bars: int) -> npt.NDArray[T]:
    """Return at each bar the value some bars before, and 0 before there was one."""
    result = np.zeros_like(values)
    result[:, bars:] = values[:, : values.shape[1] - bars]
    return result


def _bars_since(flags: Flags) -> Counts:
    """Return at each bar how many bars ago the flag was set last; from the start if never."""
    bar = np.arange(1, flags.shape[1] + 1, dtype=np.int32)
    since: Counts = bar - running_max(bar * flags)
    return since


def _latest(flags: Flags, values: Counts) -> Counts:
    """Return at each bar the value where the flag was set last, 0 if never; values from 0."""
    bar = np.arange(1, flags.shape[1] + 1, dtype=np.int64) << 32
    # Bar and value in one number: the largest so far is that of the newest bar.
    newest = running_max((bar | values) * flags)
    return newest.astype(np.int32)
