"""What a sweep does by the strategy that scores: its points before the hold-out and on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.backtest.replay import Recording
from shared.backtest.sweep.folds import Part
from shared.backtest.sweep.prepared import prepared
from shared.backtest.sweep.settings_run import random_daily, scored
from shared.backtest.sweep.strategy_points import prepare_points, write_candles
from shared.backtest.user_strategy.asking import Asked
from shared.backtest.user_strategy.points import Tally
from shared.backtest.user_strategy.scoring import UserStrategy
from shared.console.tested_strategy import say_failed
from shared.errors import PlatformError
from shared.strategy.source import StrategySection, read_strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.backtest.simulation.coin_scores import CoinScores
    from shared.backtest.sweep.run import Question, Tried
    from shared.config.sections import IndicatorsSection
    from shared.market import Floats


def score_sets(
    question: Question,
    scores: Path,
    recordings: Mapping[str, Recording],
    processes: int,
    progress: Callable[[int, int], None],
) -> Tally:
    """Score the days before the hold-out with each set of parameters; return how that went.

    Args:
        scores: Directory of what was prepared for these days.
    """
    if question.strategy is None:
        return Tally()
    candles = scores.with_name(f"candles-{scores.name}")
    write_candles(candles, recordings.values(), question.plan.selection.to_ms)
    wanted = {
        directory: setting.strategy_parameters
        for setting in question.settings
        if (directory := question.points_of(setting, scores)) is not None
    }
    tally = prepare_points(
        wanted, question.strategy, candles, prepared(scores),
        processes=processes, progress=progress,
    )  # fmt: skip
    say_failed(tally, "sweep")
    return tally


def history_of(indicators: IndicatorsSection, strategy: UserStrategy | None) -> int:
    """Return how many closed candles before a time a score at it may depend on."""
    return max(indicators.history, 0 if strategy is None else strategy.most_bars)


def random_entries(question: Question, tried: Tried, scores: Path) -> Floats | None:
    """Return what the best setting's trades earn per day where entered at random, if any."""
    if tried.chosen is None:
        return None
    setting = question.settings[tried.chosen]
    coins = scored(scores, question.points_of(setting, scores))
    return random_daily(coins, setting.trader, question.model, question.plan.selection)


def strategy_of_result(
    found: Mapping[str, Any], run: Mapping[str, Any], timeout_s: float
) -> UserStrategy | None:
    """Return the user's strategy that a sweep was made with; None: the built-in one.

    Args:
        found, run: `sweep.json` and `run.json`.

    Raises:
        PlatformError: Its file is not as it was.
        KeyError: The result lacks something.
    """
    was = found["strategy"]
    if not was.get("class_name"):
        return None
    file = read_strategy(run["strategy"])
    if (file.digest, file.class_name) != (was["hash"], was["class_name"]):
        raise PlatformError(
            f"{file.path}: found {file.class_name} with SHA-256 {file.digest[:12]}, and the sweep "
            f"was of {was['class_name']} with {was['hash'][:12]}: restore the file as it was, or "
            "sweep again with this one"
        )
    parameters = found["chosen"]["strategy_parameters"]
    section = StrategySection(file=file, parameters=parameters, timeout_s=timeout_s)
    with closing(Asked(section, parameters)) as asked:
        loaded = asked.loaded
    return UserStrategy(
        section=section, loaded=loaded, rows=tuple(was["coins"]), one_by_one=was["because"]
    )


def scored_part(
    tested: UserStrategy | None,
    scores: Path,
    recordings: Mapping[str, Recording],
    part: Part,
    processes: int,
) -> Sequence[CoinScores]:
    """Return what was prepared for a part, scored by whichever strategy."""
    if tested is None:
        return prepared(scores)
    kinds = ("candles", f"points-{tested.form.replace(' ', '-')}")
    candles, points = (scores.with_name(f"{scores.name}-{kind}") for kind in kinds)
    write_candles(candles, recordings.values(), part.to_ms)
    parameters = tested.section.parameters
    tally = prepare_points(
        {points: parameters}, tested, candles, prepared(scores), processes=processes
    )
    say_failed(tally, "sweep")
    return scored(scores, points)
