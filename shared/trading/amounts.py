"""Floats as exact decimals, and rounding to whole steps. Pure."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_DOWN, Context, Decimal

EXACT = Context(prec=60, rounding=ROUND_DOWN)
"""Products of venue values and settings are exact in it; only quotients are rounded, down."""


def exact(value: float) -> Decimal:
    """Return `value` as written: 0.1 becomes 0.1, not the nearest binary fraction.

    Raises:
        ValueError: It is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is no amount: expected a finite number")
    return Decimal(repr(float(value)))


def share(pct: float) -> Decimal:
    """Return a percentage as a fraction."""
    return exact(pct).scaleb(-2)


def floored(value: Decimal, step: Decimal) -> Decimal:
    """Round `value`, not negative, down to a multiple of `step`."""
    return EXACT.multiply(EXACT.divide_int(value, step), step)


def ceiled(value: Decimal, step: Decimal) -> Decimal:
    """Round `value`, not negative, up to a multiple of `step`."""
    whole = floored(value, step)
    return whole if whole == value else EXACT.add(whole, step)


def shown(value: Decimal, places: int = 4) -> str:
    """Format a number for people: at most `places` decimals, cut towards zero, no exponent."""
    cut = value.quantize(Decimal(1).scaleb(-places), context=EXACT)
    return f"{EXACT.plus(cut.normalize(EXACT)):f}"


def shown_pct(value: Decimal) -> str:
    """Format a fraction in %, rounded up, so that no cost looks smaller than it is."""
    pct = value.scaleb(2, EXACT).quantize(Decimal("0.001"), rounding=ROUND_CEILING, context=EXACT)
    return f"{EXACT.plus(pct.normalize(EXACT)):f} %"
