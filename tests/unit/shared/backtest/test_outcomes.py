"""What became of a close: returns and trades, on cases worked out by hand and by a plain loop."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from shared.backtest.outcomes import (
    AFTER_HALT,
    AT_HALT,
    BEFORE_HALT,
    CUT_OFF,
    NO_ATR,
    NO_HALT,
    REFUSED,
    STOPPED,
    TARGET_HIT,
    TIMED_OUT,
    UNFINISHED,
    Trades,
    forward_returns,
    hold_bars,
    starts,
    stop_fractions,
    trades,
)
from shared.config.sections import TraderSection
from shared.market import Candles, Timeframe, Times
from shared.trading.plan import EntryPlan
from shared.trading.sizing import plan_entry
from tests.support.candle_series import START_MS, walk
from tests.support.decisions import NOW_MS, candidate, levels, market

M5 = Timeframe.M5
HOLD_BARS = 288
NO_BREAK = np.array([], dtype=np.int64)
END_MS = 2**62
BY_ATR = TraderSection(stop_costs=1, cost_share_pct=100)
"""Stops at 1 ATR, unless that is below 0.1 % of the price."""


def test_a_state_starts_where_it_did_not_hold_five_minutes_before() -> None:
    times = np.array([0, 1, 2, 3, 7, 8], dtype=np.int64) * M5.ms
    held = np.array([True, False, True, True, True, True])
    assert starts(held, times).tolist() == [False, False, True, False, False, False]
    held = np.array([False, False, False, False, True, True])
    assert not starts(held, times).any(), "after a hole nobody knows"


def test_a_forward_return_is_read_at_its_very_time_or_not_at_all() -> None:
    times = np.array([0, 1, 2, 4], dtype=np.int64) * M5.ms
    found = forward_returns(np.array([100.0, 110.0, 99.0, 120.0]), times, 2 * M5.ms, NO_BREAK)
    assert found[[0, 2]].tolist() == pytest.approx([-0.01, 120 / 99 - 1])
    assert np.isnan(found[[1, 3]]).all()


# Trades.


def calm(bars: int = 400, price: float = 100.0) -> Candles:
    times = START_MS + np.arange(bars, dtype=np.int64) * M5.ms
    return Candles.of(times, *(np.full(bars, price) for _ in range(5)))


def traded(
    candles: Candles,
    side: int = 1,
    entry: int = 10,
    atr: float = 2.0,
    *,
    breaks_ms: Times = NO_BREAK,
    end_ms: int = END_MS,
    **settings: Any,
) -> Trades:
    return trades(
        candles, np.array([entry]), side, np.array([atr]), breaks_ms,
        settings=replace(BY_ATR, **settings), end_ms=end_ms,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bar", "change", "gross", "ending"),
    [
        (20, {"low": 98.0}, -1.0, STOPPED),
        (20, {"high": 104.0}, 2.0, TARGET_HIT),
        (20, {"low": 97.9, "high": 105.0}, -1.0, STOPPED),
        (20, {"open": 95.0, "low": 94.0}, -2.5, STOPPED),
        (20, {"open": 106.0, "high": 107.0}, 2.0, TARGET_HIT),
        (10, {"low": 90.0, "high": 110.0}, 0.0, TIMED_OUT),  # the bar of the entry is over
        (10 + HOLD_BARS, {"low": 98.0}, -1.0, STOPPED),
        (10 + HOLD_BARS, {"close": 101.0, "high": 101.0}, 0.5, TIMED_OUT),
        (11 + HOLD_BARS, {"low": 90.0}, 0.0, TIMED_OUT),
    ],
)
def test_a_long_trade_ends_where_it_must(
    bar: int, change: dict[str, float], gross: float, ending: int
) -> None:
    candles = calm()
    for column, price in change.items():
        getattr(candles, column)[bar] = price
    found = traded(candles)
    assert found.gross.tolist() == [gross] and found.ending.tolist() == [ending]
    left = 100.0 + 2.0 * gross
    assert found.fees.tolist() == pytest.approx([0.0005 * (100.0 + left) / 2.0])
    assert found.net[0] == found.gross[0] - found.fees[0]
    assert found.entered_ms.tolist() == [START_MS + 11 * M5.ms]
    assert found.halt.tolist() == [NO_HALT]


def test_a_short_is_a_long_upside_down() -> None:
    candles = walk(5, 3000, price=4096.0)
    mirrored = Candles.of(
        candles.open_time_ms, 8192.0 - candles.open, 8192.0 - candles.low, 8192.0 - candles.high,
        8192.0 - candles.close, candles.volume,
    )  # fmt: skip
    entries, atr = np.arange(100, 2500, 7), np.full(343, 12.0)
    long, short = (
        trades(of, entries, side, atr, NO_BREAK, settings=BY_ATR, end_ms=END_MS)
        for of, side in ((candles, 1), (mirrored, -1))
    )
    assert np.allclose(long.gross, short.gross, rtol=0, atol=1e-9)
    assert np.array_equal(long.ending, short.ending)
    assert set(long.ending.tolist()) == {STOPPED, TARGET_HIT}


@pytest.mark.parametrize(
    ("settings", "gross", "ending"),
    [
        ({}, 2.0, TARGET_HIT),
        ({"target_r": 2.5}, -1.0, STOPPED),
        ({"stop_atr": 1.5}, 0.0, TIMED_OUT),
        ({"stop_costs": 25}, -1.0, STOPPED),  # the same 2.5 % away, no target at 5 %
        ({"max_hold_h": 5 / 6}, 1.5, TIMED_OUT),
        ({"max_hold_h": 0.8}, 1.5, TIMED_OUT),  # at the first close after that
        ({"cost_share_pct": 5.0}, 2.0, TARGET_HIT),
        ({"cost_share_pct": 4.9}, 2.0, REFUSED),
    ],
)
def test_the_trader_s_settings_decide_stop_target_and_time(
    settings: dict[str, Any], gross: float, ending: int
) -> None:
    candles = calm()
    candles.close[20] = candles.high[20] = 103.0
    candles.high[21] = 104.5
    candles.low[22] = 97.2
    found = traded(candles, **settings)
    assert found.ending.tolist() == [ending]
    assert found.gross.tolist() == pytest.approx([gross])


@pytest.mark.parametrize(("hours", "bars"), [(24, 288), (0.01, 1), (5 / 60, 1), (0.1, 2)])
def test_the_time_is_over_at_the_first_close_that_is_late_enough(hours: float, bars: int) -> None:
    assert hold_bars(TraderSection(max_hold_h=hours)) == bars


def test_stops_are_as_far_away_as_the_trader_plans_them() -> None:
    # a tick so small that the spread is nothing
    tick = Decimal("1e-9")
    at = {
        **market(),
        "rule": replace(market()["rule"], tick=tick, taker_fee=Decimal("0.0005")),
        "book": replace(
            market()["book"],
            bids=levels(("100", "900000")),
            asks=levels((str(100 + tick), "900000")),
        ),
    }
    for atr in (0.2, 0.999, 1.0, 1.001, 3.7):
        for settings in (TraderSection(), TraderSection(stop_atr=2.5, stop_costs=20)):
            plan = plan_entry(
                candidate(atr_1h=Decimal(str(atr))), **at, settings=settings, now_ms=NOW_MS
            )
            assert isinstance(plan, EntryPlan), plan
            found = stop_fractions(np.array([atr / 100]), settings)
            assert found[0] == pytest.approx(float(plan.stop_fraction), abs=2e-8)


def test_what_is_no_trade_says_why() -> None:
    assert traded(calm(), atr=float("nan")).ending.tolist() == [NO_ATR]
    assert traded(calm(), atr=0.0).ending.tolist() == [NO_ATR]
    assert traded(calm(), atr=100.0).ending.tolist() == [REFUSED]
    assert traded(calm(), atr=50.0).ending.tolist() != [REFUSED]
    assert traded(calm(), side=-1, atr=50.0).ending.tolist() == [REFUSED], "a target at 0"


@pytest.mark.parametrize("change", [{}, {"low": 90.0}, {"high": 110.0}])
def test_the_last_day_counts_for_nobody_whatever_became_of_it(change: dict[str, float]) -> None:
    candles = calm()
    end_ms = START_MS + 400 * M5.ms
    for column, price in change.items():
        getattr(candles, column)[399] = price
    late, early = (traded(candles, entry=e - HOLD_BARS, end_ms=end_ms) for e in (400, 399))
    assert late.ending.tolist() == [UNFINISHED] and early.ending[0] >= 0


# Halts.


def halted(candles: Candles, first: int, until: int) -> Candles:
    there = np.ones(len(candles), dtype=np.bool_)
    there[first:until] = False
    return candles[there]


@pytest.mark.parametrize(
    ("bar", "change", "gross", "ending", "halt"),
    [
        (20, {"low": 98.0}, -1.0, STOPPED, BEFORE_HALT),
        (49, {"high": 104.0}, 2.0, TARGET_HIT, BEFORE_HALT),
        (60, {"low": 98.0}, 0.0, TIMED_OUT, AFTER_HALT),  # nobody saw it
        (100, {"open": 95.0, "low": 94.0}, -2.5, STOPPED, AFTER_HALT),
        (100, {"open": 106.0, "high": 106.0}, 2.0, TARGET_HIT, AFTER_HALT),
        (150, {"low": 98.0}, -1.0, STOPPED, AFTER_HALT),
        (10 + HOLD_BARS, {"close": 101.0}, 0.5, TIMED_OUT, AFTER_HALT),
    ],
)
def test_a_position_stays_open_through_a_halt(
    bar: int, change: dict[str, float], gross: float, ending: int, halt: int
) -> None:
    candles = calm()
    for column, price in change.items():
        getattr(candles, column)[bar] = price
    found = traded(halted(candles, 50, 100))
    assert found.gross.tolist() == [gross] and found.ending.tolist() == [ending]
    assert found.halt.tolist() == [halt]


@pytest.mark.parametrize(
    ("change", "gross", "ending"),
    [
        ({"open": 101.0, "low": 90.0, "high": 110.0}, 0.5, TIMED_OUT),
        ({"open": 97.0, "low": 90.0}, -1.5, STOPPED),
        ({"open": 105.0, "high": 110.0}, 2.0, TARGET_HIT),
    ],
)
def test_a_position_whose_time_is_over_in_a_halt_is_closed_at_the_next_open(
    change: dict[str, float], gross: float, ending: int
) -> None:
    candles = calm()
    for column, price in change.items():
        getattr(candles, column)[350] = price
    found = traded(halted(candles, 50, 350))
    assert found.gross.tolist() == [gross] and found.ending.tolist() == [ending]
    assert found.halt.tolist() == [AFTER_HALT]


def test_where_nothing_follows_a_position_is_valued_at_the_last_close() -> None:
    candles = calm()
    candles.close[49] = 101.0
    delisted = traded(candles[:50])
    new_scale = traded(candles, breaks_ms=candles.open_time_ms[50:51])
    for found in (delisted, new_scale):
        assert found.gross.tolist() == [0.5] and found.ending.tolist() == [CUT_OFF]
        assert found.halt.tolist() == [AT_HALT]
    at_once = traded(candles[:11])
    assert at_once.gross.tolist() == [0.0] and at_once.ending.tolist() == [CUT_OFF]
    candles.low[30] = 98.0
    for found in (
        traded(candles[:50]),
        traded(candles, breaks_ms=candles.open_time_ms[50:51]),
    ):
        assert found.gross.tolist() == [-1.0] and found.halt.tolist() == [BEFORE_HALT]


def by_hand(
    candles: Candles,
    entry: int,
    side: int,
    atr: float,
    *,
    breaks: set[int],
    settings: TraderSection,
) -> tuple[float, int]:
    """Return result and ending of one trade, candle by candle."""
    price = float(candles.close[entry])
    risk = price * max(settings.stop_atr * atr / price, settings.stop_costs * 0.001)
    over_ms = int(candles.open_time_ms[entry]) + (1 + hold_bars(settings)) * M5.ms
    last = price
    for index in range(entry + 1, len(candles)):
        opened_ms = int(candles.open_time_ms[index])
        if opened_ms in breaks:
            break
        names = ("open", "low", "high", "close") if side > 0 else ("open", "high", "low", "close")
        opened, worst, best, closed = (
            side * (float(getattr(candles, name)[index]) - price) / risk for name in names
        )
        if opened_ms >= over_ms:
            worst = best = closed = opened
        if worst <= -1.0:
            return min(-1.0, opened), STOPPED
        if best >= settings.target_r:
            return settings.target_r, TARGET_HIT
        if opened_ms + M5.ms >= over_ms:
            return closed, TIMED_OUT
        last = float(candles.close[index])
    return side * (last - price) / risk, CUT_OFF


@pytest.mark.parametrize("side", [1, -1])
def test_all_trades_together_are_those_of_a_plain_loop(side: int) -> None:
    rng = np.random.default_rng(4)
    settings = replace(BY_ATR, target_r=1.5, max_hold_h=6.2)
    candles = walk(7, 2500, price=100.0)
    there = np.ones(2500, dtype=np.bool_)
    for start in rng.integers(0, 2500, 40).tolist():
        there[start : start + int(rng.choice([1, 3, 30, 120]))] = False
    candles = candles[there]
    breaks_ms = candles.open_time_ms[[500, 1100]]
    entries = np.arange(5, len(candles))
    atr = candles.close[entries] * rng.uniform(0.0005, 0.02, len(entries))
    found = trades(candles, entries, side, atr, breaks_ms, settings=settings, end_ms=END_MS)
    for row, entry in enumerate(entries.tolist()):
        gross, ending = by_hand(
            candles, entry, side, float(atr[row]),
            breaks=set(breaks_ms.tolist()), settings=settings,
        )  # fmt: skip
        assert int(found.ending[row]) == ending, entry
        assert found.gross[row] == pytest.approx(gross, abs=1e-9), entry
    assert set(found.ending.tolist()) == {STOPPED, TARGET_HIT, TIMED_OUT, CUT_OFF}
    assert set(found.halt.tolist()) == {NO_HALT, BEFORE_HALT, AFTER_HALT, AT_HALT}


def test_no_trade_knows_what_comes_after_it() -> None:
    candles = walk(3, 1500, price=100.0)
    entries = np.arange(5, 1090, 3)
    atr = candles.close[entries] * 0.03
    whole = trades(candles, entries, 1, atr, NO_BREAK, settings=BY_ATR, end_ms=END_MS)
    cut = trades(candles[:1100], entries, 1, atr, NO_BREAK, settings=BY_ATR, end_ms=END_MS)
    over = cut.ending != CUT_OFF
    assert 0 < np.count_nonzero(over) < len(entries)
    assert np.array_equal(whole.gross[over], cut.gross[over])
