"""Where the trader would enter, by its own rule, on recorded scores and bonuses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.backtest.outcomes import Flags
from shared.backtest.series import Series
from shared.config.sections import TraderSection
from shared.market import Floats
from shared.messages.signals import (
    CompositeScoreAdjustment,
    EmaRibbon,
    StochRsiDivergence,
    TaSignal,
    TtmSqueeze,
)
from shared.messages.trading import TradeSide
from shared.trading.coin_state import CoinAtClose
from shared.trading.entries import SIDES, Rules, candidates


def trader_enters(
    series: Series, volume: Floats, settings: TraderSection
) -> Mapping[TradeSide, Flags]:
    """Return at which closes the trader would enter each side of a coin that it has no position in.

    Of `settings` those count that `candidates` uses; no cool-down, as no trade is known here.

    Shapes: volume (closes,), of the candle that closes -> (closes,) for each side.
    """
    found = {side: np.zeros(len(series), dtype=np.bool_) for side in SIDES}
    may = may_cross(series, settings)
    for index in np.flatnonzero(may["long"] | may["short"]).tolist():
        close_ms = int(series.times[index])
        chosen, _ = candidates(
            [coin_at(_SYMBOL, series, index, float(volume[index]))],
            {_SYMBOL: signal_at(_SYMBOL, series, index)},
            Rules(settings, cycle_ms=close_ms, now_ms=close_ms, source="sim"),
            signals_before={_SYMBOL: signal_at(_SYMBOL, series, index - 1)},
        )
        for candidate in chosen:
            found[candidate.side][index] = True
    return found


_SYMBOL = "COIN"


@dataclass(frozen=True, slots=True)
class _Score:
    close: float
    closed_until_ms: int
    points: Mapping[TradeSide, float]

    @property
    def coverage(self) -> float:
        return 0.0 if math.isnan(self.points["long"]) else 1.0

    @property
    def fault(self) -> str:
        return "" if self.coverage else "incomplete"

    def score(self, side: TradeSide) -> int:
        return int(self.points[side])


def may_cross(series: Series, settings: TraderSection) -> Mapping[TradeSide, Flags]:
    """Return where each side may cross `entry_score`: never false where it does.

    It does not if base and bonus do not reach it now, or did on the candle before.

    Shapes: (closes,) for each side.
    """
    most = settings.bonus_cap if settings.use_ta_signals else 0
    found = {side: np.zeros(len(series), dtype=np.bool_) for side in SIDES}
    for side, may in found.items():
        base, bonus = series.columns[f"base_{side}"], series.columns[side]
        counted = np.where(base >= settings.base_floor, np.minimum(bonus, most), 0.0)
        reaches, below = base + counted >= settings.entry_score, base < settings.entry_score
        may[1:] = reaches[1:] & below[:-1] & ~(reaches[:-1] & below[1:])
    return found


def coin_at(symbol: str, series: Series, index: int, volume: float) -> CoinAtClose:
    """Return a coin as of one of its closes but the first; `volume`: of the candle that closes."""
    atr = float(series.columns["atr_1h"][index])
    stops = series.columns.get("stop")
    stop = math.nan if stops is None else float(stops[index])
    return CoinAtClose(
        symbol=symbol,
        now=_score(series, index),
        before=_score(series, index - 1),
        sources=frozenset(["sim"]),
        volume=volume,
        atr_1h=None if math.isnan(atr) else atr,
        stop=None if math.isnan(stop) else stop,
    )


def _score(series: Series, index: int) -> _Score:
    return _Score(
        float(series.columns["close"][index]),
        int(series.times[index]),
        {side: float(series.columns[f"base_{side}"][index]) for side in SIDES},
    )


def signal_at(symbol: str, series: Series, index: int) -> TaSignal:
    """Return what an entry reads of the signal at a close."""
    return TaSignal(
        **_BLANK,
        symbol=symbol,
        closed_until_ms=int(series.times[index]),
        composite_score_adjustment=CompositeScoreAdjustment(
            long_bonus=int(series.columns["long"][index]),
            short_bonus=int(series.columns["short"][index]),
            reasoning=[],
        ),
    )


_BLANK: Mapping[str, Any] = dict(
    source="sim",
    timestamp="",
    close=0.0,
    inputs={},
    computed_at_ms=0,
    ema_ribbon=EmaRibbon(
        state_5m=None, state_1h=None, spread_5m=None, spread_1h=None, values=[],
        state_4h=None, spread_4h=None, values_1h=[],
    ),
    ttm_squeeze=TtmSqueeze(
        squeeze=None, momentum=None, direction=None, bars_in_squeeze=0, timeframe="5m",
        momentum_raw=None, colour=None, fired=False, fired_bars_ago=None, fired_direction=None,
        last_squeeze_bars=None,
    ),
    stoch_rsi_divergence=StochRsiDivergence(
        divergence="none", strength=0.0, candles_ago=0, stoch_k=None, stoch_d=None, rsi=None,
        pivot_a_ms=None, pivot_b_ms=None,
    ),
)  # fmt: skip
"""Of a signal an entry reads coin, source, close and bonus alone."""
