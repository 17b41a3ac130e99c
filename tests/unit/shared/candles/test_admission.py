"""Which rows of a source are admitted, and where a series begins anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.candles.admission import (
    ATR_BARS,
    BREAK_RATIO,
    LEVEL_BARS,
    Admitted,
    WrongUnit,
    admit,
    beginnings,
    require,
    scale_breaks,
    unit_of,
)
from shared.errors import BadCandle
from shared.market import COLUMNS, Candles, Floats, Timeframe
from tests.support.candle_series import walk

M5, H1, H4 = Timeframe.M5, Timeframe.H1, Timeframe.H4
BARS = 200


def changed(candles: Candles, row: int, **values: float) -> Candles:
    """Return candles with some values of one row replaced."""
    columns = {name: getattr(candles, name).copy() for name in COLUMNS}
    for name, value in values.items():
        columns[name][row] = value
    return Candles(**columns)


def joined(*parts: Candles) -> Candles:
    return Candles(*(np.concatenate([getattr(p, c) for p in parts]) for c in COLUMNS))


def without(candles: Candles, *rows: int) -> Candles:
    there = np.ones(len(candles), dtype=bool)
    there[list(rows)] = False
    return candles[there]


def scaled(candles: Candles, factor: float) -> Candles:
    prices = {c: getattr(candles, c) * factor for c in ("open", "high", "low", "close")}
    return replace(candles, **prices)


def in_unit(candles: Candles, factor: float) -> Candles:
    return replace(candles, open_time_ms=(candles.open_time_ms * factor).astype(np.int64))


class TestUnits:
    @pytest.mark.parametrize(
        ("time", "unit"),
        [
            (1_230_767_999, None), (1_230_768_000, "s"), (4_102_444_799, "s"),
            (4_102_444_800, None), (1_735_689_600_000, "ms"), (4_102_444_800_000, None),
            (1_735_689_600_000_000, "us"), (1_735_689_600_000_000_000, "ns"), (0, None),
            (-1_735_689_600_000, None), (10**30, None),
        ],
    )  # fmt: skip
    def test_a_unit_is_recognised_by_its_range(self, time: int, unit: str | None) -> None:
        assert unit_of(time) == unit

    @pytest.mark.parametrize("from_file", [True, False])
    @pytest.mark.parametrize(
        ("factor", "name"), [(0.001, "seconds"), (10**3, "microseconds"), (10**6, "nanoseconds")]
    )
    def test_another_unit_is_refused_by_name(
        self, factor: float, name: str, from_file: bool
    ) -> None:
        rows = in_unit(walk(1, 50), factor)
        first = rows.open_time_ms[0]
        with pytest.raises(WrongUnit, match=f"BTCUSDT 5m: times in {name}, .* row 1 has {first}$"):
            admit(rows, "BTCUSDT", M5, from_file=from_file)

    def test_a_change_in_the_middle_of_a_file_is_named(self) -> None:
        rows = walk(1, 50)
        changes = joined(rows[:30], in_unit(rows[30:], 1000))
        with pytest.raises(WrongUnit, match=r"microseconds.*row 31 after rows in milliseconds"):
            admit(changes, "BTCUSDT", M5, from_file=True)

    def test_one_row_of_an_answer_costs_itself(self) -> None:
        rows = walk(1, 50)
        spoilt = changed(rows, 20, open_time_ms=int(rows.open_time_ms[20]) * 1000)
        admitted = admit(spoilt, "BTCUSDT", M5)
        assert admitted.candles.same_as(without(rows, 20))
        (refused,) = admitted.refused
        assert (refused.open_time_ms, refused.row) == (None, 21)
        assert refused.why.startswith("open time in microseconds")


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"low": 0.0}, "price not finite and above 0"),
    ({"open": -1.0}, "price not finite and above 0"),
    ({"close": float("nan")}, "price not finite and above 0"),
    ({"high": float("inf")}, "price not finite and above 0"),
    ({"high": 1.0}, "high below open, close or low"),
    ({"low": 1e6}, "high below open, close or low"),
    ({"low": 1030.0, "high": 1e6}, "low above open, close or high"),
    ({"volume": -1.0}, "volume not finite or negative"),
    ({"volume": float("nan")}, "volume not finite or negative"),
    ({"volume": float("inf")}, "volume not finite or negative"),
]


@pytest.mark.parametrize("from_file", [True, False])
@pytest.mark.parametrize("timeframe", list(Timeframe))
@pytest.mark.parametrize(("values", "why"), FAULTS)
def test_one_bad_row_costs_itself_alone(
    values: dict[str, Any], why: str, timeframe: Timeframe, from_file: bool
) -> None:
    rows = walk(1, 50, timeframe=timeframe)
    admitted = admit(changed(rows, 7, **values), "BTCUSDT", timeframe, from_file=from_file)
    assert admitted.candles.same_as(without(rows, 7))
    (refused,) = admitted.refused
    assert (refused.open_time_ms, refused.row) == (int(rows.open_time_ms[7]), 8)
    assert refused.why.startswith(f"{why} (open=")
    with pytest.raises(BadCandle, match=f"BTCUSDT {timeframe} at {rows.open_time_ms[7]}: {why}"):
        require(changed(rows, 7, **values), "BTCUSDT", timeframe)


def test_a_row_off_the_grid_costs_itself_alone() -> None:
    rows = walk(1, 50)
    spoilt = changed(rows, 7, open_time_ms=int(rows.open_time_ms[7]) + 1)
    admitted = admit(spoilt, "BTCUSDT", M5)
    assert admitted.candles.same_as(without(rows, 7))
    assert "not on the timeframe's grid" in admitted.refused[0].why


def test_what_is_refused_shows_every_digit() -> None:
    rows = changed(walk(1, 9), 3, high=1024.0000000000002, close=1024.0000000000005)
    (refused,) = admit(rows, "BTCUSDT", M5).refused
    assert "high=1024.0000000000002" in refused.why and "close=1024.0000000000005" in refused.why


@pytest.mark.parametrize("from_file", [True, False])
def test_equal_rows_are_dropped_and_counted(from_file: bool) -> None:
    rows = walk(1, 50)
    twice = joined(rows[:20], rows[10:20], rows[15:])
    admitted = admit(twice, "BTCUSDT", M5, from_file=from_file)
    assert admitted.candles.same_as(rows)
    assert (admitted.duplicates, admitted.refused, admitted.conflicts) == (15, (), ())


@pytest.mark.parametrize("from_file", [True, False])
def test_of_rows_that_differ_one_is_kept_and_both_are_named(from_file: bool) -> None:
    rows = walk(1, 50)
    other = changed(rows, 7, volume=1.0000000000000002)[7:8]
    admitted = admit(joined(rows, other, rows[7:8]), "BTCUSDT", M5, from_file=from_file)
    assert admitted.candles.same_as(rows)  # an answer's last row and a file's first are equal here
    assert admitted.duplicates == 1
    (conflict,) = admitted.conflicts
    assert conflict.open_time_ms == rows.open_time_ms[7]
    assert "row 51 has volume 1.0000000000000002" in conflict.why
    kept = admit(joined(rows, other), "BTCUSDT", M5, from_file=from_file).candles
    assert kept.volume[7] == (rows.volume[7] if from_file else 1.0000000000000002)


def test_rows_out_of_order_are_sorted() -> None:
    rows = walk(1, 50)
    order = np.random.default_rng(3).permutation(50)
    admitted = admit(rows[order], "BTCUSDT", M5)
    assert admitted.candles.same_as(rows) and not admitted.refused


def test_clean_candles_are_returned_as_they_are() -> None:
    rows = walk(1, 50)
    assert admit(rows, "BTCUSDT", M5).candles is rows
    assert len(admit(Candles.empty(), "BTCUSDT", M5).candles) == 0


def test_what_was_left_out_is_said_in_words() -> None:
    rows = walk(1, 50)
    many = joined(*(changed(rows, row, low=0.0)[row : row + 1] for row in range(9)), rows[8:])
    said = admit(many, "BTCUSDT", M5).remarks("BTCUSDT 5m")
    assert len(said) == 6
    assert said[0].startswith("BTCUSDT 5m: row 1 at 2023-11-14T22:00:00Z counts as missing: price")
    assert said[5] == "BTCUSDT 5m: and 4 more like these"
    twice = admit(joined(rows, rows[:2]), "BTCUSDT", M5)
    assert twice.remarks("X") == ["X: 2 rows dropped: an equal one is there"]
    assert Admitted(rows).remarks("X") == []


def halted(
    factor: float, *, bars: int = BARS, hole: int = 96, timeframe: Timeframe = M5, seed: int = 1
) -> Candles:
    """Return a series whose scale changes by `factor` over a hole of some bars."""
    rows = walk(seed, bars + hole + bars, timeframe=timeframe)
    return joined(rows[:bars], scaled(rows[bars + hole :], factor))


def flat_after(rows: Candles, bars: int) -> Candles:
    """Return flat bars without volume that follow."""
    times = rows.open_time_ms[-1] + M5.ms * np.arange(1, bars + 1)
    price = np.full(bars, rows.close[-1])
    return Candles.of(times, price, price, price, price, np.zeros(bars))


class TestScaleBreaks:
    @pytest.mark.parametrize("timeframe", list(Timeframe))
    @pytest.mark.parametrize("factor", [0.01, 0.001, 1 / 3.5, 3.5, 100.0, 1000.0])
    @pytest.mark.parametrize("hole", [1, 96])
    def test_a_new_scale_after_a_hole(self, factor: float, hole: int, timeframe: Timeframe) -> None:
        rows = halted(factor, hole=hole, timeframe=timeframe)
        (found,) = scale_breaks(rows, timeframe)
        assert found.at_ms == rows.open_time_ms[BARS]
        assert found.after == rows.close[BARS]
        assert found.before == np.median(rows.close[BARS - LEVEL_BARS : BARS])

    @pytest.mark.parametrize("factor", [1 / 2.5, 0.9, 1.0, 2.5])
    def test_a_move_within_the_scale_is_none(self, factor: float) -> None:
        assert scale_breaks(halted(factor), M5) == ()

    def test_a_wild_coin_may_move_as_far(self) -> None:
        rows = halted(4.0)
        wild = replace(rows, high=rows.high * 1.5, low=rows.low / 1.5)
        assert scale_breaks(wild, M5) == ()

    def test_one_wick_before_does_not_hide_it(self) -> None:
        rows = changed(halted(0.01), BARS - 2, low=0.001)
        assert len(scale_breaks(rows, M5)) == 1

    @pytest.mark.parametrize("crash", [0.01, 0.2])
    def test_a_crash_without_a_halt_is_none(self, crash: float) -> None:
        rows = walk(1, 2 * BARS)
        assert scale_breaks(joined(rows[:BARS], scaled(rows[BARS:], crash)), M5) == ()

    @pytest.mark.parametrize("factor", [0.2, 5.0])
    def test_a_crash_that_ends_in_a_halt_is_none(self, factor: float) -> None:
        rows = walk(1, 2 * BARS)
        crashed = joined(rows[: BARS - 1], scaled(rows[BARS - 1 :], factor))
        assert scale_breaks(joined(crashed[:BARS], crashed[BARS + 3 :]), M5) == ()
        silent = joined(crashed[:BARS], flat_after(crashed[:BARS], 3), crashed[BARS + 3 :])
        assert scale_breaks(silent, M5) == ()

    @pytest.mark.parametrize("side", [0, -1])
    @pytest.mark.parametrize("factor", [100.0, 0.01])
    def test_one_bad_row_at_a_hole_is_none(self, side: int, factor: float) -> None:
        rows, row = halted(1.0), BARS + side
        spoilt = joined(rows[:row], scaled(rows[row : row + 1], factor), rows[row + 1 :])
        assert scale_breaks(spoilt, M5) == ()

    def test_a_wick_at_a_hole_is_none(self) -> None:
        rows = halted(1.0)
        assert scale_breaks(changed(rows, BARS, low=0.001), M5) == ()
        assert scale_breaks(changed(rows, BARS, high=1e6), M5) == ()

    @pytest.mark.parametrize("new_scale_from", [0, 3, 10])
    def test_a_halt_of_flat_bars_without_volume(self, new_scale_from: int) -> None:
        rows = halted(0.01, hole=10)
        price: Floats = np.where(
            np.arange(10) < new_scale_from, rows.close[BARS - 1], rows.open[BARS]
        )
        times = rows.open_time_ms[BARS - 1] + M5.ms * np.arange(1, 11)
        flat = Candles.of(times, price, price, price, price, np.zeros(10))
        (found,) = scale_breaks(joined(rows[:BARS], flat, rows[BARS:]), M5)
        assert found.at_ms == rows.open_time_ms[BARS - 1] + M5.ms * (1 + new_scale_from)

    def test_several(self) -> None:
        rows = walk(1, 3 * BARS)
        middle = scaled(rows[BARS + 1 : 2 * BARS], 0.01)
        found = scale_breaks(joined(rows[:BARS], middle, rows[2 * BARS + 1 :]), M5)
        assert [f.at_ms for f in found] == [
            rows.open_time_ms[BARS + 1], rows.open_time_ms[2 * BARS + 1],
        ]  # fmt: skip

    @pytest.mark.parametrize("bars", [1, 2, LEVEL_BARS, ATR_BARS - 1])
    def test_a_young_series_has_few_bars_before_it(self, bars: int) -> None:
        rows = halted(0.01)
        (found,) = scale_breaks(rows[BARS - bars :], M5)
        assert found.at_ms == rows.open_time_ms[BARS]

    def test_the_first_close_shows_it_and_later_ones_may_take_it_back(self) -> None:
        rows = halted(1.0)
        spike = joined(rows[:BARS], scaled(rows[BARS : BARS + 1], 100.0), rows[BARS + 1 :])
        known = [len(scale_breaks(spike[: BARS + n], M5)) for n in range(5)]
        assert known == [0, 1, 0, 0, 0]
        closes, begins = beginnings(spike, M5)
        at_ms = int(spike.open_time_ms[BARS])
        assert closes.tolist() == [0, at_ms + M5.ms, at_ms + 2 * M5.ms]
        assert begins.tolist() == [0, at_ms, 0]

    def test_no_series_is_too_short(self) -> None:
        for bars in range(3):
            assert scale_breaks(walk(1, 3)[:bars], M5) == ()
            assert beginnings(walk(1, 3)[:bars], M5)[1].tolist() == [0]


def test_a_break_begins_the_history_from_its_first_close_on() -> None:
    rows = halted(BREAK_RATIO * 2)
    closes, begins = beginnings(rows, M5)
    at_ms = int(rows.open_time_ms[BARS])
    assert (closes.tolist(), begins.tolist()) == ([0, at_ms + M5.ms], [0, at_ms])
