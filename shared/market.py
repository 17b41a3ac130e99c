"""Coins, timeframes and candles: the vocabulary of the market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


class CandleLength(StrEnum):
    """A candle's length, spelt as Binance spells it; see `Timeframe` and `StoredTimeframe`."""

    @property
    def ms(self) -> int:
        """Length of one candle in milliseconds."""
        return _LENGTH_MS[self]

    def open_at(self, time_ms: int) -> int:
        """Return the open time of the candle at `time_ms`: up to it, candles are closed."""
        return time_ms - time_ms % self.ms

    def first_open(self, time_ms: int) -> int:
        """Return the open time of the first candle that opens at or after `time_ms`."""
        return -(-time_ms // self.ms) * self.ms


class Timeframe(CandleLength):
    """The candle lengths this project works on."""

    M5 = "5m"
    H1 = "1h"
    H4 = "4h"


class StoredTimeframe(CandleLength):
    """The candle lengths a candle store may hold: 1m is for backtests; nothing live uses it."""

    M1 = "1m"
    M5 = "5m"
    H1 = "1h"
    H4 = "4h"


_LENGTH_MS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "4h": 14_400_000}

COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Candles of one coin on one timeframe, oldest first, stamped by open time.

    Shapes: six one-dimensional arrays of one length.
    Units:  times in epoch ms; prices in quote currency; volume in base currency.
    """

    open_time_ms: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    @classmethod
    def empty(cls) -> Candles:
        return cls.of([], [], [], [], [], [])

    @classmethod
    def of(  # noqa: PLR0917  # the six columns, in their usual order
        cls,
        open_time_ms: Sequence[int] | Times,
        open: Sequence[float] | Floats,
        high: Sequence[float] | Floats,
        low: Sequence[float] | Floats,
        close: Sequence[float] | Floats,
        volume: Sequence[float] | Floats,
    ) -> Candles:
        """Build candles from six columns of equal length."""
        return cls(
            np.asarray(open_time_ms, dtype=np.int64),
            *(np.asarray(c, dtype=np.float64) for c in (open, high, low, close, volume)),
        )

    def __len__(self) -> int:
        return len(self.open_time_ms)

    def __getitem__(self, rows: slice | Sequence[int] | npt.NDArray[np.generic]) -> Candles:
        return Candles(*(getattr(self, name)[rows] for name in COLUMNS))

    def same_as(self, other: Candles) -> bool:
        """Return whether both have the same rows, to the bit."""
        return all(np.array_equal(getattr(self, c), getattr(other, c)) for c in COLUMNS)

    def in_common(self, other: Candles) -> tuple[Candles, Candles]:
        """Return these rows and the other's of which both have the time."""
        return (
            self[np.isin(self.open_time_ms, other.open_time_ms)],
            other[np.isin(other.open_time_ms, self.open_time_ms)],
        )

    def differs_from(self, other: Candles) -> npt.NDArray[np.bool_]:
        """Return which rows differ from the other's at the same place, to the bit.

        Shapes: as many rows on both sides.
        """
        pairs = ((getattr(self, c), getattr(other, c)) for c in COLUMNS)
        differs: npt.NDArray[np.bool_] = np.any([our != their for our, their in pairs], axis=0)
        return differs

    def tail(self, count: int) -> Candles:
        return self[max(0, len(self) - count) :]

    def since(self, open_ms: int) -> Candles:
        """Return the candles that open at or after `open_ms`, as views on these."""
        if not len(self) or self.open_time_ms[0] >= open_ms:
            return self
        return self[int(self.open_time_ms.searchsorted(open_ms)) :]

    def closed(self, timeframe: CandleLength, until_ms: int) -> Candles:
        """Return the candles that close at or before `until_ms`, as views on these.

        Raises:
            ValueError: The columns are not of one length.
        """
        if any(len(getattr(self, name)) != len(self) for name in COLUMNS):
            raise ValueError("columns of candles differ in length")
        return self[: int(self.open_time_ms.searchsorted(until_ms - timeframe.ms, side="right"))]

    def appended(self, newer: Candles, keep: int) -> Candles:
        """Return the newest `keep` of both; all of `newer` must open after all of these."""
        first = max(0, len(self) + len(newer) - keep)
        pairs = ((getattr(self, c)[first:], getattr(newer, c)) for c in COLUMNS)
        return Candles(*map(np.concatenate, pairs))

    def merged(self, newer: Candles) -> Candles:
        """Return the union by open time; where both have a candle, `newer` wins."""
        if not len(newer):
            return self
        if not len(self) or self.open_time_ms[-1] < newer.open_time_ms[0]:
            parts = (self, newer)
        else:
            parts = (self[~np.isin(self.open_time_ms, newer.open_time_ms)], newer)
        joined = Candles(*(np.concatenate([getattr(p, c) for p in parts]) for c in COLUMNS))
        if np.all(np.diff(joined.open_time_ms) > 0):
            return joined
        order = np.argsort(joined.open_time_ms, kind="stable")
        return Candles(*(getattr(joined, c)[order] for c in COLUMNS))

    def gaps(self, timeframe: CandleLength) -> list[tuple[int, int]]:
        """Return the holes between first and last candle as `(from_ms, until_ms)` open times.

        `from_ms` is the first missing open time, `until_ms` the next present one.
        """
        breaks = np.flatnonzero(np.diff(self.open_time_ms) != timeframe.ms)
        return [
            (int(self.open_time_ms[i]) + timeframe.ms, int(self.open_time_ms[i + 1]))
            for i in breaks
        ]
