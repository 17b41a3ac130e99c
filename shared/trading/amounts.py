"""Numbers of the kernels and of the settings as exact money, and money in whole steps. Pure."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_DOWN, Context, Decimal

EXACT = Context(prec=60, rounding=ROUND_DOWN)
"""Products of what venues and settings hold are exact in it; only quotients are cut, downwards."""


def exact(value: float) -> Decimal:
    """Return `value` as it is written: 0.1 becomes 0.1, not the nearest binary fraction.

    Raises:
        ValueError: It is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is no amount: expected a finite number")
    return Decimal(repr(float(value)))


def share(pct: float) -> Decimal:
    """Return a setting in % as a share of one."""
    return exact(pct).scaleb(-2)


def floored(value: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` that is not above `value`, which is not negative."""
    return EXACT.multiply(EXACT.divide_int(value, step), step)


def ceiled(value: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of `step` that is not below `value`, which is not negative."""
    whole = floored(value, step)
    return whole if whole == value else EXACT.add(whole, step)


def shown(value: Decimal, places: int = 4) -> str:
    """Return a number for people: at most so many decimals, cut towards zero, no exponent."""
    cut = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_DOWN, context=EXACT)
    return f"{cut.normalize(EXACT) + 0:f}"


def shown_pct(value: Decimal) -> str:
    """Return a share of one in %, rounded up, so that no cost looks smaller than it is."""
    pct = value.scaleb(2).quantize(Decimal("0.001"), rounding=ROUND_CEILING, context=EXACT)
    return f"{pct.normalize(EXACT) + 0:f} %"
