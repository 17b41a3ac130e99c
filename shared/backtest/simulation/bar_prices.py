"""The fill model's prices: one path through each recorded 5m candle.

A path has four corners, 0, 100, 200 and 300 s after the open: open, one extreme, the other, close,
with straight lines in between. `adverse`: of a coin with a position the extreme that hurts it comes
first, so a stop comes before a target; of one without, and with `by_body`, the low comes first in a
candle that rises, the high in one that falls. A close and the next open are a jump; where there are
no candles the price stays.

Where a 5m candle has 1m candles that agree with it, its path is that of these five, each a fifth as
long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from shared.backtest.outcomes import Flags
from shared.backtest.simulation.funding_rates import NEVER_MS, RecordedRates
from shared.backtest.simulation.minute_bars import MINUTE_MS, PARTS, MinuteBars
from shared.candles.admission import scale_breaks
from shared.exchanges.sim.prices import Corner, Day, between
from shared.market import Candles, Floats, Timeframe, Times
from shared.messages.trading import TradeSide

BAR_MS = Timeframe.M5.ms
THIRD_MS = BAR_MS // 3

PathKind = Literal["adverse", "by_body"]


class Part(NamedTuple):
    """A candle that is walked in three straight lines; prices in units of the last digit."""

    open_ms: int
    third_ms: int
    prices: tuple[int, int, int, int]

    def corners(self, side: TradeSide | None) -> tuple[int, int, int, int]:
        """Return its prices in the order in which a position meets them."""
        first, low, high, last = self.prices
        is_low_first = first <= last if side is None else side == "long"
        return (first, low, high, last) if is_low_first else (first, high, low, last)

    def price(self, side: TradeSide | None, at_ms: int) -> int:
        """Return the price at a time within it, rounded down."""
        corners = self.corners(side)
        corner, rest_ms = divmod(at_ms - self.open_ms, self.third_ms)
        return corners[corner] + (corners[corner + 1] - corners[corner]) * rest_ms // self.third_ms


@dataclass(slots=True, eq=False)
class CoinBars:
    """The 5m candles of one coin.

    Attributes:
        digits: Decimals of its prices.
        breaks_ms: Opens of the candles that a new price scale begins with.
        minutes: 1m candles; None: there are none, or they are not asked for.
        rates: Recorded funding rates; None: as well.
    """

    candles: Candles
    digits: int
    breaks_ms: tuple[int, ...] = ()
    minutes: MinuteBars | None = None
    rates: RecordedRates | None = None
    _last: tuple[int, tuple[Part, ...]] = (-1, ())

    @classmethod
    def of(
        cls, candles: Candles, minutes: Candles | None = None, rates: RecordedRates | None = None
    ) -> CoinBars:
        """Return bars with as many decimals as the recorded prices of 5m candles have.

        Args:
            minutes: 1m candles; those that do not agree with the 5m ones are left out.
        """
        breaks = tuple(each.at_ms for each in scale_breaks(candles, Timeframe.M5))
        finer = None if minutes is None else MinuteBars.of(minutes, candles)
        return cls(candles, price_digits(candles), breaks, finer, rates)

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

    def parts(self, place: int) -> tuple[Part, ...]:
        """Return what the path of a candle is made of: itself, or its five 1m candles."""
        if self._last[0] != place:
            finer, first = self.minutes, self._first_minute(place)
            if finer is None or first < 0:
                self._last = place, (self._part(self.candles, place, THIRD_MS),)
            else:
                rows = range(first, first + PARTS)
                minutes = (self._part(finer.candles, row, MINUTE_MS // 3) for row in rows)
                self._last = place, tuple(minutes)
        return self._last[1]

    def may_jump(self, at_ms: int) -> bool:
        """Return whether two candles that paths are made of meet at a time."""
        if at_ms % BAR_MS == 0:
            return True
        place = self.place(at_ms)
        return at_ms % MINUTE_MS == 0 and place >= 0 and self._first_minute(place) >= 0

    def _first_minute(self, place: int) -> int:
        return -1 if self.minutes is None else int(self.minutes.first[place])

    def _part(self, c: Candles, row: int, third_ms: int) -> Part:
        scale = 10.0**self.digits
        ends = (c.open[row], c.low[row], c.high[row], c.close[row])
        first, low, high, last = (round(float(price) * scale) for price in ends)
        return Part(int(c.open_time_ms[row]), third_ms, (first, low, high, last))


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
        parts = bars.parts(place)
        passed_ms = at_ms - parts[0].open_ms
        if passed_ms >= BAR_MS:
            units = parts[-1].prices[-1]
        else:
            units = parts[passed_ms * len(parts) // BAR_MS].price(side, at_ms)
        return Decimal(units).scaleb(-bars.digits)

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

    def landed(self, symbol: str, at_ms: int) -> Decimal | None:
        """Return the price that a jump at a time lands at; None where no price jumps."""
        return self.price(symbol, at_ms) if self.coins[symbol].may_jump(at_ms) else None

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
        times = bars.candles.open_time_ms
        closes = first_ms + BAR_MS * np.arange(count, dtype=np.int64)
        place = times.searchsorted(closes, side="right") - 1
        moved = self._moved(bars, bars.candles, place, side, (after_ms, THIRD_MS))
        if (finer := bars.minutes) is not None:
            minute, passed_ms = divmod(after_ms, MINUTE_MS)
            is_finer = finer.first[place] >= 0
            rows = finer.first[place[is_finer]] + minute
            within = (passed_ms, MINUTE_MS // 3)
            moved[is_finer] = self._moved(bars, finer.candles, rows, side, within)
        units = np.where(times[place] == closes, moved, bars.units(bars.candles.close[place]))
        found: Floats = units / 10.0**bars.digits
        return found

    def _moved(
        self, bars: CoinBars, c: Candles, rows: Times, side: TradeSide, within: tuple[int, int]
    ) -> Times:
        """Return the prices of candles some time after their opens, in units.

        Args:
            within: That time, and the length of a third.
        """
        corner, rest_ms = divmod(within[0], within[1])
        first, low, high, last = (
            bars.units(column[rows]) for column in (c.open, c.low, c.high, c.close)
        )
        is_low_first: Flags | bool = side == "long"
        if self.kind == "by_body":
            is_low_first = first <= last
        corners = (
            first, np.where(is_low_first, low, high), np.where(is_low_first, high, low), last
        )  # fmt: skip
        begin, end = corners[corner], corners[corner + 1]
        found: Times = begin + (end - begin) * rest_ms // within[1]
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
                Corner(part.open_ms + i * part.third_ms, Decimal(units).scaleb(-digits))
                for part in bars.parts(place)
                for i, units in enumerate(part.corners(side))
            ]
        return corners
