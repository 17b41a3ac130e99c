"""At which closes scanner and trader would have asked a user's strategy for a coin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shared.backtest.outcomes import Flags
from shared.backtest.replay import Recording
from shared.backtest.whole_series.placement import place
from shared.market import Timeframe, Times

ALWAYS = (Timeframe.M5, Timeframe.H1)
"""The trader waits for these, whichever strategy scores: it sets stops by the 1h ATR."""


@dataclass(frozen=True, slots=True, eq=False)
class DueCloses:
    """The closes of one coin. Shapes: (closes,).

    Attributes:
        is_due: Where a live call would be made for it: see `shared/strategy/live.py:prepared`.
        is_seen: Where some bar is in the call's time, due or not.
        begins: Which history it is of: another after each break of the price scale.
    """

    times: Times
    is_due: Flags
    is_seen: Flags
    begins: Times


def due_closes(
    recording: Recording, bars: Mapping[Timeframe, int], from_ms: int, to_ms: int
) -> DueCloses:
    """Return the closes of the 5m candles that opened in `[from_ms, to_ms)`.

    Args:
        bars: What the strategy asks for.
    """
    indices = recording.indices(from_ms, to_ms)
    times = recording.closes[indices.start : indices.stop]
    is_due = np.ones(len(times), dtype=np.bool_)
    is_seen = np.zeros(len(times), dtype=np.bool_)
    begins: Times = np.zeros(len(times), dtype=np.int64)
    for timeframe, count in bars.items():
        placed = place(recording, timeframe, indices, count, warm_bars=count)
        is_due &= ~placed.fault
        first_ms = times - times % timeframe.ms - count * timeframe.ms
        is_seen |= placed.closed_until_ms > first_ms
        if timeframe is Timeframe.M5:
            begins = placed.base
    for timeframe in {*ALWAYS, *bars}:
        opens, last = recording.candles[timeframe].open_time_ms, times - times % timeframe.ms
        is_due &= np.isin(last - timeframe.ms, opens)
    return DueCloses(times, is_due, is_seen, begins)
