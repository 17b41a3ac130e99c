"""The points that a user's strategy gives at each close of a recording, as live calls would.

The truth is the live call: the score at a close is that of exactly the last bars the strategy asks
for. Of one whose check says so, a call over weeks gives the same; it is compared with live calls
here all the same, at some closes by chance and at those with the most points, and computed close by
close wherever it is not what they give.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shared.backtest.outcomes import Flags
from shared.backtest.replay import Recording
from shared.backtest.user_strategy.asking import LONG_LIMITS, LONG_TRIES, Asked, NotScored
from shared.backtest.user_strategy.due_closes import DueCloses, due_closes
from shared.clock import utc_text
from shared.market import Candles, Floats, Timeframe, Times
from shared.strategy.contract import Scores, Series, series_at, series_between
from shared.strategy.laws import SAME
from shared.strategy.live import FLAT, is_all_known
from shared.strategy.process import StrategyFailed

M5 = Timeframe.M5
PART_MS = 8064 * M5.ms
"""Of one call over weeks: four, so that it fits the process' memory with whatever it computes."""

BY_CHANCE, HIGHEST = 6, 6
"""Closes of each such call that are compared with live calls."""

NONE = -1
Bars = Mapping[Timeframe, Candles]


@dataclass(frozen=True, slots=True, eq=False)
class CoinPoints:
    """Of one coin at the closes of a span.

    Attributes:
        points: Whole points, long and short; NONE where it was not scored. Shape: (2, closes).
        stop: As a share of the price, NaN for none. Shape: (closes,); None if it never gives one.
    """

    points: npt.NDArray[np.int8]
    stop: Floats | None = None

    def columns(self) -> dict[str, Floats]:
        """Return them as columns of a `Series`."""
        long, short = np.where(self.points == NONE, np.nan, self.points.astype(np.float64))
        found = {"base_long": long, "base_short": short}
        return found if self.stop is None else {**found, "stop": self.stop}


@dataclass(slots=True)
class Tally:
    """How the scores of some closes came about; a close counts once for each coin.

    Attributes:
        asked: Live calls would have been made.
        one_by_one: Of them, computed by a call of their own.
        failed: Of them, not scored as the strategy raised, or gave NaN where a number belongs.
        first: The first of these, in words.
    """

    asked: int = 0
    one_by_one: int = 0
    failed: int = 0
    first: str = ""

    def add(self, other: Tally) -> None:
        self.asked += other.asked
        self.one_by_one += other.one_by_one
        self.failed += other.failed
        self.first = self.first or other.first

    def fail(self, where: str, why: str) -> None:
        self.failed += 1
        self.first = self.first or f"{where}: {why}"


@dataclass(slots=True, eq=False)
class _Row:
    """One coin of a call, and what it was given.

    Attributes:
        raw: Long, short and stop. Shape: (3, closes).
        times, known: The closes at which it is due.
    """

    symbol: str
    due: DueCloses
    raw: Floats = field(init=False)
    times: Times = field(init=False)
    known: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.raw = np.full((3, len(self.due.times)), np.nan)
        self.times = self.due.times[self.due.is_due]
        self.known = frozenset(self.times.tolist())

    def due_at(self, times: Times) -> Flags:
        """Return at which of some closes it is due."""
        return np.isin(times, self.times, assume_unique=True)


