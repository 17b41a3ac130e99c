"""The sections `account` and `trader` of `/health` where the trader is outside."""

from __future__ import annotations

import dataclasses
from typing import Any

from shared.clock import utc_text
from shared.health.guest_verdict import is_answering
from shared.health.verdict import Limits, Snapshot, age_s


def guest_account_section(snapshot: Snapshot, now_ms: int) -> dict[str, Any] | None:
    """Return the account as the guest told it; None before it did."""
    positions, balance = snapshot.guest.positions, snapshot.guest.balance
    messages = [message for message in (balance, positions) if message is not None]
    if not messages:
        return None
    as_of_ms = min(message.as_of_ms for message in messages)
    shown: dict[str, Any] = {
        "kind": snapshot.trader_kind,
        "venue": messages[0].venue,
        "as_of": utc_text(as_of_ms),
        "age_s": age_s(as_of_ms, now_ms),
        "reason": next((message.reason for message in messages if message.reason), ""),
        "currency": None if balance is None else balance.currency,
    }
    for name in ("equity", "available", "frozen", "margin", "unrealized_pnl"):
        shown[f"{name}_quote"] = None if balance is None else getattr(balance, f"{name}_quote")
    held = [] if positions is None else positions.positions
    return shown | {"positions": [dataclasses.asdict(position) for position in held]}


def guest_trader_section(snapshot: Snapshot, now_ms: int, limits: Limits) -> dict[str, Any] | None:
    """Return the guest's status; None before its first.

    With `answering` false, everything else is its last status.
    """
    status = snapshot.guest.status
    if status is None:
        return None
    last_ms = status.last_trade_ms
    return {
        "kind": snapshot.trader_kind,
        "answering": is_answering(snapshot.guest, now_ms, limits.trading.guest_s),
        "as_of": utc_text(status.as_of_ms),
        "age_s": age_s(status.as_of_ms, now_ms),
        "uptime_s": status.uptime_s,
        "mode": status.mode,
        "reason": status.reason,
        "venue": status.venue,
        "trouble": status.trouble,
        "last_trade": None if last_ms is None else utc_text(last_ms),
    }
