"""A coin's state at the deciding close: scores of two candles, volume, ATR. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shared.indicators.rolling import atr
from shared.indicators.scoring import base_scores_at
from shared.indicators.signals import CoinWindows
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow, Source
from shared.strategy.live import Scored, StrategyScore

M5, H1 = Timeframe.M5, Timeframe.H1


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinAtClose:
    """One coin at the deciding close of 5m candles.

    Attributes:
        now: Base score of that candle, or the error.
        before: Base score of the candle before it, or the error.
        sources: Of the candles.
        volume: Of the newest closed candle, in base currency; 0 if nothing is scored.
        atr_1h: ATR14 of the 1h candles closed by then, in quote currency; None if unknown.
        stop: Distance of the stop that the strategy wants, as a share of the price; None: none.
    """

    symbol: str
    now: Scored | Exception
    before: Scored | Exception
    sources: frozenset[Source]
    volume: float
    atr_1h: float | None
    stop: float | None = None


def asked_at_close(coins: Sequence[CoinWindows], cycle_ms: int) -> list[tuple[CoinWindows, int]]:
    """Return what to score for `coins_at_close`: every coin at the close, then at the one before.

    Candles that closed later are not in it.
    """
    closes = (cycle_ms, cycle_ms - M5.ms)
    return [(_until(coin, close_ms), close_ms) for close_ms in closes for coin in coins]


def coins_at_close(
    coins: Sequence[CoinWindows],
    history: int,
    cycle_ms: int,
    scores: Sequence[Scored | Exception] | None = None,
) -> list[CoinAtClose]:
    """Return every coin as of the close at `cycle_ms`, in the order given.

    Candles that closed later are ignored, so the result does not depend on when it is computed. A
    coin whose candle of that close is missing has scores of an earlier one: see `closed_until_ms`.

    Args:
        coins: Their windows of 5m and 1h, and of what else the strategy needs.
        history: Closed candles that count, as for `base_scores`.
        cycle_ms: A close of 5m candles.
        scores: Of what `asked_at_close` returns, in its order; those of the built-in strategy
            unless given.
    """
    asked = asked_at_close(coins, cycle_ms)
    scores = base_scores_at(asked, history) if scores is None else scores
    half = len(coins)
    return [
        _coin(coin, now, before, history)
        for (coin, _), now, before in zip(asked[:half], scores[:half], scores[half:], strict=True)
    ]


def _coin(
    coin: CoinWindows, now: Scored | Exception, before: Scored | Exception, history: int
) -> CoinAtClose:
    scored = not isinstance(now, Exception)
    return CoinAtClose(
        symbol=coin.symbol,
        now=now,
        before=before,
        sources=frozenset(w.source for w in coin.windows.values() if w is not None),
        volume=_last_volume(coin.windows) if scored else 0.0,
        atr_1h=_atr(coin.windows.get(H1), history) if scored else None,
        stop=now.stop if isinstance(now, StrategyScore) else None,
    )


def _until(coin: CoinWindows, close_ms: int) -> CoinWindows:
    windows = {
        timeframe: window
        if window is None
        else replace(window, closed_until_ms=min(window.closed_until_ms, close_ms))
        for timeframe, window in coin.windows.items()
    }
    return CoinWindows(coin.symbol, windows)


def _last_volume(windows: Mapping[Timeframe, CandleWindow | None]) -> float:
    window = windows.get(M5)
    candles = Candles.empty() if window is None else window.closed()
    return float(candles.volume[-1]) if len(candles) else 0.0


def _atr(window: CandleWindow | None, history: int) -> float | None:
    candles = Candles.empty() if window is None else window.closed().tail(history)
    if not len(candles):
        return None
    last = float(atr(candles.high[None], candles.low[None], candles.close[None])[0, -1])
    return last if np.isfinite(last) else None
