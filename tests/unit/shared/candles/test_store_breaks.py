"""What a store makes of refused rows, and of a break of the price scale."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from shared.candles.admission import Admitted, Conflict, Refused
from shared.candles.files import aggregated
from shared.candles.store import SETTLE_MS, CandleStore, Change, Fit, OverlapDiffers
from shared.errors import BadCandle
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow
from tests.support.candle_series import START_MS, walk
from tests.unit.shared.candles.test_admission import joined, scaled, without

M5, H1, H4 = Timeframe.M5, Timeframe.H1, Timeframe.H4
BEFORE, HOLE, AFTER = 300, 7, 200


def redenominated(after: int = AFTER, factor: float = 0.01) -> Candles:
    """Return 5m candles that break in the middle of an hour, after a hole within that hour."""
    rows = walk(4, BEFORE + HOLE + after)
    return joined(rows[:BEFORE], scaled(rows[BEFORE + HOLE :], factor))


BREAK_MS = START_MS + (BEFORE + HOLE) * M5.ms


def give(store: CandleStore, rows: Candles, *, refused: tuple[Refused, ...] = ()) -> Change:
    """Give a store a full answer of which the last row has closed."""
    asked_ms = int(rows.open_time_ms[-1]) + store.timeframe.ms + SETTLE_MS
    change = Change(Candles.empty(), Candles.empty())
    for _ in range(2):  # a candle without a later one settles when it is seen again
        answer = Admitted(rows.tail(1000), refused)
        change = store.accept(answer, asked_ms=asked_ms, fetched_at_ms=asked_ms)
        asked_ms += SETTLE_MS
    return change


def passed_on(store: CandleStore) -> CandleWindow:
    return CandleWindow.decode(store.window("sim").encode(), "key")


class TestBreak:
    def store(self, rows: Candles, timeframe: Timeframe = M5) -> CandleStore:
        store = CandleStore("REDNUSDT", timeframe)
        give(store, rows)
        return store

    def test_the_window_begins_at_it(self) -> None:
        rows = redenominated()
        window = passed_on(self.store(rows))
        assert window.begins_ms == BREAK_MS
        assert window.candles.same_as(rows[BEFORE:])
        assert not window.unfilled_gaps()

    def test_the_first_close_shows_it(self) -> None:
        rows = redenominated()
        store = self.store(rows[:BEFORE])
        assert not store.begins_ms
        change = give(store, rows[: BEFORE + 1])
        assert store.begins_ms == BREAK_MS
        assert len(passed_on(store).closed()) == 1
        assert not store.update(change, "sim").appends

    def test_a_streamed_close_may_show_it(self) -> None:
        rows = redenominated()
        price = rows.close[BEFORE - 1 : BEFORE]
        flat = Candles.of(
            rows.open_time_ms[BEFORE - 1 : BEFORE] + M5.ms, price, price, price, price, np.zeros(1)
        )
        store = self.store(joined(rows[:BEFORE], flat))
        new = scaled(walk(9, BEFORE + 2)[BEFORE + 1 :], 0.01)
        assert store.fit(new) is Fit.NEXT
        change = store.append(new, 1)
        assert change.begins and not change.appends and bool(change)
        assert store.begins_ms == new.open_time_ms[0]
        assert passed_on(store).closed().same_as(new)

    def test_a_close_after_a_hole_waits_for_an_answer(self) -> None:
        rows = redenominated()
        assert self.store(rows[:BEFORE]).fit(rows[BEFORE : BEFORE + 1]) is Fit.BEYOND

    def test_it_is_remembered_when_answers_do_not_reach_it(self) -> None:
        rows = redenominated(1200)
        store = self.store(rows[: BEFORE + 100])
        give(store, rows[400:])
        assert store.closed.open_time_ms[0] > BREAK_MS
        assert store.begins_ms == BREAK_MS

    @pytest.mark.parametrize("timeframe", [M5, H4])
    def test_it_survives_a_restart(self, timeframe: Timeframe) -> None:
        rows = walk(4, 600, timeframe=timeframe)
        rows = joined(rows[:300], scaled(rows[400:], 0.01))
        window = passed_on(self.store(rows, timeframe))
        restored = CandleStore("REDNUSDT", timeframe)
        assert restored.restore(window, "sim", window.closed_until_ms)
        assert restored.begins_ms == window.begins_ms == rows.open_time_ms[300]
        give(restored, rows[450:])
        assert passed_on(restored).candles.same_as(rows[300:])

    def test_an_empty_window_keeps_it(self) -> None:
        window = CandleWindow(
            symbol="REDNUSDT", timeframe=H1, candles=Candles.empty(), closed_until_ms=START_MS,
            fetched_at_ms=START_MS, source="sim", begins_ms=START_MS - 1,
        )  # fmt: skip
        store = CandleStore("REDNUSDT", H1)
        window = CandleWindow.decode(window.encode(), "key")
        assert not store.restore(window, "sim", START_MS)
        assert store.begins_ms == START_MS - 1
        assert not CandleStore("REDNUSDT", H1).restore(window, "binance", START_MS)

    @pytest.mark.parametrize("timeframe", [M5, H1])
    @pytest.mark.parametrize("is_restored", [True, False])
    def test_it_goes_when_the_exchange_corrects_its_rows(
        self, timeframe: Timeframe, is_restored: bool
    ) -> None:
        whole = walk(4, 600, timeframe=timeframe)
        right = without(whole, *range(300, 320))
        wrong = joined(right[:300], scaled(right[300:], 0.01))
        store = self.store(wrong, timeframe)
        assert store.begins_ms
        if is_restored:
            window = passed_on(store)
            store = CandleStore("REDNUSDT", timeframe)
            assert store.restore(window, "sim", window.closed_until_ms)
        asked_ms = int(right.open_time_ms[-1]) + timeframe.ms + SETTLE_MS
        times = {"asked_ms": asked_ms, "fetched_at_ms": asked_ms}
        with pytest.raises(OverlapDiffers):
            store.accept(Admitted(right), **times)
        change = store.replace(Admitted(right), **times)
        assert change.begins and not store.begins_ms
        assert passed_on(store).candles.same_as(right)

    def test_it_goes_when_single_rows_are_corrected(self) -> None:
        right = without(walk(4, 600), *range(300, 320))
        store = self.store(joined(right[:300], scaled(right[300:], 0.01)))
        store.correct(right[300:])
        assert not store.begins_ms and passed_on(store).candles.same_as(right)

    def test_one_of_another_source_is_not_restored(self) -> None:
        window = passed_on(self.store(redenominated()))
        store = CandleStore("REDNUSDT", M5)
        assert not store.restore(window, "binance", window.closed_until_ms)
        assert not store.begins_ms


class Stores(NamedTuple):
    m5: CandleStore
    h1: CandleStore

    @classmethod
    def of(cls, rows: Candles) -> Stores:
        stores = cls(CandleStore("REDNUSDT", M5), CandleStore("REDNUSDT", H1))
        give(stores.m5, rows)
        give(stores.h1, aggregated(rows, H1))
        return stores


class TestLongerCandles:
    def test_the_hour_in_which_it_breaks_counts_to_neither_side(self) -> None:
        rows = redenominated()
        stores = Stores.of(rows)
        assert not stores.h1.begins_ms  # no hole among hours
        change = stores.h1.follow(stores.m5)
        assert change.begins and bool(change) and stores.h1.begins_ms == BREAK_MS
        window = passed_on(stores.h1)
        assert BREAK_MS % H1.ms and window.begins_ms == BREAK_MS
        assert window.candles.open_time_ms[0] == H1.first_open(BREAK_MS)
        assert not stores.h1.follow(stores.m5)

    def test_there_may_be_no_candle_yet(self) -> None:
        rows = redenominated(14)
        stores = Stores.of(rows)
        before = passed_on(stores.h1)
        stores.h1.follow(stores.m5)
        window = passed_on(stores.h1)
        assert not len(window.candles) and window.closed_until_ms == before.closed_until_ms

    def test_the_close_of_the_mixed_hour_is_not_appended_by_readers(self) -> None:
        rows = redenominated()
        stores = Stores.of(rows[: BEFORE + 3])
        stores.h1.follow(stores.m5)
        mixed = aggregated(rows, H1)
        mixed = mixed[mixed.open_time_ms == H1.open_at(BREAK_MS)]
        update = stores.h1.update(stores.h1.append(mixed, 1), "sim")
        assert not update.appends and not update.candles

    def test_a_break_beyond_the_reach_of_5m_is_remembered(self) -> None:
        rows = redenominated(1600)
        stores = Stores.of(rows[: BEFORE + 100])
        stores.h1.follow(stores.m5)
        young = CandleStore("REDNUSDT", M5)
        give(young, rows.tail(1000))
        assert not young.begins_ms
        give(stores.h1, aggregated(rows, H1))
        stores.h1.follow(young)
        assert stores.h1.begins_ms == BREAK_MS

    def test_4h_follows_a_hole_that_only_1h_candles_have(self) -> None:
        rows = walk(4, 400, timeframe=H1)
        rows = joined(rows[:201], scaled(rows[203:], 0.01))  # within one candle of 4h
        h1, h4 = CandleStore("REDNUSDT", H1), CandleStore("REDNUSDT", H4)
        give(h1, rows)
        h1.follow(CandleStore("REDNUSDT", M5))
        assert h1.begins_ms == rows.open_time_ms[201]
        assert h4.follow(h1).begins and h4.begins_ms == h1.begins_ms

    def test_it_goes_when_5m_shows_none(self) -> None:
        stores = Stores.of(redenominated())
        stores.h1.follow(stores.m5)
        right = CandleStore("REDNUSDT", M5)
        give(right, walk(4, BEFORE + HOLE + AFTER))
        assert stores.h1.follow(right).begins and not stores.h1.begins_ms


def refused_at(rows: Candles, row: int) -> Refused:
    return Refused(int(rows.open_time_ms[row]), row + 1, "price not finite and above 0")


class TestRefusedRow:
    def test_it_counts_as_missing_and_is_named_until_it_is_right(self) -> None:
        rows = walk(4, 100)
        bad = refused_at(rows, 60)
        store = CandleStore("BTCUSDT", M5)
        give(store, without(rows, 60), refused=(bad,))
        assert store.refused == (bad,) and len(store.holes()) == 1
        assert passed_on(store).unfilled_gaps() == store.holes()
        give(store, rows[97:])  # an answer that does not reach it
        assert store.refused == (bad,)
        give(store, rows)
        assert not store.holes() and not len(store.refused)

    def test_the_newest_one_makes_no_answer_old(self) -> None:
        rows = walk(4, 100)
        store = CandleStore("BTCUSDT", M5)
        asked_ms = int(rows.open_time_ms[-1]) + 1
        times = {"asked_ms": asked_ms, "fetched_at_ms": asked_ms}
        store.accept(Admitted(rows), **times)
        bad = refused_at(rows, 99)
        change = store.accept(Admitted(rows[:99], (bad,)), **times)
        assert not change and store.closed_until_ms == rows.open_time_ms[99]

    def test_a_bad_open_candle_closes_the_one_before_it(self) -> None:
        rows = walk(4, 100)
        store = CandleStore("BTCUSDT", M5)
        asked_ms = int(rows.open_time_ms[-1]) + 1
        answer = Admitted(rows[:99], (refused_at(rows, 99),))
        store.accept(answer, asked_ms=asked_ms, fetched_at_ms=asked_ms)
        assert store.closed_until_ms == rows.open_time_ms[99]

    def test_an_answer_of_nothing_else_is_no_answer(self) -> None:
        rows = walk(4, 3)
        store = CandleStore("BTCUSDT", M5)
        answer = Admitted(Candles.empty(), tuple(refused_at(rows, row) for row in range(3)))
        with pytest.raises(BadCandle, match="no other row is usable"):
            store.accept(answer, asked_ms=START_MS + M5.ms * 3, fetched_at_ms=1)

    def test_conflicts_are_named_and_duplicates_counted(self) -> None:
        rows = walk(4, 100)
        conflict = Conflict(int(rows.open_time_ms[60]), "rows of one time differ")
        store = CandleStore("BTCUSDT", M5)
        asked_ms = int(rows.open_time_ms[-1]) + 1
        for _ in range(2):
            answer = Admitted(rows, (), 3, (conflict,))
            store.accept(answer, asked_ms=asked_ms, fetched_at_ms=asked_ms)
        assert (store.duplicates, store.conflicts) == (6, (conflict,))


def test_numbers_that_differ_differ_in_the_message() -> None:
    rows = walk(4, 10)
    store = CandleStore("BTCUSDT", M5)
    give(store, rows)
    other = Candles(
        rows.open_time_ms, rows.open, rows.high, rows.low, rows.close, rows.volume.copy()
    )
    other.volume[7] = np.nextafter(rows.volume[7], 1e9)
    with pytest.raises(OverlapDiffers) as caught:
        give(store, other)
    before, after = float(rows.volume[7]), float(other.volume[7])
    assert f"stored volume {before!r}, exchange now says volume {after!r}" in str(caught.value)
