"""What the benchmarks rely on without running them."""

from __future__ import annotations

import configparser

import pytest
from packaging.requirements import Requirement

from benchmarks.tables import percentile, ratio, table
from tests.support.paths import ROOT


def names(text: str) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {Requirement(line).name for line in lines if line}


def test_every_program_compared_with_is_pinned() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    pins = (ROOT / "requirements-bench.txt").read_text()
    assert names(setup["options.extras_require"]["bench"]) <= names(pins)
    assert all("==" in line for line in pins.splitlines() if line and line[0] != "#")


def test_no_program_compared_with_is_needed_to_run_or_test() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    compared = names(setup["options.extras_require"]["bench"])
    for file in ("requirements.txt", "requirements-dev.txt"):
        lines = (ROOT / file).read_text().splitlines()
        assert not compared & names("\n".join(line for line in lines if line[:1] != "-"))


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
