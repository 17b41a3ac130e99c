"""What a guest trader tells: messages with sensible values, each changed by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.messages.guests import GuestBalance, GuestPosition, GuestPositions, GuestStatus
from tests.support.sightings import NOW_MS


def guest_position(symbol: str = "BTCUSDT", **change: Any) -> GuestPosition:
    """Return a long position of which no more is told than must be."""
    held = GuestPosition(symbol=symbol, side="long", size_base="0.05", entry_price="60000")
    return replace(held, **change)


def guest_positions(
    as_of_ms: int = NOW_MS, *held: GuestPosition, reason: str = ""
) -> GuestPositions:
    """Return what the guest says of positions."""
    return GuestPositions(as_of_ms=as_of_ms, positions=list(held), reason=reason)


def guest_balance(as_of_ms: int = NOW_MS, **change: Any) -> GuestBalance:
    """Return what the guest says of money."""
    return replace(GuestBalance(as_of_ms=as_of_ms, equity_quote="10050.5"), **change)


def guest_status(as_of_ms: int = NOW_MS, **change: Any) -> GuestStatus:
    """Return a guest that is enabled and well."""
    return replace(GuestStatus(as_of_ms=as_of_ms, mode="enabled"), **change)