class PastScores:
    """Asks a strategy for closes of the past.

    Args:
        recordings: Of the coins to score, in the order of rows.
        rows: All coins of a call across coins; one without a recording is unknown.
        is_whole: Whether calls over weeks may be made; none after one that it dies of twice.
    """

    def __init__(
        self, asked: Asked, recordings: Sequence[Recording], rows: Sequence[str], *, is_whole: bool
    ) -> None:
        self._asked = asked
        self._bars = asked.loaded.timeframes
        self._recordings = {recording.symbol: recording for recording in recordings}
        self._rows = tuple(rows)
        self._is_whole = is_whole
        self.tally = Tally()

    def score(self, from_ms: int, to_ms: int) -> dict[str, CoinPoints]:
        """Return the points at the closes of the 5m candles that opened in `[from_ms, to_ms)`.

        Raises:
            NotScored: The strategy cannot be asked.
        """
        rows = [
            _Row(symbol, due_closes(recording, self._bars, from_ms, to_ms))
            for symbol, recording in self._recordings.items()
        ]
        calls = [rows] if self._asked.loaded.cross_section else [[row] for row in rows]
        for call in calls:
            for times in _parts(call):
                self._part(call, times)
        return {row.symbol: _points_of(row) for row in rows}

    def _part(self, rows: Sequence[_Row], times: Times) -> None:
        """Score the closes of a part at which some coin is due."""
        left = times
        if self._is_whole:
            even = times[~self._uneven(rows, times)]
            settled = self._together(rows, even) if len(even) else even
            left = np.setdiff1d(times, settled, assume_unique=True)
        for close_ms in left.tolist():
            self._alone(rows, close_ms)
        for row in rows:
            self.tally.asked += int(row.due_at(times).sum())

    def _together(self, rows: Sequence[_Row], times: Times) -> Times:
        """Score by one call over all of a part; return the closes that this settles."""
        first_ms, last_ms = int(times[0]), int(times[-1])
        since = {t: t.open_at(first_ms) - count * t.ms for t, count in self._bars.items()}
        series = series_between(self._candles(rows, ()), since, last_ms)
        where = f"{_named(rows)} from {utc_text(first_ms)} to {utc_text(last_ms)}"
        try:
            scores = self._asked.score(series, where, LONG_LIMITS, LONG_TRIES)
        except NotScored:  # too slow, or too large, for a call over weeks, perhaps for no other
            self._is_whole = False
            return times[:0]
        except StrategyFailed:  # of one close, perhaps: each is asked by itself
            return times[:0]
        known = np.ones(len(times), dtype=np.bool_)
        places = (times - int(series.close_ms[0])) // M5.ms
        most = np.zeros(len(times))
        given = _columns(scores)[:, :, places]
        for row in rows:
            at, found = self._place(series, row), row.due_at(times)
            numbers = np.isfinite(given[:2, at]).all(axis=0)
            known &= ~found | numbers
            most = np.maximum(most, np.where(found & numbers, given[:2, at].max(axis=0), 0.0))
        for place in self._compared(rows, times, known, most):
            close_ms = int(times[place])
            due = [self._place(series, row) for row in rows if close_ms in row.known]
            alone = self._live(rows, close_ms)
            if alone is None or not _same(given[:, due, place], alone[:, due]):
                return times[:0]
        for row in rows:
            at = self._place(series, row)
            mine = np.searchsorted(row.due.times, times)
            chosen = known & row.due_at(times)
            row.raw[:, mine[chosen]] = given[:, at, chosen]
        return times[known]

    def _compared(
        self, rows: Sequence[_Row], times: Times, known: Flags, most: Floats
    ) -> Iterator[int]:
        """Yield the places of closes to compare with live calls."""
        places = np.flatnonzero(known)
        seed = zlib.crc32(_named(rows).encode()), int(times[0]) // M5.ms
        chance = np.random.default_rng(seed).permutation(places)[:BY_CHANCE]
        highest = places[np.argsort(-most[places], kind="stable")[:HIGHEST]]
        yield from sorted({*chance.tolist(), *highest.tolist()})

    def _live(self, rows: Sequence[_Row], close_ms: int) -> Floats | None:
        """Return what a live call gives; None: an error."""
        try:
            return _columns(self._call(rows, close_ms)[1])[:, :, -1]
        except StrategyFailed:
            return None

    def _alone(self, rows: Sequence[_Row], close_ms: int) -> None:
        """Score one close by a live call."""
        due = [row for row in rows if close_ms in row.known]
        self.tally.one_by_one += len(due)
        try:
            series, scores = self._call(rows, close_ms)
        except StrategyFailed as error:
            for row in due:
                self.tally.fail(f"{row.symbol} at {utc_text(close_ms)}", str(error))
            return
        given = _columns(scores)[:, :, -1]
        for row in due:
            at = self._place(series, row)
            if np.isfinite(given[:2, at]).all():
                row.raw[:, np.searchsorted(row.due.times, close_ms)] = given[:, at]
            elif is_all_known(series, at):
                where = f"{row.symbol} at {utc_text(close_ms)}"
                self.tally.fail(where, "it gives NaN where a number belongs")

    def _call(self, rows: Sequence[_Row], close_ms: int) -> tuple[Series, Scores]:
        absent = [row.symbol for row in rows if close_ms not in row.known]
        series = series_at(self._candles(rows, absent), self._bars, close_ms)
        return series, self._asked.score(series, f"{_named(rows)} at {utc_text(close_ms)}")

    def _candles(self, rows: Sequence[_Row], absent: Sequence[str]) -> dict[str, Bars]:
        """Return what a call is given, those that are absent as unknown."""
        found: dict[str, Bars] = {}
        if self._asked.loaded.cross_section:
            found |= {symbol: {} for symbol in self._rows}
        for row in rows:
            is_absent = row.symbol in absent
            found[row.symbol] = {} if is_absent else self._recordings[row.symbol].candles
        return found

    def _uneven(self, rows: Sequence[_Row], times: Times) -> Flags:
        """Return where a live call does not see a coin that has bars: they are not trusted then."""
        found = np.zeros(len(times), dtype=np.bool_)
        reach_ms = max(count * timeframe.ms for timeframe, count in self._bars.items())
        for row in rows:
            found |= np.isin(times, row.due.times[row.due.is_seen & ~row.due.is_due])
            closes = self._recordings[row.symbol].closes
            before = times - closes[np.maximum(closes.searchsorted(times, side="right") - 1, 0)]
            found |= (before > 0) & (before < reach_ms)
        return found

    @staticmethod
    def _place(series: Series, row: _Row) -> int:
        return series.coins.index(row.symbol)


