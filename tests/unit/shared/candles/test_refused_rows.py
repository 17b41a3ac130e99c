"""Rows of the exchange that were refused: what they leave open, and for how long."""

from __future__ import annotations

import pytest

from shared.candles.admission import Admitted, Refused
from shared.candles.store import CandleStore
from shared.indicators.frames import HALT_BARS
from shared.market import Timeframe
from tests.unit.shared.candles.test_candle_store import FETCHED, LENGTH, START, bars, moment

BAD = 60


def answer(last: int, *, bad: int | None = BAD, first: int = 0) -> Admitted:
    """Return bars `first` to `last`, the last one open, without a refused one."""
    rows = bars(*(n for n in range(first, last + 1) if n != bad))
    if bad is None or not first <= bad <= last:
        return Admitted(rows)
    return Admitted(rows, (Refused(START + bad * LENGTH, bad, "price not finite and above 0"),))


def ask(store: CandleStore, last: int, *, bad: int | None = BAD, whole: bool = False) -> None:
    """Give the store an answer of half a bar later, and look for holes if it is whole."""
    at_ms = moment(last + 0.5)
    given = answer(last, bad=bad)
    store.accept(given, asked_ms=at_ms, fetched_at_ms=FETCHED)
    if whole:
        store.accept(given, asked_ms=at_ms, fetched_at_ms=FETCHED, from_ms=START)


@pytest.fixture
def store() -> CandleStore:
    return CandleStore("BTCUSDT", Timeframe.M5)


def test_it_leaves_an_open_hole_that_names_it(store: CandleStore) -> None:
    ask(store, BAD + 5, whole=True)
    ((hole, refused),) = store.refused_holes()
    assert hole == (START + BAD * LENGTH, START + (BAD + 1) * LENGTH)
    assert refused.why == "price not finite and above 0"
    assert store.absent == ()
    assert store.window("sim").unfilled_gaps() == [hole]


@pytest.mark.parametrize("last", [BAD + 2, BAD + HALT_BARS + 1, BAD + HALT_BARS + 2])
def test_the_hole_is_open_until_enough_candles_follow(store: CandleStore, last: int) -> None:
    ask(store, last, whole=True)
    is_open = last - BAD - 1 <= HALT_BARS
    assert bool(store.refused_holes()) == is_open
    assert bool(store.window("sim").unfilled_gaps()) == is_open


def test_it_is_asked_for_again_until_then_and_rarely_after(store: CandleStore) -> None:
    ask(store, BAD + HALT_BARS, whole=True)
    assert store.missing_from_ms(moment(BAD + HALT_BARS + 0.6)) is not None
    ask(store, BAD + HALT_BARS + 2, whole=True)
    assert store.missing_from_ms(moment(BAD + HALT_BARS + 2.6)) is None


def test_it_is_over_once_the_row_is_good(store: CandleStore) -> None:
    ask(store, BAD + 5, whole=True)
    ask(store, BAD + 5, bad=None, whole=True)
    assert store.refused_holes() == []
    assert store.window("sim").unfilled_gaps() == []
    assert store.closed.same_as(bars(*range(BAD + 5)))


def test_the_newest_candle_is_not_late_if_its_row_was_refused(store: CandleStore) -> None:
    ask(store, BAD + 1)
    assert not store.is_behind(moment(BAD + 1.5))
    assert not store.is_due(moment(BAD + 1.6), every_ms=LENGTH)
    assert store.is_behind(moment(BAD + 2.1))
    assert [hole for hole, _ in store.refused_holes()] == [
        (START + BAD * LENGTH, START + (BAD + 1) * LENGTH)
    ]


def test_it_is_named_also_while_the_open_candle_is_missing(store: CandleStore) -> None:
    ask(store, BAD - 1, bad=None)
    at_ms = moment(BAD + 1.5)
    rows = Admitted(
        bars(*range(BAD)),
        tuple(Refused(START + n * LENGTH, n, "low above open") for n in (BAD, BAD + 1)),
    )
    store.accept(rows, asked_ms=at_ms, fetched_at_ms=FETCHED)
    (found,) = store.refused_holes()
    assert found[1].open_time_ms == START + BAD * LENGTH


def test_a_streamed_close_stays_and_is_not_asked_for(store: CandleStore) -> None:
    ask(store, BAD, bad=None)
    store.append(bars(BAD), FETCHED)
    ask(store, BAD + 1)
    assert store.closed.same_as(bars(*range(BAD + 1)))
    assert store.refused_holes() == []
    assert not store.is_due(moment(BAD + 1.6), every_ms=LENGTH)
    assert store.rows_needed(moment(BAD + 1.6)) < 5


def test_a_row_beside_the_grid_leaves_no_hole(store: CandleStore) -> None:
    odd = Refused(START + BAD * LENGTH + 1, 7, "open time not on the timeframe's grid")
    rows = Admitted(bars(*range(BAD + 5)), (odd,))
    store.accept(rows, asked_ms=moment(BAD + 4.5), fetched_at_ms=FETCHED)
    assert store.refused_holes() == []
