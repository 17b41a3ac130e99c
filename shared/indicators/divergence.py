"""Regular divergence between price and an oscillator, reported only once it can be known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.indicators.rolling import by_bar, require_rows, rolling_max, rolling_min
from shared.market import Floats

MIN_APART = 5
"""Minimum distance of the two pivots, in bars."""

MIN_TURN = 1.0
"""Minimum move of the oscillator against the price, in points."""

Counts = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


class Divergences(NamedTuple):
    """The divergence in force at every bar of every row; all arrays (rows, bars).

    Attributes:
        side: 1 bullish, -1 bearish, 0 none.
        strength: 0..1; 0 where there is none.
        pivot_a: Bar of the earlier pivot; -1 where there is none.
        pivot_b: Bar of the later pivot; -1 where there is none.
    """

    side: npt.NDArray[np.int8]
    strength: Floats
    pivot_a: Counts
    pivot_b: Counts


def divergences(
    high: Floats,
    low: Floats,
    k: Floats,
    atr14: Floats,
    *,
    left: int = 5,
    right: int = 3,
    window: int = 50,
    fresh: int = 10,
) -> Divergences:
    """Return at each bar the regular divergence of price and %K that is in force there.

    A pivot low lies below the `left` lows before it and not above the `right` lows after it,
    so it is known `right` bars late and never earlier. B is the newest pivot, A the newest at
    least 5 bars before B and inside the last `window` bars. Bullish: B lies lower than A, the
    lowest %K around B at least 1 point higher than around A, and A came from the lower half.
    Bearish is the mirror image. It stays in force while B is at most `fresh` bars ago and
    unbroken, and nothing is in force where %K is not defined. When both sides qualify the
    later B wins; B on one bar for both: none.

    strength = sqrt(p q) (0.5 + 0.5 z): p the price leg over 2 ATR14 at B, q the %K leg over
    40, z how far A's %K lay in its half, over 50; each cut to 0..1.

    Shapes: four times (rows, bars) -> see Divergences.
    Units:  prices and atr14 in quote currency, k 0..100.
    Raises: ValueError: left, right < 1, or high is not 2-D float64.
    Source: this project's own. TradingView's RSI divergence looks for pivots of the
        oscillator and draws the label `right` bars before it could be known.
    """
    require_rows(high)
    high, low, k, atr14 = by_bar(high), by_bar(low), by_bar(k), by_bar(atr14)
    options = {"left": left, "right": right, "window": window, "fresh": fresh}
    bull = _one_side(low, rolling_min(k, 3), k, atr14, options)
    # Turned upside down, highs are lows and the upper half is the lower one.
    bear = _one_side(-high, 100.0 - rolling_max(k, 3), k, atr14, options)
    bullish, bearish = bull.b > bear.b, bear.b > bull.b
    return Divergences(
        side=bullish.view(np.int8) - bearish.view(np.int8),
        strength=np.where(bullish, bull.strength, np.where(bearish, bear.strength, 0.0)),
        pivot_a=np.where(bullish, bull.a, np.where(bearish, bear.a, np.int32(-1))),
        pivot_b=np.where(bullish, bull.b, np.where(bearish, bear.b, np.int32(-1))),
    )


class _Side(NamedTuple):
    """The divergence in force on one side; without one, a and b are -1 and strength is 0."""

    a: Counts
    b: Counts
    strength: Floats


def _one_side(
    price: Floats, k_around: Floats, k: Floats, atr14: Floats, options: dict[str, int]
) -> _Side:
    """Return what is in force at each bar, looking for lows of `price`.

    `k_around` at bar j + 1 is the lowest oscillator over the bars j - 1 to j + 1. Pivots are
    few: each is evaluated once, then followed bar by bar while it is in force.
    """
    rows, bars = price.shape
    found = _Side(
        np.full(price.shape, -1, np.int32, order="F"),
        np.full(price.shape, -1, np.int32, order="F"),
        np.zeros(price.shape, order="F"),
    )
    # From here on one number is the index of bar and row in memory.
    flat_price, flat_around, flat_k, flat_atr = (
        x.ravel(order="K") for x in (price, k_around, k, atr14)
    )
    flat_a, flat_b, flat_strength = (x.ravel(order="K") for x in found)
    place = np.flatnonzero(_is_low(price, options).ravel(order="K"))
    bar = place // rows
    by_row = np.sort((place - bar * rows) * bars + bar)
    row = by_row // bars
    bar = by_row - row * bars
    earlier = np.searchsorted(by_row, by_row - MIN_APART, side="right") - 1
    # The newest pivot counts, with or without a divergence: for how many bars is that B?
    until = np.append(bar[1:], 0)
    until = np.where(np.append(row[1:], -1) == row, until, bars) + options["right"]
    has_a = (earlier >= 0) & (row[earlier] == row)
    bar_a = bar[earlier]
    until = np.minimum(until, np.minimum(bar_a + options["window"], bars))

    price_a, price_b = flat_price[bar_a * rows + row], flat_price[bar * rows + row]
    k_a, k_b = (flat_around[np.minimum(at + 1, bars - 1) * rows + row] for at in (bar_a, bar))
    atr_b = flat_atr[bar * rows + row]
    holds = has_a & (price_b < price_a) & (k_b >= k_a + MIN_TURN) & (k_a < 50.0) & (atr_b > 0)
    row, bar, bar_a, until, price_a, price_b, k_a, k_b, atr_b = (
        x[holds] for x in (row, bar, bar_a, until, price_a, price_b, k_a, k_b, atr_b)
    )
    price_leg = _cut((price_a - price_b) / (2.0 * atr_b))
    k_leg = _cut((k_b - k_a) / 40.0)
    depth = _cut((50.0 - k_a) / 50.0)
    strength = np.sqrt(price_leg * k_leg) * (0.5 + 0.5 * depth)

    at = bar[:, None] + np.arange(options["fresh"] + 1)
    place = np.minimum(at, bars - 1) * rows + row[:, None]
    stays = (at < until[:, None]) & ~(flat_price[place] < price_b[:, None])
    in_force = np.logical_and.accumulate(stays, axis=1)
    in_force[:, : options["right"]] = False
    in_force &= np.isfinite(flat_k[place])
    place, count = place[in_force], np.count_nonzero(in_force, axis=1)
    flat_a[place] = np.repeat(bar_a, count)
    flat_b[place] = np.repeat(bar, count)
    flat_strength[place] = np.repeat(strength, count)
    return found


def _is_low(price: Floats, options: dict[str, int]) -> Flags:
    left, right, bars = options["left"], options["right"], price.shape[1]
    low = np.zeros(price.shape, dtype=np.bool_, order="F")
    if bars > left + right:
        lowest_before = rolling_min(price, left)
        lowest_after = rolling_min(price, right)
        middle = price[:, left : bars - right]
        below = middle < lowest_before[:, left - 1 : bars - right - 1]
        low[:, left : bars - right] = below & (middle <= lowest_after[:, left + right :])
    return low


def _cut(x: Floats) -> Floats:
    cut: Floats = np.minimum(1.0, np.maximum(0.0, x))
    return cut
