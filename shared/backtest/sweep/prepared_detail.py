"""What was prepared of a coin beside its scores and 5m candles: 1m candles and funding rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.backtest.simulation.bar_prices import CoinBars
from shared.backtest.simulation.funding_rates import RecordedRates
from shared.market import COLUMNS, Candles, Floats, Times

Column = Times | Floats


def detail_columns(bars: CoinBars) -> dict[str, Column]:
    """Return what of a coin's detail is written, by names; nothing where it has none."""
    found: dict[str, Column] = {}
    if bars.minutes is not None and len(bars.minutes.candles):
        candles = bars.minutes.candles
        found["minute-opens"] = candles.open_time_ms[None]
        found["minutes"] = np.stack([getattr(candles, name) for name in COLUMNS[1:]])
    if bars.rates is not None:
        known = np.array(bars.rates.known, dtype=np.int64).reshape(-1, 2)
        found |= {
            "funding-times": bars.rates.times,
            "funding-rates": bars.rates.rates,
            "funding-known": known,
        }
    return found


def detailed(candles: Candles, columns: Mapping[str, NDArray[Any]]) -> CoinBars:
    """Return 5m candles with the detail that was written for them, by the same names."""
    minutes = rates = None
    if "minutes" in columns:
        minutes = Candles.of(*columns["minute-opens"], *columns["minutes"])
    if "funding-times" in columns:
        times, found, known = (columns[f"funding-{name}"] for name in ("times", "rates", "known"))
        rates = RecordedRates(times, found, tuple((int(a), int(b)) for a, b in known))
    return CoinBars.of(candles, minutes, rates)
