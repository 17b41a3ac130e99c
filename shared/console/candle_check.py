"""`coinex candles check`: what is wrong with the candles of a directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import orjson

from shared.candles.admission import WrongUnit, scale_breaks
from shared.candles.files import CSV, Rows, csv_name, read_rows
from shared.candles.parquet import MOST_RATE, read_funding, read_series
from shared.candles.stored_series import FUNDING, STORED, Range, StoredSeries
from shared.clock import minute_text, utc_text
from shared.console.option_values import Misuse, print_list
from shared.errors import EXIT_FAILED, EXIT_OK, BadCandle, count
from shared.market import Candles, StoredTimeframe

Kind = Literal["unreadable", "unit", "impossible", "order", "duplicate", "hole", "break"]

HALT_BARS = 3
"""Flat candles without volume, just before a hole: the exchange had stopped trading."""

LONGEST_FUNDING_MS = 8 * 3_600_000
FUNDING_SLACK_MS = 60_000
PIPE_WIDTH = 140


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a file; `until_ms` is the end of a hole."""

    kind: Kind
    text: str
    at_ms: int | None = None
    until_ms: int | None = None


@dataclass(slots=True)
class Checked:
    """A file, what it holds, and what is wrong with it.

    Attributes:
        halts: Holes that the exchange has, as it confirmed or as flat candles before them show.
    """

    file: str
    symbol: str
    what: str
    rows: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    halts: list[Range] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def check(directory: Path, *, as_json: bool) -> int:
    """Check all files of a store, or of gzip CSV candles, and return the exit code.

    Raises:
        Misuse: There is no such directory, or nothing to check in it.
    """
    if not directory.is_dir():
        raise Misuse(f"no directory {str(directory)!r}; name a store, or one of gzip CSV files")
    paths = sorted(p for p in directory.iterdir() if not p.name.startswith("."))
    found = [checked for path in paths if (checked := check_file(path)) is not None]
    if not found:
        raise Misuse(f"no file named *{STORED} or *{CSV} in {str(directory)!r}")
    is_clean = not any(each.findings for each in found)
    if as_json:
        document = {
            "directory": str(directory),
            "is_clean": is_clean,
            "files": [asdict(each) for each in found],
        }
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(found)
    return EXIT_OK if is_clean else EXIT_FAILED


def check_file(path: Path) -> Checked | None:
    """Return what is wrong with a file; None if it is none of candles or funding rates."""
    if not path.name.endswith((STORED, CSV)):
        return None
    symbol, _, what = path.name.removesuffix(CSV).removesuffix(STORED).rpartition("-")
    checked = Checked(path.name, symbol, what)
    try:
        if not path.is_file():  # opening a pipe waits for ever
            raise BadCandle("it is no file")
        if path.name.endswith(CSV):
            symbol, timeframe = csv_name(path)
            rows = read_rows(path)
            _check_candles(checked, StoredSeries(symbol, timeframe, rows.candles), rows)
        elif what == FUNDING:
            _check_funding(checked, path)
        elif what in set(StoredTimeframe):
            series = read_series(path, symbol, StoredTimeframe(what))
            _check_candles(checked, series, Rows(series.candles))
        else:
            raise BadCandle(f"its name is not such as BTCUSDT-5m{STORED}")
    except WrongUnit as error:
        checked.findings.append(Finding("unit", str(error)))
    except BadCandle as error:
        checked.findings.append(Finding("unreadable", str(error)))
    return checked


