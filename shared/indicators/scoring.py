"""Base scores of coins from their candle windows, and their labels. Pure.

The components are in `shared/indicators/base_score.py`, statistics in `docs/scoring.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from shared.clock import utc_text
from shared.errors import NoCandles
from shared.indicators.base_score import (
    COMPONENTS,
    SIGNS,
    Bars,
    Inputs,
    coverage,
    inputs_of,
    points,
    side_score,
    total,
)
from shared.indicators.blocks import results_of
from shared.indicators.frames import Frame, check_own, judge, read, stacked
from shared.indicators.signals import CoinWindows
from shared.market import Candles, Floats, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import Label, LabelChange, SideScore
from shared.messages.trading import TradeSide

WATCH, CANDIDATE, STRONG = 60, 75, 86
"""Least scores of the labels. Strong is rare enough to look at each one: on four months of 29
coins it starts 0.92 times per coin per day (1.26 from 85 on, 0.64 from 87 on), candidate 8
times; see `docs/scoring.md`."""

CANDIDATE_KEPT, STRONG_KEPT = 65, 70
"""Hysteresis: a label is kept down to these scores."""

DAY_MS = 86_400_000
M5, H1 = Timeframe.M5, Timeframe.H1


@dataclass(frozen=True, slots=True)
class BaseScore:
    """The base score of one coin at the close of its newest closed 5m candle.

    Attributes:
        change_24h_pct: From the close 24 h earlier; None if unknown.
        coverage: Share of the 100 points whose inputs exist, 0..1.
        fault: Why the score is incomplete; "" when it is complete.
    """

    symbol: str
    close: float
    closed_until_ms: int
    change_24h_pct: float | None
    coverage: float
    fault: str
    _points: Mapping[TradeSide, Floats]
    _inputs: Inputs
    _row: int

    def score(self, side: TradeSide) -> int:
        """Return the points of one side, 0..100."""
        return total(self._points[side])

    def side(self, side: TradeSide) -> SideScore:
        """Return the points of one side with every part in words."""
        return side_score(self._inputs, self._row, side, self._points[side])


def base_scores(
    coins: Sequence[CoinWindows], history: int, now_ms: int
) -> dict[str, BaseScore | Exception]:
    """Return the base score or the error of every coin.

    Only the last `history` closed candles count: of 5m up to the newest, of 1h those that had
    closed when the newest 5m candle did. So the score of a candle is the same whenever it is
    computed; `now_ms` decides only what is stale. 5m candles that are stale, not warm, with an
    unfilled gap or just past a halt score nothing; 1h candles like that leave out their
    component.

    Returns:
        One entry per coin, in the order given. NoCandles: no closed 5m candle.
    """
    found = base_scores_at([(coin, now_ms) for coin in coins], history)
    return {coin.symbol: result for coin, result in zip(coins, found, strict=True)}


def base_scores_at(
    asked: Sequence[tuple[CoinWindows, int]], history: int
) -> list[BaseScore | Exception]:
    """Return, for each coin and its own `now_ms`, what `base_scores` would, in the order given."""
    return results_of(
        asked,
        lambda each: _prepare(each[0], history, each[1]),
        lambda coins: _scores(coins, history),
    )


class _Coin(NamedTuple):
    symbol: str
    m5: Frame
    h1: Frame
    h1_fault: str


def _prepare(coin: CoinWindows, history: int, now_ms: int) -> _Coin:
    check_own(coin.symbol, coin.windows)
    m5_window = coin.windows.get(M5)
    m5 = judge(m5_window, M5, read(m5_window, M5, history), now_ms, history)
    if m5.state.closed_until_ms is None:
        raise NoCandles(f"{coin.symbol} 5m: not one closed candle to compute from")
    h1_window = window_until(coin.windows.get(H1), m5.state.closed_until_ms)
    h1 = judge(h1_window, H1, read(h1_window, H1, history), now_ms, history)
    due_ms = H1.open_at(m5.state.closed_until_ms)
    fault = h1.fault
    if not fault and h1_window is not None and h1_window.closed_until_ms < due_ms:
        fault = f"not yet closed until {utc_text(due_ms)}"
    return _Coin(coin.symbol, m5, h1, fault)


def window_until(window: CandleWindow | None, time_ms: int) -> CandleWindow | None:
    """Return the window as it was when nothing after `time_ms` had closed."""
    if window is None or window.closed_until_ms <= time_ms:
        return window
    return replace(window, closed_until_ms=time_ms)


def _scores(coins: Sequence[_Coin], history: int) -> list[BaseScore]:
    if not coins:
        return []
    # An unusable frame gives NaN.
    m5 = [c.m5._replace(usable=not c.m5.fault) for c in coins]
    h1 = [c.h1._replace(usable=not c.h1_fault and not c.m5.fault) for c in coins]
    bars = Bars(
        open=stacked(m5, "open", history),
        high=stacked(m5, "high", history),
        low=stacked(m5, "low", history),
        close=stacked(m5, "close", history),
        volume=stacked(m5, "volume", history),
        close_1h=stacked(h1, "close", history),
    )
    inputs = inputs_of(bars)
    given = {side: points(inputs, side) for side in SIGNS}
    return [
        _score(coin, inputs, row, {side: of[:, row] for side, of in given.items()})
        for row, coin in enumerate(coins)
    ]


def _score(coin: _Coin, inputs: Inputs, row: int, given: Mapping[TradeSide, Floats]) -> BaseScore:
    candles = coin.m5.candles
    covered = coverage(given["long"])
    return BaseScore(
        symbol=coin.symbol,
        close=float(candles.close[-1]),
        closed_until_ms=int(candles.open_time_ms[-1]) + M5.ms,
        change_24h_pct=change_24h_pct(candles),
        coverage=covered,
        fault="" if covered == 1 else _fault(coin, given["long"]),
        _points=given,
        _inputs=inputs,
        _row=row,
    )


def _fault(coin: _Coin, given: Floats) -> str:
    if coin.m5.fault:
        return f"5m candles {coin.m5.fault}: nothing scored"
    missing = [n for n, p in zip(COMPONENTS, given, strict=True) if not np.isfinite(p)]
    faults = []
    if coin.h1_fault:
        context, *missing = missing
        faults.append(f"1h candles {coin.h1_fault}: {context} not scored")
    if missing:
        faults.append(f"without movement or volume: {', '.join(missing)} not scored")
    return "; ".join(faults)


def change_24h_pct(candles: Candles) -> float | None:
    times = candles.open_time_ms
    wanted = times[-1] - DAY_MS
    place = int(np.searchsorted(times, wanted))
    if times[place] != wanted:
        return None
    return 100.0 * (float(candles.close[-1]) / float(candles.close[place]) - 1.0)


def next_label(before: Label, score: int) -> Label:
    """Return the label of a side after a score, given the one before it."""
    if score >= STRONG or (before == "strong" and score >= STRONG_KEPT):
        return "strong"
    if score >= CANDIDATE or (before in ("candidate", "strong") and score >= CANDIDATE_KEPT):
        return "candidate"
    return "watch" if score >= WATCH else "none"


def label_event(
    before: Label, after: Label
) -> tuple[Literal["entered", "left"], Literal["candidate", "strong"]] | None:
    """Return the history event of a change: the label entered, or the one left, or nothing.

    A jump over a label is one event: from below to `strong` is `entered strong`.
    """
    if _RANKS[after] > _RANKS[before] and after in ("candidate", "strong"):
        return "entered", after
    if _RANKS[after] < _RANKS[before] and before in ("candidate", "strong"):
        return "left", before
    return None


def label_after(change: LabelChange) -> Label:
    """Return the label a side had after an event of the history; `none` stands for `watch` too."""
    if change.event == "entered":
        return change.label
    return "candidate" if change.label == "strong" and change.base >= CANDIDATE_KEPT else "none"


_RANKS: Mapping[Label, int] = {"none": 0, "watch": 0, "candidate": 1, "strong": 2}
