"""A signal as one flat row: what a replay writes to CSV and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from shared.indicators.ema_ribbon import PERIODS
from shared.market import Timeframe
from shared.messages.signals import TaSignal

Kind = type[str] | type[int] | type[float] | type[bool]

_PLAIN: Mapping[str, tuple[str, Kind]] = {
    "symbol": ("symbol", str),
    "timestamp": ("timestamp", str),
    "closed_until_ms": ("closed_until_ms", int),
    "close": ("close", float),
    "long_bonus": ("composite_score_adjustment.long_bonus", int),
    "short_bonus": ("composite_score_adjustment.short_bonus", int),
    "state_5m": ("ema_ribbon.state_5m", str),
    "state_1h": ("ema_ribbon.state_1h", str),
    "state_4h": ("ema_ribbon.state_4h", str),
    "spread_5m": ("ema_ribbon.spread_5m", float),
    "spread_1h": ("ema_ribbon.spread_1h", float),
    "spread_4h": ("ema_ribbon.spread_4h", float),
    "squeeze": ("ttm_squeeze.squeeze", bool),
    "momentum": ("ttm_squeeze.momentum", float),
    "momentum_raw": ("ttm_squeeze.momentum_raw", float),
    "direction": ("ttm_squeeze.direction", str),
    "colour": ("ttm_squeeze.colour", str),
    "bars_in_squeeze": ("ttm_squeeze.bars_in_squeeze", int),
    "fired": ("ttm_squeeze.fired", bool),
    "fired_bars_ago": ("ttm_squeeze.fired_bars_ago", int),
    "fired_direction": ("ttm_squeeze.fired_direction", str),
    "last_squeeze_bars": ("ttm_squeeze.last_squeeze_bars", int),
    "divergence": ("stoch_rsi_divergence.divergence", str),
    "strength": ("stoch_rsi_divergence.strength", float),
    "candles_ago": ("stoch_rsi_divergence.candles_ago", int),
    "stoch_k": ("stoch_rsi_divergence.stoch_k", float),
    "stoch_d": ("stoch_rsi_divergence.stoch_d", float),
    "rsi": ("stoch_rsi_divergence.rsi", float),
    "pivot_a_ms": ("stoch_rsi_divergence.pivot_a_ms", int),
    "pivot_b_ms": ("stoch_rsi_divergence.pivot_b_ms", int),
}
_INPUT: Mapping[str, Kind] = {
    "bars": int,
    "warm": bool,
    "stale": bool,
    "closed_until_ms": int,
    "fetched_at_ms": int,
    "gap_bars": int,
    "unfilled_gap": bool,
    "atr14": float,
}
_REASONS = "; "

COLUMNS: Mapping[str, Kind] = {
    **{name: kind for name, (_, kind) in _PLAIN.items()},
    **{f"ema{period}_5m": float for period in PERIODS},
    **{f"ema{period}_1h": float for period in PERIODS},
    **{f"{name}_{timeframe}": kind for timeframe in Timeframe for name, kind in _INPUT.items()},
    "reasoning": str,
    "source": str,
    "outlier_bars": str,
}
"""Every column and its type, in order. Any but the first four may be empty."""

_plain: Callable[[TaSignal], tuple[Any, ...]] = attrgetter(*(path for path, _ in _PLAIN.values()))
_input: Callable[[Any], tuple[Any, ...]] = attrgetter(*_INPUT)


def row(signal: TaSignal) -> tuple[Any, ...]:
    """Return the values of `COLUMNS`; None where the signal has none."""
    return (
        *_plain(signal),
        *signal.ema_ribbon.values,
        *signal.ema_ribbon.values_1h,
        *(value for timeframe in Timeframe for value in _input(signal.inputs[timeframe])),
        _REASONS.join(signal.composite_score_adjustment.reasoning),
        signal.source,
        " ".join(map(str, signal.ttm_squeeze.outlier_bars)) or None,
    )


def csv_rows(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """Return rows as CSV: floats to the last bit, nothing where there is no value."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def header() -> bytes:
    return csv_rows([tuple(COLUMNS)])
