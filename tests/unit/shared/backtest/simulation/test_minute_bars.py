"""1m candles decide what happens inside a 5m candle, where they agree with it.

The coin stands at 100; a long's stop is at 98.905, its target at 102.205; see `test_account_run`.
"""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import numpy as np
import pytest

from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.bar_prices import BarPrices, CoinBars
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.market_detail import MarketDetail, assumptions
from shared.backtest.simulation.minute_bars import MinuteBars
from shared.backtest.simulation.trades import AccountHistory, Trade
from shared.config.sections import TraderSection
from shared.market import Candles, StoredTimeframe
from shared.messages.trading import TradeSide
from tests.support.candle_series import walk
from tests.support.made_scores import BAR_MS, BEGIN_MS, flat, scored

SETTINGS = TraderSection(max_notional=0.09)
MODEL = FillModel(funding="none", detail="1m")
ENTRY, WIDE = 10, 20
"""The candle whose close is entered on, and the one that holds stop and target."""

STILL = (100.0, 100.0, 100.0, 100.0)
UP, DOWN = (100.0, 103.0, 100.0, 103.0), (103.0, 103.0, 98.0, 98.0)
BACK = (98.0, 99.0, 98.0, 99.0)
REST = (99.0, 99.0, 99.0, 99.0)


def minutes_of(bars: Candles, inside: dict[int, list[tuple[float, ...]]]) -> Candles:
    """Return 1m candles: of some 5m candles as given, of the others all of it in the first."""
    rows: list[tuple[float, ...]] = []
    for place in range(len(bars)):
        ends = tuple(float(getattr(bars, c)[place]) for c in ("open", "high", "low", "close"))
        rows += inside.get(place, [ends, *[(ends[3],) * 4] * 4])
    times = bars.open_time_ms[0] + 60_000 * np.arange(len(rows), dtype=np.int64)
    open_, high, low, close = np.array(rows).T
    return Candles.of(times, open_, high, low, close, np.ones(len(rows)))


def wide(place: int = WIDE) -> Candles:
    """Return candles one of which opens at 100, reaches 103 and 98, and closes at 99."""
    bars = flat(40)
    for column, price in zip((bars.open, bars.high, bars.low, bars.close), (100, 103, 98, 99),
                             strict=True):  # fmt: skip
        column[place] = price
        column[place + 1 :] = 99
    return bars


def run(
    bars: Candles, minutes: Candles | None, side: str = "long", model: FillModel = MODEL,
    **settings: Any,
) -> AccountHistory:  # fmt: skip
    coin = scored("AAAUSDT", bars, {side: {ENTRY: 90}})
    detail = None if minutes is None else MinuteBars.of(minutes, bars)
    end_ms = int(bars.open_time_ms[-1])
    asked = TraderSection(max_notional=0.09, **settings)
    return run_account([MarketDetail(detail).of(coin)], asked, model, BEGIN_MS, end_ms)


def only(history: AccountHistory) -> Trade:
    (trade,) = history.trades
    return trade


def test_target_counts_where_the_minutes_reach_it_first() -> None:
    bars = wide()
    assert only(run(bars, None)).how == "stop"
    trade = only(run(bars, minutes_of(bars, {WIDE: [UP, DOWN, BACK, REST, REST]})))
    assert (trade.how, trade.exit_price) == ("target", D("102.200"))
    # the low, 100, takes 20 s of the first minute, and 103 the next 20 s
    assert trade.left_ms == BEGIN_MS + WIDE * BAR_MS + 20_000 + 14_700
    # 0.005 beyond the price on each side, and no jump
    assert trade.spread == trade.size * D("0.01")


@pytest.mark.parametrize(("side", "how"), [("long", "target"), ("short", "stop")])
@pytest.mark.parametrize("path", ["adverse", "by_body"])
def test_what_the_minutes_say_counts_for_each_side_and_path(side: str, how: str, path: Any) -> None:
    bars = wide()
    minutes = minutes_of(bars, {WIDE: [STILL, UP, DOWN, BACK, REST]})
    model = FillModel(funding="none", detail="1m", path=path)
    trade = only(run(bars, minutes, side, model))
    assert trade.how == how
    assert BEGIN_MS + WIDE * BAR_MS + 60_000 < trade.left_ms < BEGIN_MS + WIDE * BAR_MS + 120_000


@pytest.mark.parametrize("side", ["long", "short"])
def test_within_one_minute_what_hurts_comes_first(side: str) -> None:
    bars = wide()
    found = only(run(bars, minutes_of(bars, {}), side))
    known = only(run(bars, None, side))
    assert (found.how, found.exit_price, found.pnl) == ("stop", known.exit_price, known.pnl)


