"""The base score: seven components, their points for each side, and the reasons.

One idea: join a trend after a pullback, with room left. All inputs are closed 5m candles, except
the 1h trend around them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.indicators.macd import macd_histogram
from shared.indicators.percent_b import percent_b
from shared.indicators.relative_volume import relative_volume
from shared.indicators.rolling import FLAT, atr, ema
from shared.indicators.stoch_rsi import rsi
from shared.market import Floats
from shared.messages.signals import ScorePart, SideScore
from shared.messages.trading import TradeSide

COMPONENTS: Mapping[str, int] = {
    "context trend 1h": 19,
    "trend 5m": 14,
    "MACD": 20,
    "RSI": 12,
    "Bollinger %B": 10,
    "volume": 15,
    "not overextended": 10,
}
"""Every component and the most points it gives, in order; together 100."""

SIGNS: Mapping[TradeSide, int] = {"long": 1, "short": -1}

Flags = npt.NDArray[np.bool_]
Steps = npt.NDArray[np.int8]
"""1 or 0 each."""


class Bars(NamedTuple):
    """Closed candles, oldest first: 5m columns (rows, bars), 1h closes (rows, bars of 1h)."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    close_1h: Floats


class Inputs(NamedTuple):
    """Inputs of the score of the newest candle; one number per row, NaN where there is none.

    Units: prices, averages, `hist` and `atr` in quote currency; `rsi` 0..100; `percent_b` 0 at
        the lower band, 1 at the upper; `volume` 1 where it is the mean of the 20 bars before.
    """

    open: Floats
    close: Floats
    close_before: Floats
    ema20: Floats
    ema50: Floats
    close_1h: Floats
    ema20_1h: Floats
    ema50_1h: Floats
    hist: Floats
    hist_before: Floats
    atr: Floats
    rsi: Floats
    percent_b: Floats
    volume: Floats


def inputs_of(bars: Bars) -> Inputs:
    """Return the score's inputs for the newest candle of each row.

    Shapes: see Bars -> (rows,) each.
    Raises: ValueError: a column is not 2-D float64.
    Source: RSI and ATR after Wilder, MACD 12/26/9, Bollinger 20/2 with population deviation;
        every kernel of `shared/indicators/` names its own.
    """
    close = bars.close
    ema20, ema50 = ema(close, (20, 50))
    ema20_1h, ema50_1h = ema(bars.close_1h, (20, 50))
    hist = macd_histogram(close)
    # Short windows are computed for the last bars only.
    recent = slice(-21, None)
    return Inputs(
        open=bars.open[:, -1],
        close=close[:, -1],
        close_before=_before(close),
        ema20=ema20[:, -1],
        ema50=ema50[:, -1],
        close_1h=bars.close_1h[:, -1],
        ema20_1h=ema20_1h[:, -1],
        ema50_1h=ema50_1h[:, -1],
        hist=hist[:, -1],
        hist_before=_before(hist),
        atr=moving(atr(bars.high, bars.low, close)[:, -1], close[:, -1]),
        rsi=rsi(close)[:, -1],
        percent_b=percent_b(close[:, recent])[:, -1],
        volume=relative_volume(bars.volume[:, recent])[:, -1],
    )


def _before(x: Floats) -> Floats:
    before: Floats = x[:, -2] if x.shape[1] > 1 else np.full(len(x), np.nan)
    return before


def moving(range_: Floats, price: Floats) -> Floats:
    """Return the range, NaN where it is noise and unusable as a unit."""
    unit = range_.copy()
    np.copyto(unit, np.nan, where=~(range_ > FLAT * np.abs(price)))
    return unit


