"""What a card shows of prices: from a window once, then from small updates alone."""

from __future__ import annotations

import numpy as np
import pytest

from actors.dashboard.prices import CoinPrices, price_step
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleRow, CandleUpdate, CandleWindow
from tests.support.candle_series import walk, window_at

SERIES = walk(3, 700)
M5 = Timeframe.M5.ms
START = int(SERIES.open_time_ms[0])


def window(bars: int) -> CandleWindow:
    """Return the window one minute into bar number `bars`."""
    return window_at(SERIES, Timeframe.M5, START + bars * M5 + 60_000)


def update(*rows: int, closed: bool = True, appends: bool = True, bars: int) -> CandleUpdate:
    found = [
        CandleRow(
            open_time_ms=int(SERIES.open_time_ms[i]), open=float(SERIES.open[i]),
            high=float(SERIES.high[i]), low=float(SERIES.low[i]), close=float(SERIES.close[i]),
            volume=1.0, closed=closed,
        )
        for i in rows
    ]  # fmt: skip
    at_ms = START + bars * M5 + 61_000
    return CandleUpdate(
        symbol="BTCUSDT", timeframe=Timeframe.M5, candles=found, closed_until_ms=START + bars * M5,
        at_ms=at_ms, source="sim", appends=appends,
    )  # fmt: skip


def shown(prices: CoinPrices) -> tuple[object, ...]:
    return (prices.price, prices.spark, prices.change_24h_pct, prices.closed_until_ms)


def test_updates_lead_where_the_next_window_leads() -> None:
    followed, anew = CoinPrices(), CoinPrices()
    followed.apply_window(window(600))
    for bar in range(600, 640):
        assert followed.apply_update(update(bar, bars=bar + 1))
        assert followed.apply_update(update(bar + 1, closed=False, appends=False, bars=bar + 1))
    anew.apply_window(window(640))
    assert shown(followed) == shown(anew)
    assert followed.price == SERIES.close[640]


def test_a_close_counts_once_its_candle_is_told() -> None:
    prices = CoinPrices()
    prices.apply_window(window(600))
    assert prices.apply_update(update(601, closed=False, appends=False, bars=601))
    assert prices.closed_until_ms == START + 600 * M5
    assert prices.apply_update(update(600, bars=601))
    assert prices.closed_until_ms == START + 601 * M5


def test_change_is_from_the_close_288_bars_before_and_spark_is_half_hourly() -> None:
    prices = CoinPrices()
    prices.apply_window(window(600))
    expected = 100 * (SERIES.close[600] / SERIES.close[599 - 288] - 1)
    assert prices.change_24h_pct == pytest.approx(expected, abs=0.005)
    assert len(prices.spark) == 48
    ends = [i for i in range(599 - 287, 600) if (START + (i + 1) * M5) % 1_800_000 == 0]
    assert prices.spark == [SERIES.close[i] for i in ends]


def test_young_coin_has_5m_closes_and_no_change() -> None:
    prices = CoinPrices()
    prices.apply_window(window(20))
    assert prices.spark == SERIES.close[:20].tolist()
    assert prices.change_24h_pct is None


@pytest.mark.parametrize(
    "misfit",
    [
        update(602, bars=603),  # one is missing
        update(600, appends=False, bars=601),  # something else changed too
        update(600, 602, bars=603),
    ],
)
def test_update_that_does_not_follow_asks_for_the_window_and_changes_nothing(
    misfit: CandleUpdate,
) -> None:
    prices = CoinPrices()
    assert not prices.apply_update(misfit)
    prices.apply_window(window(600))
    before = shown(prices)
    assert not prices.apply_update(misfit)
    assert shown(prices) == before


def test_what_was_overtaken_changes_nothing_but_a_clock_set_back_stops_nothing() -> None:
    prices = CoinPrices()
    prices.apply_window(window(600))
    late = window_at(SERIES, Timeframe.M5, START + 600 * M5 + 30_000)
    prices.apply_window(late)
    assert prices.fetched_at_ms == window(600).fetched_at_ms
    prices.apply_window(window(590))
    assert prices.fetched_at_ms == window(590).fetched_at_ms


@pytest.mark.parametrize(
    ("prices", "step"),
    [([67_200.01, 67_199.5], 0.01), ([0.00001234], 1e-8), ([2.277, 2.2771], 1e-4), ([650.0], 1)],
)
def test_step_is_the_last_decimal_in_use(prices: list[float], step: float) -> None:
    price = np.array(prices)
    times = START + M5 * np.arange(len(prices), dtype=np.int64)
    candles = Candles.of(times, price, price, price, price, price)
    held = CandleWindow(
        symbol="X", timeframe=Timeframe.M5, candles=candles, closed_until_ms=0,
        fetched_at_ms=0, source="sim",
    )  # fmt: skip
    assert price_step(held) == pytest.approx(step, rel=1e-12)
