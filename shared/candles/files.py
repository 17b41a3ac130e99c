"""Recorded candles: a candle store, or gzip CSV files, one per coin and timeframe.

`BTCUSDT-5m.parquet` or `BTCUSDT-5m.csv.gz`; where there are both, the store's file counts.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shared.candles.admission import Admitted, Refused, WrongUnit, admit, readable_ms, unit_of
from shared.candles.stored_series import STORED, store_file
from shared.decimals import floats_in, whole_of
from shared.errors import BadCandle, shortened
from shared.market import COLUMNS, CandleLength, Candles, Floats, StoredTimeframe, Timeframe
from shared.symbols import is_symbol

LARGEST_FILE = 2**28
"""Bytes of a decompressed file: 40 years of 5m candles."""

HEAD = 4096
"""Bytes that contain the header and the first row."""

HEADER = ",".join(COLUMNS).encode()
_ROW_SEPARATORS = b"," * (len(COLUMNS) - 1) + b"\n"
_OTHER_BYTES = bytes(set(range(256)) - set(_ROW_SEPARATORS))
CSV = ".csv.gz"
ENDINGS = STORED, CSV
EXPECTED = f"SYMBOL-5m{STORED} or SYMBOL-5m{CSV}"
_CSV_NAME = re.compile(r"(?P<symbol>\w+)-(?P<timeframe>1m|5m|1h|4h)\.csv\.gz")


def candle_file(directory: Path, symbol: str, timeframe: CandleLength) -> Path:
    """Return the path of a coin's candle file: the store's, unless there is none."""
    stored = store_file(directory, symbol, timeframe)
    return stored if stored.is_file() else directory / f"{symbol}-{timeframe}{CSV}"


def recorded_symbols(directory: Path) -> list[str]:
    """Return the coins that have a file of 5m candles, sorted."""
    endings = [f"-{Timeframe.M5}{ending}" for ending in ENDINGS]
    return sorted(
        {
            path.name.removesuffix(ending)
            for ending in endings
            for path in directory.glob(f"[!.]*{ending}")
        }
    )


def csv_name(path: Path) -> tuple[str, StoredTimeframe]:
    """Return the coin and the timeframe that a gzip CSV file is named for.

    Raises:
        BadCandle: It is named otherwise.
    """
    found = _CSV_NAME.fullmatch(path.name)
    if found is None or not is_symbol(found["symbol"]):
        raise BadCandle(f"{path}: its name is not such as BTCUSDT-5m.csv.gz")
    return found["symbol"], StoredTimeframe(found["timeframe"])


class Rows(NamedTuple):
    """The rows of a file as they stand there.

    Attributes:
        numbers: Which row of the file each candle is; None: all of them, in order.
        refused: Rows that hold no numbers.
    """

    candles: Candles
    numbers: Sequence[int] | None = None
    refused: Sequence[Refused] = ()

    def admitted(self, symbol: str, timeframe: CandleLength) -> Admitted:
        """Return those that can be candles.

        Raises:
            WrongUnit: Times in another unit than ms.
        """
        return admit(
            self.candles, symbol, timeframe,
            from_file=True, rows=self.numbers, refused=self.refused,
        )  # fmt: skip


def read_candles(path: Path, symbol: str, timeframe: Timeframe) -> Candles:
    """Return the candles of one file; see `read_admitted`."""
    return read_admitted(path, symbol, timeframe).candles


def read_admitted(path: Path, symbol: str, timeframe: CandleLength) -> Admitted:
    """Return the candles of one file, and which of its rows cannot be candles.

    Raises:
        BadCandle: The file is missing, unreadable, not as expected, has times in another unit than
            ms, or no usable row.
    """
    if path.name.endswith(STORED):
        from shared.candles.parquet import read_series  # noqa: PLC0415  # loads pyarrow

        rows = Rows(read_series(path, symbol, StoredTimeframe(timeframe)).candles)
    else:
        rows = read_rows(path)
    try:
        admitted = rows.admitted(symbol, timeframe)
    except WrongUnit as error:
        raise WrongUnit(f"{path}: {error}") from None
    if not len(admitted.candles):
        why = admitted.refused[0].why if admitted.refused else "there is none"
        raise BadCandle(f"{path}: no row is usable: {why}")
    return admitted


def read_rows(path: Path) -> Rows:
    """Return the rows of a gzip CSV file, unchecked; of one in another unit than ms its first.

    Raises:
        BadCandle: The file is missing, unreadable, or not gzip CSV with the expected header.
    """
    try:
        first = _first_row(path)
        if len(first.candles) and unit_of(first.candles.open_time_ms[0].item()) not in {None, "ms"}:
            return first  # condemns the file, however long the rest is
        header, _, rows = _unpacked(path).partition(b"\n")
        if header.strip() != HEADER:
            raise ValueError(f"the first line is {header[:60]!r}")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise BadCandle(
            f"{path}: {error}; expected gzip CSV with the header {HEADER.decode()}"
        ) from error
    return _parsed(rows.replace(b"\r\n", b"\n").rstrip(b"\n"))


def _first_row(path: Path) -> Rows:
    header, _, rows = _unpacked(path, HEAD).replace(b"\r\n", b"\n").partition(b"\n")
    return _parsed(rows.partition(b"\n")[0] if header.strip() == HEADER else b"")


def _parsed(rows: bytes) -> Rows:
    separators = rows.translate(None, delete=_OTHER_BYTES)
    if separators + b"\n" == _ROW_SEPARATORS * (rows.count(b"\n") + 1):
        numbers = floats_in(rows.replace(b"\n", b","))
        if numbers is not None and _are_times(numbers[:: len(COLUMNS)]):
            return Rows(_candles(numbers))
    good, numbers_of, refused = [], [], []
    for number, line in enumerate(rows.split(b"\n"), 1):
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
    return Rows(candles, numbers_of, refused)


def _are_times(numbers: Floats) -> bool:
    return bool((numbers == np.floor(numbers)).all() and (np.abs(numbers) < 2**62).all())


def _candles(numbers: Floats) -> Candles:
    columns = numbers.reshape(-1, len(COLUMNS)).T
    return Candles.of(columns[0].astype(np.int64), *(column.copy() for column in columns[1:]))


def _unpacked(path: Path, size: int = LARGEST_FILE + 1) -> bytes:
    with gzip.open(path) as file:
        found = file.read(size)
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
