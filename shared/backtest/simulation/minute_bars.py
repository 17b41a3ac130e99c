"""The 1m candles inside 5m candles, where they say the same of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.backtest.outcomes import Flags
from shared.market import Candles, StoredTimeframe, Timeframe, Times

MINUTE_MS = StoredTimeframe.M1.ms
PARTS = Timeframe.M5.ms // MINUTE_MS


@dataclass(frozen=True, slots=True, eq=False)
class MinuteBars:
    """The 1m candles of some 5m candles in a row.

    Attributes:
        candles: Of each 5m candle that they agree with its five, in order; no others.
        opens: Of the 5m candles. Shape: (5m candles,).
        first: Place of the first of its five; -1 without. Shape: as `opens`.
        differs: Whether all five were there and gave another open, high, low or close. Shape: as
            `opens`.
    """

    candles: Candles
    opens: Times
    first: Times
    differs: Flags

    @classmethod
    def of(cls, minutes: Candles, bars: Candles) -> MinuteBars:
        """Return those of the 1m candles that are five to a 5m candle, and agree with it."""
        opens = bars.open_time_ms
        begin = minutes.open_time_ms.searchsorted(opens)
        end = minutes.open_time_ms.searchsorted(opens + Timeframe.M5.ms)
        whole = np.flatnonzero(end - begin == PARTS)
        rows = begin[whole, None] + np.arange(PARTS)
        agrees = (
            (minutes.open[rows[:, 0]] == bars.open[whole])
            & (minutes.high[rows].max(axis=1) == bars.high[whole])
            & (minutes.low[rows].min(axis=1) == bars.low[whole])
            & (minutes.close[rows[:, -1]] == bars.close[whole])
        )
        found = cls.none(bars)
        found.first[whole[agrees]] = PARTS * np.arange(int(agrees.sum()))
        found.differs[whole[~agrees]] = True
        kept = rows[agrees].ravel()
        # all of them as they are, mapped from a file perhaps: no copy
        candles = minutes if len(kept) == len(minutes) else minutes[kept]
        return cls(candles, opens, found.first, found.differs)

    @classmethod
    def none(cls, bars: Candles) -> MinuteBars:
        """Return 5m candles without any 1m candle."""
        first = np.full(len(bars), -1, dtype=np.int64)
        differs = np.zeros(len(bars), dtype=np.bool_)
        return cls(Candles.empty(), bars.open_time_ms, first, differs)

    def between(self, from_ms: int, to_ms: int) -> MinuteBars:
        """Return those of the 5m candles that open in `[from_ms, to_ms)`."""
        begin, end = map(int, self.opens.searchsorted([from_ms, to_ms]))
        row, stop = map(int, self.candles.open_time_ms.searchsorted([from_ms, to_ms]))
        first = self.first[begin:end]
        return MinuteBars(
            self.candles[row:stop],
            self.opens[begin:end],
            np.where(first >= 0, first - row, -1),
            self.differs[begin:end],
        )
