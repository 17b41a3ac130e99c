"""One timeframe of one coin as input of a computation, and whether it is usable now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from shared.indicators.rolling import by_bar
from shared.market import Candles, Floats, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import InputState

WARM_BARS = 300
"""Closed bars after which the start of the history moves EMA89 by less than 2 bps of price."""

HALT_BARS = 40
"""Bars after a confirmed halt during which nothing is scored: twice the longest window."""

STALE_GRACE_MS = 90_000
"""How late the next closed candle may be: a close is fetched within 30 s, and one or two
failed attempts are no reason to distrust the last candle."""

_MINUTE_MS = 60_000


class Reading(NamedTuple):
    """The part of a frame that does not depend on the time."""

    candles: Candles
    unfilled: bool
    gap_bars: int
    since_gap: int | None


class Frame(NamedTuple):
    """One timeframe of one coin. `fault`: why it is unusable now; "" if it is usable."""

    candles: Candles
    usable: bool
    state: InputState
    fault: str


def check_own(symbol: str, windows: Mapping[Timeframe, CandleWindow | None]) -> None:
    """Raise ValueError if one of a coin's windows is that of another coin or timeframe."""
    for timeframe, window in windows.items():
        if window is not None and (window.symbol, window.timeframe) != (symbol, timeframe):
            raise ValueError(
                f"{symbol} {timeframe}: the window given is that of {window.symbol} "
                f"{window.timeframe}"
            )


def read(window: CandleWindow | None, timeframe: Timeframe, history: int) -> Reading:
    """Return the last `history` closed candles of a window, and the holes among them."""
    candles = Candles.empty() if window is None else window.closed().tail(history)
    gaps = candles.gaps(timeframe)
    if window is None or not gaps:
        return Reading(candles, False, 0, None)
    times = candles.open_time_ms
    return Reading(
        candles,
        unfilled=any(gap[0] > times[0] for gap in window.unfilled_gaps()),
        gap_bars=sum((until - start) // timeframe.ms for start, until in gaps),
        since_gap=len(candles) - int(np.searchsorted(times, gaps[-1][1])),
    )


def judge(
    window: CandleWindow | None,
    timeframe: Timeframe,
    reading: Reading,
    now_ms: int,
    history: int,
    *,
    warm_bars: int = WARM_BARS,
) -> Frame:
    """Return the frame of a reading at `now_ms`; `warm_bars`: how many bars are enough."""
    candles, unfilled, gap_bars, since_gap = reading
    bars = len(candles)
    begins_ms = None if window is None or bars >= history else window.begins_ms or None
    if window is None or not bars:
        fetched_at_ms = None if window is None else window.fetched_at_ms
        fault = "missing" if begins_ms is None else _not_warm(0, warm_bars, begins_ms)
        nothing = InputState(
            bars=0, warm=False, stale=begins_ms is None, closed_until_ms=None,
            fetched_at_ms=fetched_at_ms, gap_bars=0, unfilled_gap=False, atr14=None,
            begins_ms=begins_ms,
        )  # fmt: skip
        return Frame(candles, False, nothing, fault)

    closed_until_ms = int(candles.open_time_ms[-1]) + timeframe.ms
    overdue_ms = now_ms - (closed_until_ms + timeframe.ms)
    warm, stale = bars >= warm_bars, overdue_ms > STALE_GRACE_MS

    fault = ""
    if unfilled:
        fault = "have an unfilled gap"
    elif stale:
        fault = f"stale {overdue_ms // _MINUTE_MS} min"
    elif not warm:
        fault = _not_warm(bars, warm_bars, begins_ms)
    elif since_gap is not None and since_gap <= HALT_BARS:
        fault = f"only {since_gap} of {HALT_BARS} bars past a halt"
    state = InputState(
        bars=bars,
        warm=warm,
        stale=stale,
        closed_until_ms=closed_until_ms,
        fetched_at_ms=window.fetched_at_ms,
        gap_bars=gap_bars,
        unfilled_gap=unfilled,
        atr14=None,
        begins_ms=begins_ms,
    )
    return Frame(candles, not unfilled, state, fault)


def _not_warm(bars: int, warm_bars: int, begins_ms: int | None) -> str:
    since = " since the price scale changed" if begins_ms else ""
    return f"not warm ({bars} of {warm_bars} bars{since})"


def stacked(frames: Sequence[Frame], column: str, bars: int) -> Floats:
    """Return one column of every frame, newest bar last; an unusable frame is all NaN.

    Shapes: at most `bars` candles per frame -> (frames, bars).
    """
    rows = np.full((len(frames), bars), np.nan)
    for row, frame in zip(rows, frames, strict=True):
        if frame.usable:
            values = getattr(frame.candles, column)
            row[bars - len(values) :] = values
    return by_bar(rows)
