"""Numbers in texts from outside: ASCII decimals, and nothing else that Python would accept.

`float`, `int` and `Decimal` also accept `1_0`, `+1`, ` 1`, full-width digits, `inf` and `nan`, and
a `Decimal` of `1e999999` becomes a megabyte of zeros as soon as it is rounded or printed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from shared.errors import shortened

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

DIGITS = 40
"""Most digits before the point, and after it; venues send 20."""

_WHOLE = re.compile(r"[0-9]{1,18}")
_N = rf"[0-9]{{1,{DIGITS}}}+"
# possessive (`+`, `++`): it never goes back, so it is fast whatever comes; what Binance sends first
_LIST = re.compile(rf"(?:{_N}\.{_N},|-?{_N}(?:\.{_N})?+,)++".encode())


def decimal_of(text: str, *, exponent: bool = False, digits: int = DIGITS) -> Decimal | None:
    """Return the number, exactly; None if the text is none.

    Args:
        exponent: One of at most two digits may follow: tiny amounts of a venue, and our own.
        digits: Most digits before the point, exponent included, and after it.
    """
    if not _pattern(digits, exponent).fullmatch(text):
        return None
    number = Decimal(text)
    return number if number.adjusted() < digits else None


@functools.cache
def _pattern(digits: int, exponent: bool) -> re.Pattern[str]:
    plain = rf"-?[0-9]{{1,{digits}}}(\.[0-9]{{1,{digits}}})?"
    return re.compile(plain + r"([eE][-+]?[0-9]{1,2})?" if exponent else plain)


def whole_of(text: str) -> int | None:
    """Return a whole number from 0 up, of at most 18 digits; None if the text is none."""
    return int(text) if _WHOLE.fullmatch(text) else None


def floats_of(texts: Sequence[str]) -> Floats:
    """Return the nearest float of each number, of which there must be one.

    Raises:
        ValueError: One of the texts is no number; names it.
    """
    found = floats_in(",".join(texts).encode("utf-8", "replace"))
    if found is not None and len(found) == len(texts):
        return found
    odd = next(text for text in texts if decimal_of(text) is None)
    raise ValueError(f"expected a decimal number, found {shortened(ascii(odd[:DIGITS]))}")


def floats_in(joined: bytes) -> Floats | None:
    """Return the numbers of a comma-separated list; None if one of them is none."""
    import numpy as np  # noqa: PLC0415  # commands need decimals, too, and no NumPy

    return np.fromstring(joined, sep=",") if _LIST.fullmatch(joined + b",") else None
