"""What one coin's candles are, after any answer the exchange may give."""

from __future__ import annotations

import numpy as np
import pytest

from shared.candles.admission import Admitted
from shared.candles.store import (
    ABSENT_MS,
    AHEAD_MS,
    KEEP,
    RECHECK_FIRST_MS,
    SETTLE_MS,
    UPDATE_ROWS,
    CandleStore,
    Change,
    OverlapDiffers,
    WrongTime,
)
from shared.errors import BadCandle
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow

LENGTH = Timeframe.M5.ms
START = 1_700_000_100_000 - 1_700_000_100_000 % Timeframe.H4.ms
FETCHED = 123_456


def bars(*numbers: int, spoilt: int | None = None) -> Candles:
    """Candles by number: bar n opens n lengths after START, its prices follow from n."""
    at = np.array(numbers, dtype=np.int64)
    price = np.asarray(100.0 + at % 17, dtype=np.float64)
    volume = np.where(at == spoilt, 99.0, 1.0 + at % 5)
    return Candles.of(START + at * LENGTH, price, price + 1, price - 1, price, volume)


def moment(number: float) -> int:
    """Exchange time `number` bar lengths after START."""
    return START + round(number * LENGTH)


def store(keep: int = KEEP) -> CandleStore:
    return CandleStore("BTCUSDT", Timeframe.M5, keep)


def give(target: CandleStore, rows: Candles, at: float, *, from_ms: int | None = None) -> Change:
    return target.accept(
        Admitted(rows), asked_ms=moment(at), fetched_at_ms=FETCHED, from_ms=from_ms
    )


def filled(last: int, keep: int = KEEP) -> CandleStore:
    """A store warmed up with bars 0..last, the last one open."""
    target = store(keep)
    give(target, bars(*range(last + 1)), last + 0.5)
    return target