def points(x: Inputs, side: TradeSide) -> Floats:
    """Return the points of every component for one side.

    The short side is the long side of the market turned upside down. Differences of prices and
    averages within 1e-9 of the price are none.

    Shapes: (rows,) each -> (components, rows), in the order of COMPONENTS; NaN where an input
        is missing.
    Units:  points, 0 to the component's most.
    """
    sign = SIGNS[side]
    index = x.rsi if sign > 0 else 100.0 - x.rsi
    place = x.percent_b if sign > 0 else 1.0 - x.percent_b

    def above(a: Floats, b: Floats | float, noise: Floats | float) -> Steps:
        found: Flags = (a - b if sign > 0 else b - a) > noise
        return found.view(np.int8)

    noise, noise_1h = FLAT * np.abs(x.close), FLAT * np.abs(x.close_1h)
    over20 = above(x.close, x.ema20, noise)
    rising = above(x.hist, x.hist_before, noise) & above(x.hist, 0.0, noise)
    room = _share(np.minimum((index - 35.0) / 10.0, (75.0 - index) / 13.0))
    stretch = np.abs(x.close - x.ema20) / x.atr
    given = np.empty((len(COMPONENTS), *x.close.shape))
    trend_1h, trend, macd, strength, band, volume, near = given
    np.multiply(
        above(x.close_1h, x.ema50_1h, noise_1h) + above(x.ema20_1h, x.ema50_1h, noise_1h), 9.5,
        out=trend_1h,
    )  # fmt: skip
    np.multiply(over20 + above(x.ema20, x.ema50, noise), 7.0, out=trend)
    np.multiply(_share(sign * x.hist / (0.25 * x.atr)), 12.0, out=macd)
    macd += 8.0 * rising
    np.multiply(room, 8.0, out=strength)
    strength += 4.0 * (above(x.close, x.close_before, 0.0) & (index < 70.0))
    np.multiply(_share(1.0 - np.abs(place - 0.6) / 0.5), 10.0, out=band)
    np.multiply(15.0 * _share((x.volume - 1.0) / 1.5), above(x.close, x.open, 0.0), out=volume)
    np.multiply(10.0 * over20, 1.0 - _share((stretch - 1.5) / 2.0), out=near)
    for component, needed in zip(given, _needed(x), strict=True):
        for each in needed:
            np.copyto(component, np.nan, where=~np.isfinite(each))
    return given


def _needed(x: Inputs) -> Sequence[Sequence[Floats]]:
    """Return the inputs that each component needs, in the order of COMPONENTS."""
    return (
        (x.close_1h, x.ema20_1h, x.ema50_1h), (x.ema20, x.ema50), (x.hist, x.hist_before, x.atr),
        (x.rsi, x.close_before), (x.percent_b,), (x.volume, x.open, x.close), (x.ema20, x.atr),
    )  # fmt: skip


def _share(x: Floats) -> Floats:
    return np.clip(x, 0.0, 1.0, out=x)


def total(given: Floats) -> int:
    """Return the sum of the components' points, rounded down."""
    # In a fixed order, and with a margin: a sum of 75 may fall short of it by its last digit.
    found: list[float] = [p for p in given.tolist() if math.isfinite(p)]
    return math.floor(sum(found) + FLAT)


def coverage(given: Floats) -> float:
    """Return the share of the 100 points whose inputs exist."""
    most = zip(given.tolist(), COMPONENTS.values(), strict=True)
    return sum(m for p, m in most if math.isfinite(p)) / sum(COMPONENTS.values())


def side_score(x: Inputs, row: int, side: TradeSide, given: Floats) -> SideScore:
    """Return the score of one row with its parts in words.

    Args:
        given: That row's column of `points(x, side)`.
    """
    texts = _texts(Inputs(*(column[row] for column in x)), SIGNS[side])
    parts = [
        ScorePart(
            name=name,
            points=p if math.isfinite(p) else 0.0,
            max=float(most),
            text=text if math.isfinite(p) else "not scored, an input is missing",
        )
        for (name, most), p, text in zip(COMPONENTS.items(), given.tolist(), texts, strict=True)
    ]
    return SideScore(score=total(given), parts=parts)


def _texts(x: Inputs, sign: int) -> list[str]:
    """Return each component's text for one row. Here the fields of `x` are plain numbers."""

    def than(a: Floats, b: Floats, price: Floats) -> str:
        if abs(a - b) <= FLAT * abs(price):
            return "at"
        return "above" if a > b else "below"

    def move(now: Floats, before: Floats) -> str:
        return "rising" if now > before else "falling" if now < before else "resting"

    stretch = (x.close - x.ema20) / x.atr
    wanted = "green" if sign > 0 else "red"
    body = "green" if x.close > x.open else "red" if x.close < x.open else "without a body"
    return [
        f"1h close {than(x.close_1h, x.ema50_1h, x.close_1h)} EMA50, "
        f"EMA20 {than(x.ema20_1h, x.ema50_1h, x.close_1h)} EMA50",
        f"close {than(x.close, x.ema20, x.close)} EMA20, "
        f"EMA20 {than(x.ema20, x.ema50, x.close)} EMA50",
        f"histogram {x.hist / x.atr:+.2f} ATR, {move(x.hist, x.hist_before)}",
        f"RSI {x.rsi:.1f}, close {move(x.close, x.close_before)}",
        f"%B {x.percent_b:.2f}",
        f"volume {x.volume:.2f} × the mean of 20, candle {body}"
        + ("" if body == wanted else f", not {wanted}"),
        f"{abs(stretch):.2f} ATR {than(x.close, x.ema20, x.close)} EMA20",
    ]
