"""Examples of what a guest reads."""

from __future__ import annotations

from typing import Any

_CLOSE_MS = 1_772_366_400_000
_INPUT = {
    "bars": 500, "warm": True, "stale": False, "closed_until_ms": _CLOSE_MS,
    "fetched_at_ms": _CLOSE_MS + 900, "gap_bars": 0, "unfilled_gap": False, "atr14": 85.4,
    "begins_ms": None,
}  # fmt: skip
TA_EXAMPLE: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "timestamp": "2026-03-01T12:00:00Z",
    "ema_ribbon": {
        "state_5m": "bullish", "state_1h": "bullish", "spread_5m": 72.5, "spread_1h": 85.3,
        "values": [67200.0, 67150.0, 67050.0, 66900.0, 66700.0, 66400.0],
        "state_4h": "mixed", "spread_4h": 20.1,
        "values_1h": [67100.0, 66900.0, 66500.0, 66000.0, 65400.0, 64300.0],
    },
    "ttm_squeeze": {
        "squeeze": False, "momentum": 0.45, "direction": "bullish", "bars_in_squeeze": 0,
        "timeframe": "5m", "momentum_raw": 38.4, "colour": "rising_positive", "fired": True,
        "fired_bars_ago": 1, "fired_direction": "bullish", "last_squeeze_bars": 8,
        "outlier_bars": [],
    },
    "stoch_rsi_divergence": {
        "divergence": "none", "strength": 0.0, "candles_ago": 0, "stoch_k": 45.2, "stoch_d": 42.1,
        "rsi": 55.0, "pivot_a_ms": None, "pivot_b_ms": None,
    },
    "composite_score_adjustment": {
        "long_bonus": 25, "short_bonus": 0,
        "reasoning": ["EMA ribbon bullish on 5m and 1h (+10)", "TTM squeeze fired bullish (+15)"],
    },
    "closed_until_ms": _CLOSE_MS,
    "close": 67210.5,
    "inputs": {"5m": _INPUT},
    "source": "binance",
    "computed_at_ms": _CLOSE_MS + 1_200,
    "v": 1,
}  # fmt: skip
SCAN_EXAMPLE: dict[str, Any] = {
    "at_ms": _CLOSE_MS + 1_500,
    "closed_until_ms": _CLOSE_MS,
    "coins": [
        {
            "symbol": "BTCUSDT", "close": 67210.5, "change_24h_pct": 1.8,
            "long": {
                "score": 45,
                "parts": [{"name": "trend", "points": 30.0, "max": 30.0, "text": "above EMA 50"},
                          {"name": "rsi", "points": 15.5, "max": 20.0, "text": "RSI 55"}],
            },
            "short": {"score": 0, "parts": []},
            "coverage": 1.0, "label_long": "none", "label_short": "none",
            "long_bonus": 25, "short_bonus": 0, "closed_until_ms": _CLOSE_MS, "fault": "",
        }
    ],
    "source": "binance",
    "strategy": {
        "name": "base", "version": "1", "hash": "e3b0c44298fc1c149afbf4c8996fb924",
        "class_name": "",
    },
    "v": 1,
}  # fmt: skip
WINDOW_EXAMPLE: dict[str, Any] = {
    "v": 1,
    "symbol": "BTCUSDT",
    "timeframe": "5m",
    "closed_until_ms": _CLOSE_MS,
    "fetched_at_ms": _CLOSE_MS + 900,
    "source": "binance",
    "absent": [],
    "begins_ms": 0,
    "open_time_ms": [_CLOSE_MS - 300_000, _CLOSE_MS],
    "open": [67150.0, 67210.5],
    "high": [67230.1, 67214.0],
    "low": [67120.0, 67190.2],
    "close": [67210.5, 67201.0],
    "volume": [12.5, 0.8],
}
