"""Laws of admission, and of breaks of the price scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.candles.admission import LEVEL_BARS, admit, require, row_fault, scale_breaks
from shared.market import COLUMNS, Candles, Timeframe
from tests.support.candle_series import walk

M5 = Timeframe.M5
BARS = 60
SPOILT = {
    "open": [0.0, -1.0, np.nan, 1e9],
    "high": [0.0, np.inf, 1.0],
    "low": [-1.0, np.nan, 1e9],
    "close": [0.0, 1e9],
    "volume": [-1.0, np.nan, np.inf],
}
MANY = settings(max_examples=120, deadline=None)

faults = st.sampled_from(sorted(SPOILT)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(SPOILT[name]))
)


@st.composite
def sources(draw: st.DrawFn, *, differ: bool = False) -> Candles:
    """Rows as a source may send them: bad ones, off the grid, twice, and in any order.

    Args:
        differ: Rows of one time may differ.
    """
    rows = walk(draw(st.integers(0, 5)), BARS)
    again = draw(st.lists(st.integers(0, BARS - 1), max_size=8))
    order = draw(st.permutations([*range(BARS), *again])) if draw(st.booleans()) else range(BARS)
    columns = {name: getattr(rows, name).copy() for name in COLUMNS}
    for row in draw(st.sets(st.integers(0, BARS - 1), max_size=5)):
        name, value = draw(faults)
        columns[name][row] = value
    for row in draw(st.sets(st.integers(0, BARS - 1), max_size=2)):
        columns["open_time_ms"][row] += draw(st.sampled_from([1, 60_000, 10**14]))
    taken = Candles(**columns)[list(order)]
    if differ:
        for row in draw(st.sets(st.integers(0, len(taken) - 1), max_size=5)):
            taken.volume[row] += 1.0
    return taken


def joined(first: Candles, second: Candles) -> Candles:
    return Candles(*(np.concatenate([getattr(p, c) for p in (first, second)]) for c in COLUMNS))


@given(rows=sources(differ=True))
@MANY
def test_admission_is_idempotent_and_admits_only_what_can_be(rows: Candles) -> None:
    once = admit(rows, "BTCUSDT", M5)
    require(once.candles, "BTCUSDT", M5)
    again = admit(once.candles, "BTCUSDT", M5)
    assert again.candles is once.candles
    assert not again.refused and not again.duplicates and not again.conflicts


@given(rows=sources())
@MANY
def test_no_row_is_lost_without_a_word(rows: Candles) -> None:
    admitted = admit(rows, "BTCUSDT", M5)
    assert len(rows) == len(admitted.candles) + len(admitted.refused) + admitted.duplicates
    values = zip(*(getattr(rows, name).tolist() for name in COLUMNS), strict=True)
    bad = [number for number, row in enumerate(values, 1) if row_fault(M5, *row)]
    assert [refused.row for refused in admitted.refused] == bad


@given(rows=sources(), seed=st.integers(0, 2**32 - 1))
@MANY
def test_the_order_of_arrival_does_not_matter(rows: Candles, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(rows))
    found, other = (admit(each, "BTCUSDT", M5) for each in (rows, rows[order]))
    assert found.candles.same_as(other.candles)
    assert found.duplicates == other.duplicates
    assert sorted(r.why for r in found.refused) == sorted(r.why for r in other.refused)


@given(rows=sources(differ=True), cut=st.integers(0, BARS), from_file=st.booleans())
@MANY
def test_pieces_admitted_one_by_one_equal_the_whole(
    rows: Candles, cut: int, from_file: bool
) -> None:
    whole = admit(rows, "BTCUSDT", M5, from_file=from_file)
    parts = [admit(part, "BTCUSDT", M5, from_file=from_file) for part in (rows[:cut], rows[cut:])]
    both = admit(joined(parts[0].candles, parts[1].candles), "BTCUSDT", M5, from_file=from_file)
    assert both.candles.same_as(whole.candles)
    assert len(parts[0].refused) + len(parts[1].refused) == len(whole.refused)


@given(seed=st.integers(0, 1000), holes=st.sets(st.integers(1, BARS - 2), max_size=20))
@MANY
def test_a_clean_series_passes_bit_for_bit(seed: int, holes: set[int]) -> None:
    rows = walk(seed, BARS)[[i for i in range(BARS) if i not in holes]]
    admitted = admit(rows, "BTCUSDT", M5)
    assert admitted.candles is rows
    assert not admitted.refused and not admitted.duplicates and not admitted.conflicts
    assert not scale_breaks(rows, M5)


@given(
    seed=st.integers(0, 1000),
    at=st.integers(LEVEL_BARS, BARS - LEVEL_BARS),
    factor=st.floats(4.0, 1e6),
    is_up=st.booleans(),
    price_scale=st.sampled_from([2.0**-20, 1.0, 2.0**10]),
)
@MANY
def test_a_break_is_found_where_it_is_at_any_price(
    seed: int, at: int, factor: float, is_up: bool, price_scale: float
) -> None:
    rows = walk(seed, BARS + 1)
    scale = np.where(np.arange(BARS + 1) > at, factor if is_up else 1 / factor, 1.0) * price_scale
    prices = {name: getattr(rows, name) * scale for name in COLUMNS[1:5]}
    rows = replace(rows, **prices)
    holed = rows[np.arange(BARS + 1) != at]
    assert [found.at_ms for found in scale_breaks(holed, M5)] == [rows.open_time_ms[at + 1]]
    assert not scale_breaks(rows, M5), "without a hole it may be a crash"
