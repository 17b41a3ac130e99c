"""Candles that evidence is measured on: recorded ones, or a made market."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.whole_series import made
from shared.backtest.recording import chosen_symbols, read_recording
from shared.backtest.replay import Recording
from shared.candles.files import aggregated
from shared.candles.parquet import write_series
from shared.candles.stored_series import StoredSeries, store_file
from shared.market import Candles, Floats, StoredTimeframe, Timeframe

M5 = Timeframe.M5
YEAR = 365 * 288
"""5m candles of a year."""


def recordings(directory: Path | None, coins: int, closes: int) -> list[Recording]:
    """Return recorded candles, or made ones where there is no directory."""
    if directory is None:
        return [made(seed, closes) for seed in range(coins)]
    return [read_recording(directory, s) for s in chosen_symbols(directory, [])[:coins]]


def write_store(directory: Path, found: Iterator[Recording] | Sequence[Recording]) -> Path:
    """Write a candle store of all timeframes; return its directory."""
    directory.mkdir(parents=True)
    for recording in found:
        for timeframe, candles in recording.candles.items():
            stored = StoredSeries(recording.symbol, StoredTimeframe(timeframe), candles)
            write_series(store_file(directory, recording.symbol, str(timeframe)), stored)
    return directory


def one_year(found: Sequence[Recording], coins: int) -> Iterator[Recording]:
    """Yield coins with a year of 5m candles: those found, again and again, from other days on.

    Each repetition goes on at the price at which the one before ended. A coin taken again begins
    on another day, so that no two are alike.
    """
    for number in range(coins):
        source = found[number % len(found)]
        m5 = _repeated(source.candles[M5], 288 * 7 * (number // len(found)))
        longer = {t: aggregated(m5, t) for t in (Timeframe.H1, Timeframe.H4)}
        yield Recording(f"Y{number:03}USDT", {M5: m5} | longer)


def _repeated(candles: Candles, first: int) -> Candles:
    place = (first + np.arange(YEAR)) % len(candles)
    begins = place == 0
    begins[0] = False
    scale = (candles.close[-1] / candles.open[0]) ** np.cumsum(begins)
    digits = 7 - int(np.log10(candles.close.max()))

    def prices(column: Floats) -> Floats:
        rounded: Floats = np.round(column[place] * scale, digits)
        return rounded

    times = candles.open_time_ms[0] // Timeframe.H4.ms * Timeframe.H4.ms + M5.ms * np.arange(YEAR)
    return Candles.of(
        times, prices(candles.open), prices(candles.high), prices(candles.low),
        prices(candles.close), candles.volume[place],
    )  # fmt: skip
