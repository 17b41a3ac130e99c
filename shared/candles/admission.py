"""The one door for candles: which rows of a source are admitted, which are not, and why. Pure.

A row that cannot be is refused by itself and counts as missing. Rows in another unit of time than
milliseconds condemn a file, and an answer that has no others. A series of which the price scale
breaks (a redenomination, a reverse split, a ticker used again) begins anew there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from shared.clock import LATEST_MS, utc_text
from shared.errors import BadCandle, count
from shared.market import COLUMNS, CandleLength, Candles, Floats, Times

Unit = Literal["s", "ms", "us", "ns"]

EARLIEST_S, LATEST_S = 1_230_768_000, LATEST_MS // 1000  # 2009 to 2100: units do not overlap
EARLIEST_MS = EARLIEST_S * 1000
PER_SECOND: dict[Unit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NAMES: dict[Unit, str] = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}

MOST_SAID = 5

BREAK_RATIO = 3.0
BREAK_ATRS = 8.0
ATR_BARS = 14
LEVEL_BARS = 3
"""Closes whose median is the level before a break, and of which most must agree after it: one bad
row on either side is no break."""

SAME_RATIO = math.sqrt(BREAK_RATIO)
"""Levels nearer to each other than this refute a break that another timeframe has found."""


class WrongUnit(BadCandle):
    """Times in another unit than milliseconds; names it, and the first such row."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot be a candle; counts as missing.

    Attributes:
        open_time_ms: None if the row has no readable time.
        row: Its number among the source's rows, from 1.
    """

    open_time_ms: int | None
    row: int
    why: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rows of one time that differ. `why` has both, and which was kept."""

    open_time_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class Break:
    """A break of the price scale: `at_ms` is the first open time of the new one.

    Units: prices in quote currency: the level before, and the first close after.
    """

    at_ms: int
    before: float
    after: float


@dataclass(frozen=True, slots=True, eq=False)
class Admitted:
    """Candles of one source in order of time, each time once, and what was left out.

    Attributes:
        duplicates: Rows dropped because an equal one was there.
    """

    candles: Candles
    refused: tuple[Refused, ...] = ()
    duplicates: int = 0
    conflicts: tuple[Conflict, ...] = ()

    @property
    def refused_ms(self) -> tuple[int, ...]:
        """Return the open times of refused rows, as far as they have one."""
        return tuple(r.open_time_ms for r in self.refused if r.open_time_ms is not None)

    def remarks(self, where: str) -> list[str]:
        """Return what was left out, in words; of many rows the first few."""
        said = [
            f"row {r.row}{_at(r.open_time_ms)} counts as missing: {r.why}" for r in self.refused
        ]
        said = _first_of(said) + _first_of(
            [f"at {utc_text(c.open_time_ms)} {c.why}" for c in self.conflicts]
        )
        if self.duplicates:
            said.append(f"{count(self.duplicates, 'row')} dropped: an equal one is there")
        return [f"{where}: {what}" for what in said]


def _at(time_ms: int | None) -> str:
    return "" if time_ms is None else f" at {utc_text(time_ms)}"


def _first_of(said: list[str]) -> list[str]:
    more = len(said) - MOST_SAID
    return said if more <= 0 else [*said[:MOST_SAID], f"and {more} more like these"]


def unit_of(time: float) -> Unit | None:
    """Return the unit in which a time lies between 2009 and 2100, if any."""
    for unit, per_second in PER_SECOND.items():
        if EARLIEST_S * per_second <= time < LATEST_S * per_second:
            return unit
    return None


def readable_ms(time: int) -> int | None:
    """Return a time that can be epoch ms, else None."""
    return time if unit_of(time) == "ms" else None


