"""Our numbers against TA-Lib, pandas-ta and pandas-ta-classic, on made and on real candles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from shared.config.sections import IndicatorsSection
from shared.indicators.ema_ribbon import PERIODS
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import Candles, Floats, Timeframe
from shared.messages.signals import TaSignal
from tests.support.candle_series import recorded, walk, window_at
from tests.support.kernels import by_name
from tests.support.referees import REFEREES
from tests.support.talib_numbers import Numbers, by_talib

SETTLED = 300
"""Bars after which a different seed has died away."""

RSI_SEEDED_ELSEWHERE = {"pandas-ta"}
FIRST_RANGE_LEFT_OUT = {"TA-Lib", "pandas-ta-classic"}


def assert_agree(candles: Candles, referee: str, what: str) -> None:
    """Compare bar by bar, each number with the tolerance promised in docs/indicators.md."""
    found, other = by_name(candles), REFEREES[referee](candles)
    for name in (*(f"ema{p}" for p in PERIODS), "mid", "upper", "lower"):
        assert_relative(found[name], other[name], 1e-9, f"{what} {name}")
    seeded_alike = referee not in RSI_SEEDED_ELSEWHERE
    for name in ("rsi", "k", "d"):
        skip, atol = (0, 1e-6) if seeded_alike else (SETTLED, 2e-6)
        assert_absolute(found[name][skip:], other[name][skip:], atol, f"{what} {name}")
    skip = SETTLED if referee in FIRST_RANGE_LEFT_OUT else 0
    assert_relative(found["atr"][skip:], other["atr"][skip:], 1e-9, f"{what} atr")
    unit = found["atr"]
    assert_absolute(
        found["momentum"] / unit, other["momentum"] / unit, 1e-6, f"{what} momentum in ATR"
    )
    assert_same_states(found, other, candles.close, what)


def assert_same_states(found: dict[str, Floats], other: Numbers, close: Floats, what: str) -> None:
    lines = [other[f"ema{p}"] for p in PERIODS]
    steps = np.array([a - b for a, b in pairwise(lines)])
    state = (steps > 0).all(axis=0).astype(float) - (steps < 0).all(axis=0)
    clear = np.abs(steps).min(axis=0) > 1e-8 * close
    assert clear[88:].mean() > 0.99
    np.testing.assert_array_equal(found["state"][clear], state[clear], err_msg=f"{what} ribbon")

    room = other["keltner_half"] - (other["upper"] - other["mid"])
    clear = np.abs(room) > 1e-8 * close
    assert clear[20:].mean() > 0.99
    np.testing.assert_array_equal(found["on"][clear], room[clear] > 0, err_msg=f"{what} squeeze")


def assert_relative(found: Floats, other: Floats, tolerance: float, what: str) -> None:
    both = _where_both(found, other, what)
    np.testing.assert_allclose(found[both], other[both], rtol=tolerance, atol=0, err_msg=what)


def assert_absolute(found: Floats, other: Floats, tolerance: float, what: str) -> None:
    both = _where_both(found, other, what)
    np.testing.assert_allclose(found[both], other[both], rtol=0, atol=tolerance, err_msg=what)


def _where_both(found: Floats, other: Floats, what: str) -> npt.NDArray[np.bool_]:
    """Return where both have a number; that may differ only in where the first one stands."""
    both: npt.NDArray[np.bool_] = np.isfinite(found) & np.isfinite(other)
    assert both.sum() >= len(found) - 90, f"{what}: hardly a number to compare"
    assert both[90:].all(), f"{what}: a number is missing long after the start"
    return both


@pytest.mark.parametrize("referee", REFEREES)
@pytest.mark.parametrize("seed", range(6))
def test_made_candles_agree_at_every_bar(referee: str, seed: int) -> None:
    volatility = (0.2, 1.0, 5.0)[seed % 3]
    assert_agree(walk(seed, 900, volatility=volatility), referee, f"seed {seed} by {referee}")


@pytest.fixture(scope="session")
def coins(data_dir: Path) -> Sequence[str]:
    found = sorted(p.name.split("-")[0] for p in (data_dir / "candles").glob("*-5m.csv.gz"))
    assert len(found) >= 29
    return found


@pytest.mark.parametrize("timeframe", Timeframe)
def test_real_candles_agree_with_talib_at_every_bar(
    coins: Sequence[str], data_dir: Path, timeframe: Timeframe
) -> None:
    for symbol in coins:
        candles = recorded(data_dir, symbol, timeframe).tail(3000)
        assert_agree(candles, "TA-Lib", f"{symbol} {timeframe} by TA-Lib")


@pytest.mark.parametrize("referee", ["pandas-ta", "pandas-ta-classic"])
def test_real_candles_agree_with_pandas_libraries_at_every_bar(
    coins: Sequence[str], data_dir: Path, referee: str
) -> None:
    for i, symbol in enumerate(coins):
        timeframe = list(Timeframe)[i % 3]
        candles = recorded(data_dir, symbol, timeframe).tail(600)
        assert_agree(candles, referee, f"{symbol} {timeframe} by {referee}")


def test_signals_of_all_real_coins_hold_the_numbers_of_talib(
    coins: Sequence[str], data_dir: Path
) -> None:
    market = {(s, t): recorded(data_dir, s, t) for s in coins for t in Timeframe}
    settings = IndicatorsSection()
    for now_ms in moments(market[coins[0], Timeframe.M5]):
        batch = [
            CoinWindows(s, {t: window_at(market[s, t], t, now_ms, symbol=s) for t in Timeframe})
            for s in coins
        ]
        for symbol, signal in ta_signals(batch, settings, now_ms).items():
            assert isinstance(signal, TaSignal), signal
            seen = {
                t: by_talib(market[symbol, t].closed(t, now_ms).tail(settings.history))
                for t in Timeframe
            }
            assert_signal(signal, seen, f"{symbol} at {now_ms}")


def moments(candles: Candles) -> Iterator[int]:
    """Return some times inside an open candle, spread over the recording."""
    for bar in (20_000, 25_003, 32_200):
        yield int(candles.open_time_ms[bar]) + 17_000


def assert_signal(signal: TaSignal, seen: dict[Timeframe, Numbers], what: str) -> None:
    m5, h1 = seen[Timeframe.M5], seen[Timeframe.H1]
    ribbon, squeeze, stoch = (
        signal.ema_ribbon, signal.ttm_squeeze, signal.stoch_rsi_divergence,
    )  # fmt: skip
    for values, numbers in ((ribbon.values, m5), (ribbon.values_1h, h1)):
        expected = [numbers[f"ema{p}"][-1] for p in PERIODS]
        np.testing.assert_allclose(np.array(values, float), expected, rtol=1e-9, err_msg=what)
    for timeframe, numbers in seen.items():
        lines = [numbers[f"ema{p}"][-1] for p in PERIODS]
        width = (max(lines) - min(lines)) / numbers["atr"][-1]
        spread = getattr(ribbon, f"spread_{timeframe}")
        assert spread == pytest.approx(100 * (1 - np.exp(-width / 3)), abs=1e-6), what
        assert signal.inputs[timeframe].atr14 == pytest.approx(numbers["atr"][-1], rel=1e-9)
    assert stoch.stoch_k == pytest.approx(m5["k"][-1], abs=1e-6), what
    assert stoch.stoch_d == pytest.approx(m5["d"][-1], abs=1e-6), what
    assert stoch.rsi == pytest.approx(m5["rsi"][-1], abs=1e-6), what
    momentum = m5["momentum"][-1] / m5["atr"][-1]
    assert squeeze.momentum == pytest.approx(momentum, abs=1e-6), what
    assert squeeze.momentum_raw == pytest.approx(m5["momentum"][-1], abs=1e-6 * m5["atr"][-1])
    half = m5["upper"][-1] - m5["mid"][-1]
    assert squeeze.squeeze == (half < m5["keltner_half"][-1]), what
