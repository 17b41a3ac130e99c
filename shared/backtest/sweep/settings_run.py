"""One setting's account in one part of the time: the job of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from shared.backtest.results.hashes import history_digest
from shared.backtest.results.metrics import daily_returns
from shared.backtest.results.random_entries import random_entries
from shared.backtest.series import Series
from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.trades import AccountHistory
from shared.backtest.sweep.folds import Part
from shared.backtest.sweep.prepared import prepared
from shared.backtest.sweep.stored import PartResult
from shared.backtest.sweep.strategy_points import with_points
from shared.config.sections import TraderSection
from shared.market import Floats


@dataclass(frozen=True, slots=True)
class Job:
    """Run one setting.

    Attributes:
        scores: Directory of what was prepared.
        points: Directory of the points of a user's strategy; None: the built-in one scores.
        stored: File for the result.
        name: The setting, for people.
    """

    scores: Path
    stored: Path
    name: str
    settings: TraderSection
    model: FillModel
    part: Part
    points: Path | None = None

    def __str__(self) -> str:
        return self.name


def work(job: Job) -> PartResult:
    """Carry out a job, in whichever process."""
    return run_setting(scored(job.scores, job.points), job.settings, job.model, job.part)


@lru_cache(maxsize=1)
def scored(scores: Path, points: Path | None) -> Sequence[CoinScores]:
    """Return what was prepared, scored by a user's strategy if there are its points."""
    coins = prepared(scores)
    return coins if points is None else with_points(coins, points)


def run_setting(
    coins: Sequence[CoinScores], settings: TraderSection, model: FillModel, part: Part
) -> PartResult:
    """Return what an account does that begins flat, and is closed at the end of a part."""
    history = _history(coins, settings, model, part)
    trades = sorted(history.trades, key=lambda trade: (trade.entered_ms, trade.symbol))
    return PartResult(
        daily=daily_returns(history),
        entered_ms=np.array([trade.entered_ms for trade in trades], dtype=np.int64),
        results_r=np.array([trade.r for trade in trades], dtype=np.float64),
        digest=history_digest(history),
    )


def random_daily(
    coins: Sequence[CoinScores], settings: TraderSection, model: FillModel, part: Part
) -> Floats:
    """Return the net return per UTC day of a setting's trades, had they been entered at random.

    That is of the median of many runs, with the same sides, holding times, sizes and costs.

    Shapes: (days,).
    Units:  share of the equity at the day's begin.
    """
    history = _history(coins, settings, model, part)
    candles = {coin.symbol: coin.bars.candles for coin in coins}
    median = random_entries(history, candles).band[1]
    equity = np.concatenate([[model.start_quote], median[-part.days :]])
    found: Floats = np.diff(equity) / equity[:-1]
    return found


def _history(
    coins: Sequence[CoinScores], settings: TraderSection, model: FillModel, part: Part
) -> AccountHistory:
    known = [_scored_until(coin, part.entries_until_ms) for coin in coins]
    return run_account(known, settings, model, part.from_ms, part.to_ms)


def _scored_until(coin: CoinScores, until_ms: int) -> CoinScores:
    """Return a coin without the scores from a time on: nothing is entered then."""
    end = int(coin.series.times.searchsorted(until_ms))
    columns = {name: column[:end] for name, column in coin.series.columns.items()}
    cut = Series(coin.series.times[:end], columns)
    return replace(coin, series=cut, volume=coin.volume[:end])
