"""The chart's numbers are those of the signals, bar by bar, and nothing is told early."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from actors.dashboard.series import series
from shared.config.sections import IndicatorsSection
from shared.errors import NoCandles
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import TaSignal
from tests.support.candle_series import START_MS, walk, window_at

SETTINGS = IndicatorsSection(history=1000)
CANDLES = walk(11, 1300)
M5 = Timeframe.M5


def window(bars: int, candles: Candles = CANDLES) -> CandleWindow:
    return window_at(candles, M5, START_MS + bars * M5.ms + 60_000)


def lists(shown: dict[str, Any]) -> list[list[Any]]:
    return [
        shown["candles"], *shown["ema"].values(), shown["ribbonState"], *shown["squeeze"].values(),
        *shown["stochRsi"].values(), shown["atr"],
    ]  # fmt: skip


def wick() -> Candles:
    low = CANDLES.low.copy()
    low[1180] = 0.3
    return replace(CANDLES, low=low)


@pytest.mark.parametrize(
    ("bars", "candles"),
    [(1100, CANDLES), (1177, CANDLES), (1250, CANDLES), (1185, wick()), (1201, wick())],
)
def test_newest_closed_bar_says_what_the_signal_says(bars: int, candles: Candles) -> None:
    shown = series(window(bars, candles), SETTINGS)
    coin = CoinWindows("BTCUSDT", {M5: window(bars, candles)})
    signal = ta_signals([coin], SETTINGS, START_MS + bars * M5.ms + 60_000)["BTCUSDT"]
    assert isinstance(signal, TaSignal)
    assert [values[-2] for values in shown["ema"].values()] == signal.ema_ribbon.values
    assert shown["ribbonState"][-2] == signal.ema_ribbon.state_5m
    squeeze, stoch = signal.ttm_squeeze, signal.stoch_rsi_divergence
    assert shown["squeeze"]["on"][-2] == squeeze.squeeze
    assert shown["squeeze"]["momentum"][-2] == squeeze.momentum
    assert shown["squeeze"]["fired"][-2] == squeeze.fired
    assert shown["stochRsi"]["k"][-2] == stoch.stoch_k
    assert shown["stochRsi"]["d"][-2] == stoch.stoch_d
    assert shown["atr"][-2] == signal.inputs["5m"].atr14


def test_500_closed_candles_and_the_open_one_without_a_warm_up_at_the_edge() -> None:
    shown = series(window(1200), SETTINGS)
    assert {len(values) for values in lists(shown)} == {501}
    assert shown["candles"][-1][0] == shown["closedUntilMs"] == START_MS + 1200 * M5.ms
    assert all(values[-1] is None for values in lists(shown)[1:] if values[0] is not False)
    assert all(values[0] is not None for values in shown["ema"].values())
    earlier = series(window(1100), SETTINGS)
    for name, values in shown["ema"].items():
        np.testing.assert_allclose(values[:300], earlier["ema"][name][100:400], rtol=1e-6)


def test_signal_of_every_bar_with_a_divergence_is_among_those_told_no_later_than_its_bar() -> None:
    told = {
        (d["pivotAMs"], d["pivotBMs"]): d for d in series(window(1250), SETTINGS)["divergences"]
    }
    assert len(told) >= 5
    seen = 0
    for bars in range(900, 1250, 7):
        now_ms = START_MS + bars * M5.ms + 60_000
        signal = ta_signals([CoinWindows("BTCUSDT", {M5: window(bars)})], SETTINGS, now_ms)
        found = signal["BTCUSDT"]
        assert isinstance(found, TaSignal)
        divergence = found.stoch_rsi_divergence
        if divergence.divergence == "none":
            continue
        seen += 1
        drawn = told[divergence.pivot_a_ms or 0, divergence.pivot_b_ms or 0]
        assert drawn["kind"] == divergence.divergence
        newest_ms = START_MS + (bars - 1) * M5.ms
        assert drawn["pivotBMs"] + SETTINGS.divergence.right * M5.ms <= drawn["knownAtMs"]
        assert drawn["knownAtMs"] <= newest_ms
    assert seen >= 3


def test_short_history_and_gaps_leave_nulls_never_shifted_bars() -> None:
    young = series(window(30), SETTINGS)
    assert {len(values) for values in lists(young)} == {31}
    assert young["ema"]["89"] == [None] * 31
    keep = np.ones(1300, dtype=bool)
    keep[1090:1100] = False
    holed = window_at(CANDLES[keep], M5, START_MS + 1200 * M5.ms + 60_000)
    shown = series(holed, SETTINGS)
    assert {len(values) for values in lists(shown)} == {501}
    times = [row[0] for row in shown["candles"]]
    first = times.index(START_MS + 1100 * M5.ms)
    ema = shown["ema"]["8"]
    assert ema[:first] == [None] * first
    alone = series(replace(holed, candles=CANDLES[1100:1201]), SETTINGS)
    assert ema[first:] == alone["ema"]["8"]


def test_window_without_a_closed_candle_cannot_be_drawn() -> None:
    nothing = replace(window(1200), candles=CANDLES[1200:1201])
    with pytest.raises(NoCandles, match="BTCUSDT 5m"):
        series(nothing, SETTINGS)


def gaps(shown: dict[str, Any]) -> list[tuple[int, int | None, bool]]:
    return [(gap["fromMs"], gap["untilMs"], gap["confirmed"]) for gap in shown["gaps"]]


def test_holes_are_told_with_what_they_are_and_only_where_they_are_shown() -> None:
    keep = np.ones(1300, dtype=bool)
    keep[400:410] = keep[1000:1030] = keep[1090:1095] = False
    halt = START_MS + 1000 * M5.ms, START_MS + 1030 * M5.ms
    missing = START_MS + 1090 * M5.ms, START_MS + 1095 * M5.ms
    holed = window_at(CANDLES[keep], M5, START_MS + 1200 * M5.ms + 60_000)
    assert gaps(series(window(1200), SETTINGS)) == []
    assert gaps(series(replace(holed, absent=(halt,)), SETTINGS)) == [
        (*halt, True), (*missing, False)
    ]  # fmt: skip
