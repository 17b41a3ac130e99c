"""Laws that the base score obeys on any candles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from shared.candles.files import aggregated
from shared.indicators.base_score import COMPONENTS, SIGNS, Bars, Inputs, inputs_of, points
from shared.indicators.rolling import FLAT
from shared.indicators.scoring import WATCH, BaseScore, base_scores
from shared.indicators.signals import CoinWindows
from shared.market import COLUMNS, Candles, Floats, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.trading import TradeSide
from tests.support.candle_series import walk, window_at

M5, H1 = Timeframe.M5, Timeframe.H1
SEEDS = st.integers(0, 2**32 - 1)
LAWFUL = settings(max_examples=50, deadline=None, derandomize=True)
SIDES: tuple[TradeSide, ...] = ("long", "short")
BARS = 3900  # long enough for 1h to be warm
NAMES = list(COMPONENTS)
ABOUT = 4096.0


def series(seed: int) -> dict[Timeframe, Candles]:
    m5 = walk(seed, BARS, price=ABOUT)
    return {M5: m5, H1: aggregated(m5, H1)}


def coin(candles: dict[Timeframe, Candles], symbol: str = "BTCUSDT") -> CoinWindows:
    windows = {t: window_at(c, t, now_ms(candles), symbol=symbol) for t, c in candles.items()}
    return CoinWindows(symbol, windows)


def now_ms(candles: dict[Timeframe, Candles]) -> int:
    return int(candles[M5].open_time_ms[-1]) + M5.ms


def scored(candles: dict[Timeframe, Candles]) -> BaseScore:
    found = base_scores([coin(candles)], 500, now_ms(candles))["BTCUSDT"]
    assert isinstance(found, BaseScore), found
    return found


def parts(found: BaseScore, side: TradeSide) -> list[float]:
    return [part.points for part in found.side(side).parts]


def changed(
    candles: dict[Timeframe, Candles], change: Callable[[Candles], Candles]
) -> dict[Timeframe, Candles]:
    return {timeframe: change(each) for timeframe, each in candles.items()}


def mirrored(candles: Candles) -> Candles:
    turn = 2 * ABOUT
    return Candles(
        candles.open_time_ms, turn - candles.open, turn - candles.low, turn - candles.high,
        turn - candles.close, candles.volume,
    )  # fmt: skip


def scaled(factor: float) -> Callable[[Candles], Candles]:
    return lambda c: Candles(
        c.open_time_ms, c.open * factor, c.high * factor, c.low * factor, c.close * factor,
        c.volume,
    )  # fmt: skip


def near_threshold(candles: dict[Timeframe, Candles]) -> bool:
    """Tell whether a yes or no hangs on the last digits."""
    m5, h1 = candles[M5].tail(500), candles[H1].tail(500)
    opened, high, low, close, volume = (getattr(m5, c)[None, :] for c in COLUMNS[1:])
    x = inputs_of(Bars(opened, high, low, close, volume, h1.close[None, :]))
    pairs = (
        (x.close_1h, x.ema50_1h), (x.ema20_1h, x.ema50_1h), (x.close, x.ema20),
        (x.ema20, x.ema50), (x.hist, 0.0 * x.hist), (x.hist, x.hist_before),
    )  # fmt: skip
    on_price = any(abs(float((a - b)[0])) / float(x.close[0]) < 10 * FLAT for a, b in pairs)
    return on_price or abs(abs(float(x.rsi[0]) - 50.0) - 20.0) < FLAT


@LAWFUL
@given(seed=SEEDS)
def test_mirror_swaps_long_and_short(seed: int) -> None:
    candles = series(seed)
    assume(not near_threshold(candles))
    plain, turned = scored(candles), scored(changed(candles, mirrored))
    for side, other in (SIDES, SIDES[::-1]):
        assert parts(turned, side) == pytest.approx(parts(plain, other), abs=1e-9)


@LAWFUL
@given(seed=SEEDS, factor=st.floats(1e-8, 1e6))
def test_scale_of_the_price_changes_nothing(seed: int, factor: float) -> None:
    candles = series(seed)
    assume(not near_threshold(candles))
    plain, other = scored(candles), scored(changed(candles, scaled(factor)))
    for side in SIDES:
        assert parts(other, side) == pytest.approx(parts(plain, side), abs=1e-9)


@LAWFUL
@given(seed=SEEDS, power=st.integers(-40, 10))
def test_scale_by_powers_of_two_changes_no_bit(seed: int, power: int) -> None:
    candles = series(seed)
    plain, other = scored(candles), scored(changed(candles, scaled(2.0**power)))
    for side in SIDES:
        assert other.side(side).score == plain.side(side).score
        assert parts(other, side) == parts(plain, side)


@LAWFUL
@given(seed=SEEDS)
def test_points_stay_within_their_component_and_add_up(seed: int) -> None:
    found = scored(series(seed))
    assert found.coverage == 1
    for side in SIDES:
        told = found.side(side)
        assert all(0.0 <= part.points <= part.max for part in told.parts)
        assert told.score <= sum(part.points for part in told.parts) + FLAT < told.score + 1


@LAWFUL
@given(seed=SEEDS, high=st.floats(1.0, 50.0), close=st.floats(0.0, 1.0), volume=st.floats(0, 1e6))
def test_forming_candle_decides_nothing(
    seed: int, high: float, close: float, volume: float
) -> None:
    candles = series(seed)
    plain = scored(candles)
    window = window_at(candles[M5], M5, now_ms(candles))
    last = float(candles[M5].close[-1])
    forming = Candles.of(
        [now_ms(candles)], [last], [last * high], [last * 0.5], [last * (0.5 + close / 2)], [volume]
    )
    with_it = replace(window, candles=candles[M5].tail(1000).merged(forming))
    windows: dict[Timeframe, CandleWindow | None] = {**coin(candles).windows, M5: with_it}
    found = base_scores([CoinWindows("BTCUSDT", windows)], 500, now_ms(candles) + 1)["BTCUSDT"]
    assert isinstance(found, BaseScore)
    for side in SIDES:
        assert found.side(side) == plain.side(side)


@LAWFUL
@given(seed=SEEDS, others=st.integers(1, 6), place=st.integers(0, 6))
def test_a_coin_among_others_has_the_same_score(seed: int, others: int, place: int) -> None:
    names = [f"COIN{n}USDT" for n in range(others)]
    names.insert(min(place, others), "BTCUSDT")
    coins = [coin(series(seed + n * (name != "BTCUSDT")), name) for n, name in enumerate(names)]
    among = base_scores(coins, 500, now_ms(series(seed)))["BTCUSDT"]
    alone = scored(series(seed))
    assert isinstance(among, BaseScore)
    for side in SIDES:
        assert among.side(side) == alone.side(side)


# Monotone: more of what a component likes never gives it fewer points.

PLAIN = Inputs(
    open=np.array([99.0]), close=np.array([100.0]), close_before=np.array([99.5]),
    ema20=np.array([99.0]), ema50=np.array([98.0]), close_1h=np.array([100.0]),
    ema20_1h=np.array([97.0]), ema50_1h=np.array([96.0]), hist=np.array([0.1]),
    hist_before=np.array([0.05]), atr=np.array([1.0]), rsi=np.array([55.0]),
    percent_b=np.array([0.6]), volume=np.array([2.0]),
)  # fmt: skip


def component(name: str, side: TradeSide, **inputs: float) -> float:
    x = PLAIN._replace(**{key: np.array([value]) for key, value in inputs.items()})
    return float(points(x, side)[NAMES.index(name), 0])


def turned(side: TradeSide, value: float) -> float:
    return SIGNS[side] * value


TWO = st.tuples(st.floats(0, 5), st.floats(0, 5)).map(sorted)


@settings(max_examples=200, derandomize=True)
@given(two=TWO, before=st.floats(-1, 1), side=st.sampled_from(SIDES))
def test_macd_is_monotone_in_the_histogram(
    two: list[float], before: float, side: TradeSide
) -> None:
    low, high = (
        component("MACD", side, hist=turned(side, h), hist_before=turned(side, before)) for h in two
    )
    event(f"differ: {low != high}")
    assert low <= high


@settings(max_examples=200, derandomize=True)
@given(two=TWO, side=st.sampled_from(SIDES))
def test_volume_is_monotone_in_the_volume(two: list[float], side: TradeSide) -> None:
    low, high = (component("volume", side, volume=v, open=100.0 - turned(side, 1.0)) for v in two)
    assert low <= high
    assert component("volume", side, volume=two[1], open=100.0 + turned(side, 1.0)) == 0.0


@settings(max_examples=200, derandomize=True)
@given(two=TWO, side=st.sampled_from(SIDES))
def test_overextension_costs_points_from_one_and_a_half_ranges_on(
    two: list[float], side: TradeSide
) -> None:
    near, far = (
        component("not overextended", side, ema20=100.0 - turned(side, 1.5 + s)) for s in two
    )
    assert near >= far
    assert component("not overextended", side, ema20=100.0 - turned(side, 1.0)) == 10.0
    assert component("not overextended", side, ema20=100.0 + turned(side, 1.0)) == 0.0


def test_all_components_together_give_a_hundred() -> None:
    best = PLAIN._replace(hist=np.array([0.25]), volume=np.array([2.5]))
    assert points(best, "long")[:, 0].tolist() == [float(m) for m in COMPONENTS.values()]
    worst = points(best._replace(rsi=np.array([80.0]), percent_b=np.array([0.0])), "short")
    assert worst[:, 0].sum() <= 10.0


# A market that stands still.


@pytest.mark.parametrize("price", [1e-8, 0.1, 1 / 3, 1.0, 67_200.07, 3e6])
@pytest.mark.parametrize("volume", [0.0, 5.0])
def test_flat_prices_score_low_on_both_sides(price: float, volume: float) -> None:
    def flat(bars: int, timeframe: Timeframe) -> Candles:
        times = np.arange(bars, dtype=np.int64) * timeframe.ms
        prices: Floats = np.full(bars, price)
        return Candles.of(times, prices, prices, prices, prices, np.full(bars, volume))

    found = scored({M5: flat(6000, M5), H1: flat(500, H1)})
    for side in SIDES:
        assert found.score(side) == 8  # RSI 50 has room
        assert found.score(side) < WATCH
    assert found.coverage < 1
    assert found.fault.startswith("without movement or volume: MACD, Bollinger %B, ")
