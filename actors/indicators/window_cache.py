"""Candle windows in memory, updated from the channel, bit-identical to the keys. Pure.

Decoding a window costs as much as computing from it, so a close does not read the keys. An
update that does not fit drops the window; the key is then read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shared.candles.store import KEEP
from shared.market import COLUMNS, Candles, Timeframe
from shared.messages.candles import CandleRow, CandleUpdate, CandleWindow

WindowKey = tuple[str, Timeframe]


class WindowCache:
    """Windows without their open candle."""

    def __init__(self) -> None:
        self._windows: dict[WindowKey, CandleWindow] = {}
        self._changes: dict[WindowKey, int] = {}

    def changes(self, key: WindowKey) -> int:
        """Return this window's number of updates, to be passed to `put` after a read."""
        return self._changes.get(key, 0)

    def put(self, key: WindowKey, window: CandleWindow | None, changes: int) -> None:
        """Store a window just read, unless an update arrived during the read."""
        if window is None or changes != self.changes(key):
            self._windows.pop(key, None)
        else:
            self._windows[key] = replace(window, candles=window.closed())

    def get(self, symbol: str) -> Mapping[Timeframe, CandleWindow] | None:
        """Return the coin's windows; None unless all are cached."""
        found = {t: self._windows[symbol, t] for t in Timeframe if (symbol, t) in self._windows}
        return found if len(found) == len(Timeframe) else None

    def clear(self) -> None:
        """Drop all windows: updates may have been missed."""
        self._windows.clear()

    def apply(self, update: CandleUpdate) -> None:
        """Append the closed candles of an update to its window."""
        rows = [row for row in update.candles if row.closed]
        if update.candles and not rows:
            return
        key = (update.symbol, update.timeframe)
        self._changes[key] = self.changes(key) + 1
        window = self._windows.pop(key, None)
        if window is not None and (advanced := _advanced(window, update, rows)) is not None:
            self._windows[key] = advanced


def _advanced(
    window: CandleWindow, update: CandleUpdate, rows: list[CandleRow]
) -> CandleWindow | None:
    """Return the window after an update; None if the key must be read."""
    if not update.appends or update.source != window.source or not rows:
        return None
    length_ms, until_ms = window.timeframe.ms, window.closed_until_ms
    new = [row for row in rows if row.open_time_ms >= until_ms]
    known = _candles(rows[: len(rows) - len(new)])
    if len(known):
        first = int(known.open_time_ms[0])
        kept = window.candles[window.candles.open_time_ms >= first][: len(known)]
        if not kept.same_as(known):
            return None
    expected = range(until_ms, until_ms + length_ms * len(new), length_ms)
    if [row.open_time_ms for row in new] != list(expected):
        return None
    if not new:
        return window
    if expected[-1] + length_ms != update.closed_until_ms:
        return None
    return replace(
        window,
        candles=window.candles.appended(_candles(new), KEEP),
        closed_until_ms=update.closed_until_ms,
        fetched_at_ms=update.at_ms,
    )


def _candles(rows: list[CandleRow]) -> Candles:
    return Candles.of(*([getattr(row, name) for row in rows] for name in COLUMNS))
