"""The sections `account` and `trader` of `/health` where the trader is outside."""

from __future__ import annotations

import dataclasses
from typing import Any

from actors.health.trading_report import account_told
from shared.clock import utc_text
from shared.health.guest_verdict import is_answering
from shared.health.verdict import Limits, Snapshot, age_s


def guest_account_section(snapshot: Snapshot, now_ms: int) -> dict[str, Any] | None:
    """Return the account as the guest told it; None before it did."""
    positions, balance = snapshot.guest.positions, snapshot.guest.balance
    if positions is None and balance is None:
        return None
    held = [] if positions is None else positions.positions
    return {
        "kind": snapshot.trader_kind,
        **account_told(positions, balance, now_ms),
        "positions": [dataclasses.asdict(position) for position in held],
    }


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
