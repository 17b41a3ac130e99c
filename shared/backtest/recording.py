"""Reads a directory of recorded candles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from shared.backtest.replay import Recording
from shared.candles.admission import scale_breaks
from shared.candles.files import (
    EXPECTED,
    aggregated,
    candle_file,
    read_admitted,
    recorded_symbols,
)
from shared.clock import utc_text
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
        raise NothingToReplay(f"no directory {str(directory)!r}; give one holding {EXPECTED} files")
    recorded = recorded_symbols(directory)
    if not recorded:
        raise NothingToReplay(f"no file named {EXPECTED} in {str(directory)!r}")
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
    candles: dict[Timeframe, Candles] = {}
    refused: dict[Timeframe, tuple[int, ...]] = {}
    remarks: list[str] = []
    for timeframe in Timeframe:
        path = candle_file(directory, symbol, timeframe)
        if timeframe is not Timeframe.M5 and not path.exists():
            candles[timeframe] = aggregated(candles[Timeframe.M5], timeframe)
            continue
        admitted = read_admitted(path, symbol, timeframe)
        candles[timeframe] = admitted.candles
        refused[timeframe] = admitted.refused_ms
        remarks += admitted.remarks(f"{symbol} {timeframe}")
    return Recording(symbol, candles, refused, (*remarks, *_breaks_in_words(symbol, candles)))


def _breaks_in_words(symbol: str, candles: Mapping[Timeframe, Candles]) -> Iterator[str]:
    known: list[int] = []
    for timeframe in Timeframe:
        for found in scale_breaks(candles[timeframe], timeframe):
            if not any(abs(found.at_ms - at_ms) < timeframe.ms for at_ms in known):
                known.append(found.at_ms)
                yield (
                    f"{symbol} {timeframe}: the price scale breaks at {utc_text(found.at_ms)}, "
                    f"from {found.before!r} to {found.after!r}: its history begins anew there"
                )
