"""Comparison of a coin's whole window with the exchange's, and which differences count. Pure.

The overlap of ordinary answers shows corrections of the newest candles only. So once an hour, and
in the first answer after a restore, an ordinary request asks for all rows: that costs no more.

Times are the exchange's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shared.candles.store import OVERLAP, CandleStore
from shared.clock import utc_text
from shared.market import COLUMNS, Candles, Timeframe

EVERY_MS = 3_600_000
CLEAR_OF_CLOSE_MS = (15_000, 285_000)  # since the last 5m close: neither just after nor before one
APART_MS = 20_000  # two answers this close together may be from one node with one fault
ANSWERS = 2

Row = tuple[float, ...]


class Verification:
    """When to ask for the whole window, and the differences seen in it.

    A node of the exchange may be wrong for a moment: an older candle counts as changed once
    `ANSWERS` answers in a row say the same of it; twice as many after each change of that candle.

    Attributes:
        phase: Share of the hour at which it is due, 0 to 1, so that windows take turns.
    """

    def __init__(self, store: CandleStore, phase: float = 0.0) -> None:
        self.phase = phase
        self._store = store
        self._verified_ms: int | None = None
        self._doubts: dict[int, tuple[Row, int, int]] = {}
        self._changes: dict[int, int] = {}
        self._ask_again = False

    def is_due(self, now_ms: int) -> bool:
        """Return whether the next request is to ask for the whole window."""
        if self._verified_ms is None:
            return True
        turns = abs(self._turn(now_ms) - self._turn(self._verified_ms))
        if not turns and not self._ask_again:
            return False
        first_ms, last_ms = CLEAR_OF_CLOSE_MS
        is_clear = first_ms <= now_ms - Timeframe.M5.open_at(now_ms) < last_ms
        return is_clear or turns > 1  # passes may be so rare that all of them follow a close

    def without_differences(self, rows: Candles) -> tuple[Candles, Candles]:
        """Return an answer with our own candles where older ones differ, and its differing rows.

        The newest candles stay as answered: `CandleStore.accept` compares them, and
        those streamed. So does the last row, which may be open.
        """
        ours = self._store.closed
        places = ours.open_time_ms.searchsorted(rows.open_time_ms)
        places = np.minimum(places, max(len(ours) - 1, 0))
        differs = self._is_older(rows)
        if differs.any():
            differs &= ours.open_time_ms[places] == rows.open_time_ms
        if differs.any():
            known = ours[places]
            differs &= rows.differs_from(known)
        if not differs.any():
            return rows, Candles.empty()
        columns = ((getattr(known, c), getattr(rows, c)) for c in COLUMNS)
        return Candles(*(np.where(differs, our, theirs) for our, theirs in columns)), rows[differs]

    def _is_older(self, rows: Candles) -> npt.NDArray[np.bool_]:
        ours = self._store.closed
        if len(ours) <= OVERLAP or not len(rows):
            return np.zeros(len(rows), dtype=np.bool_)
        older: npt.NDArray[np.bool_] = rows.open_time_ms < ours.open_time_ms[-OVERLAP]
        older &= ~np.isin(rows.open_time_ms, list(self._store.unchecked))
        older[-1] = False
        return older

    def confirmed(self, differing: Candles, asked_ms: int) -> Candles:
        """Record what a whole answer, accepted without them, said differently.

        Returns:
            Those rows that count as changed by the exchange.
        """
        self._verified_ms = asked_ms
        before, self._doubts = self._doubts, {}
        is_changed = np.zeros(len(differing), dtype=np.bool_)
        for number, row in enumerate(_rows(differing)):
            open_ms = int(row[0])
            said, since_ms, answers = before.get(open_ms, (row, asked_ms, 0))
            if said != row:
                since_ms, answers = asked_ms, 0
            answers += 1
            enough = ANSWERS << min(self._changes.get(open_ms, 0), 10)
            if answers >= enough and asked_ms - since_ms >= APART_MS:
                is_changed[number] = True
                self._changes[open_ms] = self._changes.get(open_ms, 0) + 1
            else:
                self._doubts[open_ms] = (row, since_ms, answers)
        self._ask_again = bool(len(differing))
        times = self._store.closed.open_time_ms
        self._changes = {ms: n for ms, n in self._changes.items() if len(times) and ms >= times[0]}
        return differing[is_changed]

    def _turn(self, time_ms: int) -> int:
        return (time_ms - round(self.phase * EVERY_MS)) // EVERY_MS


def changes_text(before: Candles, after: Candles) -> str:
    """Return which candles of both differ, the oldest in words; "" if none does."""
    ours, theirs = before.in_common(after)
    differs = ours.differs_from(theirs)
    if not differs.any():
        return ""
    old, new = _rows(ours[differs]), _rows(theirs[differs])
    values = zip(COLUMNS, old[0], new[0], strict=True)
    said = ", ".join(f"{name} {was} to {now}" for name, was, now in values if was != now)
    more = f", and {len(old) - 1} more" if len(old) > 1 else ""
    return f"the candle of {utc_text(int(old[0][0]))}, {said}{more}"


def _rows(candles: Candles) -> list[Row]:
    return list(zip(*(getattr(candles, name).tolist() for name in COLUMNS), strict=True))
