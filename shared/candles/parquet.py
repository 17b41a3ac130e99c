"""The candle store: one Parquet file per coin and timeframe, `BTCUSDT-5m.parquet`.

A file is written whole, under another name first, and its bytes follow from its content alone.
Funding rates stand beside the candles, in `BTCUSDT-funding.parquet`.

Loads pyarrow, some 40 MB: other modules import this one when they open such a file.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import orjson

from shared.candles.admission import require
from shared.candles.stored_series import STORED, Range, StoredSeries
from shared.clock import LATEST_MS, utc_text
from shared.errors import BadCandle, PlatformError
from shared.evidence_packages import needed_for
from shared.files import write_atomically
from shared.market import COLUMNS, Candles, Floats, StoredTimeframe, Times
from shared.messages.candles import Source
from shared.pid_lock import AlreadyLocked, PidLock

with needed_for("Parquet"):
    import pyarrow
    from pyarrow import parquet

LOCK = ".lock"
LARGEST_ROWS = 2**24
"""Rows of a file: 31 years of 1m candles."""

ROW_GROUP = 2**17
FORMAT = 1
METADATA = b"coinex"
RATES = ("funding_time_ms", "rate", "mark_price")
MOST_RATE = 0.1  # Binance's widest cap is 3 %


class StoreInUse(PlatformError):
    """Another process is writing to the store."""


@dataclass(frozen=True, slots=True, eq=False)
class FundingRates:
    """A perpetual's funding rates, oldest first.

    Units:  times in epoch ms; rates as a share of the position's value; mark prices in quote
        currency, NaN where the exchange did not state one.

    Attributes:
        asked: Ranges of time, in order and apart, of which these are all rates.
    """

    symbol: str
    times: Times
    rates: Floats
    mark_prices: Floats
    asked: tuple[Range, ...] = ()
    source: Source | None = None

    @classmethod
    def empty(cls, symbol: str) -> FundingRates:
        nothing = np.empty(0)
        return cls(symbol, np.empty(0, dtype=np.int64), nothing, nothing)

    def missing(self, from_ms: int, until_ms: int) -> list[Range]:
        """Return the ranges in `[from_ms, until_ms)` that were not asked for."""
        left, since_ms = [], from_ms
        for start_ms, end_ms in self.asked:
            if since_ms < min(start_ms, until_ms):
                left.append((since_ms, min(start_ms, until_ms)))
            since_ms = max(since_ms, end_ms)
        return [*left, (since_ms, until_ms)] if since_ms < until_ms else left

    def merged(
        self, times: Times, rates: Floats, mark_prices: Floats, asked: Range, source: Source
    ) -> FundingRates:
        """Return both together; where both have a rate, the new one wins."""
        at = np.concatenate([times, self.times])
        at, first = np.unique(at, return_index=True)
        return FundingRates(
            self.symbol,
            at,
            np.concatenate([rates, self.rates])[first],
            np.concatenate([mark_prices, self.mark_prices])[first],
            tuple(_joined([*self.asked, asked])),
            self.source or source,
        )


def read_series(path: Path, symbol: str, timeframe: StoredTimeframe) -> StoredSeries:
    """Return a file's candles as they stand there, unchecked.

    Raises:
        BadCandle: It is missing, no Parquet, or not a file of this store.
    """
    table, about = _read(path, COLUMNS)
    _require_named(path, about, symbol=symbol, timeframe=str(timeframe))
    columns = (_numbers(table.column(name)) for name in COLUMNS)
    return StoredSeries(
        symbol, timeframe, Candles.of(*columns), _ranges(path, about.get("absent", ())),
        _source(path, about),
    )  # fmt: skip


def read_good_series(path: Path, symbol: str, timeframe: StoredTimeframe) -> StoredSeries:
    """Return a file's candles to add others to; without a file, none.

    Raises:
        BadCandle: As `read_series`, or one of them cannot be, or they are not in order.
    """
    if not path.exists():
        return StoredSeries.empty(symbol, timeframe)
    series = read_series(path, symbol, timeframe)
    try:
        require(series.candles, symbol, timeframe)
    except BadCandle as error:
        raise BadCandle(
            f"{path}: {error}; `coinex candles check` lists what is wrong with it: remove it, and "
            "fetch or import its candles anew"
        ) from error
    return series


def write_series(path: Path, series: StoredSeries) -> None:
    """Replace a file of candles; it is on disk when this returns.

    Raises:
        OSError: Not writable, or the disk is full; the old file is then untouched.
    """
    columns = {name: getattr(series.candles, name) for name in COLUMNS}
    about = {"timeframe": str(series.timeframe), "absent": series.absent}
    _write(path, columns, series.symbol, series.source, about)


def read_funding(path: Path, symbol: str) -> FundingRates:
    """Return a file's funding rates.

    Raises:
        BadCandle: As `read_series`.
    """
    table, about = _read(path, RATES)
    _require_named(path, about, symbol=symbol)
    times, rates, marks = (_numbers(table.column(name)) for name in RATES)
    asked = _ranges(path, about.get("asked", ()))
    return FundingRates(symbol, times, rates, marks, asked, _source(path, about))


def read_good_funding(path: Path, symbol: str) -> FundingRates:
    """Return a file's funding rates to compute with.

    Raises:
        BadCandle: As `read_series`, or one of them cannot be, or they are not in order.
    """
    found = read_funding(path, symbol)
    late = np.flatnonzero(np.diff(found.times) <= 0) + 1
    wrong = np.flatnonzero(~(np.abs(found.rates) <= MOST_RATE))
    for rows, why in ((late, "is not after the one before"), (wrong, "cannot be")):
        if len(rows):
            at_ms, rate = int(found.times[rows[0]]), float(found.rates[rows[0]])
            raise BadCandle(
                f"{path}: the rate {rate!r} at {utc_text(at_ms)} {why}; `coinex candles check` "
                "lists what is wrong with it: remove it, and fetch its rates anew"
            )
    return found


def write_funding(path: Path, rates: FundingRates) -> None:
    """Replace a file of funding rates, as `write_series`."""
    columns = dict(zip(RATES, (rates.times, rates.rates, rates.mark_prices), strict=True))
    _write(path, columns, rates.symbol, rates.source, {"asked": rates.asked})


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Make a store if there is none, and let nobody else write to it meanwhile.

    Raises:
        StoreInUse: Somebody else is writing.
        OSError: It cannot be made.
    """
    try:
        lock = PidLock(directory / LOCK)
        lock.restore()  # whoever had it may have removed it just now
    except AlreadyLocked as error:
        raise StoreInUse(
            f"{directory} is being written by {error.holder}; wait until that has ended, or end it"
        ) from None
    try:
        for unfinished in directory.glob(f".*{STORED}.*"):  # of a process that was killed
            unfinished.unlink()
        yield
    finally:
        (directory / LOCK).unlink(missing_ok=True)
        lock.close()