def _parts(rows: Sequence[_Row]) -> Iterator[Times]:
    """Yield the closes of each call over weeks at which some coin is due."""
    times = np.unique(np.concatenate([row.times for row in rows]))
    groups = [times // PART_MS]
    if len(rows) == 1:
        places = np.searchsorted(rows[0].due.times, times)
        groups.append(rows[0].due.begins[places])
    keys = list(zip(*(group.tolist() for group in groups), strict=True))
    begin = 0
    for _, members in itertools.groupby(keys):
        end = begin + sum(1 for _ in members)
        yield times[begin:end]
        begin = end


def _columns(scores: Scores) -> Floats:
    """Return long, short and stop. Shape: (3, coins, bars)."""
    stop = np.full_like(scores.long, np.nan) if scores.stop is None else scores.stop
    return np.stack([scores.long, scores.short, stop])


def _same(one: Floats, other: Floats) -> bool:
    """Return whether two calls gave one close the same points. Shapes: (3, coins)."""
    is_near = np.isclose(one, other, rtol=0.0, atol=SAME, equal_nan=True).all()
    left, right = (np.floor(each[:2] + FLAT) for each in (one, other))
    return bool(is_near) and np.array_equal(left, right, equal_nan=True)


def _points_of(row: _Row) -> CoinPoints:
    whole = np.floor(row.raw[:2] + FLAT)
    points = np.where(np.isnan(whole), NONE, whole).astype(np.int8)
    stop = row.raw[2]
    return CoinPoints(points, stop if np.isfinite(stop).any() else None)


def _named(rows: Sequence[_Row]) -> str:
    return rows[0].symbol if len(rows) == 1 else "all coins"
