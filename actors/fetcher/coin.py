"""One coin as the fetcher sees it: its timeframes, and how the exchange lists it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from actors.fetcher.listing import PRE_TRADING, listing
from actors.fetcher.series import FetchedSeries
from shared.market import Timeframe
from shared.messages.candles import Listing


@dataclass(slots=True)
class FetchedCoin:
    """One coin: its timeframes, each with its own failures, and its status in exchangeInfo.

    Attributes:
        unlisted: NOT_LISTED, or the status if that is not TRADING; else "".
        begins_ms: When its first candle opened, if the exchange has fewer than it was asked for.
    """

    symbol: str
    series: dict[Timeframe, FetchedSeries]
    unlisted: str = ""
    begins_ms: int | None = None

    def __iter__(self) -> Iterator[FetchedSeries]:
        return iter(self.series.values())

    def is_announced(self) -> bool:
        """Return whether it is listed without a candle: trading has not begun."""
        return self.unlisted == PRE_TRADING and not self.has_candles()

    def has_candles(self) -> bool:
        return self._ends_ms() is not None

    def listing(self, opens_ms: int | None, now_ms: int) -> Listing | None:
        """Return how it is listed; None if it simply trades."""
        ends_ms, asked_ms = self._ends_ms(), self.series[Timeframe.M5].store.asked_ms
        return listing(
            self.unlisted,
            opens_ms=opens_ms,
            begins_ms=self.begins_ms,
            ends_ms=ends_ms,
            silent_ms=0 if ends_ms is None or asked_ms is None else asked_ms - ends_ms,
            closed={
                t: len(s.store.closed)
                for t, s in self.series.items()
                if s.store.fetched_at_ms is not None
            },
            now_ms=now_ms,
        )

    def _ends_ms(self) -> int | None:
        m5 = self.series[Timeframe.M5].store
        newest = m5.forming if len(m5.forming) else m5.closed
        return int(newest.open_time_ms[-1]) + Timeframe.M5.ms if len(newest) else None
