"""`coinex replay`: computes signals from recorded candles, on all cores."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.clock import utc_text
from shared.config.load import load, overridden
from shared.console.option_values import ALWAYS, Misuse, add_recorded, time_ms
from shared.console.outcome import carried_out
from shared.errors import EXIT_OK, NotInstalled

# NumPy and the kernels are loaded when something is replayed, not with every command.
if TYPE_CHECKING:
    from shared.backtest.series import Series
    from shared.backtest.workers import Form, Job

FORMS: tuple[tuple[str, Form], ...] = (
    (".csv", "csv"),
    (".csv.gz", "csv.gz"),
    (".parquet", "parquet"),
)
PROGRESS_S = 10.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `replay`."""
    add_recorded(parser, begins="first candle's open")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the signals: .csv, .csv.gz or .parquet"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="what became of the signals: tables and plots"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="(one per core)"
    )


def replay(options: argparse.Namespace) -> int:
    """Replay recorded candles, write the signals, report on them; return the exit code."""
    from shared.backtest.recording import NothingToReplay  # noqa: PLC0415

    return carried_out("replay", lambda: _replay(options), misuse=(NothingToReplay,))


def _replay(options: argparse.Namespace) -> int:
    from shared.backtest import workers  # noqa: PLC0415
    from shared.backtest.recording import chosen_symbols  # noqa: PLC0415

    config = load(Path(options.config), options.set, mode=options.mode, to_run=False)
    settings = config.indicators
    _refuse_without_effect(options)
    form = _form(options.out)
    if options.processes < 1:
        raise Misuse(f"--processes {options.processes}: expected at least 1")
    from_ms = time_ms(options.since, "--from", ALWAYS[0])
    to_ms = time_ms(options.until, "--to", ALWAYS[1])
    if from_ms >= to_ms:
        raise Misuse(f"--from {options.since} is not before --to {options.until}")
    symbols = chosen_symbols(options.candles, [s for s in options.symbols.split(",") if s])
    jobs = workers.jobs_of(
        options.candles, symbols, from_ms, to_ms, settings,
        form=form, with_series=options.report is not None,
        warn=lambda remark: print(f"replay: {remark}", file=sys.stderr),
    )  # fmt: skip
    series = _carry_out(jobs, options)
    if options.report is not None:
        from shared.backtest.reporting import report, report_coins  # noqa: PLC0415

        report(report_coins(options.candles, series), options.report, config.trader)
    return EXIT_OK


def _refuse_without_effect(options: argparse.Namespace) -> None:
    """Refuse settings of the trader that would change nothing.

    Raises:
        Misuse: `--set` has one.
    """
    asked = [f"trader.{name}" for name in overridden(options.set).get("trader", {})]
    if not asked:
        return
    if options.report is None:
        raise Misuse(
            f"--set {', '.join(asked)}: no signal depends on it; the trader's settings count in a "
            "report (--report)"
        )
    from shared.backtest.report import COUNTED  # noqa: PLC0415

    counted = [f"trader.{name}" for name in COUNTED]
    idle = [name for name in asked if name not in counted]
    if idle:
        raise Misuse(
            f"--set {', '.join(idle)}: does not count in a report, where each entry is a trade by "
            f"itself: that takes a backtest. Counted are {', '.join(counted)}"
        )


def _carry_out(jobs: list[Job], options: argparse.Namespace) -> dict[str, Series]:
    """Run the jobs, write the signals, print the speed; return the series by coin."""
    from shared.backtest import workers  # noqa: PLC0415
    from shared.backtest.executor import carry_out  # noqa: PLC0415

    started = printed = time.monotonic()
    total, signals = sum(len(job.indices) for job in jobs), 0
    series: dict[str, Series] = {}
    first_ms, last_ms = ALWAYS[1], ALWAYS[0]
    with _output(options.out, jobs[0].form) as write:
        for done in carry_out(workers.work, jobs, options.processes):
            signals += done.signals
            write(done.written)
            symbol = done.job.symbol
            if done.series is not None:
                known = series.get(symbol)
                series[symbol] = known.followed_by(done.series) if known else done.series
            first_ms, last_ms = min(first_ms, done.first_ms), max(last_ms, done.last_ms)
            if time.monotonic() - printed > PROGRESS_S:
                printed = time.monotonic()
                print(f"{signals} of {total} signals, at {symbol}", file=sys.stderr)
    took = time.monotonic() - started
    coins = len({job.symbol for job in jobs})
    print(
        f"{signals} signals of {coins} coins, closes {utc_text(first_ms)} to {utc_text(last_ms)}, "
        f"in {took:.1f} s with {min(options.processes, len(jobs))} process(es): "
        f"{signals / took:.0f} signals/s"
    )
    if options.out is not None:
        print(f"written: {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)")
    return series


@contextlib.contextmanager
def _output(path: Path | None, form: Form | None) -> Iterator[Any]:
    """Open the output under a temporary name; rename it on success."""
    if path is None:
        yield lambda written: None
        return
    unfinished = path.with_name(path.name + ".part")
    if form == "parquet":
        from shared.backtest.parquet import open_parquet  # noqa: PLC0415  # loads pyarrow

        with open_parquet(unfinished) as parquet:
            yield parquet.write_table
    else:
        from shared.backtest import table, workers  # noqa: PLC0415

        with unfinished.open("wb") as output:
            output.write(workers.encoded(table.header(), form))
            yield output.write
    unfinished.replace(path)


def _form(path: Path | None) -> Form | None:
    if path is None:
        return None
    form = next((form for ending, form in FORMS if path.name.endswith(ending)), None)
    if form is None:
        endings = ", ".join(ending for ending, _ in FORMS)
        raise Misuse(f"--out {path}: its name decides the format; expected one of {endings}")
    if not path.parent.is_dir():
        raise Misuse(f"--out {path}: no directory {str(path.parent)!r}")
    if form == "parquet":
        try:
            import shared.backtest.parquet  # noqa: F401, PLC0415  # loads pyarrow
        except NotInstalled as error:
            raise Misuse(f"--out {path}: {error}; or write .csv.gz") from None
    return form
