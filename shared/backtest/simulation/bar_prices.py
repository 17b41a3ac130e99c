"""The fill model's prices: one path through each recorded 5m candle.

A path has four corners, 0, 100, 200 and 300 s after the open: open, one extreme, the other, close,
with straight lines in between. `adverse`: of a coin with a position the extreme that hurts it comes
first, so a stop comes before a target; of one without, and with `by_body`, the low comes first in a
candle that rises, the high in one that falls. A close and the next open are a jump; where there are
no candles the price stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Literal

import numpy as np

from shared.candles.admission import scale_breaks
from shared.exchanges.sim.prices import Corner, Day, between
from shared.market import Candles, Floats, Timeframe, Times
from shared.messages.trading import TradeSide

BAR_MS = Timeframe.M5.ms
THIRD_MS = BAR_MS // 3
NEVER_MS = 2**62

PathKind = Literal["adverse", "by_body"]


@dataclass(slots=True, eq=False)
class CoinBars:
    """The 5m candles of one coin.

    Attributes:
        digits: Decimals of its prices.
        breaks_ms: Opens of the candles that a new price scale begins with.
    """

    candles: Candles
    digits: int
    breaks_ms: tuple[int, ...] = ()
    _last: tuple[int, int, int, int, int] = (-1, 0, 0, 0, 0)

    @classmethod
    def of(cls, candles: Candles) -> CoinBars:
        """Return bars with as many decimals as the recorded prices have."""
        breaks = scale_breaks(candles, Timeframe.M5)
        return cls(candles, price_digits(candles), tuple(each.at_ms for each in breaks))

    def next_break_ms(self, at_ms: int) -> int:
        """Return when the price scale breaks next, at a time or after it; `NEVER_MS` if not."""
        return next((each for each in self.breaks_ms if each >= at_ms), NEVER_MS)

    def units(self, values: Floats) -> Times:
        """Return prices in units of their last digit."""
        found: Times = np.rint(values * 10.0**self.digits).astype(np.int64)
        return found

    def place(self, at_ms: int) -> int:
        """Return the candle at a time, or the last one before; -1 before the first."""
        return int(self.candles.open_time_ms.searchsorted(at_ms, side="right")) - 1

    def points(self, place: int, side: TradeSide | None) -> tuple[int, int, int, int]:
        """Return the four corners of a candle's path for a position, in units."""
        if self._last[0] != place:
            c, scale = self.candles, 10.0**self.digits
            ends = (c.open[place], c.low[place], c.high[place], c.close[place])
            first, low, high, last = (round(float(price) * scale) for price in ends)
            self._last = place, first, low, high, last
        _, first, low, high, last = self._last
        is_low_first = first <= last if side is None else side == "long"
        return (first, low, high, last) if is_low_first else (first, high, low, last)


def opens_without_breaks(candles: Candles) -> Floats:
    """Return opens as if no price scale had broken: over a break the price stays.

    Shapes: (bars,).
    Units:  quote currency of the first scale.
    """
    opens, close, factor = candles.open.copy(), candles.close, 1.0
    for each in scale_breaks(candles, Timeframe.M5):
        place = int(candles.open_time_ms.searchsorted(each.at_ms))
        opens[place] = factor * close[place - 1]
        factor *= close[place - 1] / close[place]
        opens[place + 1 :] = factor * candles.open[place + 1 :]
    return opens


def price_digits(candles: Candles) -> int:
    """Return how many decimals the prices of candles have, 1 to 8."""
    quoted = np.concatenate([candles.open, candles.high, candles.low, candles.close])
    for digits in range(1, 8):
        scaled = quoted * 10.0**digits
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-6 + scaled * 1e-12):
            return digits
    return 8


