"""Prices that reach what hurts an open position first: of a bar's extremes, the adverse one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from shared.exchanges.sim.prices import Corner, Day, PriceFeed, between
from shared.market import Timeframe
from shared.messages.trading import TradeSide

BAR_MS = Timeframe.M5.ms
_KEPT_BARS = 1000


class AdversePrices:
    """A feed whose path through each 5m bar depends on the position in the coin.

    A long sees open, low, high, close; a short open, high, low, close, each a third of the bar
    apart, whatever the feed's own path is: of a stop and a target that lie within one bar, the stop
    is reached. Without a position the path is the feed's own, which of candles is low first when
    the close is at or above the open, and high first when it is below. The path follows the
    position at the moment it is asked for: from an entry within a bar on it is that of its side.

    Args:
        feed: Knows the whole path of a bar when it begins, as a generated or recorded market does.
        side: Returns the side of the open position in a coin; None without one.
    """

    def __init__(self, feed: PriceFeed, side: Callable[[str], TradeSide | None]) -> None:
        self._feed = feed
        self._side = side
        self._bars: dict[tuple[str, int, TradeSide], list[Corner]] = {}

    def symbols(self) -> Sequence[str]:
        return self._feed.symbols()

    def digits(self, symbol: str, at_ms: int) -> int:
        return self._feed.digits(symbol, at_ms)

    def price(self, symbol: str, at_ms: int) -> Decimal | None:
        path = self.path(symbol, at_ms, at_ms)
        return path[-1].price if path else None

    def path(self, symbol: str, from_ms: int, until_ms: int) -> Sequence[Corner]:
        side = self._side(symbol)
        if side is None:
            return self._feed.path(symbol, from_ms, until_ms)
        corners: list[Corner] = []
        for open_ms in range(Timeframe.M5.open_at(from_ms), until_ms + 1, BAR_MS):
            corners += self._bar(symbol, open_ms, side)
        return between(corners, from_ms, until_ms, self._feed.digits(symbol, until_ms))

    def day(self, symbol: str, at_ms: int) -> Day | None:
        return self._feed.day(symbol, at_ms)

    def moved_ms(self, symbol: str, at_ms: int) -> int | None:
        return self._feed.moved_ms(symbol, at_ms)

    def forget(self, before_ms: int) -> None:
        self._feed.forget(before_ms)

    def _bar(self, symbol: str, open_ms: int, side: TradeSide) -> list[Corner]:
        """Return the four corners of a bar; none before the coin's history."""
        key = (symbol, open_ms, side)
        if key not in self._bars:
            if len(self._bars) >= _KEPT_BARS:
                self._bars.clear()
            self._bars[key] = self._turned(symbol, open_ms, side)
        return self._bars[key]

    def _turned(self, symbol: str, open_ms: int, side: TradeSide) -> list[Corner]:
        path = self._feed.path(symbol, open_ms, open_ms + BAR_MS)
        if not path:
            return []
        # of several prices at its end the first is its close, the others are of the next bar
        inside = [corner.price for corner in path if corner.at_ms < open_ms + BAR_MS]
        inside.append(path[len(inside)].price)
        first, second = min(inside), max(inside)
        if side == "short":
            first, second = second, first
        prices = (inside[0], first, second, inside[-1])
        return [Corner(open_ms + i * BAR_MS // 3, price) for i, price in enumerate(prices)]
