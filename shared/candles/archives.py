"""Binance's archives of candles: `BTCUSDT-5m-2024-01.zip` for a month, `-2024-01-15` for a day.

Each holds one CSV file, with a header or without: spot's since 2025-01-01 in microseconds. Beside
it may lie `NAME.zip.CHECKSUM`, its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from datetime import date
from pathlib import Path

import numpy as np

from shared.candles.admission import PER_SECOND
from shared.decimals import floats_in
from shared.errors import BadCandle, shortened
from shared.market import Candles, Floats, StoredTimeframe, Times
from shared.symbols import is_symbol

LARGEST_CSV = 2**28
"""Bytes of an unpacked file: a month of 1m candles is 6 MB."""

LARGEST_ZIP = 2**26
LARGEST_CHECKSUM = 4096
FIELDS = 12
CLOSE_TIME = 6
_NAME = re.compile(
    r"(?P<symbol>\w+)-(?P<timeframe>\w{1,4})-(?P<month>\d{4}-\d\d)(-(?P<day>\d\d))?\.zip"
)
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADER = re.compile(rb"open_time\b[^\n]*\n")


def archive_name(path: Path) -> tuple[str, StoredTimeframe]:
    """Return the coin and the timeframe that an archive is named for.

    Raises:
        BadCandle: It is no name of an archive of candles, or of a timeframe that is not kept.
    """
    found = _NAME.fullmatch(path.name)
    try:
        if found is None or not is_symbol(found["symbol"]):
            raise ValueError
        date.fromisoformat(f"{found['month']}-{found['day'] or '01'}")
    except ValueError:
        raise BadCandle(
            f"{path}: its name is not one of Binance's archives, such as BTCUSDT-5m-2024-01.zip"
        ) from None
    if found["timeframe"] not in set(StoredTimeframe):
        raise BadCandle(
            f"{path}: candles of {found['timeframe']}; kept are {', '.join(StoredTimeframe)}"
        )
    return found["symbol"], StoredTimeframe(found["timeframe"])


def has_checksum(path: Path) -> bool:
    """Compare an archive with the checksum beside it; return whether there is one.

    Raises:
        BadCandle: They differ, or either cannot be read.
    """
    beside = path.with_name(f"{path.name}.CHECKSUM")
    try:
        with beside.open("rb") as file:
            text = file.read(LARGEST_CHECKSUM).decode("utf-8", "replace")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BadCandle(f"{beside}: {error.strerror}") from error
    stated = re.match(r"\s*([0-9a-fA-F]{64})\b", text)
    if stated is None:
        raise BadCandle(f"{beside}: no SHA-256 in it, found {shortened(text)!r}")
    try:
        with path.open("rb") as packed:
            found = hashlib.file_digest(packed, "sha256").hexdigest()
    except OSError as error:
        raise BadCandle(f"{path}: {error.strerror}") from error
    if found != stated[1].lower():
        raise BadCandle(
            f"{path}: its SHA-256 is {found}, but {beside.name} says {stated[1].lower()}; "
            "fetch both again"
        )
    return True


def read_archive(path: Path, timeframe: StoredTimeframe) -> Candles:
    """Return an archive's rows as they stand there, times in its own unit, not checked.

    Only their length is: a file of another timeframe has another name.

    Raises:
        BadCandle: It cannot be read, unpacks to too much, or holds no rows of candles.
    """
    try:
        rows = _unpacked(path).replace(b"\r\n", b"\n")
        if header := _HEADER.match(rows):
            rows = rows[header.end() :]
        rows = rows.rstrip(b"\n")
        if not rows:
            raise ValueError("it holds no rows")
        lengths = {line.count(b",") for line in rows.split(b"\n")}
        if lengths != {FIELDS - 1}:
            raise ValueError(f"a row has not {FIELDS} fields")
        numbers = floats_in(rows.replace(b"\n", b","))
        if numbers is None:
            raise ValueError("a field that is no decimal number")
        columns = numbers.reshape(-1, FIELDS).T
        times = columns[0].astype(np.int64)  # whole numbers below 2 ** 53 are exact
        if not np.array_equal(times, columns[0]):
            raise ValueError("a time is no whole number")
        _require_length(times, columns[CLOSE_TIME], timeframe)
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise BadCandle(
            f"{path}: {error}; expected a ZIP archive of one CSV file of {FIELDS} columns"
        ) from error
    return Candles.of(times, *(column.copy() for column in columns[1:6]))


def _require_length(times: Times, close_times: Floats, timeframe: StoredTimeframe) -> None:
    # in whatever unit, which is for others to judge
    lengths = [(close_times - times + 1) * 1000 / per for per in PER_SECOND.values()]
    wrong = np.logical_and.reduce([np.abs(each / timeframe.ms - 1) > 0.02 for each in lengths])
    if 2 * wrong.sum() > len(times):
        row = int(np.argmax(wrong))
        raise ValueError(
            f"row {row + 1} opens at {times[row]} and closes at {close_times[row]:.0f}: that is "
            f"not {timeframe}"
        )


def _unpacked(path: Path) -> bytes:
    if path.stat().st_size > LARGEST_ZIP:
        raise ValueError(f"it has more than {LARGEST_ZIP:,} bytes")
    with zipfile.ZipFile(path) as archive:
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(files) != 1:
            raise ValueError(f"it holds {len(files)} files")
        entry = files[0]
        # others unpack a whole block at once, however little is asked for
        if entry.compress_type not in _PACKED:
            raise ValueError(f"it is packed by method {entry.compress_type}")
        with archive.open(entry) as file:
            found = file.read(LARGEST_CSV + 1)
    if len(found) > LARGEST_CSV:
        raise ValueError(f"it unpacks to more than {LARGEST_CSV:,} bytes")
    return found
