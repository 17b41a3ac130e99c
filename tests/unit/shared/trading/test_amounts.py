"""Floats become the money they are written as, and money whole steps."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from shared.trading.amounts import ceiled, exact, floored, share, shown, shown_pct

D = Decimal


@pytest.mark.parametrize("value", [0.1, np.float64(0.1)])
def test_a_float_is_the_number_it_is_written_as(value: float) -> None:
    assert exact(value) == D("0.1") and exact(3) == 3 and exact(1e-9) == D("1E-9")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_amount(value: float) -> None:
    with pytest.raises(ValueError, match="expected a finite number"):
        exact(value)


def test_a_percentage_is_a_share() -> None:
    assert share(0.25) == D("0.0025")


@pytest.mark.parametrize(
    ("value", "step", "down", "up"),
    [("1.29", "0.1", "1.2", "1.3"), ("1.2", "0.1", "1.2", "1.2"), ("7", "5", "5", "10"),
     ("0.3", "0.5", "0", "0.5"), ("0", "1", "0", "0"),
     ("99999999999999999999999999999999.9", "1", "99999999999999999999999999999999",
      "100000000000000000000000000000000")],
)  # fmt: skip
def test_whole_steps_below_and_above(value: str, step: str, down: str, up: str) -> None:
    assert (floored(D(value), D(step)), ceiled(D(value), D(step))) == (D(down), D(up))


def test_numbers_are_shown_without_exponents_and_never_larger() -> None:
    assert [shown(D(x)) for x in ("1E+3", "0.00019", "-0.5", "0", "12.3400")] == [
        "1000", "0.0001", "-0.5", "0", "12.34",
    ]  # fmt: skip
    assert shown(D("1.999"), 2) == "1.99"
    assert shown(D("-0.00009")) == "0"


def test_shares_are_shown_as_percentages_never_smaller() -> None:
    assert [shown_pct(D(x)) for x in ("0.0012", "0.00041300001", "1", "0")] == [
        "0.12 %", "0.042 %", "100 %", "0 %",
    ]  # fmt: skip
    assert shown_pct(D("-0.000001")) == "0 %"


def test_numbers_are_shown_with_all_their_digits() -> None:
    assert shown(D("1234567890123456789012345678901.25")) == "1234567890123456789012345678901.25"
    assert shown_pct(D("1234567890123456789012345678901.5")) == (
        "123456789012345678901234567890150 %"
    )
