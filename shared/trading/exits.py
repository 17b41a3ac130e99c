"""A position's stop, target and time limit. Pure."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import NamedTuple

from shared.messages.trading import TradeSide
from shared.trading.amounts import EXACT, ceiled, exact, floored

_HOUR_MS = 3_600_000


class Levels(NamedTuple):
    """Trigger prices of a whole position, in whole ticks."""

    stop: Decimal
    target: Decimal


def levels(
    side: TradeSide,
    entry_price: Decimal,
    stop_fraction: Decimal,
    target_fraction: Decimal,
    tick: Decimal,
) -> Levels:
    """Return stop and target of a position, rounded to the tick towards the entry price.

    Each is at least one whole tick away from the entry price: the stop always loses, the target
    always wins.

    Args:
        entry_price: The average, from the venue.
        stop_fraction, target_fraction: Distances as shares of it.
        tick: Prices are whole multiples of this.

    Raises:
        ValueError: An argument is not above 0, or there is no tick above 0 on that side.
    """
    for name, value in (
        ("entry price", entry_price),
        ("stop fraction", stop_fraction),
        ("target fraction", target_fraction),
        ("tick", tick),
    ):
        if not value > 0:
            raise ValueError(f"{name} is {value}, expected more than 0")
    with localcontext(EXACT):
        if side == "long":
            stop = _below(entry_price, stop_fraction, tick)
            target = _above(entry_price, target_fraction, tick)
        else:
            stop = _above(entry_price, stop_fraction, tick)
            target = _below(entry_price, target_fraction, tick)
    return Levels(stop, target)


def _above(entry_price: Decimal, fraction: Decimal, tick: Decimal) -> Decimal:
    first = floored(entry_price, tick) + tick
    return max(first, floored(entry_price * (1 + fraction), tick))


def _below(entry_price: Decimal, fraction: Decimal, tick: Decimal) -> Decimal:
    first = ceiled(entry_price, tick) - tick
    wanted = entry_price * (1 - fraction)
    if wanted <= 0 or first <= 0:
        raise ValueError(
            f"no price above 0 is {fraction} below an entry at {entry_price} in ticks of {tick}"
        )
    return min(first, ceiled(wanted, tick))


def is_beyond(side: TradeSide, mark: Decimal, stop: Decimal) -> bool:
    """Return whether the mark has reached or passed a stop."""
    return mark <= stop if side == "long" else mark >= stop


def is_overdue(opened_ms: int, now_ms: int, max_hold_h: float) -> bool:
    """Return whether a position has been open for `max_hold_h` hours."""
    return now_ms - opened_ms >= exact(max_hold_h) * _HOUR_MS
