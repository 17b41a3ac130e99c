"""Tracks each kline stream: order of frames, missing closes, silence. Pure.

Times ending `_ms` are the exchange's, those ending `_s` come from a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from shared.market import Timeframe

CLOSE_GRACE_MS = 3_000  # a closing frame comes about 0.1 s after the boundary
QUIET_S = 30.0  # a stream without a frame for so long counts as silent (quiet pairs pause too)
AGAIN_FIRST_S, AGAIN_CAP_S = 30.0, 1_800.0
MAX_PENDING = 1_000
OLD_FRAMES_RESET = 5  # frames in a row: exchange time was set back

StreamKey = tuple[str, Timeframe]


class FrameOrder(StrEnum):
    """A frame's order relative to those before it on its stream."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OLD = "old"


@dataclass(slots=True)
class _Stream:
    """One stream; `expected_ms` is the open time of the candle that closes next."""

    since_s: float | None = None
    frame_s: float | None = None
    event_ms: int = -1
    open_ms: int = -1
    closed_ms: int = -1
    old_in_a_row: int = 0
    expected_ms: int | None = None
    pending: set[int] = field(default_factory=set)
    asked_s: float = 0.0
    pause_s: float = AGAIN_FIRST_S


class StreamWatch:
    """Classifies frames and finds missing closes and silent streams.

    A close is missed when a later candle arrives without it, or `CLOSE_GRACE_MS` after it was
    due, on every stream that has ever sent a frame, connected or not. A stream without any
    frame yet misses nothing: it may not exist.

    Attributes:
        duplicates, out_of_order: Counts of such frames.
        missed: Closes that did not come in time.
        filled: Missed closes that REST then provided.
    """

    def __init__(self, keys: Iterable[StreamKey]) -> None:
        self._streams = {key: _Stream() for key in keys}
        self.duplicates = 0
        self.out_of_order = 0
        self.missed = 0
        self.filled = 0

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, key: StreamKey) -> bool:
        return key in self._streams

    def connected(self, keys: Iterable[StreamKey], now_s: float) -> None:
        """Record that these were subscribed to on a new connection."""
        for key in keys:
            stream = self._streams[key]
            stream.since_s = stream.asked_s = now_s

    def disconnected(self, keys: Iterable[StreamKey]) -> None:
        """Record that the connection of these was lost."""
        for key in keys:
            self._streams[key].since_s = None

    def record(
        self, key: StreamKey, *, event_ms: int, open_ms: int, is_closed: bool, now_s: float
    ) -> FrameOrder:
        """Record a frame and return its order.

        A late closing frame is OLD only if its candle's close was seen before.
        """
        stream = self._streams[key]
        stream.frame_s, stream.pause_s = now_s, AGAIN_FIRST_S
        order = _order(stream, event_ms, open_ms, is_closed)
        stream.old_in_a_row = stream.old_in_a_row + 1 if order is FrameOrder.OLD else 0
        if stream.old_in_a_row == OLD_FRAMES_RESET:
            stream.event_ms = stream.open_ms = stream.closed_ms = -1
            stream.expected_ms = None
            order = FrameOrder.NEW
        if order is FrameOrder.DUPLICATE:
            self.duplicates += 1
        elif order is FrameOrder.OLD:
            self.out_of_order += 1
        else:
            if (event_ms, open_ms) < (stream.event_ms, stream.open_ms):
                self.out_of_order += 1
            stream.event_ms = max(stream.event_ms, event_ms)
            stream.open_ms = max(stream.open_ms, open_ms)
            self._expect(stream, key[1].ms, open_ms, is_closed)
        return order

    def _expect(self, stream: _Stream, length_ms: int, open_ms: int, is_closed: bool) -> None:
        if is_closed:
            stream.closed_ms = max(stream.closed_ms, open_ms)
            stream.pending.discard(open_ms)
        if stream.expected_ms is None:
            stream.expected_ms = open_ms
        self._miss(stream, length_ms, open_ms)
        if is_closed:
            stream.expected_ms = max(stream.expected_ms, open_ms + length_ms)

    def _miss(self, stream: _Stream, length_ms: int, until_ms: int) -> None:
        """Count the expected closes of candles that opened before `until_ms` as missed."""
        if stream.expected_ms is None or stream.expected_ms >= until_ms:
            return
        missing = range(stream.expected_ms, until_ms, length_ms)
        self.missed += len(missing)
        stream.pending.update(missing[-MAX_PENDING:])
        stream.expected_ms = until_ms

    def overdue(self, now_ms: int) -> list[StreamKey]:
        """Return the streams with missed closes that are not settled yet."""
        for (_, timeframe), stream in self._streams.items():
            due_ms = timeframe.open_at(now_ms - CLOSE_GRACE_MS)
            self._miss(stream, timeframe.ms, due_ms)
        return [key for key, stream in self._streams.items() if stream.pending]

    def settle(self, key: StreamKey, until_ms: int, has: Callable[[int], bool]) -> None:
        """Settle missed closes with the candles fetched from REST.

        Args:
            until_ms: Candles that close until then have been fetched, if they exist.
            has: Whether there is a closed candle with that open time.
        """
        stream, length_ms = self._streams[key], key[1].ms
        for open_ms in [ms for ms in stream.pending if ms + length_ms <= until_ms]:
            stream.pending.discard(open_ms)
            self.filled += has(open_ms)

    def is_live(self, key: StreamKey, now_s: float) -> bool:
        """Return whether the stream is connected and has sent a frame lately."""
        stream = self._streams[key]
        return (
            stream.since_s is not None
            and stream.frame_s is not None
            and stream.frame_s >= stream.since_s
            and now_s - stream.frame_s < QUIET_S
        )

    def silent(self, now_s: float) -> list[StreamKey]:
        """Return the streams that are subscribed to but silent."""
        return [
            key
            for key, stream in self._streams.items()
            if stream.since_s is not None
            and now_s - stream.since_s >= QUIET_S
            and (stream.frame_s is None or now_s - stream.frame_s >= QUIET_S)
        ]

    def due_for_resubscribe(self, keys: Iterable[StreamKey], now_s: float) -> list[StreamKey]:
        """Return which of `keys` to resubscribe: silent ones, at doubling intervals."""
        wanted, due = set(keys), []
        for key in self.silent(now_s):
            stream = self._streams[key]
            if key in wanted and now_s - stream.asked_s >= stream.pause_s:
                stream.asked_s = now_s
                stream.pause_s = min(2 * stream.pause_s, AGAIN_CAP_S)
                due.append(key)
        return due


def _order(stream: _Stream, event_ms: int, open_ms: int, is_closed: bool) -> FrameOrder:
    if is_closed and open_ms <= stream.closed_ms:
        return FrameOrder.DUPLICATE if open_ms == stream.closed_ms else FrameOrder.OLD
    if is_closed:
        return FrameOrder.NEW
    if open_ms <= stream.closed_ms or (open_ms, event_ms) < (stream.open_ms, stream.event_ms):
        return FrameOrder.OLD
    if (open_ms, event_ms) == (stream.open_ms, stream.event_ms):
        return FrameOrder.DUPLICATE
    return FrameOrder.NEW
