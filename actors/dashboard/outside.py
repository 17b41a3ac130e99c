"""An outside trader on the page: what the guest told, in the forms of our own trader's parts."""

from __future__ import annotations

import dataclasses
from typing import Any

from shared.health.guest_verdict import WHO, GuestView
from shared.health.trading_verdict import TradingLimits
from shared.messages.guests import GuestEvent


def guest_positions(view: GuestView, limits: TradingLimits) -> dict[str, Any] | None:
    """Return the positions; what the guest did not tell of them is null, and no alarm."""
    message = view.positions
    if message is None:
        return None
    untold = {"foreign": False, "bare_since_ms": None, "bare_alarm_ms": None, "outside": True}
    return {
        "as_of_ms": message.as_of_ms,
        "venue": message.venue or WHO,
        "reason": message.reason,
        "old_after_ms": _ms(limits.guest_s),
        "positions": [dataclasses.asdict(position) | untold for position in message.positions],
    }


def guest_balance(view: GuestView, limits: TradingLimits) -> dict[str, Any] | None:
    """Return the balance, with the age from which it is old."""
    message = view.balance
    if message is None:
        return None
    plain = dataclasses.asdict(message) | {"venue": message.venue or WHO}
    return plain | {"old_after_ms": _ms(limits.guest_s)}


def guest_trader(view: GuestView, limits: TradingLimits) -> dict[str, Any]:
    """Return status and settings."""
    return {
        "status": None if view.status is None else dataclasses.asdict(view.status),
        "config": None if view.config is None else dataclasses.asdict(view.config),
        "silent_after_ms": _ms(limits.guest_s),
    }


def guest_event(event: GuestEvent) -> dict[str, Any]:
    """Return an event as our own trader's are shown."""
    plain = dataclasses.asdict(event)
    del plain["id"]
    return plain | {"event_id": None, "client_id": event.id}


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