def _check_candles(checked: Checked, series: StoredSeries, rows: Rows) -> None:
    timeframe, times = series.timeframe, series.candles.open_time_ms
    checked.rows = len(times)
    if not len(times):
        checked.findings.append(Finding("unreadable", "it holds no candles"))
        return
    admitted = rows.admitted(series.symbol, timeframe)
    disorder = np.flatnonzero(np.diff(times) < 0)
    if len(disorder):
        at_ms = int(times[disorder[0] + 1])
        text = f"{count(len(disorder), 'row')} before the one above, the first {utc_text(at_ms)}"
        checked.findings.append(Finding("order", text, at_ms))
    ordered, places = np.unique(times, return_counts=True)
    conflicts = {conflict.open_time_ms: conflict.why for conflict in admitted.conflicts}
    for at_ms, often in zip(ordered[places > 1].tolist(), places[places > 1].tolist(), strict=True):
        text = conflicts.get(at_ms, f"{often} rows of one time, all equal")
        checked.findings.append(Finding("duplicate", text, at_ms))
    refused_ms = [row.open_time_ms for row in admitted.refused if row.open_time_ms is not None]
    checked.findings += [
        Finding("impossible", f"row {row.row}: {row.why}", row.open_time_ms)
        for row in admitted.refused
    ]
    candles = admitted.candles
    if not len(candles):
        return
    checked.first_ms, checked.last_ms = int(candles.open_time_ms[0]), int(candles.open_time_ms[-1])
    there = StoredSeries(series.symbol, timeframe, candles, series.absent)
    known = there.merged(
        Candles.empty(),
        absent=[
            (ms - ms % timeframe.ms, ms - ms % timeframe.ms + timeframe.ms) for ms in refused_ms
        ],
    )
    for since, until in known.holes():
        if _is_after_silence(candles, since, timeframe):
            checked.halts.append((since, until))
        else:
            bars = (until - since) // timeframe.ms
            text = f"{count(bars, 'candle')} missing until {utc_text(until)}"
            checked.findings.append(Finding("hole", text, since, until))
    confirmed = [
        (max(since, checked.first_ms), min(until, checked.last_ms))
        for since, until in there.absent
        if since < checked.last_ms and until > checked.first_ms
    ]
    checked.halts = sorted([*checked.halts, *confirmed])
    for each in scale_breaks(candles, timeframe):
        text = f"the price is {each.before:,.8g} before and {each.after:,.8g} from then on"
        checked.findings.append(Finding("break", text, each.at_ms))


def _is_after_silence(candles: Candles, since_ms: int, timeframe: StoredTimeframe) -> bool:
    end = int(np.searchsorted(candles.open_time_ms, since_ms))
    last = candles[max(0, end - HALT_BARS) : end]
    silent = (last.volume == 0) & (last.high == last.low)
    in_a_row = np.array_equal(
        last.open_time_ms, since_ms - timeframe.ms * np.arange(HALT_BARS, 0, -1)
    )
    return in_a_row and bool(silent.all())


def _check_funding(checked: Checked, path: Path) -> None:
    rates = read_funding(path, checked.symbol)
    checked.rows = len(rates.times)
    if not checked.rows:
        return
    checked.first_ms, checked.last_ms = int(rates.times[0]), int(rates.times[-1])
    steps = np.diff(rates.times)
    for at in np.flatnonzero(steps <= 0):
        kind: Kind = "duplicate" if steps[at] == 0 else "order"
        text = "two rates of one time" if kind == "duplicate" else "before the one above"
        checked.findings.append(Finding(kind, text, int(rates.times[at + 1])))
    for at in np.flatnonzero(steps > LONGEST_FUNDING_MS + FUNDING_SLACK_MS):
        since, until = int(rates.times[at]), int(rates.times[at + 1])
        text = f"no rate for {(until - since) / 3_600_000:g} h, at most 8 are expected"
        checked.findings.append(Finding("hole", text, since, until))
    for at in np.flatnonzero(~(np.abs(rates.rates) <= MOST_RATE)):
        text = f"a rate of {rates.rates[at]!r}"
        checked.findings.append(Finding("impossible", text, int(rates.times[at])))


def _show(found: list[Checked]) -> None:
    from rich.console import Console  # noqa: PLC0415  # not with --json
    from rich.table import Table  # noqa: PLC0415

    table = Table()
    kinds: tuple[Kind, ...] = ("hole", "duplicate", "break")
    for title in ("file", "rows", "from", "to", "halts", *(f"{kind}s" for kind in kinds), "other"):
        table.add_column(title, justify="left" if title in ("file", "from", "to") else "right")
    for each in found:
        counts = Counter(finding.kind for finding in each.findings)
        others = counts.total() - sum(counts[kind] for kind in kinds)
        numbers = [len(each.halts), *(counts[kind] for kind in kinds), others]
        table.add_row(
            each.file, f"{each.rows:,}", _time(each.first_ms), _time(each.last_ms),
            *(str(number) if number else "" for number in numbers),
            style="red" if each.findings else None,
        )  # fmt: skip
    console = Console()
    (console if console.is_terminal else Console(width=PIPE_WIDTH)).print(table)
    print_list("halts", [text for each in found for text in _halts(each)])
    findings = [
        f"{each.file}: {finding.kind}{_at(finding.at_ms)}: {finding.text}"
        for each in found
        for finding in each.findings
    ]
    print_list(f"found {count(len(findings), 'fault')}", findings)
    if not findings:
        print(f"nothing is wrong with {count(len(found), 'file')}")


def _halts(checked: Checked) -> Iterator[str]:
    for since, until in checked.halts:
        yield f"{checked.file}: {utc_text(since)} to {utc_text(until)}"


def _time(time_ms: int | None) -> str:
    return "" if time_ms is None else minute_text(time_ms)


def _at(time_ms: int | None) -> str:
    return "" if time_ms is None else f" at {utc_text(time_ms)}"
