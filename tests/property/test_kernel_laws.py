"""Laws that every kernel obeys on any candles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from shared.indicators.divergence import divergences
from shared.indicators.ema_ribbon import ema_ribbon
from shared.indicators.stoch_rsi import stoch_rsi
from shared.indicators.ttm_squeeze import PERIOD, Squeeze, ttm_squeeze
from shared.market import Floats
from tests.support.candle_series import walk
from tests.support.divergence_by_hand import divergence_at
from tests.support.kernels import OUTPUTS, STATES, Array, Bars, compute, near_threshold

SEEDS = st.integers(0, 2**32 - 1)
LAWFUL = settings(max_examples=50, deadline=None, derandomize=True)


def bars_of(seed: int, rows: int = 3, bars: int = 260) -> Bars:
    return Bars.of(*(walk(seed + row, bars) for row in range(rows)))


def assert_same_bits(found: Array, expected: Array, what: str) -> None:
    assert found.dtype == expected.dtype
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    assert same.all(), f"{what} differs first at {np.argwhere(~same)[0].tolist()}"


@LAWFUL
@given(seed=SEEDS, length=st.integers(1, 259))
def test_truncation_later_bars_change_nothing_earlier(seed: int, length: int) -> None:
    bars = bars_of(seed)
    whole, prefix = compute(bars), compute(bars.prefix(length))
    for name in OUTPUTS:
        assert_same_bits(prefix[name], whole[name][..., :length], f"{name} of {length} bars")


def test_truncation_holds_at_every_bar_of_a_series() -> None:
    bars = bars_of(11, rows=2, bars=400)
    whole = compute(bars)
    assert (whole["divergence.side"] != 0).any() and (whole["squeeze.fired_ago"] >= 0).any()
    for length in range(1, 400):
        last = compute(bars.prefix(length))
        for name in OUTPUTS:
            assert_same_bits(last[name][..., -1], whole[name][..., length - 1], f"{name} {length}")


@LAWFUL
@given(seed=SEEDS, order=st.permutations(range(5)))
def test_permutation_rows_do_not_know_of_each_other(seed: int, order: list[int]) -> None:
    bars = bars_of(seed, rows=5, bars=200)
    straight, shuffled = compute(bars), compute(bars.each(lambda x: x[order]))
    for name in OUTPUTS:
        assert_same_bits(shuffled[name], straight[name][order], name)


@LAWFUL
@given(seed=SEEDS, rows=st.integers(1, 40), row=st.integers(0, 39))
def test_a_row_alone_has_the_same_bits_as_among_others(seed: int, rows: int, row: int) -> None:
    bars, row = bars_of(seed, rows=rows, bars=150), row % rows
    among, alone = compute(bars), compute(bars.each(lambda x: x[row : row + 1]))
    for name in OUTPUTS:
        assert_same_bits(alone[name][0], among[name][row], name)


@LAWFUL
@given(seed=SEEDS, spoilt=st.sampled_from([np.nan, np.inf, 0.0, 1e308]), at=st.integers(0, 199))
def test_a_spoilt_row_leaves_the_others_alone(seed: int, spoilt: float, at: int) -> None:
    bars = bars_of(seed, bars=200)

    def spoil(x: Floats) -> Floats:
        x = x.copy()
        x[1, at] = spoilt
        return x

    with np.errstate(all="ignore"):
        clean, dirty = compute(bars), compute(bars.each(spoil))
    for name in OUTPUTS:
        assert_same_bits(dirty[name][[0, 2]], clean[name][[0, 2]], name)


@LAWFUL
@given(seed=SEEDS, pad=st.integers(1, 200))
def test_a_short_row_led_by_nan_has_the_same_bits(seed: int, pad: int) -> None:
    bars = bars_of(seed, bars=200)
    short = compute(bars)
    long = compute(bars.each(lambda x: np.pad(x, ((0, 0), (pad, 0)), constant_values=np.nan)))
    for name in OUTPUTS:
        tail = long[name][..., pad:]
        if "pivot" in name:
            tail = np.where(tail >= 0, tail - pad, tail)
        assert_same_bits(tail, short[name], name)


@LAWFUL
@given(seed=SEEDS, power=st.integers(-40, 10))
def test_scale_by_powers_of_two_is_exact(seed: int, power: int) -> None:
    bars, factor = bars_of(seed), 2.0**power
    plain, scaled = compute(bars), compute(bars.scaled(factor))
    for name, output in OUTPUTS.items():
        assert_same_bits(scaled[name], output.scaled(plain[name], factor), name)


@LAWFUL
@given(seed=SEEDS, factor=st.floats(1e-8, 1e4))
def test_scale_by_anything_changes_digits_only(seed: int, factor: float) -> None:
    bars = bars_of(seed)
    plain, scaled = compute(bars), compute(bars.scaled(factor))
    assert_alike(
        scaled,
        {name: output.scaled(plain[name], factor) for name, output in OUTPUTS.items()},
        price=bars.close * factor,
        states=not near_threshold(bars),
    )


@LAWFUL
@given(seed=SEEDS)
def test_mirror_swaps_bullish_and_bearish(seed: int) -> None:
    bars, about = bars_of(seed), 4096.0
    plain, turned = compute(bars), compute(bars.mirrored(about))
    assert_alike(
        turned,
        {name: output.mirrored(plain[name], about) for name, output in OUTPUTS.items()},
        price=np.full_like(bars.close, about),
        states=not near_threshold(bars),
    )


def assert_alike(
    found: dict[str, Array], expected: dict[str, Array], *, price: Floats, states: bool
) -> None:
    event(f"states compared: {states}")
    for name, output in OUTPUTS.items():
        if name in STATES:
            if states:
                np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)
        elif output.scale == "price":
            assert_close(found[name] / price, expected[name] / price, 1e-9, name)
        else:
            # A narrow range of RSIs magnifies the last digits of %K.
            assert_close(found[name], expected[name], 1e-6 if "stoch" in name else 1e-9, name)


def assert_close(found: Array, expected: Array, atol: float, name: str) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=name)


@LAWFUL
@given(seed=SEEDS)
def test_warm_up_nothing_before_the_lookback_and_no_later(seed: int) -> None:
    found = compute(bars_of(seed))
    for name, output in OUTPUTS.items():
        early = found[name][:, : output.lookback]
        empty = np.isnan(early) if math.isnan(output.empty) else early == output.empty
        assert empty.all(), name
        if math.isnan(output.empty):
            assert np.isfinite(found[name][:, output.lookback]).all(), name


@LAWFUL
@given(seed=SEEDS, at=st.integers(2, 259))  # before bar 2 there is nothing to bridge from
def test_gap_a_missing_bar_is_never_bridged(seed: int, at: int) -> None:
    bars = bars_of(seed, rows=1)

    def gap(x: Floats) -> Floats:
        x = x.copy()
        x[:, at] = np.nan
        return x

    found = compute(bars.each(gap))
    for name, output in OUTPUTS.items():
        hidden = found[name][0, at : None if output.memory is None else at + output.memory]
        empty = np.isnan(hidden) if math.isnan(output.empty) else hidden == output.empty
        assert empty.all(), name


@pytest.mark.parametrize("price", [1e-8, 0.1, 1 / 3, 1.0, 67_200.07, 3e6])
def test_flat_prices_show_nothing(price: float) -> None:
    flat = np.full((2, 300), price)
    found = compute(Bars(flat, flat, flat, np.ones_like(flat)))
    assert not found["ribbon.state"].any()
    assert (found["ribbon.spread"][:, 88:] == 0).all()
    assert not found["squeeze.on"].any() and (found["squeeze.fired_ago"] == -1).all()
    assert not found["squeeze.direction"].any() and not found["squeeze.rising"].any()
    assert (found["rsi"][:, 14:] == 50).all()
    assert np.isnan(found["stoch.k"]).all() and np.isnan(found["stoch.d"]).all()
    assert not found["divergence.side"].any()


@LAWFUL
@given(seed=SEEDS, moving=st.integers(5, 150))
def test_flat_after_moving_falls_silent(seed: int, moving: int) -> None:
    bars = bars_of(seed, bars=500)

    def stop(x: Floats) -> Floats:
        x = x.copy()
        x[:, moving:] = bars.close[:, moving - 1 : moving]
        return x

    still = bars.each(stop)
    found = compute(Bars(still.high, still.low, still.close, bars.volume))
    assert not found["squeeze.on"][:, -1].any()
    assert np.isnan(found["stoch.k"][:, -1]).all()
    assert not found["divergence.side"][:, -1].any()
    np.testing.assert_allclose(found["squeeze.momentum"][:, -1] / still.close[:, -1], 0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 5, 13])
def test_a_tiny_history_is_silent_not_an_error(length: int) -> None:
    found = compute(bars_of(3).prefix(length))
    for name, output in OUTPUTS.items():
        if output.lookback >= length:
            empty = (
                np.isnan(found[name]) if math.isnan(output.empty) else found[name] == output.empty
            )
            assert empty.all(), name


@LAWFUL
@given(seed=SEEDS, share=st.floats(0.05, 0.9))
def test_a_bar_without_volume_never_fires(seed: int, share: float) -> None:
    bars = bars_of(seed, bars=500)
    halted = np.random.default_rng(seed).random(bars.volume.shape) < share
    volume = np.where(halted, 0.0, bars.volume)
    found = compute(Bars(bars.high, bars.low, bars.close, volume))
    full = compute(bars)
    assert (found["squeeze.fired_ago"][halted] == -1).all()
    np.testing.assert_array_equal(found["squeeze.on"], full["squeeze.on"])


@LAWFUL
@given(seed=SEEDS)
def test_squeeze_states_follow_their_definition_bar_by_bar(seed: int) -> None:
    bars = bars_of(seed, rows=1, bars=500)
    volume = np.where(np.random.default_rng(seed).random(bars.volume.shape) < 0.1, 0, bars.volume)
    found = ttm_squeeze(bars.high, bars.low, bars.close, volume)
    run = last_run = since = 0
    fired = 0
    for bar in range(PERIOD - 1, 500):
        on = bool(found.on[0, bar])
        if on:
            run, fired = run + 1, 0
        elif run:
            fired = 1 if run >= 3 and volume[0, bar] > 0 else 0
            last_run, run, since = run, 0, bar
        told = fired and bar - since < 3 and volume[0, bar] > 0
        assert found.run[0, bar] == run
        assert found.last_run[0, bar] == last_run
        assert found.fired_ago[0, bar] == (bar - since if told else -1)
        sign = _sign(found, since, bars.close)
        assert found.fired_direction[0, bar] == (sign if told else 0)


def _sign(found: Squeeze, bar: int, close: Floats) -> int:
    momentum = found.momentum[0, bar]
    if np.isnan(momentum) or abs(momentum) <= 1e-9 * close[0, bar]:
        return 0
    return 1 if momentum > 0 else -1


@LAWFUL
@given(
    seed=SEEDS,
    left=st.integers(1, 6),
    right=st.integers(1, 5),
    window=st.integers(10, 80),
    fresh=st.integers(1, 20),
)
def test_divergence_follows_its_definition_bar_by_bar(
    seed: int, left: int, right: int, window: int, fresh: int
) -> None:
    bars = bars_of(seed, rows=1, bars=220)
    out = compute(bars)
    options = {"left": left, "right": right, "window": window, "fresh": fresh}
    found = divergences(bars.high, bars.low, out["stoch.k"], out["atr"], **options)
    columns = (bars.high[0], bars.low[0], out["stoch.k"][0], out["atr"][0])
    for last in range(220):
        # The definition sees only the bars there are, so it cannot look ahead.
        high, low, k, atr14 = (column[: last + 1] for column in columns)
        side, strength, a, b = divergence_at(high, low, k, atr14, **options)
        assert (found.side[0, last], found.pivot_a[0, last], found.pivot_b[0, last]) == (side, a, b)
        assert found.strength[0, last] == pytest.approx(strength, abs=1e-12)


@LAWFUL
@given(seed=SEEDS)
def test_ranges_hold(seed: int) -> None:
    found = compute(bars_of(seed))
    for name, top in (("rsi", 100), ("stoch.k", 100), ("stoch.d", 100), ("ribbon.spread", 100),
                      ("divergence.strength", 1)):  # fmt: skip
        values = found[name][np.isfinite(found[name])]
        assert ((values >= 0) & (values <= top)).all(), name
    told = found["divergence.side"] != 0
    assert ((found["divergence.strength"] > 0) == told).all()


def test_noise_spreads_the_ribbon_to_50_half_the_time() -> None:
    rng = np.random.default_rng(5)
    close = np.cumsum(rng.normal(0, 1, (4, 40_000)), axis=1) / 8 + 10_000
    # Candles of eight steps each, so that highs and lows are those of the walk.
    paths = close.reshape(4, 5_000, 8)
    bars = Bars(paths.max(axis=2), paths.min(axis=2), paths[:, :, -1], np.ones((4, 5_000)))
    found = compute(bars)
    median = float(np.nanmedian(found["ribbon.spread"]))
    assert 40 < median < 60, median
    stacked = float((found["ribbon.state"][:, 89:] != 0).mean())
    assert 0.45 < stacked < 0.65, stacked


def test_rising_prices_give_the_named_extremes() -> None:
    close: Floats = np.arange(1.0, 301.0, dtype=np.float64)[None, :]
    found = stoch_rsi(close)
    assert (found.rsi[0, 14:] == 100).all()
    assert np.isnan(found.k).all()
    ribbon = ema_ribbon(close, np.full_like(close, 27.0))
    # A steady drift v opens the ribbon to 40.5 v.
    assert ribbon.spread[0, -1] == pytest.approx(100 * (1 - np.exp(-40.5 / 27 / 3)), abs=0.1)
    assert ribbon.state[0, -1] == 1
