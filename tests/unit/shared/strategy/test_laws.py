"""The laws: what keeps them passes, and each way of breaking one is found and named."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shared.errors import PlatformError
from shared.market import Candles, Timeframe
from shared.strategy.contract import LoadedStrategy, Scores, Series
from shared.strategy.laws import PHASES, Calls, Laws, Outcome, TooFew
from tests.support.recordings import generated
from tests.support.strategies import PEEKS, STEADY, simple

M5, H1 = Timeframe.M5, Timeframe.H1
COINS = {name: dict(generated(name, 3000).candles) for name in ("BTCUSDT", "ETHUSDT")}
LAWS = [
    "answers", "truncation", "live call", "determinism", "permutation", "warm-up", "speed",
]  # fmt: skip
Score = Callable[[Series], Scores]


def of_source(source: str) -> Score:
    module: dict[str, Any] = {}
    exec(source, module)  # as its own process does
    made = module["Simple"]()
    return lambda series: made.score(series, None)


def tried(
    score: Score,
    coins: dict[str, dict[Timeframe, Candles]] | None = None,
    *,
    again: Score | None = None,
    bars: dict[Timeframe, int] | None = None,
    cross_section: bool = False,
    call_s: float = 0.0,
    seed: int = 1,
) -> dict[str, Outcome]:
    """Return what became of each law; a call takes `call_s`."""
    strategy = LoadedStrategy(
        name="x", version="1", timeframes=bars or {M5: 48}, cross_section=cross_section
    )
    clock = itertools.count()
    laws = Laws(
        strategy,
        Calls(score, again or score, lambda: next(clock) * call_s),
        COINS if coins is None else coins,
        np.random.default_rng(seed),
        coins_live=29,
        limit_s=10,
    )
    return {each.law: each for each in laws.outcomes()}


def broken(found: dict[str, Outcome]) -> list[str]:
    return [law for law, each in found.items() if each.state == "broken"]


def test_strategy_that_looks_back_keeps_all_laws() -> None:
    found = tried(of_source(simple(STEADY)))
    assert list(found) == LAWS and broken(found) == []
    assert f"at {PHASES} of {PHASES} phases of 4h; no halt" in found["truncation"].text
    assert found["live call"].state == "kept"


@pytest.mark.parametrize("peek", PEEKS)
@pytest.mark.parametrize("seed", [1, 2])
def test_look_ahead_breaks_truncation_and_names_coin_and_bar(peek: str, seed: int) -> None:
    outcome = tried(of_source(simple(PEEKS[peek])), seed=seed)["truncation"]
    assert outcome.state == "broken"
    assert outcome.text.startswith("BTCUSDT at ") and "looks ahead" in outcome.text


def test_hour_taken_before_it_has_closed_breaks_truncation() -> None:
    def score(series: Series) -> Scores:
        # by the hour's opening instead of its close
        hours, opened = series[H1], np.searchsorted(
            series[H1].open_time_ms, series[M5].open_time_ms, side="right"
        )  # fmt: skip
        ahead = hours.close[:, np.minimum(opened, hours.close.shape[1]) - 1]
        points = np.clip(50 + 5000 * (series[M5].close / ahead - 1), 0, 100)
        return Scores(points, 100 - points)

    assert "truncation" in broken(tried(score, bars={M5: 48, H1: 8}))


def test_halts_are_among_what_is_tried() -> None:
    torn = COINS["BTCUSDT"][M5]
    torn = torn[[*range(1500), *range(1530, 3000)]]
    assert (
        "1 halt among them"
        in tried(of_source(simple(STEADY)), {"A": {M5: torn}})["truncation"].text
    )


def test_number_that_is_missing_is_said_and_the_other_laws_are_tried_all_the_same() -> None:
    ahead = PEEKS["one bar ahead"]  # leaves the newest without a number
    found = tried(of_source(simple(ahead)))
    assert {"answers", "truncation"} <= set(broken(found))
    assert "NaN where a number belongs" in found["answers"].text


def test_what_cannot_answer_runs_no_other_law() -> None:
    def score(series: Series) -> Scores:
        raise PlatformError("ZeroDivisionError: by nothing (line 7)")

    found = tried(score)
    assert found["answers"].state == "broken" and "line 7" in found["answers"].text
    assert {each.state for law, each in found.items() if law != "answers"} == {"not run"}


def test_memory_of_more_than_the_bars_asked_for_is_noted() -> None:
    def score(series: Series) -> Scores:
        close = series[M5].close
        average = np.cumsum(close, axis=1) / np.arange(1, close.shape[1] + 1)
        points = np.clip(50 + 500 * (close / average - 1), 0, 100)
        return Scores(points, 100 - points)

    found = tried(score)
    assert broken(found) == [] and found["live call"].state == "noted"
    assert "close by close" in found["live call"].text
    assert found["warm-up"].text != "with twice the bars a score moves by at most 0 points"


def test_chance_breaks_determinism() -> None:
    steady, calls = of_source(simple(STEADY)), itertools.count()

    def moody(series: Series) -> Scores:
        found = steady(series)
        return Scores(found.long + 1e-12 * next(calls), found.short)

    assert broken(tried(moody)) == ["determinism"]

    def other(series: Series) -> Scores:
        found = steady(series)
        return Scores(np.nextafter(found.long, 0), found.short)

    found = tried(steady, again=other)
    assert broken(found) == ["determinism"] and "another process" in found["determinism"].text


def test_look_at_other_coins_without_saying_so_breaks_permutation() -> None:
    def score(series: Series) -> Scores:
        close = series[M5].close
        points = 100 * (close >= close.max(axis=0, keepdims=True)) + 0.0 * close
        return Scores(points, 100 - points)

    found = tried(score)
    assert broken(found) == ["permutation"] and "cross_section" in found["permutation"].text
    assert broken(tried(score, cross_section=True)) == []


def test_look_ahead_is_found_also_across_coins() -> None:
    def score(series: Series) -> Scores:
        close = series[M5].close
        ahead = np.roll(close, -1, axis=1)
        better = (ahead / close).argmax(axis=0)
        points = np.where(np.arange(len(close))[:, None] == better, 80.0, 20.0)
        return Scores(points, 100 - points)

    assert "truncation" in broken(tried(score, cross_section=True))


def test_row_that_counts_breaks_permutation_also_across_coins() -> None:
    steady = of_source(simple(STEADY))

    def score(series: Series) -> Scores:
        found = steady(series)
        rows = np.arange(len(series.coins))[:, None]
        return Scores(found.long * (1 - 0.1 * rows), found.short)

    assert broken(tried(score, cross_section=True)) == ["permutation"]


@pytest.mark.parametrize(("call_s", "is_broken"), [(0.3, False), (0.4, True)])
def test_too_slow_for_all_coins_breaks_speed(call_s: float, *, is_broken: bool) -> None:
    found = tried(of_source(simple(STEADY)), call_s=call_s)
    assert ("speed" in broken(found)) is is_broken


def test_too_few_candles_are_named() -> None:
    with pytest.raises(TooFew, match="BTCUSDT: fewer than 337 candles of 5m; fetch more"):
        tried(of_source(simple(STEADY)), {"BTCUSDT": {M5: COINS["BTCUSDT"][M5][:300]}})
