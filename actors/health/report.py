"""The body of `/health`: the last snapshot in plain values, with ages as of now."""

from __future__ import annotations

import dataclasses
from typing import Any

from actors.health.guest_report import guest_account_section, guest_trader_section
from actors.health.trading_report import account_section, trader_section
from shared.clock import utc_text
from shared.health.verdict import Limits, Snapshot, Verdict, age_s, is_audited
from shared.market import Timeframe


def report(snapshot: Snapshot, verdict: Verdict, now_ms: int, limits: Limits) -> dict[str, Any]:
    """Return the body of `/health`. Units end the names; times are UTC."""
    account, trader = account_section(snapshot, now_ms), trader_section(snapshot, now_ms, limits)
    if snapshot.trader_kind == "outside":
        account = guest_account_section(snapshot, now_ms)
        trader = guest_trader_section(snapshot, now_ms, limits)
    started_ms = snapshot.supervisor.started_ms if snapshot.supervisor else snapshot.since_ms
    return {
        "status": verdict.status,
        "mode": snapshot.mode,
        "uptime_s": age_s(started_ms, now_ms),
        "problems": verdict.problems,
        "consequences": verdict.consequences,
        "notes": verdict.notes,
        "redis": {
            "status": snapshot.redis.status,
            "since": utc_text(snapshot.redis.since_ms),
            "since_s": age_s(snapshot.redis.since_ms, now_ms),
            "reason": snapshot.redis.reason,
            "round_trip_ms": _rounded(snapshot.redis.round_trip_ms, 3),
        },
        "last_scan": _last_scan(snapshot, verdict, now_ms),
        "exchange": _exchange(snapshot, now_ms),
        "actors": {name: _actor(snapshot, name, now_ms) for name in snapshot.actor_names},
        "symbols": {symbol: _symbol(snapshot, symbol, now_ms) for symbol in snapshot.symbols},
        "audit": _audit(snapshot, now_ms),
        "account": account,
        "trader": trader,
    }


def _last_scan(snapshot: Snapshot, verdict: Verdict, now_ms: int) -> dict[str, Any]:
    at_ms = max((signal.computed_at_ms for signal in snapshot.signals.values()), default=None)
    return {
        "at": None if at_ms is None else utc_text(at_ms),
        "age_s": age_s(at_ms, now_ms),
        "coins": len(snapshot.symbols),
        "coins_fresh": verdict.fresh_coins,
    }


def _exchange(snapshot: Snapshot, now_ms: int) -> dict[str, Any]:
    fetcher = snapshot.heartbeats.get("fetcher")
    detail = fetcher.detail if fetcher else {}
    banned = snapshot.ban is not None and snapshot.ban.until_ms > now_ms
    return {
        "used_weight": detail.get("used_weight"),
        "weight_limit": detail.get("weight_limit"),
        "offset_ms": detail.get("offset_ms"),
        "banned_until": utc_text(snapshot.ban.until_ms) if snapshot.ban and banned else None,
    }


def _actor(snapshot: Snapshot, name: str, now_ms: int) -> dict[str, Any]:
    status, heartbeat = snapshot.statuses.get(name), snapshot.heartbeats.get(name)
    shown: dict[str, Any] = {
        "state": "unknown",
        "pid": None,
        "restarts": None,
        "heartbeat_age_s": None,
        "detail": {},
    }
    if heartbeat is not None:
        shown |= {
            "state": heartbeat.state,
            "pid": heartbeat.pid,
            "heartbeat_age_s": age_s(heartbeat.at_ms, now_ms),
            "detail": heartbeat.detail,
            "steps": heartbeat.steps,
            "step_ms": _rounded(heartbeat.step_ms, 1),
            "last_step_age_s": age_s(heartbeat.last_step_ms, now_ms),
            "lag_ms": heartbeat.lag_ms,
            "rss_mb": heartbeat.rss_mb,
            "pss_mb": heartbeat.pss_mb,
            "cpu_pct": heartbeat.cpu_pct,
            "code": heartbeat.code,
        }
    if status is not None:
        last = status.deaths[-1] if status.deaths else None
        shown |= {
            "state": status.state,
            "pid": status.pid,
            "since_s": age_s(status.since_ms, now_ms),
            "restarts": status.restarts,
            "recycled": status.recycled,
            "reason": status.reason,
            "doing": status.doing,
            "port": status.port,
            "last_death": None
            if last is None
            else {"at": utc_text(last.at_ms), "cause": last.cause, "doing": last.doing},
            "quarantined_coins": {
                coin: utc_text(until_ms) for coin, until_ms in status.quarantined_coins.items()
            },
        }
    return shown


def _symbol(snapshot: Snapshot, symbol: str, now_ms: int) -> dict[str, Any]:
    signal = snapshot.signals.get(symbol)
    shown: dict[str, Any] = {str(timeframe): None for timeframe in Timeframe}
    if signal is not None:
        for timeframe, state in signal.inputs.items():
            shown[timeframe] = age_s(state.fetched_at_ms, now_ms)
    listing = snapshot.listings.get(symbol)
    shown["listing"] = None if listing is None else listing.text
    shown["signal_age_s"] = age_s(signal.computed_at_ms if signal else None, now_ms)
    shown["quarantine"] = [
        {
            "stage": quarantine.stage,
            "reason": quarantine.reason,
            "until": utc_text(quarantine.until_ms),
        }
        for (_, name), quarantine in snapshot.quarantines.items()
        if name == symbol and quarantine.until_ms > now_ms
    ]
    return shown


def _audit(snapshot: Snapshot, now_ms: int) -> dict[str, Any] | None:
    """Return the auditor's newest report; None without an auditor, or before its first."""
    report = snapshot.audit
    if report is None or not is_audited(snapshot):
        return None
    return {
        "at": utc_text(report.at_ms),
        "age_s": age_s(report.at_ms, now_ms),
        "referee": report.referee,
        "coins": len(snapshot.symbols),
        "coins_compared": report.coins,
        "within_tolerance": not any(field.coins_beyond for field in report.fields.values()),
        "fields": {name: dataclasses.asdict(field) for name, field in report.fields.items()},
        "skipped": report.skipped,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
