"""What the benchmarks rely on without running them."""

from __future__ import annotations

import pytest

from benchmarks.peer_venv import version
from benchmarks.tables import percentile, ratio, table
from tests.support.pins import pinned


def test_version_of_a_program_compared_with_is_its_pin() -> None:
    pins = pinned("requirements-bench.txt")
    assert {version(name) for name in pins} == {
        str(p.requirement.specifier)[2:] for p in pins.values()
    }
    assert version("unknown") == "?"


@pytest.mark.parametrize(("share", "expected"), [(0.5, 100), (0.95, 190), (0.99, 198), (1.0, 200)])
def test_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert percentile([float(v) for v in range(200, 0, -1)], share) == expected


def test_percentile_of_few_is_the_largest() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_ratio_compares_what_was_taken_in_one_round() -> None:
    # The machine was slowed down tenfold in the second round, for both.
    assert ratio([1.0, 10.0, 1.0], [2.0, 20.0, 2.0]) == 0.5


def test_a_table_has_a_row_per_line() -> None:
    assert table(("a", "b"), [("1", "2")]).splitlines() == [
        "| a | b |",
        "| --- | ---: |",
        "| 1 | 2 |",
    ]
