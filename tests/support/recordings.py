"""Recordings to replay: generated ones, and writing them as files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from shared.backtest.replay import Recording
from shared.candles.files import aggregated, candle_file
from shared.candles.parquet import FundingRates, write_funding
from shared.candles.stored_series import FUNDING, store_file
from shared.exchanges.sim.rules import FUNDING_MS
from shared.market import COLUMNS, Candles, StoredTimeframe, Timeframe
from tests.support.candle_series import walk
from tests.support.made_scores import minutes_in


def generated(symbol: str, bars: int = 15_000) -> Recording:
    """Return a coin's made-up recording; by default long enough for 4h to be warm at its end."""
    m5 = walk(sum(symbol.encode()), bars, price=4096.0)
    longer = {t: aggregated(m5, t) for t in (Timeframe.H1, Timeframe.H4)}
    return Recording(symbol, {Timeframe.M5: m5} | longer)


def write_recording(directory: Path, recording: Recording, *timeframes: Timeframe) -> None:
    """Write the candles of some timeframes (of 5m alone by default) as files."""
    for timeframe in timeframes or (Timeframe.M5,):
        write_candles(
            candle_file(directory, recording.symbol, timeframe), recording.candles[timeframe]
        )


def write_detail(directory: Path, recording: Recording, seed: int = 1) -> None:
    """Write 1m candles that agree with a recording's, and funding rates of every eight hours."""
    symbol, bars = recording.symbol, recording.candles[Timeframe.M5]
    rng = np.random.default_rng(seed)
    write_candles(candle_file(directory, symbol, StoredTimeframe.M1), minutes_in(bars, rng))
    first_ms, last_ms = int(bars.open_time_ms[0]), int(bars.open_time_ms[-1]) + Timeframe.M5.ms
    times = np.arange(-(-first_ms // FUNDING_MS), last_ms // FUNDING_MS + 1) * FUNDING_MS
    rates = FundingRates(
        symbol, times, np.round(rng.normal(0, 1e-4, len(times)), 8), np.full(len(times), np.nan),
        ((first_ms, last_ms + 1),), "binance",
    )  # fmt: skip
    write_funding(store_file(directory, symbol, FUNDING), rates)


def write_candles(path: Path, candles: Candles) -> None:
    """Write one file of candles."""
    rows = zip(*(getattr(candles, name).tolist() for name in COLUMNS), strict=True)
    lines = [",".join(COLUMNS), *(",".join(map(repr, row)) for row in rows)]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
