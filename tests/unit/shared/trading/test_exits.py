"""Stops and targets in whole ticks, on their own sides; when a position is over."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.messages.trading import TradeSide
from shared.trading.exits import is_beyond, is_overdue, levels

D = Decimal


@pytest.mark.parametrize(
    ("side", "entry", "tick", "stop", "target"),
    [
        ("long", "100", "0.01", "98.00", "104.00"),
        ("short", "100", "0.01", "102.00", "96.00"),
        ("long", "100.123", "0.1", "98.2", "104.1"),  # 98.12054, 104.12792
        ("short", "100.123", "0.1", "102.1", "96.2"),  # 102.12546, 96.11808
        ("long", "100", "3", "99", "102"),
        ("long", "100", "50", "50", "150"),  # not one tick away: the nearest on its own side
        ("short", "100", "50", "150", "50"),
        ("long", "101", "50", "100", "150"),
    ],
)
def test_levels_are_rounded_towards_the_entry_but_never_onto_it(
    side: TradeSide, entry: str, tick: str, stop: str, target: str
) -> None:
    found = levels(side, D(entry), D("0.02"), D("0.04"), D(tick))
    assert found == (D(stop), D(target))


def test_levels_of_a_price_below_1_have_ticks_below_1() -> None:
    assert levels("long", D("0.5"), D("0.02"), D("0.04"), D("0.1")) == (D("0.4"), D("0.6"))


def test_levels_have_all_digits_of_the_tick() -> None:
    entry, tick = D("123456789012345678901.123456789"), D("0.000000001")
    assert levels("long", entry, D("0.02"), D("0.04"), tick) == (
        D("120987653232098765323.100987654"),
        D("128395060572839506057.168395060"),
    )


@pytest.mark.parametrize(
    ("entry", "stop", "target", "tick", "why"),
    [
        ("0", "0.1", "0.1", "1", "entry price is 0"),
        ("1", "0", "0.1", "1", "stop fraction is 0"),
        ("1", "0.1", "-1", "1", "target fraction is -1"),
        ("1", "0.1", "0.1", "0", "tick is 0"),
        ("100", "1", "0.1", "1", "no price above 0 is 1 below"),
        ("1", "0.1", "0.1", "1", "no price above 0 is 0.1 below"),
    ],
)
def test_levels_that_cannot_be_are_refused(
    entry: str, stop: str, target: str, tick: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        levels("long", D(entry), D(stop), D(target), D(tick))


@pytest.mark.parametrize(
    ("side", "mark", "beyond"),
    [
        ("long", "98.01", False),
        ("long", "98", True),
        ("long", "97.99", True),
        ("short", "97.99", False),
        ("short", "98", True),
        ("short", "98.01", True),
    ],
)
def test_a_mark_at_the_stop_or_past_it_is_beyond(side: TradeSide, mark: str, beyond: bool) -> None:
    assert is_beyond(side, D(mark), D(98)) == beyond


@pytest.mark.parametrize(("ms", "over"), [(5_399_999, False), (5_400_000, True)])
def test_a_position_is_over_after_its_hours(ms: int, over: bool) -> None:
    assert is_overdue(1_000, 1_000 + ms, 1.5) == over
