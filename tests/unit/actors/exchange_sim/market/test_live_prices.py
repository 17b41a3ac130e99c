"""Paper mode's prices: what is told, what was missed, and what stands still."""

from __future__ import annotations

from decimal import Decimal as D

from actors.exchange_sim.market.live_prices import LivePrices
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleRow, CandleUpdate, CandleWindow, Source
from tests.support.manual_clock import ManualClock

START = 1_735_689_600_000
BAR = Timeframe.M5.ms


def prices(now_ms: int, since_ms: int = START) -> LivePrices:
    return LivePrices(["BTCUSDT"], since_ms=since_ms, source="binance", clock=ManualClock(now_ms))


def window(bars: list[tuple[float, float, float, float]], fetched_ms: int,
           source: Source = "binance") -> CandleWindow:  # fmt: skip
    times = [START + i * BAR for i in range(len(bars))]
    columns = [list(column) for column in zip(*bars, strict=True)]
    candles = Candles.of(times, columns[0], columns[1], columns[2], columns[3], [1.0] * len(bars))
    return CandleWindow(
        symbol="BTCUSDT",
        timeframe=Timeframe.M5,
        candles=candles,
        closed_until_ms=START + (len(bars) - 1) * BAR,
        fetched_at_ms=fetched_ms,
        source=source,
    )


def update(bar: tuple[float, float, float, float], at_ms: int, number: int = 2) -> CandleUpdate:
    row = CandleRow(open_time_ms=START + number * BAR, open=bar[0], high=bar[1], low=bar[2],
                    close=bar[3], volume=1, closed=False)  # fmt: skip
    return CandleUpdate(symbol="BTCUSDT", timeframe=Timeframe.M5, candles=[row], at_ms=at_ms,
                        closed_until_ms=START + number * BAR, source="binance")  # fmt: skip


BARS = [(100.0, 104.0, 98.0, 103.0), (103.0, 105.0, 90.0, 95.0), (95.0, 96.0, 94.5, 95.5)]
AT = START + 2 * BAR + 60_000


def test_nothing_is_known_before_a_candle_is() -> None:
    unknown = prices(AT)
    assert unknown.price("BTCUSDT", AT) is None
    assert unknown.path("BTCUSDT", START, AT) == []
    assert unknown.moved_ms("BTCUSDT", AT) is None
    assert unknown.day("BTCUSDT", AT) is None


def test_window_gives_the_way_that_was_missed_and_the_price_now() -> None:
    feed = prices(AT)
    feed.apply_window(window(BARS, AT))
    assert feed.price("BTCUSDT", AT) == D("95.5")
    seen = [c.price for c in feed.path("BTCUSDT", START, AT)]
    assert seen[:4] == [D("100.0"), D("98.0"), D("104.0"), D("103.0")]
    assert min(seen) == 90
    assert feed.moved_ms("BTCUSDT", AT) == AT


def test_candles_before_the_time_asked_for_are_not_gone_through() -> None:
    feed = prices(AT, since_ms=START + BAR + 1)
    feed.apply_window(window(BARS, AT))
    assert [c.price for c in feed.path("BTCUSDT", START, AT)] == [D("95.5")]


def test_window_read_again_is_not_gone_through_twice() -> None:
    feed = prices(AT)
    feed.apply_window(window(BARS, AT))
    before = feed.path("BTCUSDT", START, AT)
    feed.apply_window(window(BARS, AT))
    assert [c.price for c in feed.path("BTCUSDT", START, AT)] == [c.price for c in before]


def test_price_stands_between_two_updates_and_jumps_to_the_next() -> None:
    feed = prices(AT + 5000)
    feed.apply_window(window(BARS, AT))
    feed.apply_update(update((95.0, 96.0, 94.5, 95.8), AT + 2000))
    assert feed.price("BTCUSDT", AT + 1999) == D("95.5")
    assert feed.price("BTCUSDT", AT + 2000) == D("95.8")


def test_extremes_an_open_candle_has_reached_since_are_on_the_way() -> None:
    feed = prices(AT + 5000)
    feed.apply_window(window(BARS, AT))
    feed.apply_update(update((95.0, 97.0, 92.0, 95.5), AT + 2000))
    way = [c.price for c in feed.path("BTCUSDT", AT, AT + 2000)]
    assert D("92.0") in way
    assert D("97.0") in way
    feed.apply_update(update((95.0, 97.0, 92.0, 95.6), AT + 3000))
    assert min(c.price for c in feed.path("BTCUSDT", AT + 2000, AT + 3000)) == D("95.5")


def test_candles_of_another_source_are_left_alone() -> None:
    feed = prices(AT)
    feed.apply_window(window(BARS, AT, "sim"))
    assert feed.price("BTCUSDT", AT) is None


def test_time_that_is_ahead_of_our_clock_is_not_believed() -> None:
    feed = prices(AT)
    feed.apply_window(window(BARS, AT))
    feed.apply_update(update((95.0, 96.0, 94.5, 95.9), AT + 60_000))
    assert feed.price("BTCUSDT", AT) == D("95.9")


def test_what_is_forgotten_leaves_the_price_as_it_was() -> None:
    feed = prices(AT)
    feed.apply_window(window(BARS, AT))
    now = feed.price("BTCUSDT", AT)
    feed.forget(AT)
    assert feed.price("BTCUSDT", AT) == now
    assert feed.price("BTCUSDT", START) is None


def test_day_is_that_of_the_closed_candles() -> None:
    feed = prices(AT)
    feed.apply_window(window(BARS, AT))
    day = feed.day("BTCUSDT", AT)
    assert day is not None
    assert (day.open, day.high, day.low, day.volume) == (D(100), D(105), D(90), D(2))


def test_candle_that_closed_while_nobody_listened_shows_where_it_had_been() -> None:
    feed = prices(AT + 2 * BAR)
    feed.apply_window(window(BARS, AT))
    longer = [*BARS[:2], (95.0, 99.0, 80.0, 96.0), (96.0, 96.5, 95.5, 96.2)]
    feed.apply_window(window(longer, AT + BAR))
    way = [c.price for c in feed.path("BTCUSDT", AT, AT + BAR)]
    assert min(way) == 80
    assert max(way) == 99
    assert way[-1] == D("96.2")