@dataclass(eq=False)
class BarPrices:
    """Recorded prices as the simulated venue's `PriceFeed`.

    Attributes:
        side_of: Returns the side of a coin's open position; None without one.
        calm_until_ms: By coin, until when its price is known to reach no stop, target or
            liquidation: paths leave out their corners before.
    """

    coins: Mapping[str, CoinBars]
    kind: PathKind = "adverse"
    side_of: Callable[[str], TradeSide | None] = lambda symbol: None
    calm_until_ms: dict[str, int] = field(default_factory=dict)
    _known: dict[str, tuple[int, TradeSide | None, Decimal]] = field(default_factory=dict)

    def symbols(self) -> Sequence[str]:
        return self._symbols

    @cached_property
    def _symbols(self) -> tuple[str, ...]:
        return tuple(self.coins)

    def digits(self, symbol: str, at_ms: int) -> int:
        return self.coins[symbol].digits

    def price(self, symbol: str, at_ms: int) -> Decimal | None:
        side, known = self._side(symbol), self._known.get(symbol)
        if known is not None and known[:2] == (at_ms, side):
            return known[2]
        bars = self.coins[symbol]
        place = bars.place(at_ms)
        if place < 0:
            return None
        price = self._price(bars, place, side, at_ms)
        self._known[symbol] = at_ms, side, price
        return price

    def _price(self, bars: CoinBars, place: int, side: TradeSide | None, at_ms: int) -> Decimal:
        points = bars.points(place, side)
        passed_ms = at_ms - int(bars.candles.open_time_ms[place])
        if passed_ms >= BAR_MS:
            return Decimal(points[-1]).scaleb(-bars.digits)
        corner, rest_ms = divmod(passed_ms, THIRD_MS)
        moved = (points[corner + 1] - points[corner]) * rest_ms // THIRD_MS
        return Decimal(points[corner] + moved).scaleb(-bars.digits)

    def path(self, symbol: str, from_ms: int, until_ms: int) -> Sequence[Corner]:
        begins = self.price(symbol, from_ms)
        if begins is None:
            return []
        calm_ms = self.calm_until_ms.get(symbol, from_ms)
        if calm_ms >= until_ms and until_ms % BAR_MS:  # between two candles the price may jump
            ends = self.price(symbol, until_ms)
            assert ends is not None, "there was a price before"
            return [Corner(from_ms, begins), Corner(until_ms, ends)]
        since_ms = max(from_ms, min(calm_ms, until_ms))
        corners = self._corners(symbol, since_ms, until_ms)
        path = between(corners, since_ms, until_ms, self.coins[symbol].digits)
        if since_ms == from_ms:
            return path
        jumped = [c for c in corners if c.at_ms == since_ms and c.price != path[0].price]
        return [Corner(from_ms, begins), *jumped[:1], *path]

    def day(self, symbol: str, at_ms: int) -> Day | None:
        return None

    def moved_ms(self, symbol: str, at_ms: int) -> int | None:
        return at_ms if self.coins[symbol].place(at_ms) >= 0 else None

    def forget(self, before_ms: int) -> None:
        """Do nothing: the candles are kept anyway."""

    def at_closes(
        self, symbol: str, side: TradeSide, first_ms: int, count: int, after_ms: int
    ) -> Floats:
        """Return the prices a time after each of some closes in a row.

        Shapes: (count,).
        Units:  quote currency; `after_ms` less than a third of a candle.
        """
        bars = self.coins[symbol]
        c = bars.candles
        closes = first_ms + BAR_MS * np.arange(count, dtype=np.int64)
        place = c.open_time_ms.searchsorted(closes, side="right") - 1
        opens = bars.units(c.open[place])
        to = bars.units((c.low if side == "long" else c.high)[place])
        if self.kind == "by_body":
            rising = opens <= bars.units(c.close[place])
            to = np.where(rising, bars.units(c.low[place]), bars.units(c.high[place]))
        moved = opens + (to - opens) * after_ms // THIRD_MS
        is_there = c.open_time_ms[place] == closes
        units = np.where(is_there, moved, bars.units(c.close[place]))
        found: Floats = units / 10.0**bars.digits
        return found

    def _side(self, symbol: str) -> TradeSide | None:
        return self.side_of(symbol) if self.kind == "adverse" else None

    def _corners(self, symbol: str, from_ms: int, until_ms: int) -> list[Corner]:
        """Return the corners around a span, the jump at its begin included."""
        bars, side = self.coins[symbol], self._side(symbol)
        times, digits = bars.candles.open_time_ms, bars.digits
        corners: list[Corner] = []
        for place in range(max(0, bars.place(from_ms - 1)), bars.place(until_ms) + 1):
            open_ms = int(times[place])
            if corners and corners[-1].at_ms < open_ms:
                corners.append(Corner(open_ms, corners[-1].price))
            corners += [
                Corner(open_ms + i * THIRD_MS, Decimal(units).scaleb(-digits))
                for i, units in enumerate(bars.points(place, side))
            ]
        return corners
