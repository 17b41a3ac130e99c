"""The spot halt of 24 March 2023: 14 bars without volume, then 16 that never were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.config.sections import IndicatorsSection
from shared.indicators.frames import HALT_BARS
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import TaSignal
from tests.support.candle_series import recorded, window_at

M5 = Timeframe.M5
COINS = ("BTCUSDT", "ETHUSDT", "ADAUSDT")


@pytest.fixture(scope="module", params=COINS)
def candles(request: pytest.FixtureRequest, data_dir: Path) -> Candles:
    return recorded(data_dir, request.param, M5, "outage-2023")


def signal_of(window: CandleWindow) -> TaSignal:
    now_ms = window.closed_until_ms + 20_000
    coin = CoinWindows(window.symbol, {M5: window})
    found = ta_signals([coin], IndicatorsSection(), now_ms)[window.symbol]
    assert isinstance(found, TaSignal), found
    return found


def test_nothing_fires_in_the_halt_and_nothing_is_scored_after_it(candles: Candles) -> None:
    (hole,) = candles.gaps(M5)
    resumed = int(np.searchsorted(candles.open_time_ms, hole[1]))
    assert (candles.volume[resumed - 14 : resumed] == 0).all()
    for bar in range(resumed - 14, resumed):
        signal = signal_of(window_at(candles, M5, int(candles.open_time_ms[bar]) + M5.ms))
        assert not signal.ttm_squeeze.fired
        assert signal.inputs["5m"].gap_bars == 0 and not signal.inputs["5m"].stale

    for since in range(1, HALT_BARS + 2):
        now_ms = int(candles.open_time_ms[resumed + since - 1]) + M5.ms
        signal = signal_of(window_at(candles, M5, now_ms, absent=(hole,)))
        state, bonus = signal.inputs["5m"], signal.composite_score_adjustment
        assert state.gap_bars == 16 and not state.unfilled_gap
        assert signal.ema_ribbon.state_5m is not None
        silent = f"5m candles only {since} of {HALT_BARS} bars past a halt: nothing scored"
        if since <= HALT_BARS:
            assert bonus.long_bonus == bonus.short_bonus == 0
            assert silent in bonus.reasoning
        else:
            assert not any(reason.startswith("5m") for reason in bonus.reasoning)


def test_while_nobody_knows_whether_the_bars_exist_there_is_no_number(candles: Candles) -> None:
    (hole,) = candles.gaps(M5)
    signal = signal_of(window_at(candles, M5, hole[1] + 60 * M5.ms))
    assert signal.inputs["5m"].unfilled_gap
    assert signal.ema_ribbon.values == [None] * 6
    assert signal.ttm_squeeze.squeeze is None and signal.stoch_rsi_divergence.stoch_k is None


def test_in_the_halt_itself_the_candles_go_stale(candles: Candles) -> None:
    (hole,) = candles.gaps(M5)
    window = window_at(candles, M5, hole[0])
    later = CoinWindows(window.symbol, {M5: window})
    found = ta_signals([later], IndicatorsSection(), hole[0] + 3_600_000)[window.symbol]
    assert isinstance(found, TaSignal)
    assert found.inputs["5m"].stale
    assert "5m candles stale 55 min: nothing scored" in found.composite_score_adjustment.reasoning
