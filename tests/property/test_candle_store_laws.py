"""Laws of the candle store, against an exchange that hides, lags and halts at random."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.candles.admission import Admitted
from shared.candles.store import ABSENT_MS, SETTLE_MS, CandleStore
from shared.errors import BadCandle
from shared.market import Candles, Timeframe, Times
from shared.messages.candles import CandleWindow

LENGTH = Timeframe.M5.ms
START = Timeframe.H4.ms * 100_000
KEEP = 40


@dataclass
class Exchange:
    """A small honest exchange: every bar ends on a value known in advance.

    Attributes:
        halted: Bars that never existed.
        hidden: Bars left out of every answer for now.
    """

    halted: set[int] = field(default_factory=set)
    hidden: set[int] = field(default_factory=set)

    def final(self, numbers: Times) -> Candles:
        price = np.asarray(100.0 + (numbers * 7919) % 31, dtype=np.float64)
        return Candles.of(
            START + numbers * LENGTH, price, price + 2, price - 2, price, price * 0 + LENGTH
        )

    def klines(self, at_ms: int, limit: int, start_ms: int | None = None) -> Candles:
        """Answer as Binance would at exchange time `at_ms`; the open bar's volume grows."""
        newest = (at_ms - START) // LENGTH
        first = 0 if start_ms is None else max(0, -((START - start_ms) // LENGTH))
        numbers = np.array(
            [n for n in range(first, newest + 1) if n not in self.halted | self.hidden],
            dtype=np.int64,
        )
        chosen = numbers[-limit:] if start_ms is None else numbers[:limit]
        rows = self.final(chosen)
        open_now = rows.open_time_ms + LENGTH > at_ms
        volume = np.where(open_now, at_ms - rows.open_time_ms + 0.5, rows.volume)
        return Candles.of(rows.open_time_ms, rows.open, rows.high, rows.low, rows.close, volume)


def ask(store: CandleStore, exchange: Exchange, now_ms: int, lag_ms: int = 0) -> None:
    """Do what the fetcher does in one pass for one coin and timeframe."""
    try:
        rows = exchange.klines(now_ms - lag_ms, min(store.rows_needed(now_ms), KEEP))
        store.accept(Admitted(rows), asked_ms=now_ms, fetched_at_ms=now_ms)
        from_ms = store.missing_from_ms(now_ms)
        if from_ms is not None:
            rows = exchange.klines(now_ms - lag_ms, KEEP, from_ms)
            store.accept(Admitted(rows), asked_ms=now_ms, fetched_at_ms=now_ms, from_ms=from_ms)
    except BadCandle:  # an exchange with nothing to say yet
        assert not len(rows)


def fresh() -> CandleStore:
    return CandleStore("BTCUSDT", Timeframe.M5, keep=KEEP)


steps_ms = st.lists(
    st.one_of(st.integers(1_000, LENGTH), st.integers(LENGTH, 60 * LENGTH)), min_size=1, max_size=12
)
some_bars = st.sets(st.integers(1, 120), max_size=12)


@given(steps_ms, some_bars, some_bars, st.integers(0, 3 * LENGTH))
def test_a_closed_candle_is_final(
    steps: list[int], halted: set[int], hidden: set[int], lag_ms: int
) -> None:
    store, exchange, now = fresh(), Exchange(halted, hidden), START + LENGTH
    for step in steps:
        now += step
        ask(store, exchange, now, lag_ms)
        numbers = (store.closed.open_time_ms - START) // LENGTH
        assert store.closed.same_as(exchange.final(numbers))
        assert store.closed_until_ms <= now


@given(steps_ms, some_bars, some_bars)
def test_what_was_hidden_is_found_and_what_never_was_is_confirmed(
    steps: list[int], halted: set[int], hidden: set[int]
) -> None:
    store, exchange, now = fresh(), Exchange(halted, hidden), START + LENGTH
    for step in steps:
        now += step
        ask(store, exchange, now)
    exchange.hidden = set()
    now += ABSENT_MS
    for _ in range(3):  # confirmed holes are asked for again after an hour at the latest
        waited_ms = 0
        while waited_ms < 3_600_000 and store.missing_from_ms(now) is None:
            now, waited_ms = now + 60_000, waited_ms + 60_000
        ask(store, exchange, now)
    everything = exchange.klines(now, 10_000)
    expected = everything.closed(Timeframe.M5, store.closed_until_ms).tail(KEEP)
    assert store.closed.tail(len(expected)).same_as(expected)
    assert all(until + ABSENT_MS > now for _, until in store.holes())
    for start, until in store.absent:
        assert set(range((start - START) // LENGTH, (until - START) // LENGTH)) <= halted


@given(steps_ms, some_bars, some_bars)
def test_holes_are_either_open_questions_or_confirmed(
    steps: list[int], halted: set[int], hidden: set[int]
) -> None:
    store, exchange, now = fresh(), Exchange(halted, hidden), START + LENGTH
    for step in steps:
        now += step
        ask(store, exchange, now)
        gaps = store.closed.merged(store.forming).gaps(Timeframe.M5)
        assert sorted([*store.holes(), *store.absent]) == gaps
        assert len(store.closed) <= KEEP
        assert np.all(np.diff(store.closed.open_time_ms) > 0)


@given(steps_ms, some_bars)
def test_a_restart_in_the_middle_changes_nothing(steps: list[int], halted: set[int]) -> None:
    lived, exchange, now = fresh(), Exchange(halted), START + LENGTH
    for step in steps:
        now += step
        ask(lived, exchange, now)
        if lived.fetched_at_ms is None:
            continue
        again = fresh()
        wire = lived.window("sim").encode()
        again.restore(CandleWindow.decode(wire, "test"), "sim", now)
        for _ in range(2):  # a halt's last candle settles after it has stood still
            now += SETTLE_MS
            ask(again, exchange, now)
            ask(lived, exchange, now)
        assert again.closed.tail(KEEP - 1).same_as(lived.closed.tail(KEEP - 1))
        assert again.forming.same_as(lived.forming)


@given(steps_ms)
def test_an_idle_pass_asks_for_few_rows_and_changes_nothing(steps: list[int]) -> None:
    store, exchange, now = fresh(), Exchange(), START + LENGTH
    for step in steps:
        now += step
        ask(store, exchange, now)
    before = store.window("sim").encode()
    assert store.rows_needed(now) <= 3
    rows = exchange.klines(now, store.rows_needed(now))
    assert not store.accept(Admitted(rows), asked_ms=now, fetched_at_ms=store.fetched_at_ms or 0)
    assert store.window("sim").encode() == before
