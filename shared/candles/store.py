"""Candles of one coin on one timeframe: what is known and what is missing. Pure.

A candle is closed when the exchange has opened a later one: that needs no clock. If no later one
comes (a halt), it is closed `SETTLE_MS` after its end, once it has not changed for as long.
Streamed closes are accepted at once and stay `unchecked` until an answer confirms them; where
they differ, the answer wins. Rows that were refused count as missing: the hole stays
open until `HALT_BARS` candles follow it. Candles from before a break
of the price scale are stored, in case the exchange corrects it, and not published.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from shared.candles import column_texts
from shared.candles.admission import (
    Admitted,
    Conflict,
    Refused,
    can_judge,
    is_continued,
    scale_breaks,
)
from shared.candles.column_texts import ColumnTexts
from shared.errors import BadCandle, PlatformError
from shared.indicators.frames import HALT_BARS
from shared.market import COLUMNS, Candles, Timeframe
from shared.messages.candles import CandleRow, CandleUpdate, CandleWindow, Source

KEEP = 1000  # closed candles kept, and the exchange's maximum per answer
OVERLAP = 2  # closed candles fetched again, to detect corrections
SETTLE_MS = 20_000
ABSENT_MS = 300_000  # a missing candle may come this long after the next one opened
AHEAD_MS = 20_000  # an answer may be this much newer than its request
UPDATE_ROWS = 5  # per update; with more, subscribers read the window
RECHECK_FIRST_MS, RECHECK_CAP_MS = 60_000, 3_600_000

Range = tuple[int, int]  # open times [from, until)


class OverlapDiffers(PlatformError):
    """The exchange has changed closed candles: all must be fetched again."""


class WrongTime(BadCandle):
    """An answer newer than exchange time allows, or older than an earlier one."""


class OldAnswer(WrongTime):
    """An answer older than an earlier one: of a node that is behind, or time was set back."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one answer changed: new closed candles, the open one if it changed, holes.

    Attributes:
        appends: All of `closed` follow without a hole on those before, and no other closed
            candle changed.
        begins: `begins_ms` changed.
        corrected: Open times of streamed closes that the answer contradicted.
    """

    closed: Candles
    forming: Candles
    absent: bool = False
    begins: bool = False
    appends: bool = False
    corrected: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(len(self.closed) or len(self.forming) or self.absent or self.begins)


class Fit(StrEnum):
    """How a streamed close fits the store."""

    NEXT = "next"
    KNOWN = "known"
    DIFFERS = "differs"
    BEYOND = "beyond a hole"
    OLDER = "older than the store"


class CandleStore:
    """Closed candles, the open one, and the holes of one coin and timeframe.

    Attributes:
        closed: Closed candles, oldest first, at most `keep`.
        forming: The open candle, or none.
        absent: Ranges the exchange confirmed it does not have.
        asked_ms: Exchange time of the last valid answer's request; None before the first.
        fetched_at_ms: Local time of the last valid answer, or of a later frame of the stream
            while nothing is missing.
        unchecked: Open times of streamed closes not confirmed by an answer yet.
        begins_ms: Newest break of the price scale, 0 if none is known: older candles are not
            published. One out of reach is remembered; one within reach is judged anew with each
            answer.
        refused, conflicts: What the last answer that reached there said of its rows.
        duplicates: Equal rows dropped from answers.
    """

    def __init__(self, symbol: str, timeframe: Timeframe, keep: int = KEEP) -> None:
        self.symbol = symbol
        self.timeframe = timeframe
        self.keep = keep
        self.closed = Candles.empty()
        self.forming = Candles.empty()
        self.absent: tuple[Range, ...] = ()
        self.asked_ms: int | None = None
        self.fetched_at_ms: int | None = None
        self.unchecked: set[int] = set()
        self.begins_ms = 0
        self.refused: tuple[Refused, ...] = ()
        self.conflicts: tuple[Conflict, ...] = ()
        self.duplicates = 0
        self._own_break_ms = self._shorter_break_ms = 0
        self._newest_seen_ms = 0
        self._last_read = Candles.empty()
        self._still_since_ms = 0
        self._recheck_ms = 0
        self._recheck_pause_ms = RECHECK_FIRST_MS
        self._texts = ColumnTexts()

    @property
    def closed_until_ms(self) -> int:
        """Close time of the newest closed candle; 0 without one."""
        if not len(self.closed):
            return 0
        return int(self.closed.open_time_ms[-1]) + self.timeframe.ms

    def is_behind(self, now_ms: int) -> bool:
        """Return whether, by exchange time, a closed candle is missing at the end.

        One whose row was refused is not on its way.
        """
        due_ms = self.timeframe.open_at(now_ms)
        if self.closed_until_ms >= due_ms:
            return False
        return self._refused_in((due_ms - self.timeframe.ms, due_ms)) is None

    def is_due(self, now_ms: int, every_ms: int) -> bool:
        """Return whether to fetch: first time, `every_ms` over, or a candle has closed since."""
        if self.asked_ms is None or self._unconfirmed() or self.is_behind(now_ms):
            return True
        return not 0 <= now_ms - self.asked_ms < every_ms

    def rows_needed(self, now_ms: int) -> int:
        """Return how many of the newest rows to fetch, overlap included."""
        if not len(self.closed):
            return KEEP
        known_ms = min(self._unconfirmed(), default=int(self.closed.open_time_ms[-1]))
        passed = self.timeframe.open_at(now_ms) - known_ms
        return min(KEEP, max(passed // self.timeframe.ms, 0) + OVERLAP)

    def holes(self) -> list[Range]:
        """Return the holes the exchange has not confirmed."""
        return [hole for hole in self._gaps() if not _inside(hole, self.absent)]

    def refused_holes(self) -> list[tuple[Range, Refused]]:
        """Return the open holes left by refused rows, each with the newest of them."""
        if not self.refused:
            return []
        holes = self.holes()
        if not len(self.forming) and self.closed_until_ms < self._newest_seen_ms:
            holes.append((self.closed_until_ms, self._newest_seen_ms))
        found = [(hole, self._refused_in(hole)) for hole in holes]
        return [(hole, refused) for hole, refused in found if refused is not None]

    def missing_from_ms(self, now_ms: int) -> int | None:
        """Return the time from which to fetch missing candles, or None.

        One full answer from there covers every later hole too. Young holes wait: ordinary
        answers reach back to them. Confirmed holes are checked again at doubling intervals:
        what looked like a halt may have been an error of the exchange.
        """
        holes = [hole for hole in self.holes() if now_ms - hole[1] >= ABSENT_MS]
        if not holes and self.absent and now_ms >= self._recheck_ms:
            holes = list(self.absent)
        return holes[0][0] - self.timeframe.ms if holes else None

    def restore(self, window: CandleWindow, source: Source, now_ms: int) -> bool:
        """Start from a window published earlier, if it is valid.

        Returns:
            False, without a change, if it is of another coin, timeframe or source, empty, with
            a hole, or from the future. Of an empty one, `begins_ms` is kept.
        """
        closed = window.closed().tail(self.keep)
        if (window.symbol, window.timeframe, window.source) != (
            self.symbol, self.timeframe, source,
        ):  # fmt: skip
            return False
        if window.begins_ms <= now_ms:
            self._remember_break(window.begins_ms)
        if not len(closed) or window.unfilled_gaps():
            return False
        if int(closed.open_time_ms[-1]) + self.timeframe.ms > now_ms + AHEAD_MS:
            return False
        self.closed, self.absent = closed, window.absent
        self.forming = _newest_after(closed, window.candles.tail(1))
        self._newest_seen_ms = int(window.candles.open_time_ms[-1])
        self._still_since_ms = now_ms
        self._find_beginning()
        return True

    def follow(self, shorter: CandleStore) -> Change:
        """Begin where the coin's shorter candles do: they see a break within one of these.

        Call it whenever `shorter` has changed.
        """
        break_ms = shorter.begins_ms
        known_ms = self._shorter_break_ms
        if break_ms >= known_ms or can_judge(shorter.closed, known_ms):
            self._shorter_break_ms = break_ms
        return Change(Candles.empty(), Candles.empty(), begins=self._find_beginning())

    def accept(
        self, answer: Admitted, *, asked_ms: int, fetched_at_ms: int, from_ms: int | None = None
    ) -> Change:
        """Apply one answer of the exchange.

        Args:
            answer: Of its rows, the last one may be open.
            asked_ms: Exchange time of the request.
            fetched_at_ms: Local time of the answer.
            from_ms: The value of `missing_from_ms` if that was requested: holes between two
                adjacent rows are then confirmed.

        Raises:
            BadCandle: The answer is empty, or all its rows were refused.
            WrongTime: It is newer than exchange time allows, or older than an earlier one.
            OverlapDiffers: A stored closed candle differs, or the exchange has gone back in
                time. Nothing changed; call `replace` with a full answer.
        """
        rows, newest_ms = answer.candles, self._newest_ms(answer, asked_ms)
        self._check_time(newest_ms, asked_ms, is_newest=from_ms is None)
        is_over = newest_ms > rows.open_time_ms[-1] or self._is_settled(rows, asked_ms)
        closed = rows if is_over else rows[: len(rows) - 1]
        before = self.closed, self.unchecked
        corrected = self._correct(rows, len(closed))
        try:
            self._compare(closed, asked_ms)
        except OverlapDiffers:
            self.closed, self.unchecked = before
            raise
        until_ms, first = self.closed_until_ms, len(self.closed) == 0
        new = closed[~np.isin(closed.open_time_ms, self.closed.open_time_ms)]
        if len(new) == len(closed) and len(closed) >= self.keep - 1:
            merged = new  # everything stored is older than a full answer reaches
        else:
            merged = self.closed.merged(new)
        forming = _newest_after(merged, rows[len(closed) :], self.forming)
        if not (forming.same_as(self.forming) and forming.same_as(self._last_read)):
            self._still_since_ms, self._last_read = asked_ms, forming
        if _is_older(forming, self.forming):  # of a node that is behind
            forming = self.forming
        moved = not forming.same_as(self.forming)
        if merged is not self.closed:
            self.closed = merged.tail(self.keep)
        self.forming = forming
        absent = self.absent
        self._note(answer)
        self._settle_holes(rows if from_ms is not None else None, asked_ms)
        self.asked_ms, self.fetched_at_ms = asked_ms, fetched_at_ms
        self._newest_seen_ms = max(self._newest_seen_ms, newest_ms)
        begins = self._find_beginning()
        return Change(
            new,
            forming if moved else Candles.empty(),
            absent != self.absent,
            begins,
            appends=not first
            and not corrected
            and not begins
            and absent == self.absent
            and _follows(new, until_ms, self.timeframe),
            corrected=corrected,
        )

    def fit(self, row: Candles) -> Fit:
        open_ms = int(row.open_time_ms[0])
        if open_ms >= self.closed_until_ms:
            return Fit.NEXT if open_ms == self.closed_until_ms else Fit.BEYOND
        ours = self.closed[self.closed.open_time_ms == open_ms]
        if not len(ours):
            return Fit.OLDER
        return Fit.KNOWN if ours.same_as(row) else Fit.DIFFERS

    def append(self, row: Candles, at_ms: int) -> Change:
        """Take in a streamed close that is `NEXT`, to be confirmed by an answer.

        Args:
            at_ms: Our own time now.

        Raises:
            ValueError: It is not the next candle, or nothing has been fetched yet.
        """
        if self.fetched_at_ms is None or self.fit(row) is not Fit.NEXT:
            raise ValueError(f"{self.symbol} {self.timeframe}: {row.open_time_ms[0]} is not next")
        before = self.closed
        self.closed = before.appended(row, self.keep)
        self._texts.appended(before, row, self.closed)
        self.forming = _newest_after(self.closed, self.forming)
        self.unchecked.add(int(row.open_time_ms[0]))
        self.fetched_at_ms = at_ms
        absent = self.absent
        if absent:  # a hole may have dropped off the old end
            self._settle_holes(None, self.closed_until_ms)
        same, begins = absent == self.absent, self._find_beginning()
        return Change(
            row, Candles.empty(), absent=not same, begins=begins, appends=same and not begins
        )

    def update_forming(self, row: Candles, *, now_ms: int, at_ms: int) -> bool:
        """Apply the streamed open candle; return whether it follows the newest closed one.

        Args:
            now_ms: Exchange time.
            at_ms: Local time.
        """
        if self.fetched_at_ms is None or int(row.open_time_ms[0]) != self.closed_until_ms:
            return False
        self.forming, self._still_since_ms = row, now_ms
        self.fetched_at_ms = at_ms
        return True

    def replace(self, answer: Admitted, *, asked_ms: int, fetched_at_ms: int) -> Change:
        """Replace everything with a full answer.

        Raises:
            BadCandle, WrongTime: As `accept`; nothing changed.
        """
        self._check_time(self._newest_ms(answer, asked_ms), asked_ms, is_newest=True)
        self.closed, self.forming, self.absent = Candles.empty(), Candles.empty(), ()
        self.unchecked = set()
        self.refused, self.conflicts = (), ()
        self._newest_seen_ms = 0
        return self.accept(answer, asked_ms=asked_ms, fetched_at_ms=fetched_at_ms)

    def correct(self, rows: Candles) -> None:
        """Replace closed candles that the exchange has changed.

        Raises:
            ValueError: One of them is not stored.
        """
        if not np.isin(rows.open_time_ms, self.closed.open_time_ms).all():
            raise ValueError(f"{self.symbol} {self.timeframe}: not stored: {rows.open_time_ms}")
        self.closed = self.closed.merged(rows)
        self._find_beginning()

    def window(self, source: Source) -> CandleWindow:
        """Return the message with all candles.

        Raises:
            ValueError: Nothing has been fetched yet.
        """
        if self.fetched_at_ms is None:
            raise ValueError(f"{self.symbol} {self.timeframe}: nothing fetched yet")
        closed, forming = self._since_break(self.closed), self._since_break(self.forming)
        candles = closed.appended(forming, self.keep + 1)
        return CandleWindow(
            symbol=self.symbol,
            timeframe=self.timeframe,
            candles=candles,
            closed_until_ms=self.closed_until_ms,
            fetched_at_ms=self.fetched_at_ms,
            source=source,
            absent=self.absent,
            begins_ms=self.begins_ms,
            texts=(candles, functools.partial(self._columns, closed, forming)),
        )

    def _columns(self, closed: Candles, forming: Candles) -> list[bytes]:
        columns = self._texts.of(closed)
        if not len(forming):
            return columns
        ends = column_texts.texts(forming)
        return [column_texts.joined(text, end) for text, end in zip(columns, ends, strict=True)]

    def update(self, change: Change, source: Source) -> CandleUpdate:
        """Return the message with a change; of many closed candles only the newest."""
        closed, forming = self._since_break(change.closed), self._since_break(change.forming)
        return CandleUpdate(
            symbol=self.symbol,
            timeframe=self.timeframe,
            candles=[
                *_rows(closed.tail(UPDATE_ROWS), closed=True),
                *_rows(forming, closed=False),
            ],
            closed_until_ms=self.closed_until_ms,
            at_ms=self.fetched_at_ms or 0,
            source=source,
            appends=change.appends and 0 < len(closed) == len(change.closed) <= UPDATE_ROWS,
        )

    def _since_break(self, candles: Candles) -> Candles:
        return candles.since(self.timeframe.first_open(self.begins_ms))

    def _remember_break(self, break_ms: int) -> None:
        if self.timeframe is Timeframe.M5:
            self._own_break_ms = break_ms
        else:
            self._shorter_break_ms = break_ms
        self.begins_ms = break_ms

    def _find_beginning(self) -> bool:
        """Judge breaks anew, as far as the candles reach; return whether `begins_ms` changed."""
        breaks = scale_breaks(self.closed, self.timeframe)
        newest_ms = breaks[-1].at_ms if breaks else 0
        if newest_ms >= self._own_break_ms or can_judge(self.closed, self._own_break_ms):
            self._own_break_ms = newest_ms
        shorter_ms = self._shorter_break_ms
        if shorter_ms and is_continued(self.closed, shorter_ms, self.timeframe):
            shorter_ms = 0
        before_ms, self.begins_ms = self.begins_ms, max(self._own_break_ms, shorter_ms)
        return self.begins_ms != before_ms

    def _note(self, answer: Admitted) -> None:
        """Remember what an answer said of its rows, beside what earlier ones said of others."""
        times = answer.candles.open_time_ms
        oldest_ms = int(self.closed.open_time_ms[0]) if len(self.closed) else 0

        def is_elsewhere(time_ms: int | None) -> bool:
            return time_ms is not None and oldest_ms <= time_ms < int(times[0])

        self.refused = (*(r for r in self.refused if is_elsewhere(r.open_time_ms)), *answer.refused)
        self.conflicts = (
            *(c for c in self.conflicts if is_elsewhere(c.open_time_ms)),
            *answer.conflicts,
        )
        self.duplicates += answer.duplicates

    def _refused_in(self, hole: Range) -> Refused | None:
        found = [r for r in self.refused if r.open_time_ms and hole[0] <= r.open_time_ms < hole[1]]
        return found[-1] if found else None

    def _unconfirmed(self) -> set[int]:
        """Return the streamed closes that an answer may still confirm."""
        return self.unchecked - {r.open_time_ms for r in self.refused}

    def _newest_ms(self, answer: Admitted, asked_ms: int) -> int:
        """Return the newest open time in an answer: a refused row has one, too."""
        where, times = f"{self.symbol} {self.timeframe}", answer.candles.open_time_ms
        if not len(times):
            if not answer.refused:
                raise BadCandle(f"{where}: the exchange returned no candles")
            refused = answer.refused[-1]
            raise BadCandle(
                f"{where} at {refused.open_time_ms or '?'}: {refused.why}; no other row is usable"
            )
        newest_ms = int(times[-1])
        later = (
            refused.open_time_ms
            for refused in answer.refused
            if refused.open_time_ms is not None
            and newest_ms + self.timeframe.ms <= refused.open_time_ms <= asked_ms
        )
        return max(later, default=newest_ms)

    def _check_time(self, newest: int, asked_ms: int, *, is_newest: bool) -> None:
        where = f"{self.symbol} {self.timeframe}"
        latest = asked_ms + AHEAD_MS
        if newest > latest:
            raise WrongTime(
                f"{where} at {newest}: opens {newest - asked_ms} ms after exchange time "
                f"{asked_ms}; expected at most {AHEAD_MS} ms"
            )
        if is_newest and newest < self._newest_seen_ms <= latest:
            raise OldAnswer(
                f"{where} at {newest}: the newest candle of an answer asked for at {asked_ms}, "
                f"but {self._newest_seen_ms} had been seen before"
            )

    def _is_settled(self, rows: Candles, asked_ms: int) -> bool:
        ended_ms = int(rows.open_time_ms[-1]) + self.timeframe.ms
        rest_ms = asked_ms - max(ended_ms, self._still_since_ms)
        return rest_ms >= SETTLE_MS and rows.tail(1).same_as(self.forming)

    def _correct(self, rows: Candles, closed_rows: int) -> tuple[int, ...]:
        """Confirm streamed closes, or drop those that the answer's closed rows contradict.

        The answer's last, still open row can confirm a close, not contradict it.
        """
        if not self.unchecked:
            return ()
        wrong, judged = [], set()
        for number, open_ms in enumerate(rows.open_time_ms.tolist()):
            if open_ms in self.unchecked:
                ours = self.closed[self.closed.open_time_ms == open_ms]
                same = ours.same_as(rows[number : number + 1])
                if same or number < closed_rows:
                    judged.add(open_ms)
                if not same and number < closed_rows:
                    wrong.append(open_ms)
        if wrong:
            self.closed = self.closed[~np.isin(self.closed.open_time_ms, wrong)]
        oldest = int(self.closed.open_time_ms[0]) if len(self.closed) else 0
        self.unchecked = {ms for ms in self.unchecked - judged if ms >= oldest}
        return tuple(wrong)

    def _compare(self, closed: Candles, asked_ms: int) -> None:
        where = f"{self.symbol} {self.timeframe}"
        if self.closed_until_ms > asked_ms + AHEAD_MS:
            raise OverlapDiffers(
                f"{where}: candles stored until {self.closed_until_ms}, "
                f"but exchange time is {asked_ms}"
            )
        ours, theirs = self.closed.in_common(closed)
        if ours.same_as(theirs):
            return
        row = int(np.argmax(ours.differs_from(theirs)))
        names = [c for c in COLUMNS if getattr(ours, c)[row] != getattr(theirs, c)[row]]
        raise OverlapDiffers(
            f"{where} at {int(ours.open_time_ms[row])}: closed candle differs: stored "
            f"{_shown(ours, row, names)}, exchange now says {_shown(theirs, row, names)}"
        )

    def _gaps(self) -> list[Range]:
        return self.closed.merged(self.forming).gaps(self.timeframe)

    def _settle_holes(self, answer: Candles | None, asked_ms: int) -> None:
        answered = answer.gaps(self.timeframe) if answer is not None else []
        confirmed = [
            hole
            for hole in answered
            if asked_ms - hole[1] >= ABSENT_MS
            and (self._refused_in(hole) is None or self._is_past(hole))
        ]
        absent = tuple(h for h in self._gaps() if _inside(h, (*self.absent, *confirmed)))
        if absent != self.absent:
            self._recheck_pause_ms = RECHECK_FIRST_MS
        elif answer is not None:
            self._recheck_pause_ms = min(2 * self._recheck_pause_ms, RECHECK_CAP_MS)
        if absent != self.absent or answer is not None:
            self._recheck_ms = asked_ms + self._recheck_pause_ms
        self.absent = absent

    def _is_past(self, hole: Range) -> bool:
        """Return whether so many candles follow that a hole spoils no value any more."""
        return int((self.closed.open_time_ms >= hole[1]).sum()) > HALT_BARS


def _shown(candles: Candles, row: int, names: Iterable[str]) -> str:
    return " ".join(f"{name} {getattr(candles, name)[row].item()!r}" for name in names)


def _newest_after(closed: Candles, *candidates: Candles) -> Candles:
    """Return the first candle that opens after all closed ones, if any."""
    last = int(closed.open_time_ms[-1]) if len(closed) else -1
    for candle in candidates:
        if len(candle) and int(candle.open_time_ms[0]) > last:
            return candle
    return Candles.empty()


def _is_older(candle: Candles, known: Candles) -> bool:
    """Return whether an open candle was read before another reading of it: its volume grows."""
    return bool(
        len(candle)
        and len(known)
        and candle.open_time_ms[0] == known.open_time_ms[0]
        and candle.volume[0] < known.volume[0]
    )


def _follows(new: Candles, until_ms: int, timeframe: Timeframe) -> bool:
    """Return whether the new candles, if any, continue at `until_ms` without a hole."""
    if not len(new):
        return True
    return int(new.open_time_ms[0]) == until_ms and not new.gaps(timeframe)


def _inside(hole: Range, ranges: Iterable[Range]) -> bool:
    return any(start <= hole[0] and hole[1] <= until for start, until in ranges)


def _rows(candles: Candles, *, closed: bool) -> list[CandleRow]:
    columns = [getattr(candles, name).tolist() for name in COLUMNS]
    return [
        CandleRow(**dict(zip(COLUMNS, row, strict=True)), closed=closed)
        for row in zip(*columns, strict=True)
    ]
