"""What the trader reads of each coin at each close, and the closes at which that can matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from shared.backtest.series import Series
from shared.backtest.simulation.bar_prices import CoinBars
from shared.backtest.trader_rule import coin_at, may_cross, signal_at
from shared.config.sections import TraderSection
from shared.market import Candles, Floats, Timeframe, Times
from shared.messages.signals import TaSignal
from shared.trading.coin_state import CoinAtClose


@dataclass(frozen=True, eq=False)
class CoinScores:
    """One coin's scores, bonuses and candles.

    Attributes:
        series: Scores and bonuses at the closes that were scored.
        volume: Of the candles that closed then. Shape: as the series.
    """

    symbol: str
    series: Series
    volume: Floats
    bars: CoinBars

    @classmethod
    def of(cls, symbol: str, series: Series, candles: Candles) -> Self:
        """Return a coin's scores with the 5m candles they came from.

        Raises:
            ValueError: A close has no candle.
        """
        opens = series.times - Timeframe.M5.ms
        place = candles.open_time_ms.searchsorted(opens)
        inside = np.minimum(place, len(candles) - 1)
        if not np.array_equal(candles.open_time_ms[inside], opens):
            raise ValueError(f"{symbol}: a close was scored that has no 5m candle: not its candles")
        return cls(symbol, series, candles.volume[inside], CoinBars.of(candles))

    def scored_by(self, columns: Mapping[str, Floats]) -> Self:
        """Return the coin with other base scores; see `CoinPoints.columns`."""
        return replace(self, series=Series(self.series.times, {**self.series.columns, **columns}))

    def at(self, index: int) -> CoinAtClose:
        return coin_at(self.symbol, self.series, index, float(self.volume[index]))

    def signal(self, index: int) -> TaSignal:
        return signal_at(self.symbol, self.series, index)


class Crossings:
    """The closes at which some coin may be entered by its scores, in order of time.

    Shapes: `closes` (times,); `_coin`, `_index` (crossings,), by time, then coin.
    """

    def __init__(
        self, coins: Sequence[CoinScores], settings: TraderSection, from_ms: int, to_ms: int
    ) -> None:
        self._coins = coins
        times: list[Times] = [np.empty(0, np.int64)]
        numbers: list[Times] = [np.empty(0, np.int64)]
        indices: list[Times] = [np.empty(0, np.int64)]
        for number, coin in enumerate(coins):
            found = np.flatnonzero(may_cross(coin.series, settings))
            at_ms = coin.series.times[found]
            found = found[(at_ms >= from_ms) & (at_ms < to_ms)]
            times.append(coin.series.times[found])
            numbers.append(np.full(len(found), number))
            indices.append(found)
        when = np.concatenate(times)
        order = np.argsort(when, kind="stable")
        self._coin = np.concatenate(numbers)[order]
        self._index = np.concatenate(indices)[order]
        self._times = when[order]
        self.closes: Times = np.unique(when)

    def next_ms(self, after_ms: int) -> int | None:
        """Return the first such close after a time."""
        place = int(self.closes.searchsorted(after_ms, side="right"))
        return int(self.closes[place]) if place < len(self.closes) else None

    def between(self, from_ms: int, to_ms: int) -> int:
        """Return how many crossings there are in `[from_ms, to_ms)`."""
        first, end = self._times.searchsorted([from_ms, to_ms])
        return int(end - first)

    def at(self, close_ms: int) -> Iterator[tuple[CoinScores, int]]:
        """Yield the coins of a close, each with the index into its series."""
        first = self._times.searchsorted(close_ms)
        end = self._times.searchsorted(close_ms, side="right")
        for place in range(int(first), int(end)):
            yield self._coins[self._coin[place]], int(self._index[place])
