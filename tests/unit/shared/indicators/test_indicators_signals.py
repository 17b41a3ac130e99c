"""From windows to signals: what is scored, what is not and why, and that nothing else matters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from shared import codec
from shared.config.sections import IndicatorsSection
from shared.errors import NoCandles
from shared.indicators.composite import Evidence, composite
from shared.indicators.divergence import divergences
from shared.indicators.frames import HALT_BARS, STALE_GRACE_MS, WARM_BARS
from shared.indicators.rolling import atr
from shared.indicators.signals import CoinWindows, ta_signals
from shared.indicators.stoch_rsi import stoch_rsi
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import (
    CompositeScoreAdjustment,
    Divergence,
    InputState,
    RibbonState,
    Side,
    StochRsiDivergence,
    TaSignal,
    TtmSqueeze,
)
from tests.support.candle_series import START_MS, walk, window_at

SETTINGS = IndicatorsSection()
NOW_MS = START_MS + 700 * Timeframe.H4.ms + 12_000
M5, H1 = Timeframe.M5, Timeframe.H1


def series(seed: int, timeframe: Timeframe, bars: int = 700, now_ms: int = NOW_MS) -> Candles:
    """Return candles up to the open one at `now_ms`."""
    start_ms = timeframe.open_at(now_ms) - (bars - 1) * timeframe.ms
    return walk(seed, bars, timeframe=timeframe, start_ms=start_ms)


def coin(seed: int = 1, symbol: str = "BTCUSDT", now_ms: int = NOW_MS) -> CoinWindows:
    windows: dict[Timeframe, CandleWindow | None] = {
        t: window_at(series(seed + i, t), t, now_ms, symbol=symbol) for i, t in enumerate(Timeframe)
    }
    return CoinWindows(symbol, windows)


def signal_of(
    windows: Mapping[Timeframe, CandleWindow | None],
    *,
    now_ms: int = NOW_MS,
    settings: IndicatorsSection = SETTINGS,
) -> TaSignal:
    found = ta_signals([CoinWindows("BTCUSDT", windows)], settings, now_ms)["BTCUSDT"]
    assert isinstance(found, TaSignal), found
    return found


def with_candles(window: CandleWindow, candles: Candles) -> CandleWindow:
    return dataclasses.replace(window, candles=candles)


def without(candles: Candles, start: int, count: int) -> tuple[Candles, tuple[int, int]]:
    """Return the candles with `count` of them missing, and the range that is missing."""
    keep = np.ones(len(candles), dtype=np.bool_)
    keep[start : start + count] = False
    hole = (int(candles.open_time_ms[start]), int(candles.open_time_ms[start + count]))
    return candles[keep], hole


def reasons(signal: TaSignal) -> list[str]:
    return signal.composite_score_adjustment.reasoning


# --- the shape and the bits ---------------------------------------------------------------


def test_signal_has_every_field_of_the_published_shape_and_survives_the_wire() -> None:
    signal = signal_of(coin().windows)
    raw = codec.encode(signal)
    assert codec.decode(TaSignal, raw, "test") == signal
    assert b"NaN" not in raw
    assert len(signal.ema_ribbon.values) == len(signal.ema_ribbon.values_1h) == 6
    assert signal.timestamp == "2024-03-10T14:00:00Z"
    assert signal.closed_until_ms == M5.open_at(NOW_MS)
    assert set(signal.inputs) == {"5m", "1h", "4h"}
    assert all(state.warm and state.bars == 500 for state in signal.inputs.values())
    assert signal.ttm_squeeze.timeframe == "5m"


def test_each_coin_has_the_same_bits_alone_as_in_the_batch() -> None:
    coins = [coin(seed * 10, f"COIN{seed}USDT") for seed in range(12)]
    together = ta_signals(coins, SETTINGS, NOW_MS)
    backwards = ta_signals(coins[::-1], SETTINGS, NOW_MS)
    assert list(together) == [c.symbol for c in coins]
    for one in coins:
        alone = codec.encode(ta_signals([one], SETTINGS, NOW_MS)[one.symbol])
        assert alone == codec.encode(together[one.symbol])
        assert alone == codec.encode(backwards[one.symbol])


def test_a_longer_history_changes_no_bit() -> None:
    def at(keep: int) -> bytes:
        windows = {
            t: window_at(series(i, t, bars=1001), t, NOW_MS, keep=keep)
            for i, t in enumerate(Timeframe)
        }
        return codec.encode(signal_of(windows))

    assert at(500) == at(501) == at(1000)
    assert at(499) != at(500)


def test_the_open_candle_changes_no_bit() -> None:
    windows = dict(coin().windows)
    before = signal_of(windows)
    window = windows[M5]
    assert window is not None
    candles = window.candles
    leap = candles.close.copy()
    leap[-1] *= 3
    high = np.maximum(candles.high, leap)
    changed = dataclasses.replace(candles, close=leap, high=high)
    windows[M5] = with_candles(window, changed)
    assert signal_of(windows) == before


def test_signals_of_the_past_do_not_change_when_later_candles_come() -> None:
    later_ms = NOW_MS + 5 * M5.ms
    candles = series(4, M5, bars=705, now_ms=later_ms)
    past = candles[candles.open_time_ms <= NOW_MS]
    grown = dataclasses.replace(
        window_at(candles, M5, later_ms),
        closed_until_ms=M5.open_at(NOW_MS), fetched_at_ms=NOW_MS,
    )  # fmt: skip
    assert signal_of({M5: grown}) == signal_of({M5: window_at(past, M5, NOW_MS)})


def test_only_the_time_of_computing_depends_on_the_clock_while_inputs_are_fresh() -> None:
    windows = coin().windows
    first = signal_of(windows)
    later = signal_of(windows, now_ms=NOW_MS + 20_000)
    assert later.computed_at_ms == first.computed_at_ms + 20_000
    assert dataclasses.replace(later, computed_at_ms=first.computed_at_ms) == first


# --- one coin's fault stays with that coin --------------------------------------------------


def test_a_coin_without_5m_candles_has_no_signal_and_the_others_do() -> None:
    only_open = window_at(series(1, M5, bars=1), M5, NOW_MS, symbol="OPENUSDT")
    found = ta_signals(
        [coin(1, "AAAAUSDT"), CoinWindows("NONEUSDT", {M5: None}),
         CoinWindows("OPENUSDT", {M5: only_open}), coin(9, "ZZZZUSDT")],
        SETTINGS,
        NOW_MS,
    )  # fmt: skip
    assert list(found) == ["AAAAUSDT", "NONEUSDT", "OPENUSDT", "ZZZZUSDT"]
    assert isinstance(found["AAAAUSDT"], TaSignal) and isinstance(found["ZZZZUSDT"], TaSignal)
    assert isinstance(found["NONEUSDT"], NoCandles) and isinstance(found["OPENUSDT"], NoCandles)
    assert str(found["NONEUSDT"]) == "NONEUSDT 5m: not one closed candle to compute from"


def test_a_window_of_another_coin_is_refused_by_name() -> None:
    window = coin(1, "ETHUSDT").windows[H1]
    found = ta_signals(
        [CoinWindows("BTCUSDT", {**coin(2).windows, H1: window}), coin(1, "ETHUSDT")],
        SETTINGS,
        NOW_MS,
    )
    assert str(found["BTCUSDT"]) == "BTCUSDT 1h: the window given is that of ETHUSDT 1h"
    assert isinstance(found["ETHUSDT"], TaSignal)


def test_an_unforeseen_error_stays_with_its_coin() -> None:
    good = coin(1, "ETHUSDT")
    window = coin(2).windows[M5]
    assert window is not None
    torn = dataclasses.replace(window.candles, high=window.candles.high[:-5])
    windows = {**coin(2).windows, M5: with_candles(window, torn)}
    found = ta_signals([good, CoinWindows("BTCUSDT", windows)], SETTINGS, NOW_MS)
    assert isinstance(found["BTCUSDT"], Exception)
    assert found["ETHUSDT"] == ta_signals([good], SETTINGS, NOW_MS)["ETHUSDT"]


def test_an_error_inside_the_batch_stays_with_its_coin() -> None:
    good = coin(1, "ETHUSDT")
    window = coin(2).windows[M5]
    assert window is not None
    twice = np.stack([window.candles.volume] * 2, axis=1)
    broken = with_candles(window, dataclasses.replace(window.candles, volume=twice))
    found = ta_signals(
        [CoinWindows("BTCUSDT", {**coin(2).windows, M5: broken}), good], SETTINGS, NOW_MS
    )
    assert isinstance(found["BTCUSDT"], ValueError)
    assert found["ETHUSDT"] == ta_signals([good], SETTINGS, NOW_MS)["ETHUSDT"]


# --- what is not scored, and why --------------------------------------------------------------


def test_a_missing_timeframe_is_named_and_null() -> None:
    signal = signal_of({M5: coin().windows[M5]})
    assert signal.ema_ribbon.state_1h is None and signal.ema_ribbon.spread_1h is None
    assert signal.ema_ribbon.values_1h == [None] * 6
    assert signal.ema_ribbon.state_5m is not None
    assert reasons(signal)[0] == "1h candles missing: ribbon not scored"
    assert signal.inputs["1h"] == InputState(
        bars=0, warm=False, stale=True, closed_until_ms=None, fetched_at_ms=None, gap_bars=0,
        unfilled_gap=False, atr14=None,
    )  # fmt: skip


def test_a_short_history_is_published_cold_and_not_scored() -> None:
    windows = {
        M5: window_at(series(1, M5, bars=WARM_BARS), M5, NOW_MS),  # the last one is open
        H1: window_at(series(2, H1, bars=120), H1, NOW_MS),
    }
    signal = signal_of(windows)
    assert not signal.inputs["5m"].warm and signal.inputs["5m"].bars == WARM_BARS - 1
    assert signal.ema_ribbon.state_5m is not None
    assert reasons(signal) == [
        "5m candles not warm (299 of 300 bars): nothing scored",
        "1h candles not warm (119 of 300 bars): ribbon not scored",
    ]
    warm = signal_of({M5: window_at(series(1, M5, bars=WARM_BARS + 1), M5, NOW_MS)})
    assert warm.inputs["5m"].warm


def test_two_bars_are_a_signal_that_knows_nothing() -> None:
    signal = signal_of({M5: window_at(series(1, M5, bars=3), M5, NOW_MS)})
    assert signal.ema_ribbon.values == [None] * 6
    assert signal.ema_ribbon.state_5m is None
    assert signal.ttm_squeeze.squeeze is None and signal.ttm_squeeze.momentum is None
    assert signal.ttm_squeeze.direction is None and not signal.ttm_squeeze.fired
    assert signal.stoch_rsi_divergence.divergence == "none"
    assert signal.stoch_rsi_divergence.stoch_k is None
    codec.decode(TaSignal, codec.encode(signal), "test")


@pytest.mark.parametrize("timeframe", [M5, H1])
def test_stale_begins_after_the_grace(timeframe: Timeframe) -> None:
    windows = coin().windows
    due_ms = timeframe.open_at(NOW_MS) + timeframe.ms
    fresh = signal_of(windows, now_ms=due_ms + STALE_GRACE_MS)
    assert not fresh.inputs[timeframe].stale
    stale = signal_of(windows, now_ms=due_ms + STALE_GRACE_MS + 1)
    assert stale.inputs[timeframe].stale


def test_stale_candles_are_shown_and_not_scored() -> None:
    candles = series(2, H1)
    missed = candles[candles.open_time_ms < H1.open_at(NOW_MS) - H1.ms]
    now_ms = H1.open_at(NOW_MS) + 14 * 60_000 + 30_000
    m5 = window_at(series(1, M5, now_ms=now_ms), M5, now_ms)
    signal = signal_of({M5: m5, H1: window_at(missed, H1, now_ms)}, now_ms=now_ms)
    assert reasons(signal)[0] == "1h candles stale 14 min: ribbon not scored"
    assert signal.ema_ribbon.state_1h is not None
    assert signal.inputs["1h"].stale and not signal.inputs["5m"].stale


def test_a_gap_that_can_be_filled_silences_its_timeframe() -> None:
    whole = coin().windows
    window = whole[M5]
    assert window is not None
    candles, _ = without(window.candles, 400, 2)
    signal = signal_of({**whole, M5: with_candles(window, candles)})
    assert signal.inputs["5m"].unfilled_gap and signal.inputs["5m"].gap_bars == 2
    assert signal.inputs["5m"].atr14 is None
    assert signal.ema_ribbon.values == [None] * 6 and signal.ttm_squeeze.squeeze is None
    assert signal.stoch_rsi_divergence.rsi is None
    assert signal.ema_ribbon.state_1h == signal_of(whole).ema_ribbon.state_1h
    assert reasons(signal) == ["5m candles have an unfilled gap: nothing scored"]
    assert signal.close == signal_of(whole).close


def test_a_gap_before_the_bars_that_count_does_not_matter() -> None:
    candles, _ = without(series(3, M5, bars=900), 100, 3)
    signal = signal_of({M5: window_at(candles, M5, NOW_MS)})
    assert not signal.inputs["5m"].unfilled_gap
    assert signal.ema_ribbon.state_5m is not None


def test_an_old_gap_does_not_matter_beside_a_confirmed_one() -> None:
    full = series(3, M5, bars=1000)
    candles, hole = without(full, 800, 2)
    candles, _ = without(candles, 100, 3)
    state = signal_of({M5: window_at(candles, M5, NOW_MS, absent=(hole,))}).inputs["5m"]
    assert not state.unfilled_gap and state.gap_bars == 2


def test_after_a_halt_bars_follow_by_index_and_nothing_is_scored_for_a_while() -> None:
    full = series(3, M5, bars=700)
    for since, silent in ((1, True), (HALT_BARS, True), (HALT_BARS + 1, False)):
        candles, hole = without(full, 700 - 1 - since - 16, 16)
        signal = signal_of({M5: window_at(candles, M5, NOW_MS, absent=(hole,))})
        state = signal.inputs["5m"]
        assert state.gap_bars == 16 and not state.unfilled_gap and state.bars == 500
        told = [r for r in reasons(signal) if r.startswith("5m")]
        expected = f"5m candles only {since} of {HALT_BARS} bars past a halt: nothing scored"
        assert told == ([expected] if silent else [])

        # The same bars without the hole in their times give the same numbers.
        packed = dataclasses.replace(
            candles, open_time_ms=candles.open_time_ms[-1] - M5.ms * np.arange(len(candles))[::-1]
        )
        unbroken = signal_of({M5: window_at(packed, M5, NOW_MS)})
        assert unbroken.ema_ribbon == signal.ema_ribbon
        assert unbroken.ttm_squeeze == signal.ttm_squeeze


def test_a_divergence_names_its_pivots_by_time() -> None:
    for seed in range(200):
        window = window_at(series(seed, M5), M5, NOW_MS)
        found = signal_of({M5: window}).stoch_rsi_divergence
        if found.divergence == "none":
            assert (found.strength, found.candles_ago, found.pivot_a_ms) == (0, 0, None)
            continue
        closed = window.closed()
        assert found.pivot_a_ms is not None and found.pivot_b_ms is not None
        b = int(np.searchsorted(closed.open_time_ms, found.pivot_b_ms))
        a = int(np.searchsorted(closed.open_time_ms, found.pivot_a_ms))
        assert len(closed) - 1 - b == found.candles_ago
        assert SETTINGS.divergence.right <= found.candles_ago <= SETTINGS.divergence.fresh
        if found.divergence == "bullish":
            assert closed.low[b] < closed.low[a]
        else:
            assert closed.high[b] > closed.high[a]
        assert 0 < found.strength <= 1
        return
    raise AssertionError("no divergence in 200 series")


@pytest.mark.parametrize("options", [{}, {"left": 9, "right": 1, "window": 80, "fresh": 30}])
def test_divergence_is_that_of_the_whole_history(options: dict[str, int]) -> None:
    settings = codec.from_plain(IndicatorsSection, {"divergence": options}, "test")
    windows = [
        window_at(series(seed, M5), M5, NOW_MS, symbol=f"COIN{seed}USDT") for seed in range(400)
    ]
    signals = ta_signals(
        [CoinWindows(window.symbol, {M5: window}) for window in windows], settings, NOW_MS
    )
    bars = [window.closed().tail(500) for window in windows]
    high, low, close = (np.stack([getattr(b, c) for b in bars]) for c in ("high", "low", "close"))
    whole = divergences(
        high, low, stoch_rsi(close).k, atr(high, low, close),
        left=settings.divergence.left, right=settings.divergence.right,
        window=settings.divergence.window, fresh=settings.divergence.fresh,
    )  # fmt: skip
    for row, signal in enumerate(signals.values()):
        assert isinstance(signal, TaSignal)
        found = signal.stoch_rsi_divergence
        side = {0: "none", 1: "bullish", -1: "bearish"}[int(whole.side[row, -1])]
        assert (found.divergence, found.strength) == (side, whole.strength[row, -1])
        if side != "none":
            assert found.pivot_a_ms == bars[row].open_time_ms[whole.pivot_a[row, -1]]
            assert found.pivot_b_ms == bars[row].open_time_ms[whole.pivot_b[row, -1]]
    assert (whole.side[:, -1] != 0).sum() > 20


def test_the_settings_reach_the_kernels() -> None:
    tight = codec.from_plain(
        IndicatorsSection, {"squeeze": {"bb_mult": 0.1}, "divergence": {"fresh": 50}}, "test"
    )
    windows = [{M5: window_at(series(seed, M5), M5, NOW_MS)} for seed in range(8)]
    assert all(signal_of(w, settings=tight).ttm_squeeze.squeeze for w in windows)
    assert not all(signal_of(w).ttm_squeeze.squeeze for w in windows)


# --- the bonus ---------------------------------------------------------------------------------

NO_SQUEEZE = TtmSqueeze(
    squeeze=False, momentum=0.5, direction="bullish", bars_in_squeeze=0, timeframe="5m",
    momentum_raw=10.0, colour="rising_positive", fired=False, fired_bars_ago=None,
    fired_direction=None, last_squeeze_bars=None,
)  # fmt: skip
NO_DIVERGENCE = StochRsiDivergence(
    divergence="none", strength=0.0, candles_ago=0, stoch_k=45.0, stoch_d=42.0, rsi=50.0,
    pivot_a_ms=None, pivot_b_ms=None,
)  # fmt: skip


def fired(now: Side | None, then: Side | None) -> TtmSqueeze:
    return dataclasses.replace(
        NO_SQUEEZE, direction=now, fired=True, fired_bars_ago=1, fired_direction=then
    )


def diverged(side: Divergence, strength: float = 0.5, candles_ago: int = 5) -> StochRsiDivergence:
    return dataclasses.replace(
        NO_DIVERGENCE, divergence=side, strength=strength, candles_ago=candles_ago
    )


def bonus(
    ribbon_5m: RibbonState | None = "mixed",
    ribbon_1h: RibbonState | None = "mixed",
    *,
    squeeze: TtmSqueeze = NO_SQUEEZE,
    divergence: StochRsiDivergence = NO_DIVERGENCE,
    fault_5m: str = "",
    fault_1h: str = "",
    clipped: TtmSqueeze | None = None,
) -> CompositeScoreAdjustment:
    evidence = Evidence(
        ribbon_5m=ribbon_5m, ribbon_1h=ribbon_1h, squeeze=squeeze, divergence=divergence,
        fault_5m=fault_5m, fault_1h=fault_1h, clipped=clipped,
    )  # fmt: skip
    return composite(evidence, fresh=10, min_strength=0.3)


def expect(long: int, short: int, *reasoning: str) -> CompositeScoreAdjustment:
    return CompositeScoreAdjustment(long_bonus=long, short_bonus=short, reasoning=list(reasoning))


def test_ribbon_counts_when_both_timeframes_are_stacked_alike() -> None:
    assert bonus("bullish", "bullish") == expect(10, 0, "EMA ribbon bullish aligned (+10)")
    assert bonus("bearish", "bearish") == expect(0, 10, "EMA ribbon bearish aligned (+10)")
    for pair in (("bullish", "bearish"), ("bullish", "mixed"), ("mixed", "mixed"), (None, None)):
        assert bonus(*pair) == expect(0, 0)


def test_squeeze_counts_only_while_fired_and_momentum_still_agrees() -> None:
    assert bonus(squeeze=fired("bullish", "bullish")) == expect(15, 0, "TTM squeeze bullish (+15)")
    assert bonus(squeeze=fired("bearish", "bearish")) == expect(0, 15, "TTM squeeze bearish (+15)")
    assert bonus(squeeze=fired("bearish", "bullish")) == expect(0, 0)
    assert bonus(squeeze=fired("bullish", None)) == expect(0, 0)
    assert bonus(squeeze=fired(None, None)) == expect(0, 0)
    on = dataclasses.replace(NO_SQUEEZE, squeeze=True, bars_in_squeeze=8)
    assert bonus(squeeze=on) == expect(0, 0)


def test_a_release_counts_as_it_is_with_outliers_cut_back() -> None:
    shown = fired("bullish", "bullish")
    off = dataclasses.replace(NO_SQUEEZE, squeeze=False)
    on = dataclasses.replace(NO_SQUEEZE, squeeze=True, bars_in_squeeze=8)
    left = "Squeeze released by a bar leaving the window, no points"
    assert bonus(squeeze=shown, clipped=off) == expect(0, 0, left)
    still = "Squeeze released by an outlier, still on without it, no points"
    assert bonus(squeeze=shown, clipped=on) == expect(0, 0, still)
    same = expect(15, 0, "TTM squeeze bullish (+15)")
    assert bonus(squeeze=shown, clipped=fired("bullish", "bullish")) == same
    assert bonus(squeeze=shown, clipped=fired("bearish", "bearish")) == expect(
        0, 15, "TTM squeeze bearish, outliers left out (+15)"
    )
    assert bonus(squeeze=shown, clipped=fired("bearish", "bullish")) == expect(0, 0)
    assert bonus(squeeze=NO_SQUEEZE, clipped=shown) == expect(0, 0)
    assert bonus(squeeze=shown, clipped=off, fault_5m="stale 3 min").long_bonus == 0


def test_divergence_counts_when_fresh_and_strong() -> None:
    assert bonus(divergence=diverged("bullish", 0.3, 10)) == expect(
        20, 0, "Stoch RSI bullish divergence (+20)"
    )
    assert bonus(divergence=diverged("bearish")) == expect(
        0, 20, "Stoch RSI bearish divergence (+20)"
    )
    assert bonus(divergence=diverged("bullish", 0.29)) == expect(0, 0)
    assert bonus(divergence=diverged("bullish", 0.9, 11)) == expect(0, 0)


def test_contributions_add_up_uncapped_and_per_side() -> None:
    assert (
        bonus(
            "bullish",
            "bullish",
            squeeze=fired("bullish", "bullish"),
            divergence=diverged("bullish"),
        ).long_bonus
        == 45
    )
    mixed = bonus("bullish", "bullish", divergence=diverged("bearish"))
    assert (mixed.long_bonus, mixed.short_bonus) == (10, 20)


def test_a_fault_takes_away_what_rests_on_that_timeframe_and_says_so() -> None:
    def with_fault(fault_5m: str = "", fault_1h: str = "") -> CompositeScoreAdjustment:
        return bonus(
            "bullish", "bullish", squeeze=fired("bullish", "bullish"),
            divergence=diverged("bullish"), fault_5m=fault_5m, fault_1h=fault_1h,
        )  # fmt: skip

    without_1h = with_fault(fault_1h="stale 14 min")
    assert without_1h.long_bonus == 35
    assert without_1h.reasoning[0] == "1h candles stale 14 min: ribbon not scored"
    assert with_fault("stale 4 min") == expect(0, 0, "5m candles stale 4 min: nothing scored")
