"""What stays in a simulated coin's history: redenominations, wicks, corrections."""

from __future__ import annotations

from decimal import Decimal as D

import numpy as np
import pytest

from actors.exchange_sim.market.bars import (
    BAR_MS,
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    QUOTE,
    TAKER_BASE,
    TIME,
    VOLUME,
    Bars,
    Scale,
    aggregate,
)
from actors.exchange_sim.market.events import Correction, Event, Halt, Redenomination, Wick
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.price_paths import MarketPrices
from shared.exchanges.sim.save_file import fresh_state
from shared.exchanges.sim.venue import SimVenue
from shared.market import Floats, Timeframe

COINS = ("ADAUSDT", "BTCUSDT")
COIN = "ADAUSDT"
M5, H4 = Timeframe.M5, Timeframe.H4
NOON = 20_700 * 86_400_000 + 43_200_000
NOW = NOON + 137_000
PRICES = [OPEN, HIGH, LOW, CLOSE]


def market_with(*events: Event) -> Market:
    market = Market(GeneratedPrices(COINS, 7))
    for event in events:
        market.add_event(COIN, event)
    return market


def prices(market: Market, bars: Bars) -> Floats:
    found: Floats = bars[PRICES] / 10 ** market.scale(COIN, NOW).price_digits
    return found


def volumes(market: Market, bars: Bars) -> Floats:
    found: Floats = bars[[VOLUME, TAKER_BASE]] / 10 ** market.scale(COIN, NOW).volume_digits
    return found


@pytest.mark.parametrize("factor", [0.01, 0.001, 10.0, 1000.0])
@pytest.mark.parametrize("timeframe", Timeframe)
def test_redenomination_changes_the_scale_of_prices_and_volumes_from_then_on(
    factor: float, timeframe: Timeframe
) -> None:
    at_ms = H4.open_at(NOON) - H4.ms
    untouched, changed = market_with(), market_with(Redenomination(at_ms, factor))
    old = untouched.bars(COIN, timeframe, NOW, limit=200)
    new = changed.bars(COIN, timeframe, NOW, limit=200)
    assert np.array_equal(old[[TIME, QUOTE]], new[[TIME, QUOTE]])
    by = np.where(old[TIME] < at_ms, 1.0, factor)
    closed = slice(0, -1)  # inside the open bar the path is another
    assert prices(changed, new)[:, closed] == pytest.approx(
        (prices(untouched, old) * by)[:, closed], rel=1e-9
    )
    assert volumes(changed, new)[:, closed] == pytest.approx(
        (volumes(untouched, old) / by)[:, closed], rel=1e-9
    )


def test_redenomination_has_room_for_its_digits_and_no_more_than_eight() -> None:
    assert market_with().scale(COIN, NOW) == Scale(4, 1)
    assert market_with(Redenomination(NOON, 0.01)).scale(COIN, NOW) == Scale(6, 1)
    assert market_with(Redenomination(NOON, 100.0)).scale(COIN, NOW) == Scale(4, 3)
    assert market_with(Redenomination(NOON, 1e-6)).scale(COIN, NOW) == Scale(8, 1)
    back = (Redenomination(NOON - BAR_MS, 0.01), Redenomination(NOON, 100.0))
    assert market_with(*back).scale(COIN, NOW) == Scale(6, 1)


def test_price_never_becomes_zero() -> None:
    bars = market_with(Redenomination(NOON - 10 * BAR_MS, 1e-9)).bars(COIN, M5, NOW)
    assert bars[PRICES].min() == 1


def test_path_of_prices_is_that_of_the_candles_across_a_redenomination() -> None:
    at_ms = NOON - 2 * BAR_MS
    halt = Halt(at_ms - 3 * BAR_MS, at_ms - 2 * BAR_MS, at_ms)
    market = market_with(halt, Redenomination(at_ms, 0.01))
    corners = market.path(COIN, NOON - 10 * BAR_MS, NOW)
    jump = [price for time_ms, price in corners if time_ms == at_ms]
    assert jump[0] == pytest.approx(100 * jump[-1], rel=0.1)
    for bar in market.bars(COIN, M5, NOW, start_ms=at_ms)[:, :-1].T:
        inside = [p for t, p in corners if bar[TIME] < t < bar[TIME] + BAR_MS]
        assert bar[LOW] <= min(inside) <= max(inside) <= bar[HIGH]
    open_bar = market.bars(COIN, M5, NOW, limit=1)[:, 0]
    assert MarketPrices(market).price(COIN, NOW) == D(int(open_bar[CLOSE])).scaleb(-6)


