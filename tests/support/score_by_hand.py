"""The base score of one coin, written down number by number as its table says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from shared.market import Candles

Numbers = Sequence[float]


def ema(x: Numbers, period: int) -> list[float]:
    """Return the means from bar `period - 1` on, seeded with the simple one."""
    out = [sum(x[:period]) / period]
    for value in x[period:]:
        out.append(out[-1] + 2 / (period + 1) * (value - out[-1]))
    return out


def wilder(x: Numbers, period: int = 14) -> float:
    """Return the newest of Wilder's means."""
    mean = sum(x[:period]) / period
    for value in x[period:]:
        mean = (mean * (period - 1) + value) / period
    return mean


def parts_by_hand(m5: Candles, h1: Candles, *, short: bool = False) -> list[float]:
    """Return the points of the seven components at the newest candle of each."""
    up = -1.0 if short else 1.0
    close, opened = m5.close.tolist(), m5.open.tolist()
    high, low, volume = m5.high.tolist(), m5.low.tolist(), m5.volume.tolist()
    hours = h1.close.tolist()

    def c(x: float) -> float:
        return min(1.0, max(0.0, x))

    def yes(a: float, b: float) -> float:
        return float(up * (a - b) > 0)

    ema20, ema50 = ema(close, 20)[-1], ema(close, 50)[-1]
    fast, slow = ema(close, 12), ema(close, 26)
    macd = [f - s for f, s in zip(fast[-len(slow) :], slow, strict=True)]
    signal = ema(macd, 9)
    hist, before = macd[-1] - signal[-1], macd[-2] - signal[-2]
    true_range = [high[0] - low[0]] + [
        max(h, b) - min(lo, b) for h, lo, b in zip(high[1:], low[1:], close[:-1], strict=True)
    ]
    atr = wilder(true_range)
    moves = [b - a for a, b in pairwise(close)]
    gain, loss = wilder([max(m, 0.0) for m in moves]), wilder([max(-m, 0.0) for m in moves])
    rsi = 100 * gain / (gain + loss)
    mean = sum(close[-20:]) / 20
    sd = math.sqrt(sum((x - mean) ** 2 for x in close[-20:]) / 20)
    b = (close[-1] - (mean - 2 * sd)) / (4 * sd)
    if short:
        rsi, b = 100 - rsi, 1 - b
    room = 1.0 if 45 <= rsi <= 62 else c((rsi - 35) / 10 if rsi < 45 else (75 - rsi) / 13)
    usual = sum(volume[-21:-1]) / 20
    hour20, hour50 = ema(hours, 20)[-1], ema(hours, 50)[-1]
    return [
        9.5 * yes(hours[-1], hour50) + 9.5 * yes(hour20, hour50),
        7 * yes(close[-1], ema20) + 7 * yes(ema20, ema50),
        12 * c(up * hist / (0.25 * atr)) + 8 * yes(hist, 0) * yes(hist, before),
        8 * room + 4 * yes(close[-1], close[-2]) * float(rsi < 70),
        10 * c(1 - abs(b - 0.6) / 0.5),
        15 * c((volume[-1] / usual - 1) / 1.5) * yes(close[-1], opened[-1]),
        10 * yes(close[-1], ema20) * (1 - c((abs(close[-1] - ema20) / atr - 1.5) / 2)),
    ]
