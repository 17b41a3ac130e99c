"""Recordings to replay: generated ones, and writing them as files."""

from __future__ import annotations

import gzip
from pathlib import Path

from shared.backtest.replay import Recording
from shared.candles.files import aggregated, candle_file
from shared.market import COLUMNS, Candles, Timeframe
from tests.support.candle_series import walk


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


def write_candles(path: Path, candles: Candles) -> None:
    """Write one file of candles."""
    rows = zip(*(getattr(candles, name).tolist() for name in COLUMNS), strict=True)
    lines = [",".join(COLUMNS), *(",".join(map(repr, row)) for row in rows)]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