@pytest.mark.parametrize(("factor", "extreme"), [(0.001, LOW), (4.0, HIGH)])
def test_wick_is_in_one_bar_of_each_timeframe_and_nowhere_else(factor: float, extreme: int) -> None:
    open_ms = NOON - 20 * BAR_MS
    untouched, wicked = market_with(), market_with(Wick(open_ms, factor))
    for timeframe in Timeframe:
        old = untouched.bars(COIN, timeframe, NOW, limit=100)
        new = wicked.bars(COIN, timeframe, NOW, limit=100)
        at = old[TIME] == timeframe.open_at(open_ms)
        assert np.array_equal(old[:, ~at], new[:, ~at])
        (touched,) = new[extreme, at]
        fives = untouched.bars(COIN, M5, NOW, start_ms=open_ms, limit=1)
        assert touched == round(fives[CLOSE, 0] * factor)
        assert new[VOLUME, at] == old[VOLUME, at] + 19 * fives[VOLUME, 0]
        assert new[[OPEN, CLOSE]][:, at] == pytest.approx(old[[OPEN, CLOSE]][:, at])


def test_price_touches_the_wick_for_seconds_only_while_the_bar_is_open() -> None:
    open_ms = M5.open_at(NOW)
    market = market_with(Wick(open_ms, 0.001))

    def bar(elapsed_ms: int) -> Bars:
        return market.bars(COIN, M5, open_ms + elapsed_ms, limit=1)[:, 0]

    usual = bar(1_000)[CLOSE]
    low = usual // 10
    assert bar(140_000)[LOW] > low
    assert bar(150_000)[CLOSE] == bar(150_000)[LOW] < low
    assert bar(160_000)[CLOSE] > low > bar(160_000)[LOW]
    closed = market.bars(COIN, M5, open_ms + BAR_MS, limit=2)[:, 0]
    assert closed[LOW] == bar(299_999)[LOW]
    lowest = min(price for _, price in market.path(COIN, open_ms, open_ms + BAR_MS))
    assert lowest == closed[LOW]


def test_correction_changes_one_bar_from_the_moment_it_is_known() -> None:
    open_ms = NOON - 30 * BAR_MS
    untouched, corrected = market_with(), market_with(Correction(open_ms, NOW))
    for timeframe in Timeframe:
        old = untouched.bars(COIN, timeframe, NOW, limit=100)
        before = corrected.bars(COIN, timeframe, NOW - 1, limit=100)
        assert np.array_equal(before, untouched.bars(COIN, timeframe, NOW - 1, limit=100))
        new = corrected.bars(COIN, timeframe, NOW, limit=100)
        at = old[TIME] == timeframe.open_at(open_ms)
        assert np.array_equal(old[:, ~at], new[:, ~at])
        assert new[VOLUME, at] > old[VOLUME, at]
        assert (new[HIGH, at] > old[HIGH, at]) or timeframe is not M5
    hours = corrected.bars(COIN, Timeframe.H1, NOW, limit=4)
    parts = corrected.bars(COIN, M5, NOW, start_ms=int(hours[TIME, 0]))
    assert np.array_equal(aggregate(parts, Timeframe.H1), hours)


def test_history_with_events_is_the_same_whenever_it_is_generated() -> None:
    events = (
        Halt(NOON - 9 * BAR_MS, NOON - 8 * BAR_MS, NOON - 6 * BAR_MS),
        Redenomination(NOON - 6 * BAR_MS, 0.01),
        Wick(NOON - 3 * BAR_MS, 0.001),
    )
    lived, later = market_with(), NOW + 36 * 3_600_000
    lived.bars(COIN, M5, NOW)
    for event in events:
        lived.add_event(COIN, event)
    for timeframe in Timeframe:
        seen = lived.bars(COIN, timeframe, NOW, limit=300)[:, :-1]
        since_ms = int(seen[TIME, 0])
        again = market_with(*events).bars(COIN, timeframe, later, start_ms=since_ms, limit=299)
        assert np.array_equal(seen, again)
        lived.bars(COIN, timeframe, later)
    lived.clear_events()
    untouched = market_with().bars(COIN, M5, later)
    assert np.array_equal(lived.bars(COIN, M5, later), untouched)


@pytest.mark.parametrize("factor", [0.01, 100.0])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_redenomination_leaves_positions_in_other_coins_alone(factor: float, side: str) -> None:
    at_ms = NOON + 4 * BAR_MS
    venues = [
        SimVenue(MarketPrices(market_with(*events)), fresh_state(NOON))
        for events in ((), (Halt(NOON + 60_000, at_ms, at_ms), Redenomination(at_ms, factor)))
    ]
    for venue in venues:
        venue.place("BTCUSDT", "buy", "market", D("0.01"), None)
        venue.place(COIN, side, "market", D(1000), None)  # type: ignore[arg-type]
        for passed_ms in range(0, 10 * BAR_MS, 20_000):
            venue.advance(NOON + passed_ms)
            venue.book(COIN)
    plain, other = (venue.account.positions["BTCUSDT"] for venue in venues)
    assert (plain.size, plain.cost, plain.margin) == (other.size, other.cost, other.margin)
    wins = (factor > 1) == (side == "buy")
    assert (COIN in venues[1].account.positions) == wins  # or it was liquidated
    assert venues[1].account.wallet > 9_000
    venues[1].place(COIN, "buy", "market", venues[1].rule(COIN).least, None)
