"""Fields of a reply: what is out of bounds is refused, and shown on one short line."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from shared.exchanges.coinex.rows import Row, Unreadable

DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]

CASES: list[tuple[Any, Callable[[Row], object], str]] = [
    *((value, lambda row: row.decimal("x"), "a number in a text")
      for value in ("1_0", "１２", " 1", "+1", "0x10", "inf", "nan", "1e999999", "1e40", "9" * 99)),
    (5, lambda row: row.decimal("x"), "a text"),
    (2**63, lambda row: row.whole("x"), "a whole number of 64 bits"),
    (2**62, lambda row: row.time_ms("x"), "a time in epoch ms"),
    (-1, lambda row: row.time_ms_or_none("x"), "a time in epoch ms"),
    ("y" * 101, lambda row: row.text("x"), "at most 100 printable characters"),
    ("\x1b[31mred", lambda row: row.text("x"), "at most 100 printable characters"),
    ("y" * 10**6, lambda row: row.one_of("x", ("a", "b")), "at most 100 printable characters"),
    (DEEP, lambda row: row.whole("x"), "a whole number"),
    ({"y" * 10**6: 1}, lambda row: row.whole("x"), "a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "read", "expected"), CASES)
def test_a_field_out_of_bounds_is_refused(
    value: Any, read: Callable[[Row], object], expected: str
) -> None:
    with pytest.raises(Unreadable) as refused:
        read(Row({"x": value}, "somewhere", "data"))
    text = str(refused.value)
    assert text.startswith(f"somewhere: data.x: expected {expected}")
    assert len(text) < 250 and text.isprintable()


@pytest.mark.parametrize("text", ["0", "-0.5", "1E-20", "0e-8", "1e39", "00012.500"])
def test_numbers_the_venue_sends_are_exact(text: str) -> None:
    assert Row({"x": text}, "somewhere", "data").decimal("x") == Decimal(text)
