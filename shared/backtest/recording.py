"""Reads a directory of recorded candles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.backtest.replay import Recording
from shared.candles.files import aggregated, candle_file, read_candles, recorded_symbols
from shared.errors import PlatformError
from shared.market import Candles, Timeframe


class NothingToReplay(PlatformError):
    """There are no candles of these coins in this directory and time."""


def chosen_symbols(directory: Path, wanted: Sequence[str]) -> list[str]:
    """Return the coins to replay: `wanted`, or all that are recorded.

    Raises:
        NothingToReplay: No such directory, no recording in it, or a wanted coin has none.
    """
    if not directory.is_dir():
        raise NothingToReplay(
            f"no directory {str(directory)!r}; give one holding SYMBOL-5m.csv.gz files"
        )
    recorded = recorded_symbols(directory)
    if not recorded:
        raise NothingToReplay(f"no file named SYMBOL-5m.csv.gz in {str(directory)!r}")
    missing = [symbol for symbol in wanted if symbol not in recorded]
    if missing:
        raise NothingToReplay(
            f"no 5m candles of {', '.join(missing)} in {str(directory)!r}; "
            f"recorded are {', '.join(recorded)}"
        )
    return list(dict.fromkeys(wanted)) or recorded


def read_recording(directory: Path, symbol: str) -> Recording:
    """Return all candles of a coin; a longer timeframe without a file is aggregated from 5m.

    Raises:
        BadCandle: A file cannot be read.
    """
    m5 = read_candles(candle_file(directory, symbol, Timeframe.M5), symbol, Timeframe.M5)
    candles: dict[Timeframe, Candles] = {Timeframe.M5: m5}
    for timeframe in (Timeframe.H1, Timeframe.H4):
        path = candle_file(directory, symbol, timeframe)
        candles[timeframe] = (
            read_candles(path, symbol, timeframe) if path.exists() else aggregated(m5, timeframe)
        )
    return Recording(symbol, candles)
