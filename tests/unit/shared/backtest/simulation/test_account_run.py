"""A backtest's account, by examples computed by hand.

The coin stands at 100: tick 0.001, step 0.01, best prices 0.005 from the price with 1000 behind
them, taker fee 0.05 %. An order of at most 0.09 of 10 000 fits into the first level, so: entry at
100.005, size 900 / 100.105 = 8.99, costs 0.1 % + 0.01 %, stop 10 times that away = 1.1 %: 98.905;
target 2.2 % away: 102.205.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import numpy as np
import pytest

from shared.backtest.results.metrics import (
    daily_returns,
    final_equity,
    metrics_of,
    net_at_costs,
)
from shared.backtest.results.random_entries import buy_and_hold, random_entries
from shared.backtest.simulation.account_run import run_account, without_numbers
from shared.backtest.simulation.bar_prices import opens_without_breaks
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.trades import AccountHistory, Trade
from shared.config.sections import TraderSection
from shared.market import Candles
from tests.support.made_scores import BAR_MS, BEGIN_MS, DAY_MS, flat, scored

SETTINGS = TraderSection(max_notional=0.09)
NO_FUNDING = FillModel(funding="none")
ENTRY = 10
"""The candle whose close is entered on; the entry happens in the one after it."""

FEES_IN = D("8.99") * D("100.005") * D("0.0005")


def candle(candles: Candles, place: int, *prices: float) -> Candles:
    for column, price in zip(
        (candles.open, candles.high, candles.low, candles.close), prices, strict=True
    ):
        column[place] = price
    return candles


def run(
    candles: Candles, side: str = "long", *, model: FillModel = NO_FUNDING, **settings: Any
) -> AccountHistory:
    coin = scored("AAAUSDT", candles, {side: {ENTRY: 90}})
    end_ms = int(candles.open_time_ms[-1])
    return run_account([coin], replace(SETTINGS, **settings), model, BEGIN_MS, end_ms)


def only(history: AccountHistory) -> Trade:
    (trade,) = history.trades
    return trade


def test_stop_is_filled_at_the_best_price_of_the_book_around_it() -> None:
    trade = only(run(candle(flat(40), 20, 100, 100, 98, 98)))
    assert (trade.entry_price, trade.size, trade.stop, trade.target) == (
        D("100.005"), D("8.99"), D("98.905"), D("102.205"),
    )  # fmt: skip
    assert (trade.how, trade.exit_price) == ("stop", D("98.900"))
    fees = FEES_IN + D("8.99") * D("98.9") * D("0.0005")
    assert trade.fees == fees
    assert trade.pnl == D("8.99") * (D("98.9") - D("100.005")) - fees
    assert trade.risk == D("8.99") * D("100.005") * D("0.011")
    assert trade.r == pytest.approx(-1.0949, abs=1e-4)
    # 0.005 beyond the price on each side
    assert trade.spread == D("8.99") * D("0.01")
    assert trade.entered_ms == BEGIN_MS + (ENTRY + 1) * BAR_MS + 3000
    # the low, 98, comes 100 s after the open: the stop is 1.095 / 2 of the way there
    assert trade.left_ms == BEGIN_MS + 20 * BAR_MS + 54_750


def test_target_is_filled_as_a_stop_is() -> None:
    trade = only(run(candle(flat(40), 20, 100, 103, 100, 103)))
    assert (trade.how, trade.exit_price) == ("target", D("102.200"))


@pytest.mark.parametrize(
    ("side", "kind", "how"),
    [
        ("long", "adverse", "stop"),
        ("short", "adverse", "stop"),
        ("long", "by_body", "target"),  # the candle falls: its high comes first
        ("short", "by_body", "stop"),
    ],
)
def test_candle_that_holds_stop_and_target_hurts_first_unless_told(
    side: str, kind: Any, how: str
) -> None:
    wide = candle(flat(40), 20, 100, 104, 96, 99)
    model = FillModel(funding="none", path=kind)
    assert only(run(wide, side, model=model)).how == how


def test_jump_over_the_stop_is_filled_where_it_lands() -> None:
    trade = only(run(candle(flat(40), 20, 95, 95, 95, 95)))
    assert (trade.how, trade.exit_price) == ("stop", D("94.995"))
    assert trade.left_ms == BEGIN_MS + 20 * BAR_MS
    assert trade.spread == trade.size * D("0.01")


@pytest.mark.parametrize(
    ("side", "to", "fill"), [("long", 105, "104.995"), ("short", 95, "95.005")]
)
def test_jump_over_the_target_costs_no_more_spread_than_a_touch(
    side: str, to: float, fill: str
) -> None:
    trade = only(run(candle(flat(40), 20, to, to, to, to), side))
    assert (trade.how, trade.exit_price) == ("target", D(fill))
    assert trade.spread == trade.size * D("0.01")


@pytest.mark.parametrize("last", [99.9, 100.1])
@pytest.mark.parametrize("side", ["long", "short"])
def test_spread_is_counted_from_the_price_before_the_entry(side: str, last: float) -> None:
    # with a position, a path of one candle in two takes the other extreme first
    moved = candle(flat(60), ENTRY + 1, 100, 100.5, 99.5, last)
    trade = only(run(moved, side, max_hold_h=2, stop_atr=3))
    assert trade.how == "time"
    assert trade.spread == trade.size * D("0.01")


def test_the_decision_meets_the_next_candle_s_path_not_its_own_close() -> None:
    # the next candle rises, so its low comes first: 3 of the 100 s to it have passed
    moved = candle(flat(40), ENTRY + 1, 100.1, 100.2, 99.1, 100.2)
    # 0.005 below 100.07
    assert only(run(moved, "short")).entry_price == D("100.065")


def test_time_stop_closes_at_the_market() -> None:
    trade = only(run(flat(60), max_hold_h=2))
    assert (trade.how, trade.exit_price) == ("time", D("99.995"))
    assert trade.left_ms - trade.entered_ms == 2 * 3_600_000


def test_what_is_open_at_the_end_is_closed_there() -> None:
    trade = only(run(flat(30)))
    assert (trade.how, trade.left_ms) == ("end", BEGIN_MS + 29 * BAR_MS)


def test_equity_is_marked_at_each_close_decided_on() -> None:
    rising = flat(40)
    for place in range(15, 40):
        candle(rising, place, 101, 101, 101, 101)
    history = run(rising)
    assert history.equity[: ENTRY + 1].tolist() == [10_000.0] * (ENTRY + 1)
    entered = 10_000 - float(FEES_IN) - 8.99 * 0.005
    assert history.equity[12] == pytest.approx(entered, abs=1e-9)
    assert history.equity[20] == pytest.approx(entered + 8.99, abs=1e-9)
    assert len(history.at_ms) == len(history.equity)


def test_entry_at_the_first_close_pays_its_costs_once() -> None:
    candles = flat(3 * 288)
    coin = scored("AAAUSDT", candles, {"long": {287: 90}})
    span = (BEGIN_MS + DAY_MS, BEGIN_MS + 2 * DAY_MS)
    history = run_account([coin], replace(SETTINGS, max_hold_h=2), NO_FUNDING, *span)
    assert history.trades[0].entered_ms == span[0] + 3000
    fees = FEES_IN + D("8.99") * D("99.995") * D("0.0005")
    lost = float(fees + D("8.99") * D("0.01"))
    assert history.equity[0] == pytest.approx(10_000 - float(FEES_IN) - 8.99 * 0.005)
    assert final_equity(history) == pytest.approx(10_000 - lost)
    assert daily_returns(history).tolist() == pytest.approx([-lost / 10_000])
    found = metrics_of(history)
    assert found.net_return_pct == pytest.approx(-lost / 100)
    assert found.max_drawdown_pct == pytest.approx(lost / 100)
    assert net_at_costs(history, 2) == pytest.approx(-2 * lost / 100)
    chance = random_entries(history, {"AAAUSDT": candles}, runs=3)
    assert chance.net_return_pct.tolist() == pytest.approx([-lost / 100] * 3)
    assert chance.band[:, 0].tolist() == [10_000.0] * 3
    assert buy_and_hold(history, [candles]).tolist() == [10_000.0] * 288


def test_losses_in_a_row_lock_until_released() -> None:
    bars = 3 * 288
    candles, scores = flat(bars), {}
    for place in range(20, bars - 20, 40):
        scores[place] = 90
        candle(candles, place + 5, 100, 100, 98, 100)
    coin = scored("AAAUSDT", candles, {"long": scores})
    span = (BEGIN_MS, BEGIN_MS + (bars - 1) * BAR_MS)

    settings = replace(SETTINGS, cooldown_min=0, loss_pause_h=0)
    locked = run_account([coin], settings, NO_FUNDING, *span)
    assert len(locked.trades) == 5
    (lock,) = locked.locked
    # seen at the first close after the fifth loss
    assert lock.from_ms == BEGIN_MS + (20 + 4 * 40 + 6) * BAR_MS + 3000
    assert lock.to_ms == span[1]
    assert lock.why.startswith("losses in a row of 5 trades")
    assert locked.refusals == {"locked by a breaker": len(scores) - 5}

    model = replace(NO_FUNDING, release="daily")
    daily = run_account([coin], settings, model, *span)
    assert len(daily.trades) == 5 + 5 + 5
    assert [lock.to_ms for lock in daily.locked[:2]] == [BEGIN_MS + DAY_MS, BEGIN_MS + 2 * DAY_MS]

    paused = run_account([coin], replace(settings, loss_pause_h=6), NO_FUNDING, *span)
    first, second = paused.locked[:2]
    assert first.from_ms == lock.from_ms
    # the first close that is decided on after six hours
    assert first.to_ms == lock.from_ms - 3000 + 6 * 3_600_000
    left = [place for place in scores if BEGIN_MS + (place + 1) * BAR_MS >= first.to_ms]
    entered = [trade.entered_ms for trade in paused.trades]
    assert entered[5] == BEGIN_MS + (left[0] + 1) * BAR_MS + 3000
    assert second.from_ms == BEGIN_MS + (left[4] + 6) * BAR_MS + 3000
    assert paused.refusals["locked by a breaker"] == len(scores) - len(paused.trades)


def test_cool_down_refuses_the_side_that_lost() -> None:
    candles = candle(flat(60), 20, 100, 100, 98, 100)
    coin = scored("AAAUSDT", candles, {"long": {ENTRY: 90, 25: 90, 40: 90}, "short": {27: 90}})
    history = run_account([coin], SETTINGS, NO_FUNDING, BEGIN_MS, BEGIN_MS + 59 * BAR_MS)
    assert [(t.side, t.entered_ms) for t in history.trades] == [
        ("long", BEGIN_MS + 11 * BAR_MS + 3000),
        ("short", BEGIN_MS + 28 * BAR_MS + 3000),
    ]
    assert history.refusals == {
        "cools down after a loss until …": 1,
        "there is a position in this coin, or an entry under way": 1,
    }


def test_funding_is_paid_every_eight_hours() -> None:
    candles = flat(288)
    trade = only(run(candles, model=FillModel()))
    moved = trade.size * (trade.exit_price - trade.entry_price)
    assert trade.funding != 0
    assert trade.pnl == moved - trade.fees + trade.funding


def test_latency_moves_the_fill_not_the_plan() -> None:
    moved = candle(flat(40), ENTRY + 1, 100.1, 100.2, 99.1, 100.2)
    trade = only(run(moved, "short", model=replace(NO_FUNDING, latency_ms=2000)))
    assert trade.entry_price == D("100.045")
    assert trade.entered_ms == BEGIN_MS + 11 * BAR_MS + 5000
    # beyond the limit of 10 basis points, nothing is filled
    late = run(moved, "short", model=replace(NO_FUNDING, latency_ms=20_000))
    assert late.refusals == {"nothing was filled at the limit": 1}


def test_faults_of_the_question_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="no close of 5m candles"):
        run_account([], SETTINGS, NO_FUNDING, BEGIN_MS, BEGIN_MS)
    with pytest.raises(ValueError, match="expected less than 100 s together"):
        run(flat(30), model=FillModel(latency_ms=100_000))
    with pytest.raises(ValueError, match="a close was scored that has no 5m candle"):
        scored("AAAUSDT", flat(30)).of("AAAUSDT", scored("A", flat(30)).series, flat(20))


def test_reasons_are_counted_without_their_numbers() -> None:
    assert without_numbers("leads short by -5, expected 15") == "leads short by …, expected …"
    assert without_numbers("until 2025-01-02T10:00:00Z") == "until …"


def rescaled(factor: float) -> Candles:
    """Return candles with a halt from 30 to 39, and another scale from then on."""
    there = np.ones(90, dtype=np.bool_)
    there[30:40] = False
    candles = flat(90)
    for place in range(40, 90):
        candle(candles, place, *[100 * factor] * 4)
    return candles[there]


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("factor", [1000, 0.01])
def test_a_position_ends_at_the_last_price_before_its_scale_breaks(
    side: str, factor: float
) -> None:
    candles = rescaled(factor)
    history = run(candles, side)
    trade = only(history)
    assert (trade.how, trade.left_ms) == ("rescaled", BEGIN_MS + 40 * BAR_MS - 1)
    left = {"long": D("99.995"), "short": D("100.005")}[side]
    assert trade.exit_price == left
    lost = float(trade.fees + trade.size * D("0.01"))
    assert history.equity[40:].tolist() == pytest.approx([10_000 - lost] * 49)
    # neither is a return over the break counted of what is compared with
    chance = random_entries(history, {"AAAUSDT": candles}, runs=50)
    assert chance.net_return_pct.tolist() == pytest.approx([-lost / 100] * 50)
    assert buy_and_hold(history, [candles]).tolist() == pytest.approx([10_000.0] * 89)


def test_returns_between_breaks_count_as_they_are() -> None:
    candles = flat(90)
    for place in range(30, 90):
        candle(candles, place, *[100.0 * (1000 if place < 60 else 10)] * 4)
    candles.open[45:60] *= 1.5
    candles.close[45:60] *= 1.5
    candles.high[45:60] *= 1.5
    candles.low[45:60] *= 1.5
    there = np.ones(90, dtype=np.bool_)
    there[[29, 59]] = False
    opens = opens_without_breaks(candles[there])
    assert opens.tolist() == pytest.approx([100.0] * 44 + [150.0] * 44)


def test_nothing_is_entered_at_a_price_of_another_scale_than_the_score_s() -> None:
    candles = flat(90)
    candles.volume[25:30] = 0
    for place in range(30, 90):
        candle(candles, place, 500, 500, 500, 500)
    coin = scored("AAAUSDT", candles, {"long": {28: 70, 29: 90, 60: 90}})
    span = (BEGIN_MS, int(candles.open_time_ms[-1]))
    history = run_account([coin], SETTINGS, NO_FUNDING, *span)
    assert only(history).entered_ms == BEGIN_MS + 61 * BAR_MS + 3000
    assert history.refusals == {"the price scale breaks with the next candle": 1}


def test_price_stays_where_there_are_no_candles() -> None:
    candles = flat(60)
    there = np.ones(60, dtype=np.bool_)
    there[15:30] = False
    halted = candle(candles, 30, 95, 95, 95, 95)[there]
    trade = only(run(halted))
    assert (trade.how, trade.left_ms) == ("stop", BEGIN_MS + 30 * BAR_MS)
    assert trade.exit_price == D("94.995")
