"""Every problem there is, as a state of the platform that has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from shared import schema
from shared.health.guest_verdict import GuestView
from shared.health.problems import ProblemKind
from shared.health.trading_verdict import TradingView
from shared.health.verdict import RedisView, Snapshot
from shared.kill_switch import Lock
from shared.messages.actors import Quarantine
from shared.messages.candles import Ban, Listing, ListingState
from tests.support.guest_sightings import guest_balance, guest_positions, guest_status
from tests.support.sightings import (
    NOW_MS,
    audit,
    death,
    heartbeat,
    input_state,
    lease,
    signal,
    status,
    supervisor_state,
)
from tests.support.trading_sightings import balance, limit, position, positions, trader_status

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
ACTORS = ("fetcher", "auditor", "account", "trader", "dashboard", "health")
POSITIONS = schema.GUEST_POSITIONS.pattern
MISSING = f"{POSITIONS}: positions: missing, expected positions: open positions"
LONG_AGO_MS = NOW_MS - 7_200_000
WELL = Snapshot(
    mode="demo",
    since_ms=LONG_AGO_MS,
    symbols=COINS,
    actors=ACTORS,
    redis=RedisView(status="up", since_ms=LONG_AGO_MS, reason="", round_trip_ms=0.2),
    scanned_once=True,
    statuses={name: status(name) for name in ACTORS},
    heartbeats={name: heartbeat(name) for name in ACTORS},
    signals={symbol: signal(symbol) for symbol in COINS},
    audit=audit(NOW_MS),
    lease=lease(),
    supervisor=supervisor_state(),
    trading=TradingView(positions=positions(), balance=balance(), status=trader_status()),
)


def is_actor(state: str, name: str = "fetcher", **change: Any) -> dict[str, Any]:
    return {"statuses": {**WELL.statuses, name: status(name, state, **change)}}


def beats(name: str = "fetcher", **detail: Any) -> dict[str, Any]:
    return {"heartbeats": {**WELL.heartbeats, name: heartbeat(name, **detail)}}


def skipped(name: str) -> dict[str, Any]:
    return beats(name, bad_messages=2, bad_message="x: not JSON", bad_message_ms=NOW_MS)


def traded(**change: Any) -> dict[str, Any]:
    view = {"positions": positions(), "balance": balance(), "status": trader_status()}
    return {"trading": TradingView(**{**view, **change})}


def outside(heard: Mapping[str, Any] | None = None, **change: Any) -> dict[str, Any]:
    """Return a platform whose trader is outside.

    Args:
        heard: Detail of the heartbeat of `guests`.
    """
    view = {"positions": guest_positions(), "balance": guest_balance(), "status": guest_status()}
    guests = heartbeat("guests", **(heard or {}))
    return {
        "trader_kind": "outside",
        "guest": GuestView(**{**view, **change}),
        "actors": ("fetcher", "auditor", "guests", "dashboard", "health"),
        "statuses": {**WELL.statuses, "guests": status("guests")},
        "heartbeats": {**WELL.heartbeats, "guests": guests},
        "trading": TradingView(),
    }


def redis(state: str) -> dict[str, Any]:
    view = RedisView(status=state, since_ms=NOW_MS - 9000, reason="why", round_trip_ms=None)  # type: ignore[arg-type]
    return {"redis": view}


def left_out(stage: Literal["fetch", "compute"]) -> dict[str, Any]:
    quarantine = Quarantine(
        symbol="BTCUSDT",
        stage=stage,
        reason="why",
        since_ms=NOW_MS,
        until_ms=NOW_MS + 60_000,
    )
    return {"quarantines": {(stage, "BTCUSDT"): quarantine}}


def listed(state: ListingState, text: str) -> dict[str, Any]:
    return {"listings": {"BTCUSDT": Listing(state=state, text=text, since_ms=NOW_MS - 9000)}}


def inputs(**change: Any) -> dict[str, Any]:
    fed = signal("BTCUSDT", m5=input_state(**change))
    return {"signals": {**WELL.signals, "BTCUSDT": fed}}


STATES: list[tuple[ProblemKind, dict[str, Any]]] = [
    ("redis-down", redis("down")),
    ("redis-full", redis("full")),
    ("redis-refuses", redis("refuses")),
    ("platform-starting", {"scanned_once": False, "since_ms": NOW_MS - 5000, "signals": {}}),
    ("platform-empty", {"symbols": ()}),
    ("platform-clock", {"signals": {s: signal(s, NOW_MS + 60_000) for s in COINS}}),
    ("supervisor-missing", {"lease": None}),
    ("disk-stalled", {"disk_stalled_s": 12.0}),
    ("supervisor-trouble", {"supervisor": supervisor_state("the disk below /x is full")}),
    ("supervisor-trouble", {"supervisor": supervisor_state("fetcher: 12 log lines lost")}),
    ("actor-missing", {"statuses": {}, "heartbeats": {}}),
    ("actor-starting", is_actor("starting", reason="the exchange is away")),
    ("actor-starting", is_actor("starting", "health")),
    ("actor-starting", is_actor("starting", "dashboard")),
    ("actor-stalled", is_actor("stalled", doing="asking for BTCUSDT")),
    (
        "actor-stalled",
        {
            **is_actor("stalled"),
            **left_out("fetch"),
            "ban": Ban(until_ms=NOW_MS + 9000, status=429, at_ms=NOW_MS),
            "signals": {**WELL.signals, "ETHUSDT": signal("ETHUSDT", NOW_MS - 90_000)},
            "supervisor": supervisor_state("the disk below /x is full"),
        },
    ),
    ("actor-stopping", is_actor("stopping")),
    ("actor-stopped", is_actor("stopped")),
    ("actor-backoff", is_actor("backoff", reason="exit 1", backoff_until_ms=NOW_MS + 2000)),
    ("actor-quarantined", is_actor("quarantined", reason="5 deaths", backoff_until_ms=NOW_MS + 9)),
    (
        "actor-quarantined",
        is_actor("quarantined", "health", reason="5 deaths", deaths=[death("SIGSEGV")]),
    ),
    ("actor-silent", {"heartbeats": {**WELL.heartbeats, "fetcher": heartbeat("fetcher", 1)}}),
    ("actor-retrying", beats(retrying="HTTP 503")),
    ("exchange-ban", {"ban": Ban(until_ms=NOW_MS + 9000, status=418, at_ms=NOW_MS)}),
    *(
        ("exchange-refused", {"ban": Ban(until_ms=NOW_MS + 9000, status=status, at_ms=NOW_MS)})
        for status in (403, 451)
    ),
    ("exchange-refused", beats(stream={"refused": 403})),
    ("coin-trouble", listed("halted", "halted since 2023-11-14 22:10 UTC: status HALT")),
    ("coin-trouble", listed("dead", "dead since 2023-06-28: status BREAK")),
    ("coin-trouble", listed("delisted", "delisted: not listed at the exchange")),
    ("coin-trouble", beats(coins={"BTCUSDT": "HTTP 503"})),
    ("coin-trouble", beats(coins=dict.fromkeys(COINS, "HTTP 503"))),
    ("coin-trouble", left_out("fetch")),
    ("coin-trouble", left_out("compute")),
    ("coin-trouble", is_actor("ready", quarantined_coins={"BTCUSDT": NOW_MS + 9000})),
    ("coin-silent", {"signals": {}}),
    ("coin-silent", {"signals": {"BTCUSDT": WELL.signals["BTCUSDT"]}}),
    ("coin-silent", {"signals": {s: signal(s, NOW_MS - 90_000) for s in COINS}}),
    ("coin-inputs", inputs(stale=True)),
    ("coin-inputs", inputs(unfilled_gap=True)),
    ("coin-inputs", inputs(fetched_at_ms=None)),
    (
        "coin-inputs",
        beats(bad_rows={"BTCUSDT 4h": "the exchange's row of … cannot be a candle: …"}),
    ),
    ("audit-beyond", {"audit": audit(NOW_MS, rsi=0.1)}),
    ("audit-beyond", {"audit": audit(NOW_MS, **{f"field{n}": 0.1 for n in range(6)})}),
    ("audit-missing", {"audit": None}),
    ("audit-missing", {"audit": audit(NOW_MS - 900_000)}),
    *(("messages-bad", skipped(name)) for name in ("fetcher", "dashboard", "health")),
    (
        "position-bare",
        traded(
            positions=positions(position(stop_loss=None)),
            status=trader_status(ours=["BTCUSDT"]),
            bare_since_ms={"BTCUSDT": NOW_MS - 60_000},
        ),
    ),
    (
        "position-bare",
        traded(
            positions=positions(position(stop_loss=None, opened_ms=NOW_MS + 1)),
            bare_since_ms={"BTCUSDT": NOW_MS - 60_000},
        ),
    ),
    (
        "position-bare",
        traded(
            positions=positions(position(stop_loss=None)),
            status=trader_status(foreign=["BTCUSDT"]),
            bare_since_ms={"BTCUSDT": NOW_MS - 60_000},
        ),
    ),
    (
        "position-bare",
        traded(
            status=trader_status(unprotected=["BTCUSDT"], ours=["BTCUSDT"]),
            bare_since_ms={"BTCUSDT": NOW_MS - 60_000},
        ),
    ),
    ("trader-silent", traded(status=None)),
    ("trader-silent", traded(status=trader_status(NOW_MS - 60_000, ours=["BTCUSDT"]))),
    (
        "trader-missed",
        traded(status=trader_status(NOW_MS - 600_000, every_s=300, ours=["BTCUSDT"]), timer_s=300),
    ),
    ("trader-locked", traded(status=trader_status(mode="locked", reason="kill switch, by ada"))),
    ("trader-limit", traded(status=trader_status(limits=[limit(state="warned")]))),
    ("trader-limit", traded(status=trader_status(limits=[limit(state="reached")]))),
    ("trader-limit", traded(status=trader_status(limits=[limit(state="latched")]))),
    ("trader-locked", traded(status=None, lock=Lock(reason="odd prices", who="ada", at_ms=1))),
    ("trader-journal", traded(status=trader_status(journal="trader.db: database is locked"))),
    ("strategy-trouble", beats("trader", strategy_trouble="strategy x.py:X: why")),
    ("trader-trouble", traded(status=trader_status(trouble="no candles"))),
    ("guest-silent", outside(status=None)),
    ("guest-silent", outside(positions=guest_positions(NOW_MS - 900_000))),
    ("guest-locked", outside(status=guest_status(mode="locked", reason="lock file"))),
    ("guest-locked", outside(status=guest_status(mode="locked"))),
    ("guest-trouble", outside(status=guest_status(trouble="no answer of the venue"))),
    ("guest-trouble", outside(positions=guest_positions(reason="venue down"))),
    ("guest-unreadable", outside(positions=None, faults={POSITIONS: MISSING})),
    ("guest-unreadable", outside(status=guest_status(NOW_MS + 60_000))),
    (
        "guest-events",
        outside(
            {
                "event_fault": "more than 20 a second",
                "event_fault_ms": NOW_MS - 1000,
                "events_dropped": {"too many": 7, "lost": 0},
            }
        ),
    ),
    ("account-silent", traded(positions=None, balance=None)),
    ("account-silent", traded(balance=balance(NOW_MS - 900_000))),
    ("account-trouble", traded(balance=balance(reason="no keys"))),
    ("account-trouble", traded(positions=positions(as_of_ms=0, reason="no keys"), balance=None)),
]
