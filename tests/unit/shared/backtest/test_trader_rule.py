"""The trader's rule on recorded scores is the trader's, close by close."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.backtest.series import Series
from shared.backtest.trader_rule import trader_enters
from shared.config.sections import TraderSection
from shared.indicators.scoring import BaseScore
from shared.market import Floats
from shared.messages.signals import TaSignal
from shared.messages.trading import TradeSide
from shared.trading.entries import SIDES, Rules, candidates
from tests.support.decisions import CLOSE_MS, M5_MS, bonus, coin, score


def series(
    long: list[float],
    short: list[float] | None = None,
    bonus_long: list[float] | None = None,
    bonus_short: list[float] | None = None,
    gap_before: int | None = None,
) -> Series:
    count = len(long)
    times = CLOSE_MS + np.arange(count, dtype=np.int64) * M5_MS
    if gap_before is not None:
        times[gap_before:] += M5_MS
    columns = {
        "base_long": long, "base_short": short or [0.0] * count,
        "long": bonus_long or [0.0] * count, "short": bonus_short or [0.0] * count,
        "close": [100.0] * count, "atr_1h": [1.0] * count,
    }  # fmt: skip
    return Series(times, {name: np.array(c, dtype=np.float64) for name, c in columns.items()})


def entered(of: Series, side: TradeSide = "long", **settings: Any) -> list[int]:
    with_bonus = replace(TraderSection(use_ta_signals=True), **settings)
    flags = trader_enters(of, np.ones(len(of)), with_bonus)[side]
    found: list[int] = np.flatnonzero(flags).tolist()
    return found


def test_base_alone_enters_where_the_base_crosses() -> None:
    of = series([84, 85, 86, 84, 90], bonus_long=[0, 0, 0, 10, 10])
    assert entered(of, use_ta_signals=False) == [1, 4]
    assert entered(of) == [1, 4]  # the base is enough, whatever the total did before


@pytest.mark.parametrize(
    ("of", "settings", "where"),
    [
        (series([80, 80], bonus_long=[0, 10]), {}, [1]),
        (series([74, 74], bonus_long=[0, 45]), {}, []),  # below the floor
        (series([74, 74], bonus_long=[0, 45]), {"base_floor": 74}, [1]),
        (series([80, 80], bonus_long=[0, 45]), {"bonus_cap": 4}, []),
        (series([80, 80], bonus_long=[10, 10]), {}, []),  # it stood there before
        (series([80, 80], bonus_long=[10, 10], gap_before=1), {}, []),
        (series([84, 85], gap_before=1), {}, []),  # not known whether it crosses
        (series([float("nan"), 85]), {}, []),
        (series([80, 80], [55, 55], bonus_long=[0, 10]), {}, [1]),
        (series([80, 80], [55, 55], bonus_long=[0, 10], bonus_short=[0, 25]), {}, []),
        (series([80, 80], [55, 55], bonus_long=[0, 10], bonus_short=[0, 25]), {"margin": 10}, [1]),
    ],
)
def test_the_total_enters_by_the_trader_s_rule(
    of: Series, settings: dict[str, Any], where: list[int]
) -> None:
    assert entered(of, **settings) == where


def test_without_volume_or_atr_there_is_no_entry() -> None:
    of = series([84, 85])
    assert not trader_enters(of, np.array([1.0, 0.0]), TraderSection())["long"].any()
    of.columns["atr_1h"][1] = np.nan
    assert entered(of) == []


def by_the_trader(of: Series, volume: Floats, settings: TraderSection) -> dict[TradeSide, set[int]]:
    """Ask the trader at every close, with messages as it reads them."""
    found: dict[TradeSide, set[int]] = {side: set() for side in SIDES}

    def scored(index: int) -> BaseScore:
        points = [float(of.columns[f"base_{side}"][index]) for side in SIDES]
        known = not any(map(math.isnan, points))
        long, short = map(int, points) if known else (0, 0)
        return score(long, short, int(of.times[index]), coverage=float(known))

    def signals(index: int) -> dict[str, TaSignal]:
        long, short = (int(of.columns[side][index]) for side in SIDES)
        return {"BTCUSDT": bonus(long, short, int(of.times[index]))}

    for index in range(1, len(of)):
        close_ms, atr = int(of.times[index]), float(of.columns["atr_1h"][index])
        at_close = coin(
            volume=float(volume[index]), atr_1h=None if math.isnan(atr) else atr,
            now=(0, 0), before=(0, 0),
        )  # fmt: skip
        chosen, _ = candidates(
            [replace(at_close, now=scored(index), before=scored(index - 1))],
            signals(index),
            Rules(settings=settings, cycle_ms=close_ms, now_ms=close_ms, source="sim"),
            signals_before=signals(index - 1),
        )
        for each in chosen:
            found[each.side].add(index)
    return found


@pytest.mark.parametrize("use_ta_signals", [False, True])
def test_no_entry_of_the_trader_is_left_out_and_none_added(use_ta_signals: bool) -> None:
    rng = np.random.default_rng(3)
    count = 1500
    base = {side: rng.integers(60, 95, count).astype(np.float64) for side in SIDES}
    for side in SIDES:
        base[side][rng.random(count) < 0.3] = 40.0
    base["long"][unknown := rng.random(count) < 0.05] = np.nan
    base["short"][unknown] = np.nan
    bonuses = {side: rng.choice([0.0, 10.0, 15.0, 25.0, 45.0], count) for side in SIDES}
    of = series(*(base[s].tolist() for s in SIDES), *(bonuses[s].tolist() for s in SIDES))
    of.times[700:] += M5_MS
    of.columns["atr_1h"][rng.random(count) < 0.05] = np.nan
    volume = rng.choice([0.0, 1.0, 2.0], count)
    settings = TraderSection(use_ta_signals=use_ta_signals, entry_score=80, base_floor=70)
    found = trader_enters(of, volume, settings)
    expected = by_the_trader(of, volume, settings)
    for side in SIDES:
        assert set(np.flatnonzero(found[side]).tolist()) == expected[side]
        assert len(expected[side]) > 30
