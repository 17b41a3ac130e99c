"""The simulated market: the bars that exist at a given time, on every timeframe.

All of it follows from the price source and the time; bars are only cached, as many as one request
can ask for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from actors.exchange_sim.market.bars import (
    BAR_MS,
    CLOSE,
    DAY_MS,
    FIELDS,
    HIGH,
    LOW,
    OPEN,
    TAKER_BASE,
    TIME,
    VOLUME,
    Bars,
    Integers,
    Scale,
    aggregate,
    path_of,
    so_far,
)
from actors.exchange_sim.market.events import Correction, Event, Halt, Redenomination, Wick
from shared.market import Timeframe

# Whole days that contain the newest 1000 bars, without today.
_KEPT_DAYS = {Timeframe.M5: 5, Timeframe.H1: 43, Timeframe.H4: 168}

_PRICES, _BASES = [OPEN, HIGH, LOW, CLOSE], [VOLUME, TAKER_BASE]
_MOST_DIGITS = 8
_WICK_STEPS = 60  # 5 s down and 5 s up
_WICK_VOLUME = 20
_CORRECTED_SHARE = 100  # of the high: 1 % higher


class PriceSource(Protocol):
    """A source of 5m bars: a pure function of coin and absolute time."""

    def symbols(self) -> Sequence[str]:
        """Return the coins that exist."""

    def first_day(self, symbol: str) -> int:
        """Return the day (since the epoch) with the coin's first bar."""

    def scale(self, symbol: str) -> Scale:
        """Return the coin's decimals."""

    def days(self, symbol: str, first_day: int, last_day: int) -> Bars:
        """Return the 5m bars of whole UTC days, both included; future ones too."""

    def points(self, symbol: str, bar: Integers) -> Integers:
        """Return the price path inside a 5m bar at equal distances, both ends included."""


@dataclass(frozen=True, slots=True)
class _History:
    """Bars of one coin on every timeframe, through the end of `last_day`."""

    first_day: dict[Timeframe, int]
    last_day: int
    bars: dict[Timeframe, Bars]


