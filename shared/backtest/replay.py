"""Replays recorded candles into the signals and scores a platform would have published.

Uses the actors' own computation (`signals_at`, `base_scores_at`) on the windows they would have
read from the bus at each close, with the clock set to the close.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from shared.candles.admission import beginnings
from shared.config.sections import IndicatorsSection
from shared.indicators.frames import HALT_BARS
from shared.indicators.scoring import BaseScore, base_scores_at
from shared.indicators.signals import CoinWindows, signals_at
from shared.market import Candles, Timeframe, Times
from shared.messages.candles import CandleWindow, Source
from shared.messages.signals import TaSignal

BLOCK = 64
"""Closes per block: the kernels' arrays of 500 bars then fit into a core's cache."""

M5 = Timeframe.M5


@dataclass(frozen=True)
class Recording:
    """The recorded candles of one coin on every timeframe.

    Gaps count as confirmed: the exchange never had these candles.

    Attributes:
        refused: Open times of rows that were refused.
        remarks: What was left out, in words.
    """

    symbol: str
    candles: Mapping[Timeframe, Candles]
    refused: Mapping[Timeframe, tuple[int, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @cached_property
    def closes(self) -> Times:
        """Times at which a 5m candle closes."""
        return self.candles[M5].open_time_ms + M5.ms

    @cached_property
    def absent(self) -> Mapping[Timeframe, tuple[tuple[int, int], ...]]:
        """The gaps of each timeframe."""
        return {t: tuple(candles.gaps(t)) for t, candles in self.candles.items()}

    @cached_property
    def beginnings(self) -> Mapping[Timeframe, tuple[Times, Times]]:
        """When, and where, the history of each timeframe began anew."""
        return {t: beginnings(candles, t) for t, candles in self.candles.items()}

    def begins_ms(self, timeframe: Timeframe, now_ms: int) -> int:
        """Return the newest break of the price scale known at a time; 0 if there is none."""
        known = [self.beginnings[t] for t in Timeframe if t.ms <= timeframe.ms]
        return max(
            int(begins[np.searchsorted(closes, now_ms, side="right") - 1])
            for closes, begins in known
        )

    def absent_at(self, timeframe: Timeframe, end: int) -> tuple[tuple[int, int], ...]:
        """Return the gaps of a timeframe that count as confirmed at its candle `end`.

        One that a refused row left does only when `HALT_BARS` candles follow it, as when fetched.
        """
        gaps, refused = self.absent[timeframe], self.refused.get(timeframe, ())
        if not refused:
            return gaps
        times = self.candles[timeframe].open_time_ms
        return tuple(
            (start, until)
            for start, until in gaps
            if end - np.searchsorted(times, until) > HALT_BARS
            or not any(start <= ms < until for ms in refused)
        )

    def indices(self, from_ms: int, to_ms: int) -> range:
        """Return which 5m candles lie in `[from_ms, to_ms)`, by index."""
        first, end = np.searchsorted(self.candles[M5].open_time_ms, [from_ms, to_ms])
        return range(int(first), int(end))


def replay(
    recording: Recording,
    indices: Sequence[int],
    settings: IndicatorsSection,
    *,
    source: Source = "sim",
    block: int = BLOCK,
) -> Iterator[list[TaSignal]]:
    """Yield the signals at the close of each 5m candle in `indices`, some closes at a time.

    Each is computed from the last `settings.history` candles closed by then on each timeframe,
    fetched the moment they closed. `computed_at_ms` is the close.

    Raises:
        Exception: From computing a coin; the actor would have skipped the coin.
    """
    for batch in _window_batches(recording, indices, settings.history, source, block):
        yield _all(signals_at(batch, settings))


def replay_scores(
    recording: Recording, indices: Sequence[int], history: int, *, block: int = BLOCK
) -> Iterator[list[BaseScore]]:
    """Yield the base scores at the close of each 5m candle in `indices`, as `replay` the signals.

    Raises:
        Exception: From scoring a coin; the actor would have published it as the score's fault.
    """
    for batch in _window_batches(recording, indices, history, "sim", block):
        yield _all(base_scores_at(batch, history))


def _window_batches(
    recording: Recording, indices: Sequence[int], history: int, source: Source, block: int
) -> Iterator[list[tuple[CoinWindows, int]]]:
    windows = _Windows(recording, history, source)
    for start in range(0, len(indices), block):
        yield [windows.at(index) for index in indices[start : start + block]]


def _all[T](results: Sequence[T | Exception]) -> list[T]:
    found = []
    for result in results:
        if isinstance(result, Exception):
            raise result
        found.append(result)
    return found


class _Windows:
    """The windows of one coin as the fetcher would have published them, cached."""

    def __init__(self, recording: Recording, history: int, source: Source) -> None:
        self._recording = recording
        self._history = history
        self._source = source
        self._closes = {
            timeframe: candles.open_time_ms + timeframe.ms
            for timeframe, candles in recording.candles.items()
        }
        self._latest: dict[Timeframe, CandleWindow] = {}

    def at(self, index: int) -> tuple[CoinWindows, int]:
        """Return all windows at the close of the 5m candle at `index`, and that time."""
        now_ms = int(self._recording.closes[index])
        windows = {t: self._window(t, now_ms) for t in self._recording.candles}
        return CoinWindows(self._recording.symbol, windows), now_ms

    def _window(self, timeframe: Timeframe, now_ms: int) -> CandleWindow | None:
        closes = self._closes[timeframe]
        end = int(np.searchsorted(closes, now_ms, side="right"))
        if not end:
            return None
        closed_until_ms = int(closes[end - 1])
        begins_ms = self._recording.begins_ms(timeframe, now_ms)
        known = self._latest.get(timeframe)
        if known is None or (known.closed_until_ms, known.begins_ms) != (
            closed_until_ms,
            begins_ms,
        ):
            candles = self._recording.candles[timeframe][max(0, end - self._history) : end]
            known = self._latest[timeframe] = CandleWindow(
                symbol=self._recording.symbol,
                timeframe=timeframe,
                candles=candles.since(timeframe.first_open(begins_ms)),
                closed_until_ms=closed_until_ms,
                fetched_at_ms=closed_until_ms,
                source=self._source,
                absent=self._recording.absent_at(timeframe, end),
                begins_ms=begins_ms,
            )
        return known
