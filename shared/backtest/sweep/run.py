"""Runs a sweep: every setting where settings are chosen, the chosen ones where they were not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.backtest.bootstrap import DAY_MS
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.statistics.sharpe import sharpe
from shared.backtest.sweep.engines import Executor
from shared.backtest.sweep.folds import Fold, Part, TimePlan
from shared.backtest.sweep.grid import Setting
from shared.backtest.sweep.settings_run import Job, work
from shared.backtest.sweep.stored import PartResult, key_of, read_result, write_result
from shared.backtest.user_strategy.scoring import UserStrategy
from shared.config.sections import IndicatorsSection
from shared.evidence.hashes import settings_hash, tested_indicators
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
        strategy: Of the user; None: the built-in one.
    """

    settings: tuple[Setting, ...]
    plan: TimePlan
    model: FillModel
    objective: str
    indicators: IndicatorsSection
    data_hash: str
    strategy: UserStrategy | None = None

    @property
    def scores_key(self) -> str:
        """The hash of what scores before the hold-out depend on; of the built-in strategy."""
        return self._key(BASE.hash, asdict(self.plan.selection))

    def points_of(self, setting: Setting, scores: Path) -> Path | None:
        """Return the directory for the points that a user's strategy gives with a setting.

        Args:
            scores: Directory of what was prepared.
        """
        if self.strategy is None:
            return None
        key = self._key(self._code, self._form, setting.strategy_parameters, scores.name)
        return scores.with_name(f"points-{key[:16]}")

    @property
    def _code(self) -> Any:
        return BASE.hash if self.strategy is None else self.strategy.key

    @property
    def _form(self) -> str:
        return "" if self.strategy is None else self.strategy.form

    @property
    def id(self) -> str:
        """The hash of what was tried, the objective aside: the same tries have the same."""
        return self._key(self._code, asdict(self.plan), sorted(map(self.hash_of, self.settings)))

    def hash_of(self, setting: Setting) -> str:
        """Return the hash of a setting with the fill model."""
        return settings_hash(
            setting.trader, setting.strategy_parameters, self.indicators, asdict(self.model)
        )

    def result_key(self, setting: Setting, part: Part) -> str:
        """Return the hash of all that a setting's result in a part depends on."""
        form = [] if self.strategy is None else [self._form]
        return self._key(self._code, self.hash_of(setting), asdict(part), *form)

    def _key(self, code: Any, *what: Any) -> str:
        return key_of(RULES, code, tested_indicators(self.indicators), self.data_hash, list(what))


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
    value, folds = OBJECTIVES[question.objective], question.plan.folds
    whole = question.plan.selection
    spans = (whole, *(fold.training for fold in folds))
    total = len(question.settings) + len(folds)
    selection: list[PartResult] = []
    worths: list[list[float]] = []
    jobs = [_job(question, setting, whole, scores, stored) for setting in question.settings]
    for result in _results(jobs, executor):
        selection.append(result)
        known = [_until(result, whole, span) for span in spans]
        worths.append([value(r) if len(r.results_r) else -math.inf for r in known])
        progress(len(selection), total)
    chosen, *by_fold = (_best(column) for column in zip(*worths, strict=True))
    tests = _results(
        [
            _job(question, question.settings[best], fold.test, scores, stored)
            for fold, best in zip(folds, by_fold, strict=True)
            if best is not None
        ],
        executor,
    )
    found = []
    for fold, best in zip(folds, by_fold, strict=True):
        found.append(FoldResult(fold, best, None if best is None else next(tests)))
        progress(len(selection) + len(found), total)
    tested = [fold.test.digest for fold in found if fold.test is not None]
    digest = key_of([result.digest for result in selection], tested)
    return Tried(selection, found, chosen, digest)


def _until(result: PartResult, whole: Part, span: Part) -> PartResult:
    """Return what was known of a result when the entries of a span end, 24 h before its test.

    An account's day does not change by what comes later, so one run serves every span.
    """
    if span == whole:
        return result
    days = (span.entries_until_ms - whole.from_ms) // DAY_MS
    entered = result.entered_ms < span.entries_until_ms
    return PartResult(
        result.daily[:days], result.entered_ms[entered], result.results_r[entered], digest=""
    )


def _best(worths: Sequence[float]) -> int | None:
    """Return the place of the highest, the first of equals; None if none traded."""
    best = int(np.argmax(worths))
    return None if worths[best] == -math.inf else best


def _job(question: Question, setting: Setting, part: Part, scores: Path, stored: Path) -> Job:
    path = stored / f"{question.result_key(setting, part)}.npz"
    name = ", ".join(f"{name}={value}" for name, value in setting.parameters.items())
    return Job(
        scores, path, name or "as configured", setting.trader, question.model, part,
        question.points_of(setting, scores),
    )  # fmt: skip


def _results(jobs: Sequence[Job], executor: Executor) -> Iterator[PartResult]:
    """Yield the result of each job, in order: a stored one, or a new one that is stored now."""
    missing = [job for job in jobs if read_result(job.stored) is None]
    made = executor.carry_out(work, missing)
    for job in jobs:
        known = read_result(job.stored)
        if known is None:
            known = next(made)
            write_result(job.stored, known)
        yield known
