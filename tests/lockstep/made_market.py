"""A made-up market of three coins, volatile enough to be entered every few minutes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from shared.backtest.replay import Recording
from shared.candles.files import aggregated
from shared.market import Candles, Timeframe
from tests.support.candle_series import START_MS, walk
from tests.support.trading import EAGER

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
BARS = 4_400  # 1h candles are warm after 3,600
BEGIN_MS = START_MS + 4_001 * Timeframe.M5.ms
"""A close from which on something is entered soon."""

SETTINGS = dataclasses.replace(EAGER, entry_score=50, base_floor=45, max_hold_h=0.4)
"""Enters often, and holds for 24 minutes."""


def made_market(**jumps: tuple[int, float]) -> Mapping[str, Recording]:
    """Return the recordings of all coins.

    Args:
        jumps: By coin, from which time on its prices are so many times as high.
    """
    made = {}
    for symbol in COINS:
        m5 = walk(sum(symbol.encode()), BARS, price=4096.0, volatility=4.0)
        if symbol in jumps:
            at_ms, factor = jumps[symbol]
            m5 = _jumping(m5, at_ms, factor)
        longer = {t: aggregated(m5, t) for t in Timeframe if t is not Timeframe.M5}
        made[symbol] = Recording(symbol, {Timeframe.M5: m5} | longer)
    return made


def _jumping(candles: Candles, at_ms: int, factor: float) -> Candles:
    factors = np.where(candles.open_time_ms >= at_ms, factor, 1.0)
    prices = (candles.open, candles.high, candles.low, candles.close)
    opened, high, low, close = (np.round(each * factors * 64) / 64 for each in prices)
    return Candles.of(candles.open_time_ms, opened, high, low, close, candles.volume)
