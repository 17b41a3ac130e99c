"""Which candles the window of each close holds, on one timeframe, and whether it can be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.backtest.replay import Recording
from shared.indicators.frames import HALT_BARS, STALE_GRACE_MS, WARM_BARS
from shared.market import Timeframe, Times

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


class Placement(NamedTuple):
    """The windows of some closes on one timeframe: each the last candles before its `end`.

    What `frames.judge` says of each window, for all of them at once. All arrays (closes,).

    Attributes:
        base: The first candle of the history, which a break of the price scale begins anew.
        end: The candle after the newest closed one.
        usable: There are candles, and none of the gaps between them is unfilled.
        fault: Unusable, stale, not warm, or just past a halt.
        closed_until_ms: End of the newest closed candle; 0 where there is none.
    """

    base: Indices
    end: Indices
    usable: Flags
    fault: Flags
    closed_until_ms: Times


class Stretch(NamedTuple):
    """Candles that some of the closes have their windows in; `closes` says which of them."""

    candles: slice
    closes: Indices


def place(
    recording: Recording, timeframe: Timeframe, closes_ms: Times, history: int
) -> Placement:
    """Return the windows at some closes.

    Shapes: closes_ms (closes,), ascending.
    """
    times = recording.candles[timeframe].open_time_ms
    end = np.searchsorted(times + timeframe.ms, closes_ms, side="right")
    begins = np.max(
        [
            since[np.searchsorted(known, closes_ms, side="right") - 1]
            for t, (known, since) in recording.beginnings.items()
            if t.ms <= timeframe.ms
        ],
        axis=0,
    )
    base = np.searchsorted(times, [timeframe.first_open(ms) for ms in np.unique(begins).tolist()])
    base = base[np.searchsorted(np.unique(begins), begins)]
    bars = np.clip(end - base, 0, history)

    gaps = recording.absent[timeframe]
    refused = recording.refused.get(timeframe, ())
    unconfirmed = [gap for gap in gaps if any(gap[0] <= ms < gap[1] for ms in refused)]
    since_halt = _since(times, gaps, end, bars)
    unfilled = _since(times, unconfirmed, end, bars) <= HALT_BARS

    closed_until_ms = np.where(bars > 0, times[np.maximum(end, 1) - 1] + timeframe.ms, 0)
    stale = closes_ms - (closed_until_ms + timeframe.ms) > STALE_GRACE_MS
    usable = (bars > 0) & ~unfilled
    fault = ~usable | stale | (bars < WARM_BARS) | (since_halt <= HALT_BARS)
    return Placement(base, end, usable, fault, closed_until_ms)


def _since(
    times: Times, gaps: list[tuple[int, int]] | tuple[tuple[int, int], ...], end: Indices,
    bars: Indices,
) -> Indices:  # fmt: skip
    """Return how many bars of each window follow its newest gap; very many where it has none."""
    after = np.searchsorted(times, [0, *(until for _, until in gaps)])
    newest = after[np.searchsorted(after[1:], end, side="left")]
    return np.where(newest > end - bars, end - newest, np.iinfo(np.int64).max)


def stretches(placement: Placement, history: int) -> Iterator[Stretch]:
    """Yield stretches that together hold the candles of every window that has some."""
    there = placement.end > placement.base
    for base in np.unique(placement.base[there]).tolist():
        closes = np.flatnonzero(there & (placement.base == base))
        ends = placement.end[closes]
        # A window that begins the stretch is a full one, or the history's first.
        yield Stretch(slice(max(base, int(ends.min()) - history), int(ends.max())), closes)
