"""Prices for the simulated venue in paper mode, from the real candles on the bus.

Reads `cache:candles:{symbol}` and follows `market:candles:{symbol}`. Gaps are filled from closed
candles, each as a path from its open over the far side and the near one to its close. New extremes
of an open candle count, too.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from shared import schema
from shared.bus import Bus
from shared.clock import Clock
from shared.errors import BusUnavailable
from shared.exchanges.sim.prices import Corner, Day, between
from shared.exchanges.sim.rules import usual_digits
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleRow, CandleUpdate, CandleWindow, Source

KEEP_CORNERS = 20_000
DIGITS = 10  # of prices between corners; those of the corners are exact
_BAR_MS = Timeframe.M5.ms
_DAY_BARS = 288


@dataclass(slots=True)
class _Coin:
    """State of one coin; `open_ms`, `high` and `low` are of the open candle."""

    corners: list[Corner] = field(default_factory=list)
    priced_ms: int | None = None
    open_ms: int = 0
    high: float = 0.0
    low: float = 0.0
    closed: dict[int, CandleRow] = field(default_factory=dict)

    def add(self, at_ms: int, price: float) -> None:
        """Move to a price in a straight line; never back in time."""
        if self.corners:
            at_ms = max(at_ms, self.corners[-1].at_ms)
        self.corners.append(Corner(at_ms, _exact(price)))
        del self.corners[:-KEEP_CORNERS]

    def jump(self, at_ms: int, price: float) -> None:
        """Stay at the last price until a time, then jump to another."""
        if self.corners and self.corners[-1].price == _exact(price):
            return
        if self.corners and self.corners[-1].at_ms < at_ms:
            self.corners.append(Corner(at_ms, self.corners[-1].price))
        self.add(at_ms, price)

    def close(self, row: CandleRow) -> None:
        """Add a closed candle; those of the last 24 hours are kept."""
        self.closed[row.open_time_ms] = row
        for old_ms in sorted(self.closed)[:-_DAY_BARS]:
            del self.closed[old_ms]


class LivePrices:
    """Prices of some coins.

    Args:
        since_ms: Start of the price paths: candles that opened earlier are not replayed.
        source: Candles of any other are ignored.
    """

    def __init__(
        self, symbols: Sequence[str], *, since_ms: int, source: Source, clock: Clock,
        log: logging.Logger | None = None,
    ) -> None:  # fmt: skip
        self._symbols = tuple(symbols)
        self._since_ms = since_ms
        self._source = source
        self._clock = clock
        self._log = log or logging.getLogger(__name__)
        self._coins = {symbol: _Coin() for symbol in symbols}

    def symbols(self) -> Sequence[str]:
        return self._symbols

    def digits(self, symbol: str, at_ms: int) -> int:
        return usual_digits(symbol)

    def price(self, symbol: str, at_ms: int) -> Decimal | None:
        path = self.path(symbol, at_ms, at_ms)
        return path[-1].price if path else None

    def path(self, symbol: str, from_ms: int, until_ms: int) -> Sequence[Corner]:
        coin = self._coins.get(symbol)
        if coin is None or not coin.corners or coin.corners[0].at_ms > until_ms:
            return []
        return between(coin.corners, max(from_ms, coin.corners[0].at_ms), until_ms, DIGITS)

    def day(self, symbol: str, at_ms: int) -> Day | None:
        rows = [row for _, row in sorted(self._coins[symbol].closed.items())]
        if not rows:
            return None
        return Day(
            open=_exact(rows[0].open),
            high=_exact(max(row.high for row in rows)),
            low=_exact(min(row.low for row in rows)),
            volume=_exact(sum(row.volume for row in rows)),
            value=_exact(sum(row.volume * row.close for row in rows)),
        )

    def moved_ms(self, symbol: str, at_ms: int) -> int | None:
        coin = self._coins.get(symbol)
        return coin.priced_ms if coin is not None else None

    def forget(self, before_ms: int) -> None:
        for coin in self._coins.values():
            first = bisect_right(coin.corners, before_ms, key=lambda corner: corner.at_ms)
            del coin.corners[: max(0, first - 1)]

    async def follow(self, bus: Bus, moved: Callable[[], None]) -> None:
        """Follow the candles on the bus until cancelled; call `moved` after each update."""
        names = [schema.CANDLE_UPDATES.name(symbol=symbol) for symbol in self._symbols]
        async with bus.subscribe(*names) as deliveries:
            async for delivery in deliveries:
                if not delivery.channel:
                    await self.read(bus)
                    moved()
                    continue
                update = bus.decode(schema.CANDLE_UPDATES, delivery.raw, delivery.channel)
                if update is not None:
                    self.apply_update(update)
                    moved()

    async def read(self, bus: Bus) -> None:
        """Apply the windows on the bus."""
        parts = [{"symbol": symbol} for symbol in self._symbols]
        try:
            windows = await bus.get_many(schema.CANDLES[Timeframe.M5], parts)
        except BusUnavailable:  # the bus logs it and resubscribes
            return
        for window in windows:
            if window is not None:
                self.apply_window(window)

    def apply_window(self, window: CandleWindow) -> None:
        """Replay the closed candles that are new, then the open one."""
        if window.source != self._source or window.symbol not in self._coins:
            return
        coin, closed = self._coins[window.symbol], window.closed()
        for row in _rows(closed.tail(_DAY_BARS), closed=True):
            coin.close(row)
        for row in _rows(closed[closed.open_time_ms == coin.open_ms], closed=True):
            self._apply(coin, row, row.open_time_ms + _BAR_MS)  # it was open before
        known_ms = max(self._since_ms, coin.priced_ms or 0)
        for row in _rows(closed[closed.open_time_ms >= known_ms], closed=True):
            self._walk(coin, row)
        for row in _rows(window.candles[len(closed) :], closed=False):
            self._apply(coin, row, window.fetched_at_ms)
        if coin.priced_ms is None and len(closed):
            coin.jump(window.fetched_at_ms, float(closed.close[-1]))
            coin.priced_ms = window.fetched_at_ms

    def apply_update(self, update: CandleUpdate) -> None:
        if update.source != self._source or update.timeframe is not Timeframe.M5:
            return
        coin = self._coins.get(update.symbol)
        if coin is None:
            return
        for row in update.candles:
            if row.closed:
                coin.close(row)
            if row.open_time_ms >= coin.open_ms:
                self._apply(coin, row, update.at_ms)

    def _apply(self, coin: _Coin, row: CandleRow, at_ms: int) -> None:
        """Move to a candle's close, over the extremes it reached since the last update."""
        at_ms = min(at_ms, self._clock.now_ms())
        if row.open_time_ms == coin.open_ms:
            sides = [row.low] * (row.low < coin.low) + [row.high] * (row.high > coin.high)
            if row.close >= row.open:
                sides.sort()
            else:
                sides.sort(reverse=True)
            for side in sides:
                coin.jump(at_ms, side)
        coin.open_ms, coin.high, coin.low = row.open_time_ms, row.high, row.low
        coin.jump(at_ms, row.close)
        coin.priced_ms = max(at_ms, coin.priced_ms or 0)

    def _walk(self, coin: _Coin, row: CandleRow) -> None:
        far, near = (row.low, row.high) if row.close >= row.open else (row.high, row.low)
        for quarter, price in enumerate((row.open, far, near, row.close)):
            at_ms = row.open_time_ms + quarter * _BAR_MS // 3
            (coin.jump if quarter == 0 else coin.add)(at_ms, price)
        coin.open_ms, coin.high, coin.low = row.open_time_ms, row.high, row.low


def _rows(candles: Candles, *, closed: bool) -> list[CandleRow]:
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return [
        CandleRow(
            open_time_ms=int(time), open=float(open_), high=float(high), low=float(low),
            close=float(close), volume=float(volume), closed=closed,
        )
        for time, open_, high, low, close, volume in zip(
            candles.open_time_ms, *columns, strict=True
        )
    ]  # fmt: skip


def _exact(price: float) -> Decimal:
    return Decimal(repr(float(price)))
