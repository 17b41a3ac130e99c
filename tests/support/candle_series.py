"""Candle series for tests: made from a seed, or read from recorded files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from shared.market import CandleLength, Candles, Floats, Timeframe
from shared.messages.candles import CandleWindow

START_MS = 1_699_999_200_000  # on the grid of every timeframe


def walk(
    seed: int,
    bars: int,
    *,
    timeframe: CandleLength = Timeframe.M5,
    price: float = 1024.0,
    volatility: float = 1.0,
    start_ms: int = START_MS,
) -> Candles:
    """Return a random walk of `bars` candles on a grid of 1/64.

    Prices on that grid are exact in binary, so mirroring and doubling them loses nothing.
    Volatility comes in regimes, so that squeezes occur.
    """
    rng = np.random.default_rng(seed)
    regime = np.repeat(rng.choice([0.25, 1.0, 3.0], size=bars // 20 + 1), 20)[:bars]
    steps = rng.normal(0.0, 2.0 * volatility, bars) * regime
    close = _on_grid(np.maximum(price + np.cumsum(steps), price / 8))
    open_ = np.concatenate([[close[0]], close[:-1]])
    wick = np.abs(rng.normal(0.0, 1.0 * volatility, (2, bars))) * regime
    high = _on_grid(np.maximum(open_, close) + wick[0])
    low = _on_grid(np.maximum(np.minimum(open_, close) - wick[1], price / 16))
    times = start_ms - start_ms % timeframe.ms + np.arange(bars, dtype=np.int64) * timeframe.ms
    return Candles.of(times, open_, high, low, close, rng.exponential(100.0, bars) + 1.0)


def _on_grid(x: Floats) -> Floats:
    return np.round(x * 64.0) / 64.0


def recorded(data_dir: Path, symbol: str, timeframe: Timeframe, folder: str = "") -> Candles:
    """Return the recorded candles of one coin."""
    path = data_dir / "candles" / folder / f"{symbol}-{timeframe}.csv.gz"
    with gzip.open(path, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=1)
    return Candles.of(table[:, 0].astype(np.int64), *(table[:, i] for i in range(1, 6)))


def window_at(
    candles: Candles,
    timeframe: Timeframe,
    now_ms: int,
    *,
    symbol: str = "BTCUSDT",
    keep: int = 1000,
    absent: tuple[tuple[int, int], ...] = (),
) -> CandleWindow:
    """Return the window a reader would find at `now_ms`: `keep` closed candles and the open one."""
    begun = candles[candles.open_time_ms <= now_ms]
    closed = begun.closed(timeframe, now_ms).tail(keep)
    return CandleWindow(
        symbol=symbol,
        timeframe=timeframe,
        candles=begun.tail(len(closed) + len(begun) - len(begun.closed(timeframe, now_ms))),
        closed_until_ms=timeframe.open_at(now_ms),
        fetched_at_ms=now_ms,
        source="sim",
        absent=absent,
    )
