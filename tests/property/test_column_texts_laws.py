"""Column texts carried on are what writing everything anew gives, to the byte."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.candles.admission import Admitted
from shared.candles.column_texts import ColumnTexts, texts
from shared.candles.store import CandleStore
from shared.market import COLUMNS, Candles, Timeframe
from shared.messages.candles import CandleWindow
from tests.support.candle_series import walk

M5 = Timeframe.M5
START_MS = 1_735_689_600_000

numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def candles(draw: st.DrawFn) -> Candles:
    """Any numbers at all, on ascending times."""
    count = draw(st.integers(0, 12))
    columns = [draw(st.lists(numbers, min_size=count, max_size=count)) for _ in COLUMNS[1:]]
    return Candles.of([START_MS + i * M5.ms for i in range(count)], *columns)


@settings(max_examples=200, deadline=None)
@given(
    series=candles(),
    keep=st.integers(1, 14),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=8),
)
def test_texts_carried_on_are_those_written_anew(
    series: Candles, keep: int, steps: list[tuple[bool, int]]
) -> None:
    held, now, used = ColumnTexts(), series[:2].tail(keep), 2
    for looked, count in steps:
        if looked:
            assert held.of(now) == texts(now)
        newer = series[used : used + count]
        after = now.appended(newer, keep)
        held.appended(now, newer, after)
        now, used = after, used + count
    assert held.of(now) == texts(now)
    assert held.of(series[:1]) == texts(series[:1])


def test_a_window_is_encoded_to_the_same_bytes_with_and_without_texts() -> None:
    series = walk(5, 1_040, timeframe=M5, start_ms=START_MS)
    store = CandleStore("BTCUSDT", M5)
    store.accept(
        Admitted(series[:1000]), asked_ms=int(series.open_time_ms[999]) + 10, fetched_at_ms=1
    )
    for i in range(999, 1_030):
        store.append(series[i : i + 1], 2)
        if i % 3 == 0:
            store.update_forming(series[i + 1 : i + 2], now_ms=3, at_ms=3)
        window = store.window("sim")
        assert window.texts is not None
        assert window.encode() == replace(window, texts=None).encode()
        assert CandleWindow.decode(window.encode(), "x").candles.same_as(window.candles)


def test_texts_of_other_candles_are_not_used() -> None:
    series = walk(5, 1_000, timeframe=M5, start_ms=START_MS)
    store = CandleStore("BTCUSDT", M5)
    store.accept(Admitted(series), asked_ms=int(series.open_time_ms[999]) + 10, fetched_at_ms=1)
    shorter = replace(store.window("sim"), candles=series[:5])
    assert CandleWindow.decode(shorter.encode(), "x").candles.same_as(series[:5])
