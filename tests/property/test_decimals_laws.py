"""The parser of numbers from outside agrees with its grammar, written out as one pattern."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from shared.decimals import DIGITS, decimal_of, floats_of, whole_of

GRAMMAR = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
SCIENTIFIC = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,2})?")
NEARLY = st.text(st.sampled_from("0123456789.-+eE_, \n\t١２"), max_size=DIGITS + 2)
NUMBERS = st.from_regex(GRAMMAR, fullmatch=True)
TEXTS = NEARLY | NUMBERS | st.from_regex(SCIENTIFIC, fullmatch=True) | st.text(max_size=9)
PYTHON_ACCEPTS = (
    "1_0", "１２", "٣", " 1", "1\n", "+1", "0x10", "inf", "-Infinity", "nan", ".5", "5.", "1e5",
    "1e999999", "-.5", "-", "", "1,2", "9" * 41, "1." + "9" * 41, "1" * 41 + "e-9",
)  # fmt: skip


def every_example[T: Callable[..., None]](test: T) -> T:
    for text in PYTHON_ACCEPTS:
        test = example(text=text)(test)
    return test


def is_number(text: str, pattern: re.Pattern[str] = GRAMMAR) -> bool:
    return pattern.fullmatch(text) is not None


@every_example
@given(text=TEXTS)
def test_a_decimal_is_its_text_or_none(text: str) -> None:
    assert decimal_of(text) == (Decimal(text) if is_number(text) else None)


@given(text=TEXTS)
@example(text="0e99")
@example(text="1e39")
@example(text="1e40")
def test_a_decimal_with_an_exponent_prints_in_few_letters(text: str) -> None:
    number = decimal_of(text, exponent=True)
    if number is None:
        assert not is_number(text, SCIENTIFIC) or Decimal(text).adjusted() >= DIGITS
    else:
        assert is_number(text, SCIENTIFIC) and number == Decimal(text)
        assert len(f"{number:f}") <= 99 + 3 * DIGITS


@every_example
@given(text=TEXTS)
def test_floats_are_those_of_python_or_the_first_bad_text_is_named(text: str) -> None:
    for texts in ([text], ["1.5", text], [text, "2"]):
        try:
            found = floats_of(texts)
        except ValueError as error:
            assert not is_number(text)
            assert len(str(error)) < 120 and str(error).isascii() and str(error).isprintable()
        else:
            assert is_number(text) and found.tolist() == [*map(float, texts)]


@every_example
@given(text=TEXTS)
def test_a_whole_number_has_at_most_18_ascii_digits(text: str) -> None:
    expected = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
    assert whole_of(text) == expected
