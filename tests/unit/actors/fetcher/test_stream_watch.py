"""What the stream watch notices: order, duplicates, missing closes, silence."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actors.fetcher.stream_watch import (
    AGAIN_FIRST_S,
    CLOSE_GRACE_MS,
    OLD_FRAMES_RESET,
    QUIET_S,
    FrameOrder,
    StreamWatch,
)
from shared.market import Timeframe
from tests.support.manual_clock import ORIGINS

M5 = Timeframe.M5
KEY, OTHER = ("BTCUSDT", M5), ("ETHUSDT", M5)
T0 = 1_700_000_100_000 - 1_700_000_100_000 % M5.ms


class Seen:
    """A watch on two streams, told about frames by candle number and seconds into it."""

    def __init__(self, origin_s: float = 0.0) -> None:
        self.origin_s = origin_s
        self.watch = StreamWatch([KEY, OTHER])
        self.watch.connected([KEY, OTHER], origin_s)

    def frame(self, candle: int, at_s: float, *, closed: bool = False) -> FrameOrder:
        open_ms = T0 + candle * M5.ms
        return self.watch.record(
            KEY,
            event_ms=open_ms + round(at_s * 1000),
            open_ms=open_ms,
            is_closed=closed,
            now_s=self.origin_s + candle * 300 + at_s,
        )

    def close(self, candle: int) -> FrameOrder:
        return self.frame(candle, 300.1, closed=True)


@pytest.fixture(params=ORIGINS)
def seen(request: pytest.FixtureRequest) -> Seen:
    return Seen(request.param)


def test_frames_in_order_are_new(seen: Seen) -> None:
    orders = [seen.frame(0, 10), seen.frame(0, 12), seen.close(0), seen.frame(1, 2), seen.close(1)]
    assert set(orders) == {FrameOrder.NEW}
    assert (seen.watch.duplicates, seen.watch.out_of_order, seen.watch.missed) == (0, 0, 0)


def test_the_same_frame_again_is_a_duplicate(seen: Seen) -> None:
    seen.frame(0, 10)
    assert seen.frame(0, 10) is FrameOrder.DUPLICATE
    seen.close(0)
    assert seen.close(0) is FrameOrder.DUPLICATE
    assert seen.watch.duplicates == 2


def test_an_earlier_open_candle_is_old(seen: Seen) -> None:
    seen.frame(0, 12)
    assert seen.frame(0, 10) is FrameOrder.OLD
    seen.close(0)
    assert seen.frame(0, 299) is FrameOrder.OLD
    assert seen.watch.out_of_order == 2


def test_a_late_close_is_worth_having_and_no_longer_missing(seen: Seen) -> None:
    seen.frame(0, 298)
    seen.frame(1, 2)
    assert seen.watch.missed == 1
    assert seen.close(0) is FrameOrder.NEW
    assert seen.watch.out_of_order == 1
    assert seen.watch.overdue(T0 + M5.ms) == []


def test_a_close_older_than_one_seen_is_old(seen: Seen) -> None:
    seen.close(1)
    assert seen.close(0) is FrameOrder.OLD


def test_a_missing_close_is_noticed_by_time(seen: Seen) -> None:
    seen.frame(0, 10)
    due_ms = T0 + M5.ms + CLOSE_GRACE_MS
    assert seen.watch.overdue(due_ms - 1) == []
    assert seen.watch.overdue(due_ms) == [KEY]
    assert seen.watch.overdue(due_ms + 1) == [KEY]
    assert seen.watch.missed == 1


def test_a_missing_close_is_settled_when_it_is_found_elsewhere(seen: Seen) -> None:
    seen.frame(0, 10)
    seen.watch.overdue(T0 + M5.ms + CLOSE_GRACE_MS)
    seen.watch.settle(KEY, T0, lambda _: True)
    assert seen.watch.filled == 0
    seen.watch.settle(KEY, T0 + M5.ms, lambda open_ms: open_ms == T0)
    assert seen.watch.filled == 1
    assert seen.watch.overdue(T0 + M5.ms + CLOSE_GRACE_MS) == []


def test_a_candle_that_never_was_is_settled_and_not_counted_as_filled(seen: Seen) -> None:
    seen.frame(0, 10)
    seen.watch.overdue(T0 + M5.ms + CLOSE_GRACE_MS)
    seen.watch.settle(KEY, T0 + 5 * M5.ms, lambda _: False)
    assert seen.watch.filled == 0
    assert seen.watch.overdue(T0 + M5.ms + CLOSE_GRACE_MS) == []


def test_closes_missed_while_disconnected_count_as_missed(seen: Seen) -> None:
    seen.frame(0, 10)
    seen.watch.disconnected([KEY, OTHER])
    seen.watch.overdue(T0 + 3 * M5.ms + CLOSE_GRACE_MS)
    assert seen.watch.missed == 3


def test_a_stream_never_heard_of_misses_nothing_and_is_told_as_silent(seen: Seen) -> None:
    seen.frame(0, QUIET_S - 1)
    assert seen.watch.silent(seen.origin_s + QUIET_S - 0.5) == []
    assert seen.watch.silent(seen.origin_s + QUIET_S) == [OTHER]
    seen.watch.overdue(T0 + 10 * M5.ms + CLOSE_GRACE_MS)
    assert seen.watch.missed == 10  # all of them on the stream that spoke
    assert seen.watch.is_live(KEY, seen.origin_s + QUIET_S)
    assert not seen.watch.is_live(OTHER, seen.origin_s + QUIET_S)


def test_nothing_is_live_or_silent_while_disconnected(seen: Seen) -> None:
    seen.frame(0, 1)
    seen.watch.disconnected([KEY, OTHER])
    assert not seen.watch.is_live(KEY, seen.origin_s + 2)
    assert seen.watch.silent(seen.origin_s + 1_000) == []


def test_a_reconnect_alone_makes_nothing_live(seen: Seen) -> None:
    seen.frame(0, 1)
    seen.watch.disconnected([KEY])
    seen.watch.connected([KEY], seen.origin_s + 5.0)
    assert not seen.watch.is_live(KEY, seen.origin_s + 6.0)


def test_silent_streams_are_asked_again_at_doubling_distances(seen: Seen) -> None:
    asked = [
        s for s in range(0, 1_000, 5) if seen.watch.due_for_resubscribe([OTHER], seen.origin_s + s)
    ]
    assert asked[0] == AGAIN_FIRST_S
    gaps = [b - a for a, b in itertools.pairwise(asked)]
    assert gaps == [60, 120, 240, 480]


def test_exchange_time_set_back_does_not_silence_a_stream(seen: Seen) -> None:
    seen.close(24)
    orders = [seen.frame(0, 2.0 * i) for i in range(1, 7)]
    assert orders == [FrameOrder.OLD] * (OLD_FRAMES_RESET - 1) + [FrameOrder.NEW] * 2
    assert seen.close(0) is FrameOrder.NEW
    assert seen.watch.missed == 0


frames = st.tuples(st.integers(0, 5), st.integers(0, 299), st.booleans())


@settings(max_examples=200, deadline=None)
@given(st.lists(frames, max_size=40))
def test_no_close_is_ever_counted_twice_or_taken_twice(told: list[tuple[int, int, bool]]) -> None:
    seen = Seen()
    taken: list[int] = []
    olds = 0
    for candle, at_s, closed in told:
        order = seen.close(candle) if closed else seen.frame(candle, at_s)
        olds = olds + 1 if order is FrameOrder.OLD else 0
        assume(olds < OLD_FRAMES_RESET - 1)
        if closed and order is FrameOrder.NEW:
            taken.append(candle)
    assert len(taken) == len(set(taken))
    watch = seen.watch
    watch.overdue(T0 + 20 * M5.ms)
    watch.settle(KEY, T0 + 20 * M5.ms, lambda _: True)
    assert watch.filled <= watch.missed
    assert watch.overdue(T0 + 20 * M5.ms) == []
    assert watch.duplicates + watch.out_of_order <= len(told) * 2
