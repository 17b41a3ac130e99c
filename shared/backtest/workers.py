"""The jobs of a replay: one coin each, or some weeks of it where its windows are computed.

They do not depend on the number of processes, so neither does the output.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, Literal, NamedTuple

from shared.backtest import table
from shared.backtest.recording import NothingToReplay, read_recording
from shared.backtest.replay import Recording, replay
from shared.backtest.series import Series
from shared.backtest.whole_series.signal_series import signal_series
from shared.config.sections import IndicatorsSection

JOB_CLOSES = 8064
"""Closes of one job that computes windows: four weeks, short enough to keep every core busy to the
end."""

KEPT_RECORDINGS = 32
"""Recordings kept in memory, so that they are read once: 2 MB each for four months."""

Form = Literal["csv", "csv.gz", "parquet"]


@dataclass(frozen=True)
class Job:
    """A part of one coin's recording to replay.

    Attributes:
        form: Output format of the signals; None for none.
        with_series: Also return the columns for a report.
    """

    directory: Path
    symbol: str
    indices: range
    settings: IndicatorsSection
    form: Form | None
    with_series: bool

    def __str__(self) -> str:
        return f"{self.symbol}, closes {self.indices.start} to {self.indices.stop}"


class Done(NamedTuple):
    """The result of a job: closes `first_ms` to `last_ms`; `written` in the job's `form`."""

    job: Job
    signals: int
    first_ms: int
    last_ms: int
    written: Any
    series: Series | None


def jobs_of(
    directory: Path,
    symbols: Sequence[str],
    from_ms: int,
    to_ms: int,
    settings: IndicatorsSection,
    *,
    form: Form | None,
    with_series: bool,
    warn: Callable[[str], None] = lambda remark: None,
) -> list[Job]:
    """Return the jobs that replay some coins' candles opened in `[from_ms, to_ms)`.

    Args:
        warn: Called with what was left out of the files, in words.

    Raises:
        NothingToReplay: No coin has a candle there.
        BadCandle: A file cannot be read.
    """
    jobs = []
    for symbol in symbols:
        recording = recording_of(directory, symbol)
        for remark in recording.remarks:
            warn(remark)
        indices = recording.indices(from_ms, to_ms)
        windows = form is not None or not with_series
        step = JOB_CLOSES if windows else max(1, len(indices))
        for start in range(indices.start, indices.stop, step):
            part = range(start, min(start + step, indices.stop))
            jobs.append(Job(directory, symbol, part, settings, form, with_series))
    if not jobs:
        shown = symbols[0] if len(symbols) == 1 else f"{len(symbols)} coins"
        raise NothingToReplay(
            f"no candle of {shown} in {str(directory)!r} in the time asked for; "
            "leave out --from and --to to replay all there is"
        )
    return jobs


def work(job: Job) -> Done:
    """Carry out a job, in whichever process."""
    recording = recording_of(job.directory, job.symbol)
    rows: list[tuple[Any, ...]] = []
    if job.form is not None or not job.with_series:
        for block in replay(recording, job.indices, job.settings):
            if job.form is not None:
                rows += map(table.row, block)
    return Done(
        job,
        len(job.indices),
        int(recording.closes[job.indices[0]]),
        int(recording.closes[job.indices[-1]]),
        None if job.form is None else _written(rows, job.form),
        signal_series(recording, job.settings, job.indices) if job.with_series else None,
    )


def recording_of(directory: Path, symbol: str) -> Recording:
    """Return all candles of a coin, as `read_recording` does; not read again while kept."""
    return (_kept if parent_process() is None else _latest)(directory, symbol)


_kept = lru_cache(maxsize=KEPT_RECORDINGS)(read_recording)
# A worker process is given the jobs of one coin after the other.
_latest = lru_cache(maxsize=1)(read_recording)


def _written(rows: Sequence[tuple[Any, ...]], form: Form) -> Any:
    if form == "parquet":
        from shared.backtest.parquet import arrow_table  # noqa: PLC0415  # loads pyarrow

        return arrow_table(rows)
    return encoded(table.csv_rows(rows), form)


def encoded(text: bytes, form: Form | None) -> bytes:
    """Return lines of CSV as written to the file."""
    # gzip members can be concatenated; mtime is fixed so that the output is reproducible
    return gzip.compress(text, 1, mtime=0) if form == "csv.gz" else text