def numbers(candles: Candles) -> list[int]:
    return [(int(t) - START) // LENGTH for t in candles.open_time_ms]


class TestClosed:
    def test_a_candle_is_closed_once_a_later_one_exists(self) -> None:
        target = filled(9)
        assert numbers(target.closed) == list(range(9))
        assert numbers(target.forming) == [9]
        assert target.closed_until_ms == moment(9)

    def test_the_last_row_is_not_closed_by_the_clock_alone(self) -> None:
        target = filled(9)
        change = give(target, bars(8, 9), 10.01)
        assert not change.closed.open_time_ms.size
        assert target.is_behind(moment(10.01))

    def test_in_a_halt_the_last_row_is_closed_after_the_settling_time(self) -> None:
        target = filled(9)
        asked = moment(10) + SETTLE_MS
        target.accept(Admitted(bars(8, 9)), asked_ms=asked - 1, fetched_at_ms=FETCHED)
        assert numbers(target.forming) == [9]
        target.accept(Admitted(bars(8, 9)), asked_ms=asked, fetched_at_ms=FETCHED)
        assert numbers(target.closed)[-1] == 9
        assert not len(target.forming)

    def test_a_last_row_that_still_moves_is_never_settled(self) -> None:
        target = filled(9)
        asked = moment(15)
        for spoilt in (9, None, 9, None, 9):
            rows = bars(8, 9, spoilt=spoilt)
            target.accept(Admitted(rows), asked_ms=asked, fetched_at_ms=FETCHED)
            target.accept(Admitted(rows), asked_ms=asked + SETTLE_MS - 1, fetched_at_ms=FETCHED)
            asked += SETTLE_MS
        assert numbers(target.forming) == [9]

    def test_a_close_brings_one_closed_candle_and_a_new_open_one(self) -> None:
        target = filled(9)
        change = give(target, bars(8, 9, 10), 10.1)
        assert numbers(change.closed) == [9]
        assert numbers(change.forming) == [10]

    def test_the_same_answer_twice_changes_nothing(self) -> None:
        target = filled(9)
        assert not give(target, bars(7, 8, 9), 9.6)

    def test_an_open_candle_does_not_go_back_to_what_a_node_behind_says(self) -> None:
        target = filled(9)
        give(target, bars(8, 9, spoilt=9), 9.6)
        assert not give(target, bars(8, 9), 9.7)
        assert target.forming.volume[0] == 99.0

    def test_a_moved_open_candle_is_a_change_without_a_close(self) -> None:
        change = give(filled(9), bars(7, 8, 9, spoilt=9), 9.6)
        assert not len(change.closed)
        assert numbers(change.forming) == [9]

    def test_a_coin_listed_a_minute_ago_has_only_an_open_candle(self) -> None:
        target = store()
        give(target, bars(5), 5.2)
        assert (len(target.closed), numbers(target.forming)) == (0, [5])
        assert target.closed_until_ms == 0
        assert target.window("sim").closed_until_ms == 0


class TestAsking:
    @pytest.mark.parametrize(
        ("last", "at", "rows"), [(9, 9.6, 3), (9, 10.0, 4), (9, 11.2, 5), (9, 5000.0, KEEP)]
    )
    def test_only_the_distance_to_now_and_the_overlap_is_asked(
        self, last: int, at: float, rows: int
    ) -> None:
        # bars 0..last-1 are closed: one closed before the newest, the newest, ... the open one
        assert filled(last).rows_needed(moment(at)) == rows

    def test_a_cold_store_asks_for_everything(self) -> None:
        assert store().rows_needed(moment(3)) == KEEP

    def test_due_when_never_fetched_old_or_a_close_has_passed(self) -> None:
        assert store().is_due(moment(3), 60_000)
        target = filled(9)
        assert not target.is_due(moment(9.5) + 59_999, 60_000)
        assert target.is_due(moment(9.5) + 60_000, 60_000)
        assert target.is_due(moment(10), 10 * LENGTH)

    def test_due_when_the_clock_went_back(self) -> None:
        assert filled(9).is_due(moment(9.4), 10 * LENGTH)


class TestRefused:
    def test_an_empty_answer(self) -> None:
        with pytest.raises(BadCandle, match="no candles"):
            give(store(), Candles.empty(), 3)

    def test_a_candle_from_the_future_and_nothing_changes(self) -> None:
        target = filled(9)
        asked = moment(20) - AHEAD_MS - 1
        with pytest.raises(WrongTime, match="opens"):
            target.accept(Admitted(bars(19, 20)), asked_ms=asked, fetched_at_ms=FETCHED)
        assert numbers(target.forming) == [9]

    def test_an_answer_that_took_long_is_not_from_the_future(self) -> None:
        target = filled(9)
        target.accept(
            Admitted(bars(8, 9, 10)), asked_ms=moment(10) - AHEAD_MS, fetched_at_ms=FETCHED
        )
        assert target.closed_until_ms == moment(10)

    def test_a_closed_candle_told_differently_and_nothing_changes(self) -> None:
        target = filled(9)
        with pytest.raises(OverlapDiffers, match=r"closed candle differs.*volume 4.*volume 99"):
            give(target, bars(7, 8, 9, 10, spoilt=8), 10.2)
        assert numbers(target.closed) == list(range(9))

    def test_an_exchange_that_went_back_in_time(self) -> None:
        target = filled(9)
        with pytest.raises(OverlapDiffers, match="exchange time"):
            give(target, bars(3, 4, 5), 5.5)
        target.replace(Admitted(bars(*range(6))), asked_ms=moment(5.5), fetched_at_ms=FETCHED)
        assert target.closed_until_ms == moment(5)

    def test_replacing_takes_the_new_story_whole(self) -> None:
        target = filled(9)
        target.replace(
            Admitted(bars(*range(2, 11), spoilt=8)), asked_ms=moment(10.2), fetched_at_ms=FETCHED
        )
        assert numbers(target.closed) == list(range(2, 10))
        assert target.closed.volume[numbers(target.closed).index(8)] == 99.0

    def test_replacing_by_nothing_forgets_nothing(self) -> None:
        target = filled(9)
        with pytest.raises(BadCandle):
            target.replace(Admitted(Candles.empty()), asked_ms=moment(10), fetched_at_ms=FETCHED)
        assert len(target.closed) == 9

    def test_an_answer_older_than_one_before_and_nothing_changes(self) -> None:
        target = filled(9)
        with pytest.raises(WrongTime, match="had been seen before"):
            give(target, bars(6, 7, 8), 9.6)
        with pytest.raises(WrongTime, match="had been seen before"):
            target.replace(Admitted(bars(6, 7, 8)), asked_ms=moment(9.6), fetched_at_ms=FETCHED)
        assert numbers(target.forming) == [9]
        assert target.closed_until_ms == moment(9)


class TestKept:
    def test_never_more_than_asked_for(self) -> None:
        target = filled(30, keep=20)
        give(target, bars(28, 29, 30, 31), 31.1)
        assert numbers(target.closed) == list(range(11, 31))

    def test_grows_from_one_answer_to_the_full_window(self) -> None:
        target = filled(KEEP - 1)
        assert len(target.closed) == KEEP - 1
        give(target, bars(KEEP - 2, KEEP - 1, KEEP), KEEP + 0.1)
        assert len(target.closed) == KEEP
        give(target, bars(KEEP - 1, KEEP, KEEP + 1), KEEP + 1.1)
        assert len(target.closed) == KEEP
        assert numbers(target.closed)[0] == 1

    def test_after_a_long_absence_no_old_candle_stays_behind_a_giant_hole(self) -> None:
        target = filled(9)
        give(target, bars(*range(5000, 6000)), 5999.5)
        assert numbers(target.closed) == list(range(5000, 5999))
        assert target.holes() == []


class TestHoles:
    def with_hole(self) -> CandleStore:
        target = store()
        give(target, bars(0, 1, 2, 6, 7, 8), 8.5)
        return target

    def test_found_and_asked_from_the_candle_before(self) -> None:
        target = self.with_hole()
        assert target.holes() == [(moment(3), moment(6))]
        assert target.missing_from_ms(moment(8.5)) == moment(2)
        assert target.window("sim").unfilled_gaps() == [(moment(3), moment(6))]

    def test_filled(self) -> None:
        target = self.with_hole()
        change = give(target, bars(*range(2, 9)), 8.6, from_ms=moment(2))
        assert numbers(change.closed) == [3, 4, 5]
        assert (target.holes(), target.absent) == ([], ())
        assert target.missing_from_ms(moment(8.7)) is None

    def test_confirmed_when_both_sides_come_back_without_it(self) -> None:
        target = self.with_hole()
        change = give(target, bars(2, 6, 7, 8), 8.6, from_ms=moment(2))
        assert change.absent
        assert (target.holes(), target.absent) == ([], ((moment(3), moment(6)),))
        assert target.window("sim").unfilled_gaps() == []

    def test_not_confirmed_by_an_answer_nobody_asked_about_it(self) -> None:
        target = self.with_hole()
        give(target, bars(0, 1, 2, 6, 7, 8), 8.6)
        assert target.holes() == [(moment(3), moment(6))]

    def test_not_confirmed_by_an_answer_that_ends_before_its_far_side(self) -> None:
        target = self.with_hole()
        give(target, bars(0, 1, 2), 8.6, from_ms=moment(2))
        assert target.holes() == [(moment(3), moment(6))]

    def test_partly_filled_keeps_asking_for_the_rest(self) -> None:
        target = self.with_hole()
        give(target, bars(2, 3, 4), 8.6, from_ms=moment(2))  # 4 may not be final yet
        assert target.holes() == [(moment(4), moment(6))]
        assert target.missing_from_ms(moment(8.6)) == moment(3)

    def test_a_candle_late_after_its_close_is_waited_for_and_not_taken_as_absent(self) -> None:
        target = filled(9)
        give(target, bars(8, 10), 10.01)
        assert target.holes() == [(moment(9), moment(10))]
        assert target.is_behind(moment(10.01))
        assert target.missing_from_ms(moment(10.01)) is None
        assert target.rows_needed(moment(10.01)) == 4
        give(target, bars(7, 8, 10), 10.02, from_ms=moment(8))
        assert target.absent == ()
        give(target, bars(7, 8, 9, 10), 10.03)
        assert (target.holes(), numbers(target.closed)[-1]) == ([], 9)

    def test_a_candle_that_never_came_is_asked_for_by_itself(self) -> None:
        target = filled(9)
        give(target, bars(8, 10), 10.01)
        asked = moment(10) + ABSENT_MS
        assert target.missing_from_ms(asked - 1) is None
        assert target.missing_from_ms(asked) == moment(8)

    def test_confirmed_ones_are_asked_again_at_growing_distances(self) -> None:
        target = self.with_hole()
        pauses, asked = [], moment(8.6)
        for _ in range(9):
            give(target, bars(2, 6, 7, 8), (asked - START) / LENGTH, from_ms=moment(2))
            due = asked
            while target.missing_from_ms(due) is None:
                due += 10_000
            pauses.append(due - asked)
            asked = due
            ordinary = bars(6, 7, 8)  # such an answer moves no pause
            target.accept(Admitted(ordinary), asked_ms=asked, fetched_at_ms=FETCHED)
        assert pauses[:4] == [RECHECK_FIRST_MS * f for f in (1, 2, 4, 8)]
        assert pauses[-1] == 3_600_000

    def test_a_confirmed_one_that_turns_up_after_all_is_taken(self) -> None:
        target = self.with_hole()
        give(target, bars(2, 6, 7, 8), 8.6, from_ms=moment(2))
        give(target, bars(*range(2, 9)), 8.9, from_ms=moment(2))
        assert target.absent == ()
        assert numbers(target.closed) == list(range(8))

    def test_one_that_has_left_the_window_is_forgotten(self) -> None:
        target = store(keep=5)
        give(target, bars(0, 3, 4, 5, 6), 6.5)
        give(target, bars(0, 3, 4, 5, 6), 6.6, from_ms=moment(0))
        assert target.absent
        give(target, bars(6, 7, 8), 8.5)
        assert target.absent == ()


class TestRestore:
    def window(self, target: CandleStore) -> CandleWindow:
        return CandleWindow.decode(target.window("sim").encode(), "test")

    def test_continues_where_the_last_life_ended(self) -> None:
        again = store()
        assert again.restore(self.window(filled(9)), "sim", moment(9.7))
        assert again.is_due(moment(9.7), LENGTH)
        assert again.rows_needed(moment(10.2)) == 4
        change = give(again, bars(7, 8, 9, 10), 10.2)
        assert numbers(change.closed) == [9]
        assert numbers(again.closed) == list(range(10))

    def test_notices_that_the_exchange_tells_another_story(self) -> None:
        again = store()
        again.restore(self.window(filled(9)), "sim", moment(9.7))
        with pytest.raises(OverlapDiffers):
            give(again, bars(7, 8, 9, spoilt=8), 9.7)

    def test_keeps_confirmed_holes(self) -> None:
        target = store()
        give(target, bars(0, 1, 2, 6, 7, 8), 8.5)
        give(target, bars(2, 6, 7, 8), 8.6, from_ms=moment(2))
        again = store()
        assert again.restore(self.window(target), "sim", moment(8.7))
        assert again.absent == ((moment(3), moment(6)),)

    @pytest.mark.parametrize("why", ["source", "symbol", "timeframe", "hole", "empty", "future"])
    def test_refuses(self, why: str) -> None:
        target = filled(9)
        if why == "hole":
            target = store()
            give(target, bars(0, 1, 5, 6), 6.5)
        if why == "empty":
            target = store()
            give(target, bars(3), 3.5)
        again = CandleStore(
            "ETHUSDT" if why == "symbol" else "BTCUSDT",
            Timeframe.H1 if why == "timeframe" else Timeframe.M5,
        )
        now = moment(2) if why == "future" else moment(9.7)
        source = "binance" if why == "source" else "sim"
        assert not again.restore(self.window(target), source, now)  # type: ignore[arg-type]
        assert len(again.closed) == 0


class TestMessages:
    def test_the_window_ends_with_the_open_candle(self) -> None:
        window = filled(9).window("sim")
        assert numbers(window.candles) == list(range(10))
        assert numbers(window.closed()) == list(range(9))
        assert (window.closed_until_ms, window.fetched_at_ms) == (moment(9), FETCHED)

    def test_no_window_before_the_first_answer(self) -> None:
        with pytest.raises(ValueError, match="nothing fetched"):
            store().window("sim")

    def test_an_update_carries_changed_candles_only_and_flags_the_closed(self) -> None:
        target = filled(9)
        update = target.update(give(target, bars(7, 8, 9, 10), 10.1), "sim")
        assert [(c.open_time_ms, c.closed) for c in update.candles] == [
            (moment(9), True), (moment(10), False),
        ]  # fmt: skip
        assert update.at_ms == FETCHED

    def test_an_update_of_a_whole_window_is_cut_to_the_newest(self) -> None:
        target = store()
        update = target.update(give(target, bars(*range(50)), 49.5), "sim")
        assert len(update.candles) == UPDATE_ROWS + 1
        assert update.candles[-1].open_time_ms == moment(49)
