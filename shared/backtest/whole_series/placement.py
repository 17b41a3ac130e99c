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

_ALWAYS = np.iinfo(np.int64).max


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
    """Candles that some closes have their windows in.

    Attributes:
        closes: Which closes; a slice where they are all in a row.
        newest: The newest candle of each one's window, by its place in the stretch.
    """

    candles: slice
    closes: Indices | slice
    newest: Indices | slice


def place(
    recording: Recording,
    timeframe: Timeframe,
    indices: range,
    history: int,
    *,
    warm_bars: int = WARM_BARS,
) -> Placement:
    """Return the windows at the close of each 5m candle in `indices`.

    Args:
        warm_bars: How many bars are enough.
    """
    times = recording.candles[timeframe].open_time_ms
    closes_ms = recording.closes[indices.start : indices.stop]
    ends_ms = times + timeframe.ms
    every: Indices = np.arange(indices.start + 1, indices.stop + 1)
    end = every if timeframe is Timeframe.M5 else _reached(ends_ms, closes_ms)
    base = np.zeros_like(end)
    for t, (known, since) in recording.beginnings.items():
        if t.ms <= timeframe.ms and len(since) > 1:
            first = np.searchsorted(times, [timeframe.first_open(ms) for ms in since.tolist()])
            base = np.maximum(base, first[_reached(known, closes_ms) - 1])
    bars = np.clip(end - base, 0, history)

    gaps = recording.absent[timeframe]
    refused = recording.refused.get(timeframe, ())
    unconfirmed = [gap for gap in gaps if any(gap[0] <= ms < gap[1] for ms in refused)]
    usable = bars > 0
    closed_until_ms = np.append(0, ends_ms)[end * usable]
    fault = closes_ms - closed_until_ms > timeframe.ms + STALE_GRACE_MS
    fault |= bars < warm_bars
    if gaps:
        usable &= _since(times, unconfirmed, end, bars) > HALT_BARS
        fault |= _since(times, gaps, end, bars) <= HALT_BARS
    fault |= ~usable
    return Placement(base, end, usable, fault, closed_until_ms)


def _reached(moments: Times, closes_ms: Times) -> Indices:
    """Return how many of the moments each close is at or after; both ascend."""
    steps = np.bincount(np.searchsorted(closes_ms, moments), minlength=len(closes_ms) + 1)
    return np.cumsum(steps[: len(closes_ms)])


def _since(
    times: Times, gaps: list[tuple[int, int]] | tuple[tuple[int, int], ...], end: Indices,
    bars: Indices,
) -> Indices:  # fmt: skip
    """Return how many bars of each window follow its newest gap; very many where it has none."""
    if not gaps:
        return np.full_like(end, _ALWAYS)
    after = np.searchsorted(times, [0, *(until for _, until in gaps)])
    newest = after[np.searchsorted(after[1:], end, side="left")]
    return np.where(newest > end - bars, end - newest, _ALWAYS)


def stretches(placement: Placement, history: int) -> Iterator[Stretch]:
    """Yield stretches that together hold the candles of every window that has some."""
    there = placement.end > placement.base
    for base in _distinct(placement.base[there]):
        closes = _places(there & (placement.base == base))
        ends = placement.end[closes]
        # With a history more: numbers made of those of the bars before are then as in the whole.
        first = max(base, int(ends[0]) - 2 * history)
        yield Stretch(slice(first, int(ends[-1])), closes, _in_a_row(ends - 1 - first))


def _distinct(values: Indices) -> list[int]:
    changed = np.flatnonzero(np.diff(values)) + 1
    return sorted({*values[:1].tolist(), *values[changed].tolist()})


def _places(flags: Flags) -> Indices | slice:
    first, end = int(flags.argmax()), len(flags) - int(flags[::-1].argmax())
    return slice(first, end) if flags[first:end].all() else np.flatnonzero(flags)


def _in_a_row(places: Indices) -> Indices | slice:
    """Return a slice if it chooses the same: views cost nothing."""
    first, last = int(places[0]), int(places[-1])
    if last - first + 1 == len(places) and bool((np.diff(places) == 1).all()):
        return slice(first, last + 1)
    return places
