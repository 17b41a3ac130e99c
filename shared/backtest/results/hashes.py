"""Digests of what went into a result, and of what came out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import numpy as np

from shared.backtest.replay import Recording
from shared.backtest.simulation.market_detail import MarketDetail
from shared.backtest.simulation.trades import AccountHistory
from shared.market import COLUMNS, Candles


def data_hash(
    recordings: Mapping[str, Recording],
    history: int,
    from_ms: int,
    to_ms: int,
    details: Mapping[str, MarketDetail] | None = None,
) -> str:
    """Return the SHA-256 of the candles and funding rates used, whatever files they are from.

    Args:
        history: Closed candles that count for a score, before `from_ms`.
    """
    digest = hashlib.sha256()
    for symbol in sorted(recordings):
        for timeframe, candles in sorted(recordings[symbol].candles.items()):
            since_ms = from_ms - history * timeframe.ms
            first, end = candles.open_time_ms.searchsorted([since_ms, to_ms])
            digest.update(f"{symbol} {timeframe} {end - first}\n".encode())
            _add(digest, candles[int(first) : int(end)])
        if details and symbol in details:
            _add_detail(digest, symbol, details[symbol].between(from_ms, to_ms))
    return digest.hexdigest()


def history_digest(history: AccountHistory) -> str:
    """Return the SHA-256 of trades, prices and sizes as decimal text, and of equity to 1e-8."""
    digest = hashlib.sha256()
    for trade in history.trades:
        row = [_text(value) for value in asdict(trade).values()]
        digest.update(" ".join(row).encode() + b"\n")
    digest.update(np.ascontiguousarray(history.at_ms).tobytes())
    digest.update((np.round(history.equity, 8) + 0.0).tobytes())
    return digest.hexdigest()


def _add(digest: Any, candles: Candles) -> None:
    for name in COLUMNS:
        digest.update(np.ascontiguousarray(getattr(candles, name)).tobytes())


def _add_detail(digest: Any, symbol: str, detail: MarketDetail) -> None:
    if (minutes := detail.minutes) is not None and len(minutes.candles):
        digest.update(f"{symbol} 1m {len(minutes.candles)}\n".encode())
        _add(digest, minutes.candles)
    if (rates := detail.rates) is not None and rates.known:
        digest.update(f"{symbol} funding {rates.known}\n".encode())
        for column in (rates.times, rates.rates):
            digest.update(np.ascontiguousarray(column).tobytes())


def _text(value: object) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
