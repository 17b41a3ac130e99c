"""Coins with made scores, for backtests without an indicator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from shared.backtest.series import Series
from shared.backtest.simulation.bar_prices import CoinBars
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.funding_rates import RecordedRates
from shared.market import Candles, Timeframe, Times
from tests.support.candle_series import walk

BAR_MS = Timeframe.M5.ms
DAY_MS = 86_400_000
BEGIN_MS = 19_700 * DAY_MS


def scored(
    symbol: str,
    candles: Candles,
    base: Mapping[str, Mapping[int, int]] | None = None,
    *,
    atr_1h: float = 1.0,
    columns: Mapping[str, Sequence[float]] | None = None,
) -> CoinScores:
    """Return a coin whose scores are 0 but where `base` says otherwise.

    Args:
        base: By side, the score at the closes of some candles, by their number.
        columns: Whole columns instead.
    """
    count = len(candles)
    zeros = np.zeros(count)
    found = {
        "close": candles.close, "atr_1h": np.full(count, atr_1h), "long": zeros, "short": zeros,
        "base_long": zeros.copy(), "base_short": zeros.copy(),
    }  # fmt: skip
    for side, points in (base or {}).items():
        for place, score in points.items():
            found[f"base_{side}"][place] = score
    found |= {
        name: np.asarray(column, dtype=np.float64) for name, column in (columns or {}).items()
    }
    return CoinScores.of(symbol, Series(candles.open_time_ms + BAR_MS, found), candles)


def flat(count: int, price: float = 100.0, begin_ms: int = BEGIN_MS) -> Candles:
    """Return candles that do not move, of prices with three decimals."""
    times: Times = begin_ms + BAR_MS * np.arange(count, dtype=np.int64)
    first, high, low, last = (np.full(count, price) for _ in range(4))
    high[0] += 0.001
    return Candles.of(times, first, high, low, last, np.ones(count))


def with_detail(coin: CoinScores, seed: int) -> CoinScores:
    """Return a coin with 1m candles of most of its candles, and funding rates of some days."""
    rng, bars = np.random.default_rng(seed), coin.bars.candles
    minutes = minutes_in(bars, rng)
    paid = BEGIN_MS + DAY_MS // 6 * np.arange(4, 24, dtype=np.int64) + rng.integers(0, 99, 20)
    rates = RecordedRates(
        paid, np.round(rng.normal(0, 0.002, 20), 6), ((int(paid[0]), int(paid[-1]) + 1),)
    )
    kept = minutes[rng.random(len(minutes)) < 0.97]
    return replace(coin, bars=CoinBars.of(bars, kept, rates))


def minutes_in(bars: Candles, rng: np.random.Generator) -> Candles:
    """Return 1m candles that agree with 5m ones.

    The extremes come in any order, in the second and the third minute.
    """
    is_low_first = rng.random(len(bars)) < 0.5
    extremes = (
        np.where(is_low_first, bars.low, bars.high), np.where(is_low_first, bars.high, bars.low)
    )  # fmt: skip
    ends = np.stack([bars.open, bars.open, *extremes, bars.close, bars.close], axis=1)
    first, last = ends[:, :-1].ravel(), ends[:, 1:].ravel()
    times = (bars.open_time_ms[:, None] + BAR_MS // 5 * np.arange(5)).ravel()
    return Candles.of(
        times, first, np.maximum(first, last), np.minimum(first, last), last, np.ones(len(times))
    )


def random_coins(
    seed: int, coins: Sequence[str], bars: int, *, often: float = 0.02, gap: bool = True
) -> list[CoinScores]:
    """Return coins that walk at random, with random scores and bonuses and, perhaps, a halt."""
    rng = np.random.default_rng(seed)
    found = []
    for number, symbol in enumerate(coins):
        candles = walk(seed * 100 + number, bars, price=1024.0, volatility=0.5, start_ms=BEGIN_MS)
        if gap and number == 1:
            there = np.ones(bars, dtype=np.bool_)
            halted = int(rng.integers(bars // 4, bars // 2))
            there[halted : halted + 30] = False
            candles = candles[there]
        count = len(candles)
        strong = rng.random((2, count)) < often
        base = np.where(strong, rng.integers(85, 101, (2, count)), rng.integers(0, 70, (2, count)))
        columns = {
            "base_long": base[0], "base_short": base[1], "atr_1h": np.full(count, 8.0),
            "long": rng.integers(0, 46, count), "short": rng.integers(0, 46, count),
        }  # fmt: skip
        columns["base_long"] = np.where(rng.random(count) < 0.01, np.nan, columns["base_long"])
        found.append(scored(symbol, candles, columns=columns))
    return found
