"""The prices on one coin's card, kept current from updates."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from shared.market import Timeframe
from shared.messages.candles import CandleRow, CandleUpdate, CandleWindow

DAY_MS = 86_400_000
SPARK_STEP_MS, SPARK_POINTS, SPARK_LEAST = 1_800_000, 48, 8
KEPT = DAY_MS // Timeframe.M5.ms + 2
OVERTAKEN_MS = 60_000
TICK_CANDLES, MOST_DECIMALS = 300, 8


class CoinPrices:
    """The closes of the last day and the newest price.

    Attributes:
        price: Close of the newest candle, closed or not; None before the first.
        price_at_ms: When that price was fetched.
        tick: Smallest step of the price (see `price_step`).
        closed_until_ms: Close of the newest closed 5m candle.
        fetched_at_ms: When the newest candles were fetched.
        spark: Half-hourly closes of the last day; of a new coin the last 5m closes.
        change_24h_pct: From the close 24 h before the newest; None if unknown.
    """

    def __init__(self) -> None:
        self.price: float | None = None
        self.price_at_ms: int | None = None
        self.tick = 0.0
        self.closed_until_ms: int | None = None
        self.fetched_at_ms: int | None = None
        self.spark: list[float] = []
        self.change_24h_pct: float | None = None
        self._times: list[int] = []
        self._closes: list[float] = []

    def apply_window(self, window: CandleWindow) -> None:
        """Reset from a 5m window, unless something newer is known."""
        if self._is_overtaken(window.fetched_at_ms):
            return
        candles = window.candles.tail(KEPT)
        closed = window.closed().tail(KEPT)
        self._times = closed.open_time_ms.tolist()
        self._closes = closed.close.tolist()
        self.tick = price_step(window)
        self.closed_until_ms = window.closed_until_ms
        if len(candles):
            self._price(float(candles.close[-1]), window.fetched_at_ms)
        self.fetched_at_ms = window.fetched_at_ms
        self._summarize()

    def apply_update(self, update: CandleUpdate) -> bool:
        """Apply a 5m update; return False if it does not fit and the window must be read."""
        if self.fetched_at_ms is None:
            return False
        if self._is_overtaken(update.at_ms) or not update.candles:
            return True
        closed = [row for row in update.candles if row.closed]
        if closed and not self._fits(closed, update.appends):
            return False
        for row in closed:
            self._times.append(row.open_time_ms)
            self._closes.append(row.close)
        excess = max(0, len(self._times) - KEPT)
        del self._times[:excess], self._closes[:excess]
        if closed:  # an open candle may be told before the close that it follows
            self.closed_until_ms = update.closed_until_ms
        self.fetched_at_ms = update.at_ms
        newest = max(update.candles, key=lambda row: row.open_time_ms)
        if not self._times or newest.open_time_ms >= self._times[-1]:
            self._price(newest.close, update.at_ms)
        if closed:
            self._summarize()
        elif self.price is not None:
            self.change_24h_pct = self._change(self.price)
        return True

    def _is_overtaken(self, at_ms: int) -> bool:
        """Return whether something newer is known; a larger gap means a clock set back."""
        return self.fetched_at_ms is not None and 0 < self.fetched_at_ms - at_ms < OVERTAKEN_MS

    def _fits(self, closed: list[CandleRow], appends: bool) -> bool:
        times = [row.open_time_ms for row in closed]
        expected = self._times[-1] + Timeframe.M5.ms if self._times else None
        step = Timeframe.M5.ms
        return appends and times[0] == expected and all(b - a == step for a, b in pairwise(times))

    def _price(self, price: float, at_ms: int) -> None:
        self.price, self.price_at_ms = price, at_ms

    def _summarize(self) -> None:
        start = self._times[-1] - DAY_MS if self._times else 0
        spark = [
            close
            for open_ms, close in zip(self._times, self._closes, strict=True)
            if open_ms > start and (open_ms + Timeframe.M5.ms) % SPARK_STEP_MS == 0
        ]
        self.spark = (spark if len(spark) >= SPARK_LEAST else self._closes)[-SPARK_POINTS:]
        self.change_24h_pct = None if self.price is None else self._change(self.price)

    def _change(self, price: float) -> float | None:
        """Return the change in percent from the last close at or before 24 h ago."""
        if not self._times:
            return None
        place = bisect_right(self._times, self._times[-1] - DAY_MS)
        if not place:
            return None
        return round(100.0 * (price / self._closes[place - 1] - 1.0), 2)


def price_step(window: CandleWindow) -> float:
    """Return the step prices move in: one unit of their last decimal.

    The exchange's tick size is not on the bus. Among hundreds of prices some use the tick's last
    decimal; for a tick such as 0.05 the step is finer.
    """
    candles = window.candles.tail(TICK_CANDLES)
    prices = {p for c in (candles.high, candles.low, candles.close) for p in c.tolist()}
    return 10.0 ** -min(MOST_DECIMALS, max(map(_decimals, prices), default=2))


def _decimals(price: float) -> int:
    text = format(price, f".{MOST_DECIMALS}f").rstrip("0")
    return len(text) - text.index(".") - 1
