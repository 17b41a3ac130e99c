"""`coinex candles import`: candles from files into a store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from shared.candles.admission import NAMES, Admitted, Unit, WrongUnit, admit, unit_of
from shared.candles.archives import archive_name, has_checksum, read_archive
from shared.candles.files import csv_name, read_rows
from shared.candles.parquet import read_good_series, write_series, writing
from shared.candles.stored_series import differences, refuse_mixture, store_file
from shared.clock import utc_text
from shared.console.option_values import Misuse, print_list
from shared.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, BadCandle, PlatformError, count
from shared.market import COLUMNS, Candles, StoredTimeframe, Times
from shared.messages.candles import Source

ARCHIVE, CSV, CHECKSUM = ".zip", ".csv.gz", ".CHECKSUM"
PER_MS: dict[Unit, int] = {"ms": 1, "us": 1000}
"""Units of Binance's archives: spot's are in us since 2025-01-01."""


@dataclass(slots=True)
class Imported:
    """What became of the files.

    Attributes:
        rows: Candles that the store did not have.
        unverified: Archives without a checksum beside them.
        conflicts: Candles that differ from those in the store, or twice in a file.
        refused: Rows and whole files that were not admitted.
    """

    files: int = 0
    rows: int = 0
    known: int = 0
    duplicates: int = 0
    unverified: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


Series = tuple[str, StoredTimeframe]


def import_files(options: argparse.Namespace) -> int:
    """Merge files into the store and return the exit code.

    Files of one coin and timeframe are taken in order of their names. A candle that is there
    already stays: only the exchange itself, asked by `fetch`, is known to be newer.

    Raises:
        Misuse: There is no such file, or none in a directory.
        StoreInUse, OSError: The store cannot be written.
    """
    found = Imported()
    interrupted = False
    with writing(options.store):
        by_series: dict[Series, list[Path]] = {}
        for path in sorted(_files(options.paths), key=lambda path: path.name):
            try:
                by_series.setdefault(_series_of(path), []).append(path)
            except BadCandle as error:
                found.refused.append(str(error))
        try:
            for (symbol, timeframe), paths in sorted(by_series.items()):
                _merge(options.store, symbol, timeframe, paths, found)
        except KeyboardInterrupt:
            interrupted = True
    return _told(options, found, interrupted=interrupted)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = [p for p in sorted(path.rglob("*")) if p.name.endswith((ARCHIVE, CSV))]
            if not inside:
                raise Misuse(f"no file named *{ARCHIVE} or *{CSV} in {str(path)!r}")
            yield from inside
        elif not path.exists():
            raise Misuse(f"no file {str(path)!r}")
        elif not path.name.endswith(CHECKSUM):
            yield path


def _series_of(path: Path) -> Series:
    if not path.is_file():  # opening a pipe waits for ever
        raise BadCandle(f"{path}: it is no file")
    return csv_name(path) if path.name.endswith(CSV) else archive_name(path)


def _merge(
    store: Path, symbol: str, timeframe: StoredTimeframe, paths: Iterable[Path], found: Imported
) -> None:
    target = store_file(store, symbol, timeframe)
    try:
        series = read_good_series(target, symbol, timeframe)
    except BadCandle as error:
        found.refused.append(str(error))
        return
    before = len(series.candles)
    for path in paths:
        try:
            admitted, source = _read(path, symbol, timeframe, found)
            refuse_mixture(target, series.source, source)
        except PlatformError as error:
            found.refused.append(str(error))
            continue
        found.files += 1
        found.duplicates += admitted.duplicates
        found.refused += [f"{path}: row {r.row}: {r.why}" for r in admitted.refused]
        found.conflicts += [
            f"{path} at {utc_text(c.open_time_ms)}: {c.why}" for c in admitted.conflicts
        ]
        known = np.isin(admitted.candles.open_time_ms, series.candles.open_time_ms)
        found.known += int(known.sum())
        found.conflicts += [
            f"{path} {text}" for text in differences(series.candles, admitted.candles)
        ]
        series = series.merged(admitted.candles, source=source)
    if len(series.candles) > before:
        found.rows += len(series.candles) - before
        write_series(target, series)


def _read(
    path: Path, symbol: str, timeframe: StoredTimeframe, found: Imported
) -> tuple[Admitted, Source | None]:
    """Return a file's candles, and whose they are.

    Raises:
        BadCandle: The file is refused.
    """
    if path.name.endswith(CSV):
        try:
            return read_rows(path).admitted(symbol, timeframe), None
        except WrongUnit as error:
            raise WrongUnit(f"{path}: {error}") from None
    is_verified = has_checksum(path)
    rows = read_archive(path, timeframe)
    in_ms = Candles.of(_in_ms(path, rows.open_time_ms), *(getattr(rows, c) for c in COLUMNS[1:]))
    if not is_verified:
        found.unverified.append(path.name)
    return admit(in_ms, symbol, timeframe, from_file=True), "binance"


def _in_ms(path: Path, times: Times) -> Times:
    """Return an archive's times in ms, which may be in us, all of them.

    Raises:
        WrongUnit: They are in neither, or not all in the same.
    """
    units = [unit_of(time) for time in times.tolist()]
    first = next((unit for unit in units if unit is not None), None)
    if first not in PER_MS:
        name = NAMES[first] if first else "no unit known"
        raise WrongUnit(
            f"{path}: times in {name}: row 1 has {times[0]}; expected milliseconds or microseconds"
        )
    for row, unit in enumerate(units, 1):
        if unit not in (first, None):
            raise WrongUnit(
                f"{path}: times in {NAMES[first]}, but from row {row} on in {NAMES[unit]}: it has "
                f"{times[row - 1]}; expected one unit in a file"
            )
    uneven = np.flatnonzero(times % PER_MS[first] != 0)
    if len(uneven):
        raise WrongUnit(
            f"{path}: row {uneven[0] + 1} has {times[uneven[0]]}, no whole number of milliseconds"
        )
    return times // PER_MS[first]


def _told(options: argparse.Namespace, found: Imported, *, interrupted: bool) -> int:
    """Print what was done and return the exit code."""
    if options.json:
        document: dict[str, Any] = {
            "store": str(options.store),
            "interrupted": interrupted,
            **{name: getattr(found, name) for name in Imported.__slots__},
        }
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        print(
            f"{found.rows:,} new candles from {count(found.files, 'file')} into {options.store}; "
            f"{found.known:,} were there, {count(found.duplicates, 'duplicate')}"
        )
        print_list("no CHECKSUM beside them, so taken as they are", found.unverified)
        print_list("differ, and what was there stays", found.conflicts)
    print_list("refused", found.refused, sys.stderr)
    if interrupted:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if found.refused else EXIT_OK
