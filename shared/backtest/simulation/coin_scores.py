"""What the trader reads of each coin at each close, and the closes at which that can matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from shared.backtest.series import Series
from shared.backtest.simulation.bar_prices import CoinBars
from shared.backtest.trader_rule import coin_at, may_cross, signal_at
from shared.config.sections import TraderSection
from shared.market import Candles, Floats, Timeframe, Times
from shared.messages.signals import TaSignal
from shared.messages.trading import TradeSide
from shared.trading.coin_state import CoinAtClose
from shared.trading.entries import SIDES


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

    Shapes: all (crossings,), of one side by time, then coin.
    """

    def __init__(
        self, coins: Sequence[CoinScores], settings: TraderSection, from_ms: int, to_ms: int
    ) -> None:
        self._coins = coins
        found: dict[TradeSide, list[tuple[Times, Times, Times]]] = {side: [] for side in SIDES}
        for number, coin in enumerate(coins):
            times = coin.series.times
            asked = (times >= from_ms) & (times < to_ms)
            for side, may in may_cross(coin.series, settings).items():
                index = np.flatnonzero(may & asked)
                found[side].append((times[index], np.full(len(index), number), index))
        self._of_side = {side: _in_order(each) for side, each in found.items()}

    def next_ms(self, after_ms: int, side: TradeSide) -> int | None:
        """Return the first close after a time at which a side may cross."""
        times = self._of_side[side][0]
        place = int(times.searchsorted(after_ms, side="right"))
        return int(times[place]) if place < len(times) else None

    def between(self, from_ms: int, to_ms: int, side: TradeSide) -> int:
        """Return how many crossings of a side there are in `[from_ms, to_ms)`."""
        first, end = self._of_side[side][0].searchsorted([from_ms, to_ms])
        return int(end - first)

    def at(self, close_ms: int, sides: Iterable[TradeSide]) -> Iterator[tuple[CoinScores, int]]:
        """Yield the coins of a close that may cross on one of some sides, each once.

        With each comes the index into its series.
        """
        found: dict[int, int] = {}
        for side in sides:
            times, numbers, indices = self._of_side[side]
            first, end = times.searchsorted([close_ms, close_ms + 1])
            found |= zip(numbers[first:end].tolist(), indices[first:end].tolist(), strict=True)
        for number, index in sorted(found.items()):
            yield self._coins[number], index


def _in_order(found: Sequence[tuple[Times, Times, Times]]) -> tuple[Times, Times, Times]:
    """Return times, coins and indices of all coins as three arrays, in order of time."""
    if not found:
        return (np.empty(0, np.int64),) * 3
    times, numbers, indices = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(times, kind="stable")
    return times[order], numbers[order], indices[order]
