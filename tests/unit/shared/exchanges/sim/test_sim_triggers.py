"""Which level is reached first on the way of a price, when, and at what price."""

from __future__ import annotations

from decimal import Decimal as D

import numpy as np
import pytest

from actors.exchange_sim.market.bars import CLOSE
from actors.exchange_sim.market.events import Halt
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.price_paths import MarketPrices
from shared.exchanges.sim.account import SimPosition, Trigger
from shared.exchanges.sim.orders import SimOrder
from shared.exchanges.sim.prices import Corner, between
from shared.exchanges.sim.rules import rule_of
from shared.exchanges.sim.triggers import Watch, first_hit, watches
from shared.market import Timeframe

TICK = D("0.01")
STOP = Watch(cause="stop", level=D(95), falling=True)
TARGET = Watch(cause="target", level=D(105), falling=False)
RUIN = Watch(cause="liquidation", level=D("90.005"), falling=True)
NOW = 1_735_000_000_000


def way(*corners: tuple[int, str]) -> list[Corner]:
    return [Corner(at_ms, D(price)) for at_ms, price in corners]


def test_level_is_reached_on_the_way_at_its_price_and_time() -> None:
    hit = first_hit(way((0, "100"), (1000, "90")), [TARGET, STOP], TICK)
    assert hit is not None
    assert (hit.at_ms, hit.price, hit.watch) == (500, D(95), STOP)
    assert hit.rest == way((500, "95"), (1000, "90"))


def test_price_that_comes_back_has_still_been_there() -> None:
    path = way((0, "100"), (1000, "94"), (2000, "106"))
    hit = first_hit(path, [STOP, TARGET], TICK)
    assert hit is not None
    assert hit.watch is STOP
    after = first_hit(hit.rest, [TARGET], TICK)
    assert after is not None
    assert (after.watch, after.price) == (TARGET, D(105))


def test_jump_goes_through_the_level_and_fills_beyond_it() -> None:
    hit = first_hit(way((0, "100"), (1000, "100"), (1000, "93")), [STOP], TICK)
    assert hit is not None
    assert (hit.at_ms, hit.price) == (1000, D(93))


def test_ruin_goes_before_the_stop_when_a_jump_reaches_both() -> None:
    hit = first_hit(way((0, "100"), (0, "80")), [RUIN, STOP], TICK)
    assert hit is not None
    assert hit.watch is RUIN


def test_stop_goes_before_ruin_on_a_way_that_passes_both() -> None:
    hit = first_hit(way((0, "100"), (1000, "80")), [RUIN, STOP], TICK)
    assert hit is not None
    assert hit.watch is STOP


def test_level_between_two_ticks_is_hit_at_the_tick_beyond() -> None:
    hit = first_hit(way((0, "100"), (1000, "80")), [RUIN], TICK)
    assert hit is not None
    assert hit.price == D("90.00")


def test_level_reached_already_is_hit_at_once() -> None:
    hit = first_hit(way((7, "94"), (1000, "96")), [STOP], TICK)
    assert hit is not None
    assert (hit.at_ms, hit.price) == (7, D(94))


def test_nothing_is_hit_without_a_way_or_a_level() -> None:
    assert first_hit([], [STOP], TICK) is None
    assert first_hit(way((0, "100"), (9, "96")), [STOP], TICK) is None
    assert first_hit(way((0, "100"), (9, "0.01")), [], TICK) is None


@pytest.mark.parametrize(("side", "falling"), [("long", True), ("short", False)])
def test_position_waits_for_its_own_levels(side: str, falling: bool) -> None:
    trigger = Trigger(trigger_id=1, price=D(95), kind="mark", amount=None, created_ms=0)
    held = SimPosition(
        position_id=1, market="BTCUSDT", side="long" if side == "long" else "short", leverage=3,
        created_ms=0, updated_ms=0, size=D(1), cost=D(100), margin=D(40),
        stops=[trigger], targets=[trigger],
    )  # fmt: skip
    found = {w.cause: w.falling for w in watches(rule_of("BTCUSDT", 100, 2), held, [])}
    assert found == {"liquidation": falling, "stop": falling, "target": not falling}


@pytest.mark.parametrize(("side", "level", "falling"), [("buy", "99.99", True),
                                                        ("sell", "100.01", False)])  # fmt: skip
def test_resting_order_waits_for_the_other_sides_best_price(
    side: str, level: str, falling: bool
) -> None:
    order = SimOrder(
        order_id=1, market="BTCUSDT", side="buy" if side == "buy" else "sell", kind="limit",
        amount=D(1), price=D(100), client_id="", created_ms=0, updated_ms=0,
    )  # fmt: skip
    (watch,) = watches(rule_of("BTCUSDT", 10_000, 2), None, [order])
    assert (watch.level, watch.falling) == (D(level), falling)


def test_part_of_a_way_begins_and_ends_where_it_is_cut() -> None:
    whole = way((0, "100"), (100, "110"), (100, "90"), (200, "91"))
    assert between(whole, 50, 150, 1) == way((50, "105"), (100, "110"), (100, "90"), (150, "90.5"))
    assert between(whole, 100, 100, 1) == way((100, "90"))
    assert between(whole, 300, 400, 1) == way((300, "91"), (400, "91"))
    assert between(whole, -1, 50, 1) == []


def test_price_of_the_venue_is_the_close_of_the_open_candle_at_every_moment() -> None:
    market = Market(GeneratedPrices(["BTCUSDT"], 7))
    prices = MarketPrices(market)
    for at_ms in range(NOW, NOW + 900_000, 13_337):
        close = market.bars("BTCUSDT", Timeframe.M5, at_ms, limit=1)[CLOSE, -1]
        assert prices.price("BTCUSDT", at_ms) == D(int(close)).scaleb(-2)


def test_way_of_the_market_touches_what_its_candles_touch() -> None:
    market = Market(GeneratedPrices(["ETHUSDT"], 7))
    start_ms = NOW - NOW % 86_400_000 + 86_100_000  # over midnight
    corners = MarketPrices(market).path("ETHUSDT", start_ms, start_ms + 900_000)
    bars = market.bars("ETHUSDT", Timeframe.M5, start_ms + 900_001, start_ms=start_ms, limit=3)
    assert max(c.price for c in corners) == D(int(bars[2].max())).scaleb(-2)
    assert min(c.price for c in corners) == D(int(bars[3].min())).scaleb(-2)
    assert np.all(np.diff([c.at_ms for c in corners]) >= 0)
    assert (corners[0].at_ms, corners[-1].at_ms) == (start_ms, start_ms + 900_000)


def test_price_stands_in_a_hole_and_jumps_at_its_end() -> None:
    market = Market(GeneratedPrices(["BTCUSDT"], 7))
    start_ms = NOW - NOW % 300_000
    market.add_event("BTCUSDT", Halt(start_ms + 300_000, start_ms + 300_000, start_ms + 1_200_000))
    prices = MarketPrices(market)
    stood = prices.price("BTCUSDT", start_ms + 600_000)
    assert stood == prices.price("BTCUSDT", start_ms + 1_199_999)
    corners = prices.path("BTCUSDT", start_ms + 1_000_000, start_ms + 1_300_000)
    at_end = [c.price for c in corners if c.at_ms == start_ms + 1_200_000]
    assert at_end[0] == stood
    assert len(at_end) == 2
