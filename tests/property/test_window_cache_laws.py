"""Held windows against the store whose updates carry them on: the same to the bit, always."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.indicators.window_cache import WindowCache
from shared import codec
from shared.candles.admission import Admitted
from shared.candles.store import CandleStore, Fit
from shared.config.sections import IndicatorsSection
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import COLUMNS, Candles, Timeframe
from shared.messages.candles import CandleUpdate, CandleWindow
from tests.support.candle_series import walk

M5, H1 = Timeframe.M5, Timeframe.H1
START_MS = 1_735_689_600_000
KEY = ("BTCUSDT", M5)
SERIES = walk(3, 1300, timeframe=M5, start_ms=START_MS)


def rows(first: int, last: int, *, others: Collection[int] = ()) -> Candles:
    """Candles `first` to `last`, both included; `others` with another volume."""
    part = SERIES[first : last + 1]
    volume = part.volume + [float(i in others) for i in range(first, last + 1)]
    return replace(part, volume=volume)


def over_the_wire(update: CandleUpdate) -> CandleUpdate:
    return codec.decode(CandleUpdate, codec.encode(update), "wire")


def same(held: CandleWindow, store: CandleStore) -> None:
    """Compare with what a reader of the key would decode."""
    key = CandleWindow.decode(store.window("sim").encode(), "key")
    assert held.candles.same_as(key.closed())
    assert replace(held, candles=Candles.empty()).encode() == (
        replace(key, candles=Candles.empty()).encode()
    )


class Pair:
    """A store, and a reader that read its key once and then only hears updates."""

    def __init__(self, bars: int, newest: int) -> None:
        self.store = CandleStore(*KEY)
        self.newest = newest
        self.clock_ms = START_MS
        self.others: set[int] = set()  # told otherwise by REST than by the stream
        self._answer(rows(max(0, newest - bars + 1), newest))
        self.held = WindowCache()
        self.read()

    def read(self) -> None:
        window = CandleWindow.decode(self.store.window("sim").encode(), "key")
        self.held.put(KEY, window, self.held.changes(KEY))

    def _answer(self, answer: Candles) -> CandleUpdate:
        self.clock_ms += 1
        asked_ms = int(SERIES.open_time_ms[self.newest]) + 1_500
        change = self.store.accept(Admitted(answer), asked_ms=asked_ms, fetched_at_ms=self.clock_ms)
        return over_the_wire(self.store.update(change, "sim"))

    def rest(self, *, ahead: int, back: int, wrong: bool = False) -> CandleUpdate:
        """REST answers with the open candle `ahead` further and some before it."""
        self.newest += ahead
        first = max(0, self.newest - back - ahead)
        streamed = [i for i in range(first, self.newest)
                    if int(SERIES.open_time_ms[i]) in self.store.unchecked]  # fmt: skip
        if wrong:
            self.others.update(streamed[-1:])
        return self._answer(rows(first, self.newest, others=self.others))

    def stream(self) -> CandleUpdate:
        """The stream closes the open candle, as REST will tell it."""
        self.clock_ms += 1
        change = self.store.append(rows(self.newest, self.newest), self.clock_ms)
        self.newest += 1
        return over_the_wire(self.store.update(change, "sim"))


@settings(max_examples=60, deadline=None)
@given(
    bars=st.sampled_from([3, 40, 999, 1000]),
    events=st.lists(
        st.tuples(
            st.sampled_from(["stream", "rest", "wrong", "twice", "lost", "read"]),
            st.integers(0, 7),
        ),
        max_size=25,
    ),
)
def test_what_is_held_is_what_the_key_holds_or_nothing(
    bars: int, events: list[tuple[str, int]]
) -> None:
    pair = Pair(bars, 1050)
    for kind, number in events:
        if kind == "read":
            pair.read()
            continue
        if kind == "stream" or (kind in ("twice", "lost") and number % 2):
            if pair.store.fit(rows(pair.newest, pair.newest)) is not Fit.NEXT:
                continue
            update = pair.stream()
        else:
            update = pair.rest(ahead=number, back=4, wrong=kind == "wrong")
        if kind != "lost" or not any(row.closed for row in update.candles):
            pair.held.apply(update)
        if kind == "twice":
            pair.held.apply(update)
        held = pair.held._windows.get(KEY)
        if kind == "lost" and held is not None:
            break  # nobody can know; the next update tells
        if held is not None and any(row.closed for row in update.candles):
            same(held, pair.store)


def test_a_streamed_close_is_carried_on_without_reading_the_key() -> None:
    pair = Pair(999, 1050)
    for _ in range(5):
        pair.held.apply(pair.stream())
        held = pair.held._windows.get(KEY)
        assert held is not None
        same(held, pair.store)


def test_a_lost_update_is_noticed_by_the_next() -> None:
    pair = Pair(999, 1050)
    pair.stream()  # never arrives
    pair.held.apply(pair.stream())
    assert KEY not in pair.held._windows


def test_a_corrected_close_is_read_from_the_key() -> None:
    pair = Pair(999, 1050)
    pair.held.apply(pair.stream())
    update = pair.rest(ahead=0, back=4, wrong=True)
    assert not update.appends
    pair.held.apply(update)
    assert KEY not in pair.held._windows


def test_an_update_during_a_read_leaves_nothing_held() -> None:
    pair = Pair(999, 1050)
    changes = pair.held.changes(KEY)
    old = pair.store.window("sim")
    pair.held.apply(pair.stream())
    pair.held.put(KEY, old, changes)
    assert KEY not in pair.held._windows


def test_signals_from_held_windows_are_those_from_the_keys_to_the_bit() -> None:
    pair = Pair(999, 1050)
    for _ in range(4):
        pair.held.apply(pair.stream())
    now_ms = int(SERIES.open_time_ms[pair.newest]) + 200
    held = pair.held._windows[KEY]
    key = CandleWindow.decode(pair.store.window("sim").encode(), "key")
    signals = [
        ta_signals([CoinWindows("BTCUSDT", {M5: w})], IndicatorsSection(), now_ms)["BTCUSDT"]
        for w in (held, key)
    ]
    assert codec.encode(signals[0]) == codec.encode(signals[1])
    assert np.isfinite(held.candles.close).all()


@settings(max_examples=60, deadline=None)
@given(
    broken=st.integers(1, 40),
    factor=st.sampled_from([0.01, 100.0]),
    hole=st.integers(0, 2),
    steps=st.lists(st.integers(1, 6), min_size=8, max_size=8),
)
def test_what_is_held_over_a_break_is_what_the_key_holds_or_nothing(
    broken: int, factor: float, hole: int, steps: list[int]
) -> None:
    """Hours follow a break that 5m candles show, whether or not they have a hole themselves."""
    hours = walk(5, 340, timeframe=H1, start_ms=START_MS)
    at = 300 + broken
    scale = np.where(np.arange(340) >= at, factor, 1.0)
    prices = {name: getattr(hours, name) * scale for name in COLUMNS[1:5]}
    hours = replace(hours, **prices)[(np.arange(340) < at - hole) | (np.arange(340) >= at)]
    m5, store, held = CandleStore("BTCUSDT", M5), CandleStore("BTCUSDT", H1), WindowCache()
    end = 300
    for step in (1, *steps):
        end = min(end + step, len(hours))
        asked_ms = int(hours.open_time_ms[end - 1]) + 1_500
        change = store.accept(Admitted(hours[:end]), asked_ms=asked_ms, fetched_at_ms=asked_ms)
        held.apply(over_the_wire(store.update(change, "sim")))
        m5.begins_ms = START_MS + at * H1.ms - M5.ms if end > at - hole else 0
        if change := store.follow(m5):
            held.apply(over_the_wire(store.update(change, "sim")))
        if (window := held._windows.get(("BTCUSDT", H1))) is not None:
            same(window, store)
        key = CandleWindow.decode(store.window("sim").encode(), "key")
        held.put(("BTCUSDT", H1), key, held.changes(("BTCUSDT", H1)))
