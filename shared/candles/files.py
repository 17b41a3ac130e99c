"""Recorded candles: one gzip CSV file per coin and timeframe, `BTCUSDT-5m.csv.gz`."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from shared.candles.admission import Admitted, Refused, WrongUnit, admit, readable_ms
from shared.decimals import floats_in, whole_of
from shared.errors import BadCandle, shortened
from shared.market import COLUMNS, Candles, Floats, Timeframe

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
    """Return the candles of one file; see `read_admitted`."""
    return read_admitted(path, symbol, timeframe).candles


def read_admitted(path: Path, symbol: str, timeframe: Timeframe) -> Admitted:
    """Return the candles of one file, and which of its rows cannot be candles.

    Raises:
        BadCandle: The file is missing, unreadable, not gzip CSV with the expected header, has times
            in another unit than ms, or no usable row.
    """
    try:
        header, _, rows = _unpacked(path).partition(b"\n")
        if header.strip() != HEADER:
            raise ValueError(f"the first line is {header[:60]!r}")
        admitted = _admitted(rows.replace(b"\r\n", b"\n").rstrip(b"\n"), symbol, timeframe)
        if not len(admitted.candles):
            raise ValueError(f"no row is usable: {admitted.refused[0].why}")
    except WrongUnit as error:
        raise WrongUnit(f"{path}: {error}") from None
    except (OSError, EOFError, zlib.error, ValueError, BadCandle) as error:
        raise BadCandle(
            f"{path}: {error}; expected gzip CSV with the header {HEADER.decode()}"
        ) from error
    return admitted


def _admitted(rows: bytes, symbol: str, timeframe: Timeframe) -> Admitted:
    lines = rows.split(b"\n")
    if all(line.count(b",") == len(COLUMNS) - 1 for line in lines):
        numbers = floats_in(rows.replace(b"\n", b","))
        if numbers is not None and _are_times(numbers[:: len(COLUMNS)]):
            return admit(_candles(numbers), symbol, timeframe, from_file=True)
    good, numbers_of, refused = [], [], []
    for number, line in enumerate(lines, 1):
        numbers = floats_in(line)
        if numbers is None or numbers.size != len(COLUMNS) or not _are_times(numbers[:1]):
            shown = shortened(line[:60].decode("utf-8", "replace"))
            why = f"expected {len(COLUMNS)} decimal numbers, the first a whole one, found {shown!r}"
            time = whole_of(line.partition(b",")[0].decode("ascii", "replace"))
            refused.append(Refused(readable_ms(time or 0), number, why))
        else:
            good.append(numbers)
            numbers_of.append(number)
    candles = _candles(np.concatenate(good)) if good else Candles.empty()
    return admit(candles, symbol, timeframe, from_file=True, rows=numbers_of, refused=refused)


def _are_times(numbers: Floats) -> bool:
    return bool((numbers == np.floor(numbers)).all() and (np.abs(numbers) < 2**62).all())


def _candles(numbers: Floats) -> Candles:
    columns = numbers.reshape(-1, len(COLUMNS)).T
    return Candles.of(columns[0].astype(np.int64), *(column.copy() for column in columns[1:]))


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
