"""The sections `account` and `trader` of `/health`: their last messages, with ages as of now."""

from __future__ import annotations

import dataclasses
from typing import Any

from shared.clock import utc_text
from shared.health.trading_verdict import ACCOUNT, answering, share
from shared.health.verdict import Limits, Snapshot, age_s
from shared.messages.guests import GuestBalance, GuestPositions
from shared.messages.trading import Balance, Position, Positions, TraderLimit, obeys


def account_section(snapshot: Snapshot, now_ms: int) -> dict[str, Any] | None:
    """Return the account as published; None without one, or before its first message.

    Amounts are text, as the venue wrote them.
    """
    positions, balance = snapshot.trading.positions, snapshot.trading.balance
    if ACCOUNT not in snapshot.actors or (positions is None and balance is None):
        return None
    open_positions = [] if positions is None else positions.positions
    return account_told(positions, balance, now_ms) | {
        "positions": [_position(snapshot, position, now_ms) for position in open_positions]
    }


def account_told(
    positions: Positions | GuestPositions | None,
    balance: Balance | GuestBalance | None,
    now_ms: int,
) -> dict[str, Any]:
    """Return what both messages, or the one that there is, say of an account; no position."""
    messages = [message for message in (balance, positions) if message is not None]
    as_of_ms = min(message.as_of_ms for message in messages)
    shown: dict[str, Any] = {
        "venue": messages[0].venue,
        "as_of": utc_text(as_of_ms) if as_of_ms else None,
        "age_s": age_s(as_of_ms, now_ms) if as_of_ms else None,
        "reason": next((message.reason for message in messages if message.reason), ""),
        "currency": None if balance is None else balance.currency,
    }
    for name in ("equity", "available", "frozen", "margin", "unrealized_pnl"):
        shown[f"{name}_quote"] = None if balance is None else getattr(balance, f"{name}_quote")
    return shown


def _position(snapshot: Snapshot, position: Position, now_ms: int) -> dict[str, Any]:
    return {
        "symbol": position.symbol,
        "side": position.side,
        "size_base": position.size_base,
        "entry_price": position.entry_price,
        "mark_price": position.mark_price,
        "stop_loss": position.stop_loss,
        "take_profit": position.take_profit,
        "unrealized_pnl_quote": position.unrealized_pnl_quote,
        "without_stop_s": age_s(snapshot.trading.bare_since_ms.get(position.symbol), now_ms),
        "foreign": snapshot.trading.is_foreign(position),
    }


def trader_section(snapshot: Snapshot, now_ms: int, limits: Limits) -> dict[str, Any] | None:
    """Return the trader's status; None without a trader, or before its first message.

    With `answering` false, everything else is its last status before it fell silent; but mode and
    reason are the lock file's, if there is one that it has not taken notice of.
    """
    status, lock = snapshot.trading.status, snapshot.trading.lock
    if not snapshot.trading.has_trader(snapshot.actors):
        return None
    is_answering = answering(snapshot.trading, now_ms, limits.trading) == "yes"
    by_lock = {} if lock is None else {"mode": lock.mode, "reason": f"by {lock.who}: {lock.reason}"}
    if status is None:
        return {"answering": False, **by_lock} if by_lock else None
    shown: dict[str, Any] = {
        "answering": is_answering,
        "as_of": utc_text(status.as_of_ms),
        "age_s": age_s(status.as_of_ms, now_ms),
        "uptime_s": status.uptime_s,
        "mode": status.mode,
        "reason": status.reason,
        "venue": status.venue,
        "last_cycle": None if status.cycle_ms is None else utc_text(status.cycle_ms),
        "next_cycle": utc_text(status.next_cycle_ms),
        "every_s": status.every_s,
        "candles_from": status.candles_from,
        "trouble": status.trouble,
        "journal": status.journal,
        "use_ta_signals": status.use_ta_signals,
        "strategy": None if status.strategy is None else dataclasses.asdict(status.strategy),
        "ours": status.ours,
        "foreign": status.foreign,
        "unprotected": status.unprotected,
        "limits": [_limit(limit) for limit in status.limits],
        "pnl_today_quote": status.pnl_today_quote,
        "fees_today_quote": status.fees_today_quote,
        "pnl_age_s": age_s(status.pnl_as_of_ms, now_ms),
    }
    is_noticed = is_answering and lock is not None and obeys(status.mode, lock.mode)
    return shown if is_noticed else shown | by_lock


def _limit(limit: TraderLimit) -> dict[str, Any]:
    part = share(limit)
    return dataclasses.asdict(limit) | {"used_pct": None if part is None else round(100 * part, 1)}
