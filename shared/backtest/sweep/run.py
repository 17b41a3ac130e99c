"""Runs a sweep: every setting where settings are chosen, the chosen ones where they were not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.statistics.sharpe import sharpe
from shared.backtest.sweep.engines import Executor
from shared.backtest.sweep.folds import Fold, Part, TimePlan
from shared.backtest.sweep.grid import Setting
from shared.backtest.sweep.settings_run import Job, work
from shared.backtest.sweep.stored import PartResult, key_of, read_results, write_results
from shared.config.sections import IndicatorsSection
from shared.evidence.hashes import settings_hash
from shared.trading.strategy import BASE, RULES

Progress = Callable[[int, int], None]


def _sharpe(result: PartResult) -> float:
    return float(sharpe(result.daily[:, None])[0])


def _net_return(result: PartResult) -> float:
    return float(np.prod(1.0 + result.daily) - 1.0)


OBJECTIVES: Mapping[str, Callable[[PartResult], float]] = {
    "sharpe": _sharpe,
    "return": _net_return,
}
"""What a setting is chosen by, where it traded: the highest is."""


@dataclass(frozen=True, slots=True)
class Question:
    """All that the result of a sweep depends on.

    Attributes:
        objective: One of `OBJECTIVES`.
        data_hash: Of the candles before the hold-out.
    """

    settings: tuple[Setting, ...]
    plan: TimePlan
    model: FillModel
    objective: str
    indicators: IndicatorsSection
    data_hash: str

    @property
    def scores_key(self) -> str:
        """The hash of what scores before the hold-out depend on."""
        return self._key(asdict(self.plan.selection))

    @property
    def id(self) -> str:
        """The hash of what was tried, the objective aside: the same tries have the same."""
        return self._key(asdict(self.plan), sorted(map(self.hash_of, self.settings)))

    def hash_of(self, setting: Setting) -> str:
        """Return the hash of a setting with the fill model."""
        return settings_hash(setting.trader, setting.strategy_parameters, asdict(self.model))

    def result_key(self, setting: Setting, parts: Sequence[Part]) -> str:
        """Return the hash of all that a setting's results in some parts depend on."""
        return self._key(self.hash_of(setting), [asdict(part) for part in parts])

    def _key(self, *what: Any) -> str:
        return key_of(RULES, BASE.hash, asdict(self.indicators), self.data_hash, list(what))


@dataclass(frozen=True, slots=True)
class FoldResult:
    """One fold.

    Attributes:
        chosen: Place of the setting that was best on the fold's training part; None if none traded.
        test: What it did on the days after.
    """

    fold: Fold
    chosen: int | None
    test: PartResult | None


@dataclass(frozen=True, slots=True)
class Tried:
    """Every result of a sweep.

    Attributes:
        selection: By setting, on all days before the hold-out.
        chosen: Place of the best of them; None if none traded.
        digest: Of all trades and equities, those of the folds included.
    """

    selection: Sequence[PartResult]
    folds: Sequence[FoldResult]
    chosen: int | None
    digest: str


def run_sweep(
    question: Question, scores: Path, stored: Path, executor: Executor, progress: Progress
) -> Tried:
    """Run what is not stored yet, store it, and return all of it.

    Args:
        scores: Directory of what was prepared for the days before the hold-out.
        stored: Directory of results.
        progress: Called with how many backtests are done, of how many.

    Raises:
        JobFailed: The processes that carried out a job died, each of them.
        OSError: A result cannot be stored.
    """
    value = OBJECTIVES[question.objective]
    folds = question.plan.folds
    parts = (question.plan.selection, *(fold.training for fold in folds))
    total = len(question.settings) + len(folds)
    selection: list[PartResult] = []
    worths: list[list[float]] = []
    digests: list[str] = []
    jobs = [_job(question, setting, parts, scores, stored) for setting in question.settings]
    for results in _results(jobs, executor):
        selection.append(results[0])
        worths.append([value(r) if len(r.results_r) else -math.inf for r in results])
        digests += [result.digest for result in results]
        progress(len(selection), total)
    chosen, *by_fold = (_best(column) for column in zip(*worths, strict=True))
    tests = _results(
        [
            _job(question, question.settings[best], (fold.test,), scores, stored)
            for fold, best in zip(folds, by_fold, strict=True)
            if best is not None
        ],
        executor,
    )
    found = []
    for fold, best in zip(folds, by_fold, strict=True):
        test = None if best is None else next(tests)[0]
        found.append(FoldResult(fold, best, test))
        digests += [] if test is None else [test.digest]
        progress(len(selection) + len(found), total)
    return Tried(selection, found, chosen, key_of(digests))


def _best(worths: Sequence[float]) -> int | None:
    """Return the place of the highest, the first of equals; None if none traded."""
    best = int(np.argmax(worths))
    return None if worths[best] == -math.inf else best


def _job(
    question: Question, setting: Setting, parts: tuple[Part, ...], scores: Path, stored: Path
) -> Job:
    path = stored / f"{question.result_key(setting, parts)}.npz"
    name = ", ".join(f"{name}={value}" for name, value in setting.parameters.items())
    return Job(scores, path, name or "as configured", setting.trader, question.model, parts)


def _results(jobs: Sequence[Job], executor: Executor) -> Iterator[Sequence[PartResult]]:
    """Yield the results of each job, in order: stored ones, or new ones that are stored now."""
    missing = [job for job in jobs if read_results(job.stored, len(job.parts)) is None]
    made = executor.carry_out(work, missing)
    for job in jobs:
        known = read_results(job.stored, len(job.parts))
        if known is None:
            known = next(made)
            write_results(job.stored, known)
        yield known
