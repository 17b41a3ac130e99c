"""Bars of the simulated market: integers, so that 5m bars add up to 1h and 4h exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.market import Timeframe

Integers = npt.NDArray[np.int64]
# Ten rows, one column per bar; prices, volumes and quote volumes in units of their last digit.
Bars = npt.NDArray[np.int64]

(TIME, OPEN, HIGH, LOW, CLOSE, VOLUME, QUOTE, TRADES, TAKER_BASE, TAKER_QUOTE) = range(10)
FIELDS = 10
QUOTE_DIGITS = 4

DAY_MS = 86_400_000
BAR_MS = Timeframe.M5.ms
BARS_PER_DAY = DAY_MS // BAR_MS

_QUOTE_PER_TRADE = 500
_TAKER_LEAN = 0.35


@dataclass(frozen=True, slots=True)
class Scale:
    """How many decimals the prices and the base volumes of a coin have (1 to 8)."""

    price_digits: int
    volume_digits: int


def empty_bars() -> Bars:
    return np.empty((FIELDS, 0), dtype=np.int64)


def bars_from(
    open_time_ms: Integers, prices: tuple[Integers, ...], volume: Integers, scale: Scale
) -> Bars:
    """Build bars from OHLCV; the fields that recordings lack are derived from it.

    Shapes: all arrays (bars,); `prices` is open, high, low, close.
    Units:  prices and volume in units of their last digit.
    """
    bars = np.empty((FIELDS, len(open_time_ms)), dtype=np.int64)
    bars[TIME] = open_time_ms
    bars[OPEN], bars[HIGH], bars[LOW], bars[CLOSE] = prices
    bars[VOLUME] = volume
    open_, high, low, close = prices
    per_unit = 10.0 ** (QUOTE_DIGITS - scale.price_digits - scale.volume_digits) / 4
    quote = np.rint((open_ + high + low + close) * (volume * per_unit))
    bars[QUOTE] = quote
    bars[TRADES] = np.where(volume > 0, 1 + quote / (_QUOTE_PER_TRADE * 10**QUOTE_DIGITS), 0)
    taker = 0.5 + _TAKER_LEAN * (close - open_) / np.maximum(high - low, 1)
    bars[TAKER_BASE] = volume * taker
    bars[TAKER_QUOTE] = quote * taker
    return bars


def aggregate(bars: Bars, timeframe: Timeframe) -> Bars:
    """Return 5m bars added up to `timeframe`; a bar exists where at least one part does."""
    if timeframe.ms == BAR_MS or not bars.shape[1]:
        return bars
    group = bars[TIME] - bars[TIME] % timeframe.ms
    first = np.flatnonzero(np.diff(group, prepend=-1))
    last = np.append(first[1:], len(group)) - 1
    whole = np.empty((FIELDS, len(first)), dtype=np.int64)
    whole[TIME] = group[first]
    whole[OPEN] = bars[OPEN, first]
    whole[HIGH] = np.maximum.reduceat(bars[HIGH], first)
    whole[LOW] = np.minimum.reduceat(bars[LOW], first)
    whole[CLOSE] = bars[CLOSE, last]
    whole[VOLUME:] = np.add.reduceat(bars[VOLUME:], first, axis=1)
    return whole


def path_of(bar: Integers) -> Integers:
    """Return a price path for a bar without finer data: open, far side, near side, close."""
    rising = bar[CLOSE] >= bar[OPEN]
    first, second = (LOW, HIGH) if rising else (HIGH, LOW)
    return bar[[OPEN, first, second, CLOSE]]


def so_far(bar: Integers, points: Integers, elapsed_ms: int) -> Integers:
    """Return a 5m bar as of `elapsed_ms` after it opened.

    Args:
        bar: The finished bar, shape (10,).
        points: Its price path at equal distances in time, both ends included. The path is
            straight between the points, so its extremes are the bar's high and low.
        elapsed_ms: 0 to 300 000.
    """
    steps = len(points) - 1
    passed, rest = divmod(elapsed_ms * steps, BAR_MS)
    seen = points[: passed + 1]
    price = int(seen[-1])
    if rest:
        price += (int(points[passed + 1]) - price) * rest // BAR_MS
    part = bar * elapsed_ms // BAR_MS
    part[TIME] = bar[TIME]
    part[OPEN] = points[0]
    part[HIGH] = max(int(seen.max()), price)
    part[LOW] = min(int(seen.min()), price)
    part[CLOSE] = price
    return part
