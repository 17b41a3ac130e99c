"""When a window is compared whole with the exchange's, and which differences are believed."""

from __future__ import annotations

import numpy as np
import pytest

from actors.fetcher.verification import APART_MS, EVERY_MS, Verification, changes_text
from shared.candles.admission import Admitted
from shared.candles.store import CandleStore
from shared.market import Candles, Timeframe

LENGTH = Timeframe.M5.ms
START = EVERY_MS * 480_000
LAST = 30
PASS_MS = 30_000
CLEAR_MS = 20_000  # after a close, when nothing else happens


def bars(*, changed: dict[int, float] | None = None) -> Candles:
    """Bars 0 to `LAST`, the last one open, with the closes of some changed."""
    at = np.arange(LAST + 1, dtype=np.int64)
    close = np.asarray(100.0 + at % 7, dtype=np.float64)
    for number, value in (changed or {}).items():
        close[number] = value
    return Candles.of(START + at * LENGTH, close, close + 50, close - 50, close, close / 100)


class Fetched:
    """A store and its verification, asked as the fetcher does."""

    def __init__(self) -> None:
        self.store = CandleStore("BTCUSDT", Timeframe.M5)
        self.verification = Verification(self.store)
        self.now_ms = START + LAST * LENGTH + CLEAR_MS
        self.ask(bars())

    def ask(self, rows: Candles, later_ms: int = 0) -> list[int]:
        """Give a whole answer; return the numbers of the bars that it changed."""
        self.now_ms += later_ms
        kept, differing = self.verification.without_differences(rows)
        self.store.accept(Admitted(kept), asked_ms=self.now_ms, fetched_at_ms=0)
        changed = self.verification.confirmed(differing, self.now_ms)
        self.store.correct(changed)
        return [int(ms - START) // LENGTH for ms in changed.open_time_ms]

    def close_of(self, number: int) -> float:
        return float(self.store.closed.close[number])


@pytest.fixture
def it() -> Fetched:
    return Fetched()


class TestDue:
    def test_before_the_first_whole_answer(self) -> None:
        verification = Verification(CandleStore("BTCUSDT", Timeframe.M5))
        assert verification.is_due(START)

    def test_once_an_hour(self, it: Fetched) -> None:
        begun_ms = it.now_ms
        due = [
            ms
            for ms in range(begun_ms, begun_ms + 3 * EVERY_MS, PASS_MS)
            if it.verification.is_due(ms) and not it.verification.confirmed(Candles.empty(), ms)
        ]
        assert len(due) == 3

    def test_windows_take_turns_within_the_hour(self) -> None:
        many = [Verification(CandleStore("BTCUSDT", Timeframe.M5)) for _ in range(90)]
        for number, verification in enumerate(many):
            verification.phase = number / len(many)
            verification.confirmed(Candles.empty(), START + CLEAR_MS)
        most = 0
        for ms in range(START + PASS_MS, START + EVERY_MS + 2 * LENGTH, PASS_MS):
            due = [v for v in many if v.is_due(ms)]
            most = max(most, len(due))
            for verification in due:
                verification.confirmed(Candles.empty(), ms)
        assert 0 < most <= 4

    @pytest.mark.parametrize("since_close_ms", [0, 1_500, 14_999, 285_000, LENGTH - 1])
    def test_not_around_a_close(self, it: Fetched, since_close_ms: int) -> None:
        hour_ms = START + 3 * EVERY_MS
        it.verification.confirmed(Candles.empty(), hour_ms - LENGTH)
        assert not it.verification.is_due(hour_ms + since_close_ms)
        assert it.verification.is_due(hour_ms + CLEAR_MS)

    def test_around_one_after_all_if_every_pass_is(self, it: Fetched) -> None:
        it.verification.confirmed(Candles.empty(), START)
        assert it.verification.is_due(START + 2 * EVERY_MS + 1_500)

    def test_after_exchange_time_was_set_back(self, it: Fetched) -> None:
        it.verification.confirmed(Candles.empty(), START + 9 * EVERY_MS)
        assert it.verification.is_due(START + CLEAR_MS)


class TestChangedCandle:
    def test_counts_once_two_answers_say_the_same(self, it: Fetched) -> None:
        assert it.ask(bars(changed={3: 111.0})) == []
        assert it.close_of(3) == 103.0
        assert it.verification.is_due(it.now_ms)
        assert it.ask(bars(changed={3: 111.0}), PASS_MS) == [3]
        assert it.close_of(3) == 111.0

    def test_is_checked_again_soon_and_then_hourly(self, it: Fetched) -> None:
        it.ask(bars(changed={3: 111.0}))
        it.ask(bars(changed={3: 111.0}), PASS_MS)
        assert it.verification.is_due(it.now_ms + PASS_MS)
        assert it.ask(bars(changed={3: 111.0}), PASS_MS) == []
        assert not it.verification.is_due(it.now_ms + PASS_MS)

    def test_two_answers_within_a_moment_are_one(self, it: Fetched) -> None:
        it.ask(bars(changed={3: 111.0}))
        assert it.ask(bars(changed={3: 111.0}), APART_MS - 1) == []
        assert it.ask(bars(changed={3: 111.0}), 1) == [3]

    def test_one_wrong_answer_changes_nothing(self, it: Fetched) -> None:
        it.ask(bars(changed={3: 111.0}))
        assert it.ask(bars(), PASS_MS) == []
        assert it.ask(bars(changed={3: 111.0}), EVERY_MS) == []
        assert it.close_of(3) == 103.0

    def test_answers_that_disagree_change_nothing(self, it: Fetched) -> None:
        for number in range(6):
            assert it.ask(bars(changed={3: 111.0 + number}), PASS_MS) == []
        assert it.close_of(3) == 103.0

    def test_each_change_of_a_candle_needs_twice_as_many_answers(self, it: Fetched) -> None:
        counts = []
        for close in (111.0, 112.0, 113.0):
            counts.append(1)
            while not it.ask(bars(changed={3: close}), PASS_MS):
                counts[-1] += 1
        assert counts == [2, 4, 8]

    def test_all_of_several_are_replaced(self, it: Fetched) -> None:
        changed = {number: 111.0 + number for number in (0, 3, 4, 20)}
        it.ask(bars(changed=changed))
        assert it.ask(bars(changed=changed), PASS_MS) == [0, 3, 4, 20]

    def test_the_newest_and_the_open_one_are_left_to_the_overlap(self, it: Fetched) -> None:
        rows = bars(changed={LAST - 2: 111.0, LAST - 1: 111.0, LAST: 111.0})
        kept, differing = it.verification.without_differences(rows)
        assert kept is rows
        assert len(differing) == 0

    def test_streamed_closes_are_left_to_the_store(self, it: Fetched) -> None:
        it.store.unchecked.add(START + 3 * LENGTH)
        rows = bars(changed={3: 111.0})
        assert it.verification.without_differences(rows)[0] is rows

    def test_new_candles_pass(self, it: Fetched) -> None:
        it.store.closed = it.store.closed[it.store.closed.open_time_ms != START + 3 * LENGTH]
        it.ask(bars(changed={5: 111.0}))
        assert it.close_of(3) == 103.0
        assert it.close_of(5) == 105.0


def test_the_text_names_time_and_numbers_and_tells_them_apart() -> None:
    before, after = bars(changed={3: 0.1234567891}), bars(changed={3: 0.1234567892, 5: 1.0})
    assert changes_text(before, before) == ""
    text = changes_text(before[:5], after)
    assert text.startswith("the candle of ")
    assert "close 0.1234567891 to 0.1234567892" in text
    assert changes_text(before, after).endswith(", and 1 more")
