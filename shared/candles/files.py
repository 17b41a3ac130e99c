"""Recorded candles: one gzip CSV file per coin and timeframe, `BTCUSDT-5m.csv.gz`."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from shared.candles.admission import admit
from shared.decimals import floats_in
from shared.errors import BadCandle
from shared.market import COLUMNS, Candles, Timeframe

LARGEST_FILE = 2**28
"""Bytes of a decompressed file: 40 years of 5m candles."""

HEADER = ",".join(COLUMNS).encode()


def candle_file(directory: Path, symbol: str, timeframe: Timeframe) -> Path:
    """Return the path of a coin's candle file."""
    return directory / f"{symbol}-{timeframe}.csv.gz"


def recorded_symbols(directory: Path) -> list[str]:
    """Return the coins that have a file of 5m candles, sorted."""
    ending = candle_file(directory, "", Timeframe.M5).name
    return sorted(path.name.removesuffix(ending) for path in directory.glob(f"*{ending}"))


def read_candles(path: Path, symbol: str, timeframe: Timeframe) -> Candles:
    """Return the candles of one file.

    Raises:
        BadCandle: The file is missing, unreadable, or not gzip CSV with the expected header, or
            a row is impossible.
    """
    try:
        header, _, rows = _unpacked(path).partition(b"\n")
        if header.strip() != HEADER:
            raise ValueError(f"the first line is {header[:60]!r}")
        numbers = floats_in(rows.replace(b"\r\n", b"\n").rstrip(b"\n").replace(b"\n", b","))
        if numbers is None:
            raise ValueError("no rows, or a field that is no decimal number")
        if numbers.size % len(COLUMNS):
            raise ValueError(f"a row has not {len(COLUMNS)} fields")
        columns = numbers.reshape(-1, len(COLUMNS)).T
        if not np.array_equal(columns[0], np.floor(columns[0])):
            raise ValueError("a time is no whole number")
        candles = Candles.of(
            columns[0].astype(np.int64), *(column.copy() for column in columns[1:])
        )
        admitted = admit(candles, symbol, timeframe, from_file=True)
        if not len(admitted.candles):
            raise ValueError(f"no row is usable: {admitted.refused[0].why}")
    except (OSError, EOFError, zlib.error, ValueError, BadCandle) as error:
        raise BadCandle(
            f"{path}: {error}; expected gzip CSV with the header {HEADER.decode()}"
        ) from error
    return admitted.candles


def _unpacked(path: Path) -> bytes:
    with gzip.open(path) as file:
        found = file.read(LARGEST_FILE + 1)
    if len(found) > LARGEST_FILE:
        raise ValueError(f"it decompresses to more than {LARGEST_FILE:,} bytes")
    return found


def aggregated(candles: Candles, timeframe: Timeframe) -> Candles:
    """Return 5m candles aggregated to a longer timeframe.

    A candle exists where at least one of its parts does, as at the exchange. The first and the
    last are left out if the recording does not cover them wholly.

    Shapes: n 5m candles -> at most n / (timeframe / 5 min) + 1.
    Units:  those of the candles; volumes are rounded to 8 decimals, as the exchange states them.
    """
    times = candles.open_time_ms
    group = times - times % timeframe.ms
    whole = (group >= times[:1]) & (group + timeframe.ms <= times[-1:] + Timeframe.M5.ms)
    parts, group = candles[whole], group[whole]
    if not len(parts):
        return Candles.empty()
    first = np.flatnonzero(np.diff(group, prepend=-1))
    last = np.append(first[1:], len(group)) - 1
    return Candles.of(
        group[first],
        parts.open[first],
        np.maximum.reduceat(parts.high, first),
        np.minimum.reduceat(parts.low, first),
        parts.close[last],
        np.round(np.add.reduceat(parts.volume, first), 8),
    )
