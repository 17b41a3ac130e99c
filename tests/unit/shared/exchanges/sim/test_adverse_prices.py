"""A bar's path for whoever holds a position: what hurts comes first."""

from __future__ import annotations

from decimal import Decimal as D

import numpy as np
import pytest

from actors.exchange_sim.market.bars import CLOSE, HIGH, LOW, OPEN, TIME
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.price_paths import MarketPrices
from shared.backtest.replay import Recording
from shared.exchanges.sim.account import SimPosition, Trigger
from shared.exchanges.sim.adverse_prices import BAR_MS, AdversePrices
from shared.exchanges.sim.prices import Corner
from shared.exchanges.sim.rules import rule_of
from shared.exchanges.sim.triggers import first_hit, watches
from shared.market import Candles, Timeframe
from shared.messages.trading import TradeSide
from tests.lockstep.recorded_market import RecordedPrices

OPEN_MS = 1_735_000_200_000
THIRD_MS = BAR_MS // 3
RISING, FALLING, LEVEL = (100, 110, 95, 105), (100, 105, 90, 95), (100, 103, 97, 100)


def feed(side: TradeSide | None, *bars: tuple[float, ...], gap: int = 0) -> AdversePrices:
    """Return prices through bars of open, high, low, close, the last one `gap` bars later."""
    opened, high, low, close = np.array(bars, dtype=float).T
    times = OPEN_MS + np.arange(len(bars)) * BAR_MS
    times[-1] += gap * BAR_MS
    candles = Candles.of(times, opened, high, low, close, np.ones(len(bars)))
    recording = Recording("BTCUSDT", {Timeframe.M5: candles})
    return AdversePrices(RecordedPrices({"BTCUSDT": recording}), lambda _: side)


def corners(prices: AdversePrices, from_ms: int = 0, until_ms: int = BAR_MS - 1) -> list[D]:
    path = prices.path("BTCUSDT", OPEN_MS + from_ms, OPEN_MS + until_ms)
    return [corner.price for corner in path][: 3 if until_ms == BAR_MS - 1 else None]


@pytest.mark.parametrize("bar", [RISING, FALLING, LEVEL])
def test_long_sees_the_low_first_and_a_short_the_high(bar: tuple[int, ...]) -> None:
    opened, high, low, _ = bar
    assert corners(feed("long", bar)) == [opened, low, high]
    assert corners(feed("short", bar)) == [opened, high, low]


@pytest.mark.parametrize(("bar", "second"), [(RISING, 95), (FALLING, 105), (LEVEL, 97)])
def test_path_without_a_position_is_that_of_the_body(bar: tuple[int, ...], second: int) -> None:
    assert corners(feed(None, bar))[1] == second


def test_corners_are_a_third_of_the_bar_apart_and_lines_straight() -> None:
    prices = feed("short", RISING)
    path = prices.path("BTCUSDT", OPEN_MS + THIRD_MS // 2, OPEN_MS + BAR_MS)
    assert path[:4] == [
        Corner(OPEN_MS + THIRD_MS // 2, D("105")),
        Corner(OPEN_MS + THIRD_MS, D(110)),
        Corner(OPEN_MS + 2 * THIRD_MS, D(95)),
        Corner(OPEN_MS + BAR_MS, D(105)),
    ]
    assert prices.price("BTCUSDT", OPEN_MS + THIRD_MS * 3 // 2) == D("102.5")


@pytest.mark.parametrize("side", ["long", "short"])
def test_stop_comes_before_a_target_of_the_same_bar(side: TradeSide) -> None:
    position = SimPosition(
        position_id=1, market="BTCUSDT", side=side, leverage=1, created_ms=0, updated_ms=0,
        size=D(1), cost=D(100), entry_price=D(100), margin=D(100),
    )  # fmt: skip
    levels = (D(96), D(104)) if side == "long" else (D(104), D(96))
    for trigger_id, (triggers, price) in enumerate(
        zip((position.stops, position.targets), levels, strict=True)
    ):
        trigger = Trigger(
            trigger_id=trigger_id, price=price, kind="mark", amount=None, created_ms=0
        )
        triggers.append(trigger)
    rule = rule_of("BTCUSDT", 100.0, 2)
    for bar in ((100, 105, 95, 99), (100, 105, 95, 101)):
        path = feed(side, bar).path("BTCUSDT", OPEN_MS, OPEN_MS + BAR_MS)
        hit = first_hit(path, list(watches(rule, position, [])), D("0.01"))
        assert hit is not None
        assert hit.watch.cause == "stop"


def test_jump_between_bars_stays_a_jump() -> None:
    path = feed("long", RISING, (120, 125, 118, 119)).path(
        "BTCUSDT", OPEN_MS + BAR_MS - 1_000, OPEN_MS + BAR_MS + 1_000
    )
    at = [corner.price for corner in path if corner.at_ms == OPEN_MS + BAR_MS]
    assert (at[0], at[-1]) == (D(105), D(120))
    assert path[-1].price < 120


def test_price_stays_while_there_are_no_bars() -> None:
    prices = feed("long", RISING, FALLING, gap=3)
    assert set(corners(prices, 2 * BAR_MS, 3 * BAR_MS)) == {D(105)}
    assert prices.price("BTCUSDT", OPEN_MS + 4 * BAR_MS + THIRD_MS) == 90


def test_nothing_is_known_before_the_first_bar() -> None:
    prices = feed("long", RISING)
    assert prices.path("BTCUSDT", OPEN_MS - BAR_MS, OPEN_MS) == []
    assert prices.price("BTCUSDT", OPEN_MS - 1) is None


def test_generated_bars_keep_their_prices() -> None:
    market = Market(GeneratedPrices(["ETHUSDT"], 7))
    feed = AdversePrices(MarketPrices(market), lambda _: "short")
    bars = market.bars("ETHUSDT", Timeframe.M5, OPEN_MS + BAR_MS, limit=40)[:, :-1]
    scale = 10 ** market.scale("ETHUSDT", OPEN_MS).price_digits
    for bar in bars.T:
        path = feed.path("ETHUSDT", int(bar[TIME]), int(bar[TIME]) + BAR_MS - 1)
        assert [int(corner.price * scale) for corner in path][:3] == [
            bar[OPEN],
            bar[HIGH],
            bar[LOW],
        ]
        closed = feed.path("ETHUSDT", int(bar[TIME]), int(bar[TIME]) + BAR_MS)[3]
        assert int(closed.price * scale) == bar[CLOSE]