def _write(
    path: Path, columns: Mapping[str, Any], symbol: str, source: Source | None,
    about: Mapping[str, Any],
) -> None:  # fmt: skip
    text = json.dumps({"v": FORMAT, "symbol": symbol, "source": source, **about})
    arrays = [_array(column) for column in columns.values()]
    schema = pyarrow.schema(
        [(name, array.type) for name, array in zip(columns, arrays, strict=True)],
        metadata={METADATA: text.encode()},
    )
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(
        pyarrow.Table.from_arrays(arrays, schema=schema), sink,
        compression="zstd", row_group_size=ROW_GROUP,
    )  # fmt: skip
    write_atomically(path, sink.getvalue())


def _read(path: Path, names: tuple[str, ...]) -> tuple[Any, Mapping[str, Any]]:
    expected = pyarrow.schema(
        [(names[0], pyarrow.int64()), *((name, pyarrow.float64()) for name in names[1:])]
    )
    try:
        with path.open("rb") as opened, parquet.ParquetFile(opened) as file:
            if file.metadata.num_rows > LARGEST_ROWS:
                raise ValueError(
                    f"it has {file.metadata.num_rows:,} rows, at most {LARGEST_ROWS:,}"
                )
            schema = file.schema_arrow
            if not schema.equals(expected):
                found = ", ".join(f"{field.name} {field.type}" for field in schema)
                raise ValueError(f"its columns are {found[:200]}")
            table = file.read(use_threads=False)
        if any(column.null_count for column in table.columns):
            raise ValueError("a value is missing")
        about = orjson.loads((schema.metadata or {}).get(METADATA, b"{}"))
        if not isinstance(about, dict) or about.get("v", FORMAT) != FORMAT:
            raise ValueError(f"its metadata are {str(about)[:60]!r}")
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise BadCandle(
            f"{path}: {error}; expected Parquet with the columns {', '.join(names)}"
        ) from error
    return table, about


def _require_named(path: Path, about: Mapping[str, Any], **named: str) -> None:
    """Raise if a file says that it holds another coin, or another timeframe, than it is named for.

    Raises:
        BadCandle: It does.
    """
    for what, expected in named.items():
        found = about.get(what, expected)
        if found != expected:
            raise BadCandle(f"{path}: holds the {what} {str(found)[:60]}, not {expected}: renamed?")


# What pyarrow itself has for these two imports pandas, 45 MB and a third of a second.


def _array(column: Times | Floats) -> Any:
    kind = pyarrow.int64() if column.dtype == np.int64 else pyarrow.float64()
    buffer = pyarrow.py_buffer(np.ascontiguousarray(column))
    return pyarrow.Array.from_buffers(kind, len(column), [None, buffer])


def _numbers(column: Any) -> Any:
    kind = np.int64 if column.type == pyarrow.int64() else np.float64
    parts = [
        np.frombuffer(chunk.buffers()[1], kind, len(chunk), 8 * chunk.offset)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.empty(0, kind), *parts])


def _ranges(path: Path, ranges: object) -> tuple[Range, ...]:
    try:
        found = [(since, until) for since, until in ranges]  # type: ignore[attr-defined]
        if not all(type(ms) is int and 0 <= ms < LATEST_MS for each in found for ms in each):
            raise ValueError("expected whole numbers, times in ms")
    except (TypeError, ValueError) as error:
        raise BadCandle(f"{path}: its metadata name no ranges of time: {error}") from None
    return tuple(_joined(found))


def _joined(ranges: Iterable[Range]) -> Iterator[Range]:
    """Yield the ranges in order, those that touch as one."""
    since_ms = until_ms = None
    for start_ms, end_ms in sorted(ranges):
        if since_ms is not None and until_ms is not None and start_ms <= until_ms:
            until_ms = max(until_ms, end_ms)
            continue
        if since_ms is not None and until_ms is not None:
            yield since_ms, until_ms
        since_ms, until_ms = start_ms, end_ms
    if since_ms is not None and until_ms is not None:
        yield since_ms, until_ms


def _source(path: Path, about: Mapping[str, Any]) -> Source | None:
    source = about.get("source")
    if source not in (None, *get_args(Source)):
        raise BadCandle(f"{path}: its metadata name the source {str(source)[:40]!r}")
    return source
