"""Recorded candles as the trader's world: prices of a venue, and what the actors would publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from shared.backtest.replay import Recording
from shared.clock import Clock
from shared.config.sections import IndicatorsSection
from shared.errors import UnknownSymbol
from shared.exchanges.sim.prices import Corner, Day, between
from shared.indicators.signals import CoinWindows, signals_at
from shared.market import Candles, Floats, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import TaSignal

M5 = Timeframe.M5
_MOST_DIGITS = 8


class Publications:
    """The candles and signals of each coin at the newest close, as fetcher and indicators write.

    Args:
        clock: Says which close is the newest.
    """

    def __init__(
        self, recordings: Mapping[str, Recording], settings: IndicatorsSection, clock: Clock
    ) -> None:
        self._recordings = recordings
        self._settings = settings
        self._clock = clock
        self._known: dict[tuple[str, Timeframe], CandleWindow] = {}

    def window(self, symbol: str, timeframe: Timeframe) -> CandleWindow | None:
        """Return the newest candles of a coin; None before its first one closes."""
        recording, now_ms = self._recordings.get(symbol), self._clock.now_ms()
        if recording is None:
            return None
        candles = recording.candles[timeframe]
        end = int(np.searchsorted(candles.open_time_ms, now_ms - timeframe.ms, side="right"))
        if not end:
            return None
        until_ms = int(candles.open_time_ms[end - 1]) + timeframe.ms
        begins_ms = recording.begins_ms(timeframe, now_ms)
        known = self._known.get((symbol, timeframe))
        if known is None or (known.closed_until_ms, known.begins_ms) != (until_ms, begins_ms):
            newest = candles[max(0, end - self._settings.history) : end]
            known = self._known[symbol, timeframe] = CandleWindow(
                symbol=symbol,
                timeframe=timeframe,
                candles=newest.since(timeframe.first_open(begins_ms)),
                closed_until_ms=until_ms,
                fetched_at_ms=now_ms,
                source="sim",
                absent=recording.absent_at(timeframe, end),
                begins_ms=begins_ms,
            )
        return known

    def signal(self, symbol: str) -> TaSignal | None:
        """Return the newest signal of a coin; None if there is none."""
        windows = CoinWindows(symbol, {t: self.window(symbol, t) for t in Timeframe})
        five = windows.windows[M5]
        if five is None:
            return None
        (found,) = signals_at([(windows, five.closed_until_ms)], self._settings)
        return None if isinstance(found, Exception) else found


class RecordedPrices:
    """Recorded candles as a price feed: through each bar as its body says.

    A rising bar, or one that ends where it began, is open, low, high, close; a falling one open,
    high, low, close. In a gap the last close stays.
    """

    def __init__(self, recordings: Mapping[str, Recording]) -> None:
        self._candles = {symbol: each.candles[M5] for symbol, each in recordings.items()}
        self._digits = {symbol: _digits(each) for symbol, each in self._candles.items()}
        self._corners: dict[tuple[str, int], list[Corner]] = {}

    def symbols(self) -> Sequence[str]:
        return tuple(self._candles)

    def digits(self, symbol: str, at_ms: int) -> int:
        if symbol not in self._digits:
            raise UnknownSymbol(f"{symbol}: not recorded")
        return self._digits[symbol]

    def price(self, symbol: str, at_ms: int) -> Decimal | None:
        path = self.path(symbol, at_ms, at_ms)
        return path[-1].price if path else None

    def path(self, symbol: str, from_ms: int, until_ms: int) -> Sequence[Corner]:
        digits = self.digits(symbol, until_ms)
        times = self._candles[symbol].open_time_ms
        first, last = (int(i) - 1 for i in np.searchsorted(times, [from_ms, until_ms], "right"))
        corners: list[Corner] = []
        for index in range(max(0, first), last + 1):
            bar = self._bar(symbol, index)
            if corners and corners[-1].at_ms < bar[0].at_ms:
                corners.append(Corner(bar[0].at_ms, corners[-1].price))
            corners += bar
        return between(corners, from_ms, until_ms, digits)

    def day(self, symbol: str, at_ms: int) -> Day | None:
        return None

    def moved_ms(self, symbol: str, at_ms: int) -> int | None:
        return at_ms

    def forget(self, before_ms: int) -> None:
        """Do nothing: the bars stay."""

    def _bar(self, symbol: str, index: int) -> list[Corner]:
        known = self._corners.get((symbol, index))
        if known is None:
            candles, digits = self._candles[symbol], self._digits[symbol]
            row = (column[index] for column in (candles.open, candles.high, candles.low,
                                                candles.close))  # fmt: skip
            opened, high, low, close = (
                Decimal(round(float(price) * 10**digits)).scaleb(-digits) for price in row
            )
            way = (low, high) if close >= opened else (high, low)
            open_ms = int(candles.open_time_ms[index])
            known = self._corners[symbol, index] = [
                Corner(open_ms + i * M5.ms // 3, price)
                for i, price in enumerate((opened, *way, close))
            ]
        return known


def _digits(candles: Candles) -> int:
    """Return how many decimals the prices have, 1 to 8."""
    prices = np.stack([candles.open, candles.high, candles.low, candles.close])
    return next((d for d in range(1, _MOST_DIGITS) if _are_whole(prices * 10.0**d)), _MOST_DIGITS)


def _are_whole(scaled: Floats) -> bool:
    return bool(np.all(np.abs(scaled - np.rint(scaled)) <= 1e-6 + np.abs(scaled) * 1e-12))