class Market:
    """Bars of all coins as of a given time.

    Args:
        source: Generated or recorded prices.
    """

    def __init__(self, source: PriceSource) -> None:
        self._source = source
        self._histories: dict[str, _History] = {}
        self._events: dict[str, tuple[Event, ...]] = {}

    def symbols(self) -> Sequence[str]:
        return self._source.symbols()

    def scale(self, symbol: str, now_ms: int) -> Scale:
        """Return the coin's decimals.

        Raises:
            UnknownSymbol: No such coin.
        """
        self._history(symbol, now_ms // DAY_MS)  # so that a recorded file is read only once
        return self._scale(symbol)

    def first_ms(self, symbol: str) -> int:
        """Return when the coin's history begins.

        Raises:
            UnknownSymbol: No such coin.
        """
        return self._source.first_day(symbol) * DAY_MS

    def add_event(self, symbol: str, event: Event) -> None:
        """Add something to the coin's history (and future)."""
        self._events[symbol] = (*self._events.get(symbol, ()), event)
        self._histories.pop(symbol, None)

    def clear_events(self) -> None:
        """Remove all events, past ones included."""
        for symbol in self._events:
            self._histories.pop(symbol, None)
        self._events.clear()

    def is_halted(self, symbol: str, now_ms: int) -> bool:
        return any(h.from_ms <= now_ms < h.until_ms for h in self._of(Halt, symbol))

    def bars(
        self,
        symbol: str,
        timeframe: Timeframe,
        now_ms: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
        absent: Collection[int] = (),
    ) -> Bars:
        """Return bars as of `now_ms`, oldest first; the last may still be open.

        Args:
            start_ms: Bars that open then or later; with it the oldest `limit` of them.
            end_ms: Bars that open then or earlier; without `start_ms` the newest of them.
            limit: How many at most.
            absent: Open times of bars to leave out.

        Raises:
            UnknownSymbol: No such coin.
        """
        oldest_day = self._source.first_day(symbol)
        until_ms = now_ms if end_ms is None else min(now_ms, end_ms)
        span = limit * timeframe.ms // DAY_MS + 2
        newest_day = until_ms // DAY_MS
        if start_ms is None:
            first, last = newest_day - span, newest_day
        else:
            first = max(start_ms // DAY_MS, oldest_day)
            last = first + span
        while True:
            first, last = max(first, oldest_day), min(last, newest_day)
            found = self._between(symbol, timeframe, first, last, now_ms)
            wanted = found[TIME] <= until_ms
            if start_ms is not None:
                wanted &= found[TIME] >= start_ms
            if absent:
                wanted &= ~np.isin(found[TIME], list(absent))
            found = found[:, wanted]
            complete = last >= newest_day if start_ms is not None else first <= oldest_day
            if found.shape[1] >= limit or complete:
                break
            if start_ms is None:
                first -= span
            else:
                last += span
        for correction in self._of(Correction, symbol):
            if correction.known_ms <= now_ms:
                found = self._corrected(symbol, timeframe, found, correction)
        return found[:, :limit] if start_ms is not None else found[:, -limit:]

    def path(self, symbol: str, from_ms: int, until_ms: int) -> list[tuple[int, int]]:
        """Return times and prices of the corners of the price path, straight lines in between.

        The first is at or before `from_ms`, the last may be after `until_ms`. Two at one time are
        a jump; in a gap the price stays. Prices are in units of their last digit. Empty before
        the coin's history begins.

        Raises:
            UnknownSymbol: No such coin.
        """
        first_ms, last_ms = Timeframe.M5.open_at(from_ms), Timeframe.M5.open_at(until_ms)
        bars = self.bars(
            symbol,
            Timeframe.M5,
            last_ms + BAR_MS,
            start_ms=first_ms,
            end_ms=last_ms,
            limit=(last_ms - first_ms) // BAR_MS + 1,
        )
        corners: list[tuple[int, int]] = []
        if not bars.shape[1] or bars[TIME, 0] > from_ms:
            before = self.bars(symbol, Timeframe.M5, first_ms, limit=1)
            corners += [(first_ms, int(before[CLOSE, 0]))] if before.shape[1] else []
        for bar in bars.T:
            open_ms = int(bar[TIME])
            if corners and corners[-1][0] < open_ms:
                corners.append((open_ms, corners[-1][1]))
            points = self.points(symbol, bar)
            steps = len(points) - 1
            corners += [(open_ms + i * BAR_MS // steps, int(p)) for i, p in enumerate(points)]
        return corners

    def points(self, symbol: str, bar: Integers) -> Integers:
        """Return the price path inside a closed 5m bar at equal distances, both ends included."""
        if self._of(Halt, symbol):  # the bar may have been cut
            return path_of(bar)
        return self._path_inside(symbol, bar)

    def _path_inside(self, symbol: str, bar: Integers) -> Integers:
        """Return the price path inside a whole bar at equal distances, both ends included."""
        open_ms = int(bar[TIME])
        if open_ms in {wick.open_ms for wick in self._of(Wick, symbol)}:
            return self._wicked_path(symbol, bar)
        if self._of(Redenomination, symbol):
            return path_of(bar)
        return self._source.points(symbol, bar)

    def _wicked_path(self, symbol: str, bar: Integers) -> Integers:
        day = int(bar[TIME]) // DAY_MS
        bars = self._rescaled(symbol, self._source.days(symbol, day, day))
        corners = path_of(bars[:, np.searchsorted(bars[TIME], bar[TIME])])
        steps = np.linspace(0, len(corners) - 1, _WICK_STEPS + 1)
        inside = np.interp(steps, np.arange(len(corners)), corners)
        points: Integers = np.rint(inside).astype(np.int64)
        extreme = LOW if bar[LOW] < corners.min() else HIGH
        points[_WICK_STEPS // 2] = bar[extreme]
        return points

    def _between(
        self, symbol: str, timeframe: Timeframe, first_day: int, last_day: int, now_ms: int
    ) -> Bars:
        history = self._history(symbol, now_ms // DAY_MS)
        if first_day >= history.first_day[timeframe]:
            bars = history.bars[timeframe]
        else:
            bars = aggregate(self._traded(symbol, first_day, last_day), timeframe)
        times = bars[TIME]
        begin = np.searchsorted(times, first_day * DAY_MS)
        stop = np.searchsorted(times, min((last_day + 1) * DAY_MS, timeframe.open_at(now_ms)))
        closed = bars[:, begin : max(begin, stop)]
        if first_day <= now_ms // DAY_MS <= last_day:
            return np.concatenate([closed, self._open(symbol, timeframe, now_ms)], axis=1)
        return closed

    def _open(self, symbol: str, timeframe: Timeframe, now_ms: int) -> Bars:
        """Return the open bar (none in a halt), shape (10, 0 or 1)."""
        fives = self._history(symbol, now_ms // DAY_MS).bars[Timeframe.M5]
        begin, stop = np.searchsorted(fives[TIME], [timeframe.open_at(now_ms), now_ms + 1])
        parts = fives[:, begin:stop].copy()
        if parts.shape[1] and parts[TIME, -1] + BAR_MS > now_ms:
            parts[:, -1] = self._running(symbol, parts[:, -1], now_ms)
        return aggregate(parts, timeframe)

    def _running(self, symbol: str, bar: Integers, now_ms: int) -> Integers:
        open_ms = int(bar[TIME])
        for halt in self._of(Halt, symbol):
            if halt.from_ms <= now_ms and open_ms < halt.until_ms:
                return bar  # unchanged since trading stopped
            if open_ms <= halt.from_ms < open_ms + BAR_MS:
                whole = self._untouched(symbol, open_ms)
                bar = bar if whole is None else whole
        return so_far(bar, self._path_inside(symbol, bar), now_ms - open_ms)

    def _untouched(self, symbol: str, open_ms: int) -> Integers | None:
        """Return the bar that would open then without a halt, or the one before a gap."""
        day = open_ms // DAY_MS
        bars = self._priced(symbol, day - 1, day)
        known = int(np.searchsorted(bars[TIME], open_ms, side="right"))
        return bars[:, known - 1] if known else None

    def _history(self, symbol: str, today: int) -> _History:
        known = self._histories.get(symbol)
        if known is None or not known.first_day[Timeframe.M5] <= today <= known.last_day + 30:
            known = self._generate(symbol, today)
        elif today > known.last_day:
            known = self._continue(symbol, known, today)
        else:
            return known
        self._histories[symbol] = known
        return known

    def _generate(self, symbol: str, today: int) -> _History:
        oldest = self._source.first_day(symbol)
        first = {t: max(today - days, oldest) for t, days in _KEPT_DAYS.items()}
        fives = self._traded(symbol, min(first.values()), today)
        bars = {t: _from_day(aggregate(fives, t), first[t]) for t in Timeframe}
        return _History(first, today, bars)

    def _continue(self, symbol: str, known: _History, today: int) -> _History:
        fresh = self._traded(symbol, known.last_day + 1, today)
        first = {t: max(known.first_day[t], today - days) for t, days in _KEPT_DAYS.items()}
        bars = {
            t: _from_day(np.concatenate([known.bars[t], aggregate(fresh, t)], axis=1), first[t])
            for t in Timeframe
        }
        return replace(known, first_day=first, last_day=today, bars=bars)

    def _traded(self, symbol: str, first_day: int, last_day: int) -> Bars:
        """Return the coin's 5m bars, without those that its halts cut out."""
        bars = self._priced(symbol, first_day, last_day)
        for halt in self._of(Halt, symbol):
            bars = self._with_halt(symbol, bars, halt)
        return bars

    def _priced(self, symbol: str, first_day: int, last_day: int) -> Bars:
        """Return the source's 5m bars, redenominated and with their wicks."""
        bars = self._rescaled(symbol, self._source.days(symbol, first_day, last_day))
        for wick in self._of(Wick, symbol):
            at = bars[TIME] == wick.open_ms
            touched = np.maximum(np.rint(bars[CLOSE, at] * wick.factor), 1).astype(np.int64)
            bars[LOW, at] = np.minimum(bars[LOW, at], touched)
            bars[HIGH, at] = np.maximum(bars[HIGH, at], touched)
            bars[VOLUME:, at] *= _WICK_VOLUME
        return bars

    def _rescaled(self, symbol: str, bars: Bars) -> Bars:
        changes = self._of(Redenomination, symbol)
        bars = bars.copy()
        if not changes:
            return bars
        source, scale = self._source.scale(symbol), self._scale(symbol)
        bars[_PRICES] *= 10 ** (scale.price_digits - source.price_digits)
        bars[_BASES] *= 10 ** (scale.volume_digits - source.volume_digits)
        for change in changes:
            after = bars[TIME] >= change.at_ms
            for fields, factor in ((_PRICES, change.factor), (_BASES, 1 / change.factor)):
                old = bars[np.ix_(fields, after)]
                bars[np.ix_(fields, after)] = np.maximum(np.rint(old * factor), old > 0)
        return bars

    def _scale(self, symbol: str) -> Scale:
        """Return the coin's decimals: a redenomination has room for those it needs."""
        scale, factor = self._source.scale(symbol), 1.0
        price_digits, volume_digits = scale.price_digits, scale.volume_digits
        for change in self._of(Redenomination, symbol):
            factor *= change.factor
            more = math.ceil(abs(math.log10(factor)))
            if factor < 1:
                price_digits = max(price_digits, scale.price_digits + more)
            else:
                volume_digits = max(volume_digits, scale.volume_digits + more)
        return Scale(min(price_digits, _MOST_DIGITS), min(volume_digits, _MOST_DIGITS))

    def _corrected(
        self, symbol: str, timeframe: Timeframe, bars: Bars, correction: Correction
    ) -> Bars:
        at = bars[TIME] == timeframe.open_at(correction.open_ms)
        if not at.any():
            return bars
        day = correction.open_ms // DAY_MS
        fives = self._traded(symbol, day, day)
        was = fives[:, fives[TIME] == correction.open_ms]
        bars = bars.copy()
        for bar in was.T:
            higher = bar[HIGH] + 1 + bar[HIGH] // _CORRECTED_SHARE
            bars[HIGH, at] = np.maximum(bars[HIGH, at], higher)
            bars[VOLUME:, at] += bar[VOLUME:, None]
        return bars

    def _of[Kind: Event](self, kind: type[Kind], symbol: str) -> list[Kind]:
        return [event for event in self._events.get(symbol, ()) if isinstance(event, kind)]

    def _with_halt(self, symbol: str, bars: Bars, halt: Halt) -> Bars:
        stopped_ms = Timeframe.M5.open_at(halt.from_ms)
        whole = self._untouched(symbol, stopped_ms)
        if whole is None:
            return bars  # not traded yet
        elapsed_ms = min(halt.from_ms - int(whole[TIME]), BAR_MS)
        cut = so_far(whole, self._path_inside(symbol, whole), elapsed_ms)
        times = bars[TIME]
        at_stop = times == stopped_ms
        flat = (times > stopped_ms) & (times < halt.flat_until_ms)
        bars = bars.copy()
        bars[:, at_stop] = cut[:, None]
        bars[np.ix_([OPEN, HIGH, LOW, CLOSE], flat)] = cut[CLOSE]
        bars[np.ix_(np.arange(VOLUME, FIELDS), flat)] = 0
        return bars[:, ~((times > stopped_ms) & ~flat & (times < halt.until_ms))]


def _from_day(bars: Bars, day: int) -> Bars:
    return bars[:, np.searchsorted(bars[TIME], day * DAY_MS) :].copy()
