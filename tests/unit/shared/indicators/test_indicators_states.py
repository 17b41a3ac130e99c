"""Ribbon, squeeze, Stochastic RSI and divergence on rows built to show one thing each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from shared.indicators.divergence import Divergences, divergences
from shared.indicators.ema_ribbon import ema_ribbon
from shared.indicators.stoch_rsi import rsi, stoch_rsi
from shared.indicators.ttm_squeeze import Squeeze, ttm_squeeze
from shared.market import Floats


def test_ribbon_is_bullish_in_a_rise_and_bearish_in_a_fall() -> None:
    rise: Floats = np.linspace(100.0, 200.0, 200, dtype=np.float64)
    close = np.stack([rise, rise[::-1], np.full(200, 150.0)])
    found = ema_ribbon(close, np.ones_like(close))
    assert found.state[:, 88].tolist() == [1, -1, 0]
    assert not found.state[:, :88].any()


def test_ribbon_is_mixed_right_after_a_turn() -> None:
    close = np.interp(np.arange(170), [0, 149, 169], [100, 200, 180])[None, :]
    state = ema_ribbon(close, np.ones_like(close)).state[0]
    assert state[149] == 1
    assert state[-1] == 0


def test_spread_is_50_where_the_ribbon_is_as_wide_as_noise_makes_it() -> None:
    close: Floats = np.linspace(100.0, 200.0, 300, dtype=np.float64)[None, :]
    values = ema_ribbon(close, np.ones_like(close)).values[:, 0, -1]
    width = values.max() - values.min()
    for in_atr, expected in ((0.7, 21), (1.2, 33), (2.1, 50), (3.3, 67), (4.7, 79), (7.4, 91.5)):
        atr14 = np.full_like(close, width / in_atr)
        assert ema_ribbon(close, atr14).spread[0, -1] == pytest.approx(expected, abs=0.6)


def squeeze_of(calm: int, *, volume_at_release: float = 1.0, calm_again: int = 0) -> Squeeze:
    """Return the squeeze of a row that trembles for `calm` bars, then leaps upwards.

    Tall candles whose closes do not move: deviation small, true range large.
    """
    restless = 100 + 4.0 * np.cumsum(np.tile([1, 1, -1, -1, 1], 12))
    leap = restless[-1] + np.arange(1, 4) * 60.0
    close = np.concatenate([restless, np.full(calm, restless[-1]), leap, np.full(25, leap[-1])])
    high, low = close + 3.0, close - 3.0
    volume = np.ones_like(close)
    volume[60 + calm] = volume_at_release
    if calm_again:
        high[60 + calm + calm_again :] += 900
        low[60 + calm + calm_again :] -= 400
    return ttm_squeeze(high[None, :], low[None, :], close[None, :], volume[None, :])


def test_squeeze_counts_its_bars_and_fires_for_three_when_it_ends() -> None:
    found = squeeze_of(30)
    release = int(np.flatnonzero(found.fired_ago[0] == 0)[0])
    assert release == 90
    length = int(found.run[0, 89])
    assert length >= 3 and found.on[0, 90 - length : 90].all() and not found.on[0, 90]
    assert found.fired_ago[0, 88:95].tolist() == [-1, -1, 0, 1, 2, -1, -1]
    assert found.last_run[0, 90:95].tolist() == [length] * 5
    assert found.run[0, 90] == 0
    assert found.fired_direction[0, 90:93].tolist() == [1, 1, 1]


def test_squeeze_of_two_bars_does_not_fire() -> None:
    short = next(
        found for calm in range(1, 40) if (found := squeeze_of(calm)).run[0, 59 + calm] > 0
    )
    calm = short.on.shape[1] - 88
    assert short.run[0, 59 + calm] < 3
    assert short.fired_ago[0, 60 + calm] == -1
    assert short.last_run[0, 60 + calm] == short.run[0, 59 + calm]


def test_release_without_volume_does_not_fire_then_or_later() -> None:
    found = squeeze_of(30, volume_at_release=0.0)
    assert (found.fired_ago[0, 90:95] == -1).all()


def test_squeeze_that_is_on_again_has_not_fired_any_more() -> None:
    found = squeeze_of(30, calm_again=1)
    assert found.fired_ago[0, 90] == 0
    assert found.on[0, 91]
    assert (found.fired_ago[0, 91:] == -1).all()


def test_lazybears_dots_need_only_another_factor() -> None:
    rng = np.random.default_rng(2)
    close = 500 + np.cumsum(rng.normal(0, 1, (1, 600)), axis=1)
    high, low, volume = close + 1.0, close - 1.0, np.ones_like(close)
    ours = ttm_squeeze(high, low, close, volume)
    theirs = ttm_squeeze(high, low, close, volume, bb_mult=1.5)
    assert (theirs.on >= ours.on).all()
    assert theirs.on.sum() > ours.on.sum()


def test_momentum_points_up_while_price_runs_above_its_middle() -> None:
    close = np.concatenate([np.full(60, 100.0), 100 + np.arange(20.0) ** 2])[None, :]
    found = ttm_squeeze(close + 1, close - 1, close, np.ones_like(close))
    assert found.momentum[0, -1] > 0
    assert found.direction[0, -1] == 1 and found.rising[0, -1] == 1


def test_direction_is_kept_through_a_tie() -> None:
    close = np.concatenate([np.full(45, 100.0), [104, 100], np.full(80, 100.0)])[None, :]
    found = ttm_squeeze(close, close, close, np.ones_like(close))
    assert found.momentum[0, -1] == pytest.approx(0, abs=1e-12)
    assert found.direction[0, 44] == 0
    last = found.direction[0, np.flatnonzero(np.abs(found.momentum[0]) > 1e-6)[-1]]
    assert last != 0 and found.direction[0, -1] == last


def test_rsi_extremes_and_the_house_rule_for_no_move() -> None:
    up = np.arange(1.0, 41.0)
    close = np.stack([up, up[::-1], np.full(40, 7.0)])
    assert rsi(close)[:, -1].tolist() == [100, 0, 50]


def test_rsi_is_wilders() -> None:
    # changes +2, -1 with period 2: means 1 and 0.5 -> 66.67; then +1: (1+1)/2, 0.5/2 -> 80
    found = rsi(np.array([[10.0, 12, 11, 12]]), 2)
    assert found[0, 2:].tolist() == pytest.approx([200 / 3, 80])


def test_stochastic_is_undefined_where_rsi_has_no_range() -> None:
    close = np.arange(1.0, 101.0)[None, :]
    found = stoch_rsi(close.astype(np.float64))
    assert (found.rsi[0, 14:] == 100).all() and np.isnan(found.k).all()


LENGTH = 60


@dataclass
class Scene:
    """One row of bars and the oscillator beside it."""

    high: Floats
    low: Floats
    k: Floats
    atr14: Floats

    def found(self, *, right: int = 3, window: int = 50, fresh: int = 10) -> Divergences:
        return divergences(
            self.high, self.low, self.k, self.atr14, right=right, window=window, fresh=fresh
        )


def double_bottom(second: float = 88.0, k_first: float = 10.0, k_second: float = 30.0) -> Scene:
    """Return a row with lows at bars 30 (90.0) and 50 (`second`), and %K around them."""
    low = np.full(LENGTH, 100.0)
    k = np.full(LENGTH, 55.0)
    for bar, depth, oscillator in ((30, 90.0, k_first), (50, second, k_second)):
        for away in range(-5, 6):
            low[bar + away] = depth + abs(away)
        k[bar] = oscillator
    return Scene((low + 20.0)[None, :], low[None, :], k[None, :], np.full((1, LENGTH), 2.0))


def last_of(bars: Scene, *, window: int = 50, fresh: int = 10) -> list[float]:
    """Return side, strength, A and B at the last bar."""
    found = bars.found(window=window, fresh=fresh)
    every = (found.side, found.strength, found.pivot_a, found.pivot_b)
    return [float(values[0, -1]) for values in every]


def test_lower_low_with_higher_oscillator_is_bullish() -> None:
    # p = 2 / (2 * 2) = 0.5, q = 20 / 40 = 0.5, z = 40 / 50 = 0.8
    assert last_of(double_bottom()) == pytest.approx([1, 0.5 * 0.9, 30, 50])


def test_turned_upside_down_it_is_bearish() -> None:
    bars = double_bottom()
    turned = Scene(200 - bars.low, 200 - bars.high, 100 - bars.k, bars.atr14)
    assert last_of(turned) == pytest.approx([-1, 0.45, 30, 50])


def test_it_is_known_only_when_the_pivot_is_confirmed() -> None:
    bars = double_bottom()
    known = bars.found().side[0] != 0
    assert known.tolist() == [False] * 53 + [True] * 7
    assert not bars.found(right=5).side[0, :55].any()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"second": 90.5}, "the second low is not lower"),
        ({"second": 90.0}, "equal lows are no lower low"),
        ({"k_second": 10.9}, "less than one point of %K"),
        ({"k_second": 5.0}, "%K went lower too"),
        ({"k_first": 50.0, "k_second": 54.0}, "the first low came from the strong half"),
    ],
)
def test_what_is_no_divergence(changes: dict[str, float], why: str) -> None:
    assert last_of(double_bottom(**changes)) == [0, 0, -1, -1], why


def test_one_point_of_the_oscillator_is_enough() -> None:
    assert last_of(double_bottom(k_second=11.0))[0] == 1


def test_it_grows_old() -> None:
    bars = double_bottom()
    assert last_of(bars, fresh=9)[0] == 1
    assert last_of(bars, fresh=8)[0] == 0


def test_a_broken_low_ends_it() -> None:
    bars = double_bottom()
    bars.low[0, 58] = 87.9
    assert last_of(bars)[0] == 0
    bars.low[0, 58] = 88.0  # touched is not broken
    assert last_of(bars)[0] == 1


def test_the_first_low_must_lie_inside_the_window() -> None:
    bars = double_bottom()
    assert last_of(bars, window=30)[0] == 1  # bars 30 to 59
    assert last_of(bars, window=29)[0] == 0


def test_a_bar_that_ends_both_legs_says_nothing() -> None:
    bars = double_bottom()
    # highs mirrored about 100: the same bars are pivot highs with a falling oscillator
    bars.high = 210.0 - bars.low
    bars.k = np.full((1, LENGTH), 50.0)
    for bar, low_side, high_side in ((30, 10.0, 90.0), (50, 30.0, 70.0)):
        bars.k[0, bar], bars.k[0, bar + 1] = low_side, high_side
    assert last_of(bars) == [0, 0, -1, -1]


def test_it_is_silent_where_the_oscillator_is_undefined() -> None:
    bars = double_bottom()
    bars.k[0, -1] = np.nan
    assert last_of(bars)[0] == 0
    bars = double_bottom()
    bars.k[0, 31] = np.nan  # beside the first low
    assert last_of(bars)[0] == 0
