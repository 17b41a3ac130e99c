"""Every kernel under one roof, with what mirroring and scaling the prices must do to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from shared.indicators.divergence import divergences
from shared.indicators.ema_ribbon import PERIODS, ema_ribbon
from shared.indicators.outliers import find_outliers
from shared.indicators.rolling import atr, true_range
from shared.indicators.stoch_rsi import stoch_rsi
from shared.indicators.ttm_squeeze import ttm_squeeze
from shared.market import Candles, Floats

Array = npt.NDArray[Any]
Mirror = Literal["same", "flips", "price", "points"]
Scale = Literal["same", "price"]


@dataclass(frozen=True)
class Bars:
    """Prices and volume of several rows, all (rows, bars)."""

    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    @classmethod
    def of(cls, *rows: Candles) -> Bars:
        """Stack candles of equal length."""
        return cls(*(np.stack([getattr(r, c) for r in rows]) for c in FIELDS))

    def each(self, change: Callable[[Floats], Floats]) -> Bars:
        """Return the bars with every column changed."""
        return Bars(*(change(getattr(self, c)) for c in FIELDS))

    def mirrored(self, about: float) -> Bars:
        """Return the bars turned upside down: a price p becomes 2 about - p."""
        turn = 2.0 * about
        return Bars(turn - self.low, turn - self.high, turn - self.close, self.volume)

    def scaled(self, factor: float) -> Bars:
        """Return the bars with every price multiplied."""
        return Bars(self.high * factor, self.low * factor, self.close * factor, self.volume)

    def prefix(self, bars: int) -> Bars:
        """Return the oldest bars."""
        return self.each(lambda x: np.ascontiguousarray(x[:, :bars]))


FIELDS = ("high", "low", "close", "volume")


@dataclass(frozen=True)
class Output:
    """One output of a kernel.

    Attributes:
        lookback: Bars before its first honest value.
        empty: What stands there instead.
        memory: Bars for which a NaN keeps it empty; None: until the row's end.
    """

    mirror: Mirror
    scale: Scale
    lookback: int
    empty: float
    memory: int | None = None

    def mirrored(self, values: Array, about: float) -> Array:
        """Return what mirroring the prices must make of `values`."""
        if self.mirror == "flips":
            return -values
        if self.mirror == "price":
            return 2.0 * about - values
        return 100.0 - values if self.mirror == "points" else values

    def scaled(self, values: Array, factor: float) -> Array:
        """Return what multiplying the prices must make of `values`."""
        return values * factor if self.scale == "price" else values


NAN = float("nan")
LIMIT = 4.0
"""ATR beyond which a bar is an outlier here: low, so that walks have some."""
ATR, RIBBON, SQUEEZE, MOMENTUM, RSI, STOCH_K = 13, 88, 19, 38, 14, 29  # bars before the first value
OUTPUTS: Mapping[str, Output] = {
    "atr": Output("same", "price", ATR, NAN),
    "ribbon.values": Output("price", "price", RIBBON, NAN),
    "ribbon.state": Output("flips", "same", RIBBON, 0),
    "ribbon.spread": Output("same", "same", RIBBON, NAN),
    "squeeze.mid": Output("price", "price", SQUEEZE, NAN, 20),
    "squeeze.bollinger_half": Output("same", "price", SQUEEZE, NAN, 20),
    "squeeze.keltner_half": Output("same", "price", SQUEEZE, NAN, 20),
    "squeeze.known": Output("same", "same", SQUEEZE, 0, 20),
    "squeeze.on": Output("same", "same", SQUEEZE, 0, 20),
    "squeeze.run": Output("same", "same", SQUEEZE, 0, 20),
    "squeeze.momentum": Output("flips", "price", MOMENTUM, NAN, 39),
    "squeeze.direction": Output("flips", "same", MOMENTUM, 0, 39),
    "squeeze.rising": Output("flips", "same", MOMENTUM + 1, 0, 39),
    "squeeze.fired_ago": Output("same", "same", SQUEEZE + 3, -1, 20),
    "squeeze.fired_direction": Output("flips", "same", SQUEEZE + 3, 0, 20),
    "outliers.found": Output("same", "same", ATR + 1, 0),
    "outliers.atr14": Output("same", "price", ATR, NAN),
    "rsi": Output("points", "same", RSI, NAN),
    "stoch.k": Output("points", "same", STOCH_K, NAN),
    "stoch.d": Output("points", "same", STOCH_K + 2, NAN),
    "divergence.side": Output("flips", "same", STOCH_K + 2, 0),
    "divergence.strength": Output("same", "same", STOCH_K + 2, 0),
    "divergence.pivot_a": Output("same", "same", STOCH_K + 2, -1),
    "divergence.pivot_b": Output("same", "same", STOCH_K + 2, -1),
}
STATES = tuple(
    name for name in OUTPUTS
    if name.rpartition(".")[2] in (
        "state", "known", "on", "run", "direction", "rising", "fired_ago", "fired_direction",
        "found", "side", "strength", "pivot_a", "pivot_b",
    )
)  # fmt: skip


def compute(bars: Bars) -> dict[str, Array]:
    """Return every output; rows stand in the last axis but one, bars in the last."""
    atr14 = atr(bars.high, bars.low, bars.close)
    ribbon = ema_ribbon(bars.close, atr14)
    squeeze = ttm_squeeze(bars.high, bars.low, bars.close, bars.volume)
    stoch = stoch_rsi(bars.close)
    found = divergences(bars.high, bars.low, stoch.k, atr14)
    ranges = true_range(bars.high, bars.low, bars.close)
    parts: dict[str, object] = {
        "ribbon": ribbon, "squeeze": squeeze, "stoch": stoch, "divergence": found,
        "outliers": find_outliers(ranges, bars.close, atr14, LIMIT),
    }  # fmt: skip
    outputs: dict[str, Array] = {"atr": atr14, "rsi": stoch.rsi}
    for name in OUTPUTS:
        part, _, attribute = name.partition(".")
        if attribute:
            outputs[name] = getattr(parts[part], attribute)
    # The slowest line stands for all six where one lookback is asked for.
    outputs["ribbon.values"] = ribbon.values[-1]
    return outputs


def near_threshold(bars: Bars) -> bool:
    """Tell whether some comparison hangs on the last digits: then states may differ."""
    out = compute(bars)
    atr14 = atr(bars.high, bars.low, bars.close)
    lines = ema_ribbon(bars.close, atr14).values
    price, outliers = np.abs(bars.close), out["outliers.atr14"]
    margins = [
        *(np.abs(a - b) / price for a, b in pairwise(lines)),
        np.abs(out["squeeze.keltner_half"] - out["squeeze.bollinger_half"]) / price,
        np.abs(out["squeeze.momentum"]) / price,
        np.abs(np.diff(out["squeeze.momentum"], axis=1)) / price[:, 1:],
        np.abs(out["stoch.k"] - 50.0),
        np.abs(true_range(bars.high, bars.low, bars.close)[:, 1:] - LIMIT * outliers[:, :-1])
        / price[:, 1:],
    ]
    # Two pivots' %K one point apart: any two bars' may be compared.
    k = np.sort(out["stoch.k"][np.isfinite(out["stoch.k"])])
    apart = k[np.clip(np.searchsorted(k, k + 1.0), 0, max(0, len(k) - 1))] - k - 1.0
    margins.append(np.abs(apart))
    return any(bool((m < 1e-8).any()) for m in margins)


def by_name(candles: Candles) -> dict[str, Floats]:
    """Return our numbers of one row under the names the referees use."""
    bars = Bars.of(candles)
    atr14 = atr(bars.high, bars.low, bars.close)
    ribbon = ema_ribbon(bars.close, atr14)
    squeeze = ttm_squeeze(bars.high, bars.low, bars.close, bars.volume)
    stoch = stoch_rsi(bars.close)
    return {
        **{f"ema{p}": ribbon.values[i, 0] for i, p in enumerate(PERIODS)},
        "atr": atr14[0],
        "rsi": stoch.rsi[0],
        "k": stoch.k[0],
        "d": stoch.d[0],
        "mid": squeeze.mid[0],
        "upper": (squeeze.mid + squeeze.bollinger_half)[0],
        "lower": (squeeze.mid - squeeze.bollinger_half)[0],
        "keltner_half": squeeze.keltner_half[0],
        "momentum": squeeze.momentum[0],
        "state": ribbon.state[0].astype(np.float64),
        "on": squeeze.on[0].astype(np.float64),
    }
