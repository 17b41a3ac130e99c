"""How a sweep cuts time."""

from __future__ import annotations

import pytest

from shared.backtest.sweep.folds import (
    BadPlan,
    Part,
    WalkForward,
    hold_out_share,
    time_plan,
    walk_forward,
)

DAY_MS = 86_400_000
FIRST = 19_700 * DAY_MS


def days(part: Part) -> tuple[int, int, int]:
    """Return begin, end and end of entries in days since the first."""
    found = [(ms - FIRST) / DAY_MS for ms in (part.from_ms, part.to_ms, part.entries_until_ms)]
    assert all(day.is_integer() for day in found)
    return int(found[0]), int(found[1]), int(found[2])


def test_the_hold_out_is_cut_first_and_the_folds_roll_over_the_rest() -> None:
    plan = time_plan(FIRST, FIRST + 100 * DAY_MS, 0.2, WalkForward(30, 20))
    assert plan.hold_out is not None
    assert days(plan.hold_out) == (80, 100, 100)
    assert days(plan.selection) == (0, 80, 79)
    assert [(days(f.training), days(f.test)) for f in plan.folds] == [
        ((0, 30, 29), (30, 50, 50)),
        ((0, 50, 49), (50, 70, 70)),
        ((0, 70, 69), (70, 80, 80)),
    ]


@pytest.mark.parametrize("length", [41, 60, 97, 120, 365])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.333])
def test_test_parts_follow_without_a_gap_up_to_the_hold_out_and_training_ends_a_day_early(
    length: int, share: float
) -> None:
    plan = time_plan(FIRST, FIRST + length * DAY_MS, share, WalkForward(20, 7))
    end = plan.selection.to_ms
    tests = [fold.test for fold in plan.folds]
    assert tests[0].from_ms == FIRST + 20 * DAY_MS
    assert [t.from_ms for t in tests[1:]] + [end] == [t.to_ms for t in tests]
    for fold in plan.folds:
        assert fold.training.from_ms == FIRST
        assert fold.training.to_ms == fold.test.from_ms
        assert fold.training.entries_until_ms == fold.test.from_ms - DAY_MS
    held = plan.hold_out.days if plan.hold_out else 0
    assert length * share <= held < length * share + 1
    assert held + plan.selection.days == length


def test_only_whole_days_count() -> None:
    plan = time_plan(FIRST - 1, FIRST + 10 * DAY_MS + 5, 0.2)
    assert days(plan.selection) == (0, 8, 7)
    plan = time_plan(FIRST + 1, FIRST + 10 * DAY_MS - 1, 0.0)
    assert days(plan.selection) == (1, 9, 9)
    assert plan.hold_out is None


@pytest.mark.parametrize(("length", "fold"), [(3, None), (39, WalkForward(30, 10)), (0, None)])
def test_too_short_a_time_is_refused_in_words(length: int, fold: WalkForward | None) -> None:
    with pytest.raises(BadPlan, match=rf"{length} whole UTC days with candles, \d+ of them held"):
        time_plan(FIRST, FIRST + length * DAY_MS, 0.25, fold)


def test_lengths_and_shares_are_read_as_people_write_them() -> None:
    assert walk_forward("30d/10d") == WalkForward(30, 10)
    assert walk_forward("none") is None
    assert hold_out_share("20%") == 0.2
    assert hold_out_share("12.5 %") == 0.125


@pytest.mark.parametrize("text", ["30/10", "2d/1d", "30d", "", "30d/0d", "-3d/1d"])
def test_other_lengths_are_refused(text: str) -> None:
    with pytest.raises(BadPlan, match=r"--walk-forward .*30d/10d"):
        walk_forward(text)


@pytest.mark.parametrize("text", ["0.2", "51%", "-1%", "%", ""])
def test_other_shares_are_refused(text: str) -> None:
    with pytest.raises(BadPlan, match=r"--hold-out .*20%"):
        hold_out_share(text)