def row_fault(  # noqa: PLR0917  # the six columns, in their usual order
    timeframe: CandleLength,
    open_time_ms: int,
    open: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> str:
    """Return why a row cannot be a candle; "" if it can."""
    if not EARLIEST_MS <= open_time_ms < LATEST_MS:
        unit = unit_of(open_time_ms)
        return f"open time in {NAMES[unit]}" if unit else "open time not between 2009 and 2100"
    if open_time_ms % timeframe.ms:
        return "open time not on the timeframe's grid"
    prices = (open, high, low, close)
    if not all(0 < price < math.inf for price in prices):
        return "price not finite and above 0"
    if high < max(prices):
        return "high below open, close or low"
    if low > min(prices):
        return "low above open, close or high"
    if not 0 <= volume < math.inf:
        return "volume not finite or negative"
    return ""


def admit(
    candles: Candles,
    symbol: str,
    timeframe: CandleLength,
    *,
    from_file: bool = False,
    rows: Sequence[int] | None = None,
    refused: Sequence[Refused] = (),
) -> Admitted:
    """Return the candles of one source that can be, sorted, and what is wrong with the others.

    Of rows with one time that differ, the last is kept: it was fetched last. From a file the first
    is kept, as nothing says that a later line is newer.

    Args:
        candles: Rows as they came; the candles returned are these if all of them pass.
        from_file: It cannot be asked again: a single row in another unit condemns it.
        rows: Number of each row at its source, if not 1, 2, 3 ...
        refused: Rows that the source's parser refused already.

    Raises:
        WrongUnit: Times in another unit than ms.
    """
    bad = _bad(candles, timeframe)
    times = candles.open_time_ms
    if not bad.any() and bool((times[1:] > times[:-1]).all()):
        return Admitted(candles, tuple(refused))
    numbers = np.arange(1, len(times) + 1) if rows is None else np.asarray(rows)
    _require_ms(times, numbers, f"{symbol} {timeframe}", from_file=from_file)
    faulty = [
        Refused(readable_ms(times[i].item()), int(numbers[i]), _fault(candles, i, timeframe))
        for i in np.flatnonzero(bad).tolist()
    ]
    all_refused = tuple(sorted((*refused, *faulty), key=lambda each: each.row))
    kept, duplicates, conflicts = _unique(candles[~bad], numbers[~bad], first_wins=from_file)
    return Admitted(kept, all_refused, duplicates, conflicts)


def require(candles: Candles, symbol: str, timeframe: CandleLength) -> None:
    """Raise if one of these candles cannot be, or is not after the one before it.

    Raises:
        BadCandle: Names the first such row.
    """
    times = candles.open_time_ms
    bad = _bad(candles, timeframe)
    bad[1:] |= times[1:] <= times[:-1]
    if bad.any():
        row = int(np.argmax(bad))
        why = _fault(candles, row, timeframe)
        raise BadCandle(f"{symbol} {timeframe} at {int(times[row])}: {why}")


def scale_breaks(candles: Candles, timeframe: CandleLength) -> tuple[Break, ...]:
    """Return the breaks of the price scale, oldest first, as far as these candles show.

    A break is a close, after a hole or beside flat bars without volume, that is more than
    `BREAK_RATIO` times the level before it, or less than that part, and further from it than
    `BREAK_ATRS` times the typical (median) true range of the `ATR_BARS` bars before, where most of
    the first `LEVEL_BARS` closes are as far, and the close just before is not there already. So
    the newest candle may begin a break which the next ones take back.
    """
    close = candles.close
    if len(close) < 2 or float(close.max()) <= BREAK_RATIO * float(close.min()):
        return ()
    silent = (candles.volume == 0) & (candles.high == candles.low)
    found: list[Break] = []
    since = 0
    for at in _suspects(candles, silent, timeframe):
        level = _break_level(candles, silent, since, at)
        if level is not None:
            found.append(Break(int(candles.open_time_ms[at]), level, float(close[at])))
            since = at
    return tuple(found)


def beginnings(candles: Candles, timeframe: CandleLength) -> tuple[Times, Times]:
    """Return when, as candles closed, the history of a series began.

    Shapes: two arrays of one length: closes at which it changes, ascending, the first of them 0,
        and the open time of the newest break known from then on (0: none).
    """
    closes, begins = [0], [0]
    silent = (candles.volume == 0) & (candles.high == candles.low)
    ends = {
        end
        for at in _suspects(candles, silent, timeframe)
        for end in range(at + 1, min(at + LEVEL_BARS, len(candles)) + 1)
    }
    for end in sorted(ends):
        breaks = scale_breaks(candles[:end], timeframe)
        begins_ms = breaks[-1].at_ms if breaks else 0
        if begins_ms != begins[-1]:
            closes.append(int(candles.open_time_ms[end - 1]) + timeframe.ms)
            begins.append(begins_ms)
    return np.array(closes, dtype=np.int64), np.array(begins, dtype=np.int64)


def can_judge(candles: Candles, at_ms: int) -> bool:
    """Return whether there are candles enough before a time to judge a break there."""
    return int(np.searchsorted(candles.open_time_ms, at_ms)) >= LEVEL_BARS


def is_continued(candles: Candles, at_ms: int, timeframe: CandleLength) -> bool:
    """Return whether candles before and after a time have one price scale, for certain."""
    end = int(np.searchsorted(candles.open_time_ms, at_ms - timeframe.ms, side="right"))
    start = int(np.searchsorted(candles.open_time_ms, timeframe.first_open(at_ms)))
    before, after = candles.close[max(0, end - LEVEL_BARS) : end], candles.close[start:]
    if len(before) < LEVEL_BARS or len(after) < LEVEL_BARS:
        return False
    ratio = float(np.median(after[:LEVEL_BARS])) / float(np.median(before))
    return 1 / SAME_RATIO < ratio < SAME_RATIO


def _bad(candles: Candles, timeframe: CandleLength) -> npt.NDArray[np.bool_]:
    """Return which rows cannot be candles: the rules of `row_fault`, for all rows at once."""
    times, volume = candles.open_time_ms, candles.volume
    open_, close = candles.open, candles.close
    # comparisons with NaN are false
    good = times % timeframe.ms == 0
    good &= times >= EARLIEST_MS
    good &= times < LATEST_MS
    good &= candles.low > 0
    good &= candles.high < math.inf
    good &= candles.high >= np.maximum(open_, close)
    good &= candles.low <= np.minimum(open_, close)
    good &= volume >= 0
    good &= volume < math.inf
    bad: npt.NDArray[np.bool_] = ~good
    return bad


def _fault(candles: Candles, row: int, timeframe: CandleLength) -> str:
    values = [getattr(candles, name)[row].item() for name in COLUMNS]
    shown = ", ".join(f"{c}={v!r}" for c, v in zip(COLUMNS[1:], values[1:], strict=True))
    why = row_fault(timeframe, *values) or "open time not after the row before"
    return f"{why} ({shown})"


def _require_ms(times: Times, numbers: Times, where: str, *, from_file: bool) -> None:
    units = {
        unit: (times >= EARLIEST_S * per) & (times < LATEST_S * per)
        for unit, per in PER_SECOND.items()
    }
    promised = units.pop("ms")
    others = np.logical_or.reduce(list(units.values()))
    if not others.any() or (promised.any() and not from_file):
        return
    row = int(np.argmax(others))
    unit = NAMES[next(unit for unit, has in units.items() if has[row])]
    before = " after rows in milliseconds" if promised[:row].any() else ""
    raise WrongUnit(
        f"{where}: times in {unit}, expected milliseconds: row {numbers[row]}{before} has "
        f"{times[row]}"
    )


def _unique(
    candles: Candles, numbers: Times, *, first_wins: bool
) -> tuple[Candles, int, tuple[Conflict, ...]]:
    """Return the rows in order of time, each time once."""
    if not len(candles):
        return candles, 0, ()
    order = np.argsort(candles.open_time_ms, kind="stable")
    candles, numbers = candles[order], numbers[order]
    times = candles.open_time_ms
    starts = np.flatnonzero(np.diff(times, prepend=-1))
    ends = np.append(starts[1:], len(times))
    keep = starts if first_wins else ends - 1
    duplicates, conflicts = 0, []
    several = ends - starts > 1
    for start, end, kept in zip(starts[several], ends[several], keep[several], strict=True):
        other = [i for i in range(start, end) if not candles[[i]].same_as(candles[[kept]])]
        duplicates += int(end - start) - 1 - len(other)
        if other:
            conflicts.append(_conflict(candles, numbers, int(kept), other))
    return candles[keep], duplicates, tuple(conflicts)


def _conflict(candles: Candles, numbers: Times, kept: int, other: Sequence[int]) -> Conflict:
    differs = [c for c in COLUMNS if any(_value(candles, c, i, kept) for i in other)]
    shown = [
        f"row {numbers[i]} has "
        + ", ".join(f"{c} {getattr(candles, c)[i].item()!r}" for c in differs)
        for i in (kept, *other)
    ]
    return Conflict(
        int(candles.open_time_ms[kept]),
        f"rows of one time differ: {'; '.join(shown)}; row {numbers[kept]} is kept",
    )


def _value(candles: Candles, column: str, row: int, other: int) -> bool:
    values = getattr(candles, column)
    return bool(values[row] != values[other])


def _suspects(
    candles: Candles, silent: npt.NDArray[np.bool_], timeframe: CandleLength
) -> Sequence[int]:
    """Return the candles that may begin a break: after a hole, or silent, or after a silent one."""
    if len(candles) < 2:
        return []
    hole = np.diff(candles.open_time_ms) != timeframe.ms
    at = np.flatnonzero(hole | silent[1:] | silent[:-1]) + 1
    close = candles.close
    far = np.zeros(len(at), dtype=bool)
    for lag in range(1, LEVEL_BARS + 1):
        ratio = close[at] / close[np.maximum(at - lag, 0)]
        far |= (ratio > BREAK_RATIO) | (ratio * BREAK_RATIO < 1)
    return [int(i) for i in at[far]]


def _break_level(
    candles: Candles, silent: npt.NDArray[np.bool_], since: int, at: int
) -> float | None:
    """Return the level before a break at a candle, judged from candle `since` on, if it is one."""
    level = float(np.median(candles.close[max(since, at - LEVEL_BARS) : at]))
    after = candles.close[at : at + LEVEL_BARS]
    is_far = after > BREAK_RATIO * level if after[0] > level else after * BREAK_RATIO < level
    if not is_far[0] or 2 * int(is_far.sum()) <= len(after):
        return None
    if 1 / SAME_RATIO < float(after[0]) / float(candles.close[at - 1]) < SAME_RATIO:
        return None  # the price was there already: it fell or rose while it was traded
    if abs(float(after[0]) - level) <= BREAK_ATRS * _typical_range(candles, silent, since, at):
        return None
    return level


def _typical_range(candles: Candles, silent: npt.NDArray[np.bool_], since: int, at: int) -> float:
    rows = since + np.flatnonzero(~silent[since:at])[-ATR_BARS:]
    if not len(rows):
        return 0.0
    before: Floats = candles.close[np.maximum(rows - 1, since)]
    before = np.where(rows > since, before, candles.close[rows])
    ranges = np.maximum(candles.high[rows], before) - np.minimum(candles.low[rows], before)
    return float(np.median(ranges))
