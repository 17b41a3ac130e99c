"""One coin's candles on one timeframe, and what of them is known to be all there is. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.clock import utc_text
from shared.errors import PlatformError
from shared.market import COLUMNS, CandleLength, Candles, StoredTimeframe
from shared.messages.candles import Source

Range = tuple[int, int]  # open times [from, until)
STORED = ".parquet"
FUNDING = "funding"
WHOSE: dict[Source, str] = {"sim": "the simulated exchange", "binance": "Binance"}


def store_file(directory: Path, symbol: str, what: str) -> Path:
    """Return the path in a store of a coin's candles on a timeframe, or of its funding rates."""
    return directory / f"{symbol}-{what}{STORED}"


class SourceDiffers(PlatformError):
    """Real and simulated candles were to be mixed in one file."""


def refuse_mixture(where: object, stored: Source | None, source: Source | None) -> None:
    """Raise if candles of one source must not be added to those of another.

    Raises:
        SourceDiffers: They are real here and simulated there.
    """
    if stored is not None and source is not None and stored != source:
        raise SourceDiffers(
            f"{where}: holds what {WHOSE[stored]} gave, not to be mixed with what {WHOSE[source]} "
            "gives; name another store"
        )


@dataclass(frozen=True, slots=True, eq=False)
class StoredSeries:
    """Closed candles, oldest first, and the holes that the exchange has confirmed.

    Attributes:
        absent: Ranges of open times, in order and apart, of which the exchange said that it has
            nothing: halts, and the time before a listing.
        source: Where they come from; None: from files that do not say.
    """

    symbol: str
    timeframe: StoredTimeframe
    candles: Candles
    absent: tuple[Range, ...] = ()
    source: Source | None = None

    @classmethod
    def empty(cls, symbol: str, timeframe: StoredTimeframe) -> StoredSeries:
        return cls(symbol, timeframe, Candles.empty())

    def missing(self, from_ms: int, until_ms: int) -> list[Range]:
        """Return the ranges of open times in `[from_ms, until_ms)` of which nothing is known."""
        grid = _Grid(self.timeframe, from_ms, until_ms)
        return grid.ranges(~(grid.at(self.candles) | grid.within(self.absent)))

    def holes(self) -> list[Range]:
        """Return the holes between two candles that the exchange has not confirmed."""
        gaps = self.candles.gaps(self.timeframe)
        return [hole for gap in gaps for hole in self.missing(*gap)]

    def without_absent(self, from_ms: int, until_ms: int) -> StoredSeries:
        """Return the same, with nothing said of what the exchange lacks in a range of time."""
        outside = [
            each
            for since, until in self.absent
            for each in ((since, min(until, from_ms)), (max(since, until_ms), until))
            if each[0] < each[1]
        ]
        return replace(self, absent=tuple(outside))

    def merged(
        self, found: Candles, *, absent: Iterable[Range] = (), source: Source | None = None,
        wins: bool = False,
    ) -> StoredSeries:  # fmt: skip
        """Return both together, the same whatever the order and the size of the pieces.

        Args:
            absent: Ranges in which the exchange has no more than `found`.
            wins: Whether `found` or what is here counts where both have a candle.
        """
        first, second = (self.candles, found) if wins else (found, self.candles)
        candles = first.merged(second)
        ranges = [*self.absent, *absent]
        if ranges:
            grid = _Grid(self.timeframe, min(r[0] for r in ranges), max(r[1] for r in ranges))
            ranges = grid.ranges(grid.within(ranges) & ~grid.at(candles))
        return StoredSeries(
            self.symbol, self.timeframe, candles, tuple(ranges), self.source or source
        )


def differences(ours: Candles, theirs: Candles) -> list[str]:
    """Return, in words, which candles of one time differ."""
    ours, theirs = ours.in_common(theirs)
    texts = []
    for row in np.flatnonzero(ours.differs_from(theirs)):
        pairs = ((c, getattr(theirs, c)[row].item(), getattr(ours, c)[row].item()) for c in COLUMNS)
        shown = ", ".join(f"{c} {new!r}, stored {old!r}" for c, new, old in pairs if new != old)
        texts.append(f"at {utc_text(int(theirs.open_time_ms[row]))}: {shown}")
    return texts


def joined(parts: Iterable[Candles]) -> Candles:
    """Return candles of several times as one, those of the earliest first; none overlap."""
    inhabited = sorted((part for part in parts if len(part)), key=lambda p: int(p.open_time_ms[0]))
    if not inhabited:
        return Candles.empty()
    return Candles.of(*(np.concatenate([getattr(p, c) for p in inhabited]) for c in COLUMNS))


class _Grid:
    """The open times between two times."""

    def __init__(self, timeframe: CandleLength, from_ms: int, until_ms: int) -> None:
        self._step = timeframe.ms
        self._first = -(-from_ms // self._step)
        self._size = max(0, -(-until_ms // self._step) - self._first)

    def at(self, candles: Candles) -> npt.NDArray[np.bool_]:
        """Return where there is a candle."""
        places = candles.open_time_ms // self._step - self._first
        found = np.zeros(self._size, dtype=np.bool_)
        found[places[(places >= 0) & (places < self._size)]] = True
        return found

    def within(self, ranges: Iterable[Range]) -> npt.NDArray[np.bool_]:
        """Return which lie in one of the ranges."""
        found = np.zeros(self._size, dtype=np.bool_)
        for since_ms, until_ms in ranges:
            first, end = (-(-ms // self._step) - self._first for ms in (since_ms, until_ms))
            found[max(0, first) : max(0, end)] = True
        return found

    def ranges(self, chosen: npt.NDArray[np.bool_]) -> list[Range]:
        """Return the chosen ones as ranges."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
        times = ((edges + self._first) * self._step).tolist()
        return list(zip(times[::2], times[1::2], strict=True))