def test_a_jump_between_minutes_is_filled_where_it_lands() -> None:
    bars = wide()
    jump: list[tuple[float, ...]] = [STILL, (98.0, 103.0, 98.0, 103.0), (103.0,) * 4]
    jump += [(103.0,) * 4, (103.0, 103.0, 99.0, 99.0)]
    trade = only(run(bars, minutes_of(bars, {WIDE: jump})))
    assert (trade.how, trade.exit_price) == ("stop", D("97.995"))
    assert trade.left_ms == BEGIN_MS + WIDE * BAR_MS + 60_000
    assert trade.spread == trade.size * D("0.01")


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"high": (1, 103.5)}, 1),
        ({"low": (2, 97.5)}, 1),
        ({"open": (0, 100.5)}, 1),
        ({"close": (4, 99.5)}, 1),
        ("missing", 0),
    ],
)
def test_where_minutes_are_missing_or_differ_the_candle_has_its_own_path(
    change: Any, differing: int
) -> None:
    bars = wide()
    minutes = minutes_of(bars, {WIDE: [UP, DOWN, BACK, REST, REST]})
    if change == "missing":
        there = np.ones(len(minutes), dtype=np.bool_)
        there[5 * WIDE + 3] = False
        minutes = minutes[there]
    else:
        for name, (minute, price) in change.items():
            getattr(minutes, name)[5 * WIDE + minute] = price
    found, own = only(run(bars, minutes)), only(run(bars, None))
    assert (found.how, found.left_ms, found.exit_price) == (
        "stop", own.left_ms, own.exit_price,
    )  # fmt: skip
    detail = MarketDetail(MinuteBars.of(minutes, bars))
    counted = assumptions({"AAAUSDT": detail}, MODEL, BEGIN_MS, BEGIN_MS + 40 * BAR_MS)["detail"]
    assert counted == {"bars": 40, "by_1m": 39, "differing": differing}


def test_a_decision_meets_the_price_that_the_minutes_have_then() -> None:
    bars = wide(ENTRY + 1)
    # 3 of the 20 s to the low have passed; the candle's own path goes to 103 first
    minutes = minutes_of(bars, {ENTRY + 1: [
        (100.0, 100.2, 99.4, 100.1), (100.1, 103.0, 99.7, 103.0), DOWN, BACK, REST]})  # fmt: skip
    trade = only(run(bars, minutes, "short", stop_atr=5))
    assert trade.entry_price == D("99.905")
    late = FillModel(funding="none", detail="1m", latency_ms=62_000)
    # 5 of the 20 s to the low of the second minute
    trade = only(run(bars, minutes, "short", late, stop_atr=5))
    assert trade.entry_price == D("99.995")


@pytest.mark.parametrize("kind", ["adverse", "by_body"])
@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("after_ms", [3_000, 61_500, 99_999])
def test_marks_of_many_closes_are_those_of_each(kind: Any, side: TradeSide, after_ms: int) -> None:
    minutes = walk(5, 300, start_ms=BEGIN_MS, timeframe=StoredTimeframe.M1)
    bars = five_of(minutes)
    minutes.high[::11] += 1.0
    prices = BarPrices({"AAAUSDT": CoinBars.of(bars, minutes)}, kind, lambda symbol: side)
    marks = prices.at_closes("AAAUSDT", side, BEGIN_MS, 60, after_ms)
    each = [prices.price("AAAUSDT", BEGIN_MS + i * BAR_MS + after_ms) for i in range(60)]
    assert marks.tolist() == pytest.approx([float(p) for p in each if p is not None], rel=1e-14)
    plain = BarPrices({"AAAUSDT": CoinBars.of(bars)}, kind, lambda symbol: side)
    own = plain.at_closes("AAAUSDT", side, BEGIN_MS, 60, after_ms)
    assert 0 < np.sum(own == marks) < 60


def test_a_part_of_the_time_has_the_minutes_of_it() -> None:
    bars = wide()
    whole = MinuteBars.of(minutes_of(bars, {3: [UP, DOWN, BACK, REST, REST]}), bars)
    part = whole.between(BEGIN_MS + 2 * BAR_MS, BEGIN_MS + 6 * BAR_MS)
    assert part.first.tolist() == [0, -1, 5, 10]
    assert part.differs.tolist() == [False, True, False, False]
    assert part.candles.open_time_ms[5] == BEGIN_MS + 4 * BAR_MS


def five_of(minutes: Candles) -> Candles:
    shaped = {n: getattr(minutes, n).reshape(-1, 5) for n in ("open", "high", "low", "close")}
    return Candles.of(
        minutes.open_time_ms[::5], shaped["open"][:, 0], shaped["high"].max(axis=1),
        shaped["low"].min(axis=1), shaped["close"][:, -1], np.ones(len(minutes) // 5),
    )  # fmt: skip
