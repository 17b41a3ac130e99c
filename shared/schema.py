"""Every Redis key, channel, stream and list: name, type, writers, bound, readers.

Nothing else in the project spells a key. `docs/redis.md` is made from this table
(`python -m shared.schema`), and so are the rights of each Redis user (`shared/redis/acl.py`).
Who writes some of them depends on the configuration: `table`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from shared.market import Timeframe
from shared.messages.actors import (
    ActorStatus,
    ControlCommand,
    ControlReply,
    HealthNote,
    Heartbeat,
    Lease,
    Quarantine,
    SupervisorState,
)
from shared.messages.candles import Assets, Ban, CandleUpdate, CandleWindow, Listings
from shared.messages.guests import GuestEvent, GuestValue
from shared.messages.signals import AuditReport, LabelChange, ScanResult, TaSignal
from shared.messages.trading import (
    Balance,
    KillFlag,
    Positions,
    Refresh,
    TradeEvent,
    TraderCommand,
    TraderConfig,
    TraderKind,
    TraderReply,
    TraderStatus,
)

Kind = Literal["key", "channel", "stream", "hash", "list"]

RENEWAL_SHARE = 0.8
"""Share of a key's TTL within which it is renewed, so that it never expires in between."""


class Role(StrEnum):
    """Who connects to Redis; all `indicators-<group>` are of one role."""

    SUPERVISOR = "supervisor"
    OPERATOR = "operator"  # a person, and the command line
    FETCHER = "fetcher"
    INDICATORS = "indicators"
    SCANNER = "scanner"
    AUDITOR = "auditor"
    ACCOUNT = "account"
    TRADER = "trader"
    TRADER_API = "trader-api"
    DASHBOARD = "dashboard"
    HEALTH = "health"
    ALERTS = "alerts"
    EXCHANGE_SIM = "exchange-sim"
    GUESTS = "guests"
    # programs of the user's, which are no actors
    GUEST_READER = "guest-reader"
    GUEST_TRADER = "guest-trader"
    GUEST_SCORER = "guest-scorer"

    @property
    def actors(self) -> str:
        """Return the name of this role's actor, as a glob where there may be many."""
        return f"{self}-*" if self is Role.INDICATORS else str(self)


GUEST_ROLES = (Role.GUEST_READER, Role.GUEST_TRADER, Role.GUEST_SCORER)
ALL = tuple(role for role in Role if role not in GUEST_ROLES)
"""Every role of the platform itself."""

ACTOR_ROLES = tuple(role for role in ALL if role not in (Role.SUPERVISOR, Role.OPERATOR))


def role_of(actor: str) -> Role:
    """Return the role of an actor.

    Raises:
        ValueError: No actor has this name.
    """
    for role in ACTOR_ROLES:
        if fnmatch.fnmatchcase(actor, role.actors):
            return role
    expected = ", ".join(role.actors for role in ACTOR_ROLES)
    raise ValueError(f"no role for an actor named {actor!r}: expected one of {expected}")


@dataclass(frozen=True, slots=True)
class Entry[T]:
    """One row of the table.

    Attributes:
        pattern: Name with `{parts}` in braces.
        message: Type of the value, or of each field, item or message.
        writers: Who sets, deletes, appends or publishes.
        readers: Who reads, subscribes or pops. The operator may read everything.
        ttl_s: Seconds after which Redis forgets it at the latest; None if it stays.
        max_length: For streams, how many entries are kept.
        own: For writers restricted to some of the names: the part of the pattern that differs,
            and its value for each of them.
    """

    kind: Kind
    pattern: str
    message: type[T]
    writers: tuple[Role, ...]
    readers: tuple[Role, ...]
    ttl_s: int | None = None
    max_length: int | None = None
    own: tuple[str, tuple[tuple[Role, str], ...]] | None = None

    def name(self, **parts: str) -> str:
        """Return the full name.

        Raises:
            KeyError: A part of the pattern is not given.
        """
        return self.pattern.format(**parts)

    def glob(self, **parts: str) -> str:
        """Return the pattern as a Redis glob; parts not given become `*`."""
        return re.sub(r"\{(\w+)\}", lambda part: parts.get(part[1], "*"), self.pattern)

    def written_by(self, role: Role) -> str | None:
        """Return the glob of the names a role writes; None when it writes none."""
        if role not in self.writers:
            return None
        if self.own is None:
            return self.glob()
        part, values = self.own
        return self.glob(**{part: dict(values)[role]})


# fmt: off
CANDLE_UPDATES = Entry("channel", "market:candles:{symbol}", CandleUpdate,
    (Role.FETCHER,),
    (Role.INDICATORS, Role.DASHBOARD, Role.SCANNER, Role.TRADER, Role.FETCHER, Role.EXCHANGE_SIM,
     *GUEST_ROLES))
CANDLES: dict[Timeframe, Entry[CandleWindow]] = {
    Timeframe.M5: Entry("key", "cache:candles:{symbol}", CandleWindow,
        (Role.FETCHER,), (*ALL, *GUEST_ROLES), ttl_s=60),
    Timeframe.H1: Entry("key", "cache:candles:{symbol}:1h", CandleWindow,
        (Role.FETCHER,), (*ALL, *GUEST_ROLES), ttl_s=300),
    Timeframe.H4: Entry("key", "cache:candles:{symbol}:4h", CandleWindow,
        (Role.FETCHER,), (*ALL, *GUEST_ROLES), ttl_s=600),
}
TA_SIGNALS = Entry("channel", "signals:ta:{symbol}", TaSignal,
    (Role.INDICATORS,), (Role.DASHBOARD, Role.SCANNER, Role.TRADER, *GUEST_ROLES))
TA_LATEST = Entry("key", "ta:latest:{symbol}", TaSignal,
    (Role.INDICATORS,),
    (Role.DASHBOARD, Role.TRADER, Role.AUDITOR, Role.SCANNER, Role.HEALTH, *GUEST_ROLES),
    ttl_s=120)
SCAN = Entry("channel", "signals:scan", ScanResult,
    (Role.SCANNER,), (Role.DASHBOARD, *GUEST_ROLES))
SCAN_LATEST = Entry("key", "scan:latest", ScanResult,
    (Role.SCANNER,), (Role.DASHBOARD, Role.TRADER_API, *GUEST_ROLES), ttl_s=120)
HISTORY = Entry("stream", "signals:history", LabelChange,
    (Role.SCANNER,), (Role.DASHBOARD, Role.SCANNER, Role.GUEST_READER), max_length=1000)
AUDIT = Entry("key", "audit:latest", AuditReport,
    (Role.AUDITOR,), (Role.HEALTH, Role.DASHBOARD, Role.AUDITOR), ttl_s=600)
HEARTBEAT = Entry("key", "actor:heartbeat:{name}", Heartbeat,
    ACTOR_ROLES, (Role.HEALTH, Role.DASHBOARD), ttl_s=60,
    own=("name", tuple((role, role.actors) for role in ACTOR_ROLES)))
ACTORS = Entry("hash", "supervisor:actors", ActorStatus,
    (Role.SUPERVISOR,), (Role.HEALTH, Role.DASHBOARD, Role.SUPERVISOR))
HEALTH = Entry("key", "health:latest", HealthNote,
    (Role.HEALTH,), (Role.ALERTS, Role.HEALTH, Role.GUEST_READER), ttl_s=60)
EVENTS: Entry[dict[str, Any]] = Entry("stream", "supervisor:events", dict,
    (Role.SUPERVISOR,), (Role.HEALTH, Role.DASHBOARD), max_length=10_000)
SUPERVISOR = Entry("key", "supervisor:state", SupervisorState,
    (Role.SUPERVISOR,), (Role.HEALTH, Role.DASHBOARD), ttl_s=60)
LEASE = Entry("key", "supervisor:lease", Lease, (Role.SUPERVISOR,), ALL, ttl_s=15)
CONTROL = Entry("channel", "supervisor:control", ControlCommand,
    (Role.OPERATOR,), (Role.SUPERVISOR,))
CONTROL_REPLIES = Entry("list", "supervisor:replies:{id}", ControlReply,
    (Role.SUPERVISOR,), (Role.OPERATOR,), ttl_s=60)
BAN_UNTIL = Entry("key", "market:ban_until", Ban, (Role.FETCHER,), ALL, ttl_s=3 * 86_400)
ASSETS = Entry("key", "market:assets", Assets,
    (Role.FETCHER,), (Role.DASHBOARD, Role.GUEST_READER), ttl_s=3_600)
LISTINGS = Entry("key", "market:listings", Listings,
    (Role.FETCHER,),
    (Role.INDICATORS, Role.SCANNER, Role.TRADER, Role.DASHBOARD, Role.HEALTH, *GUEST_ROLES),
    ttl_s=3600)
QUARANTINE = Entry("key", "quarantine:{stage}:{symbol}", Quarantine,
    (Role.FETCHER, Role.INDICATORS), ALL,
    own=("stage", ((Role.FETCHER, "fetch"), (Role.INDICATORS, "compute"))))
POSITIONS = Entry("key", "state:positions", Positions,
    (Role.ACCOUNT,),
    (Role.DASHBOARD, Role.TRADER_API, Role.HEALTH, Role.ACCOUNT, Role.GUEST_READER))
BALANCE = Entry("key", "state:balance", Balance,
    (Role.ACCOUNT,),
    (Role.DASHBOARD, Role.TRADER_API, Role.HEALTH, Role.ACCOUNT, Role.GUEST_READER))
ACCOUNT_REFRESH = Entry("channel", "account:refresh", Refresh, (Role.TRADER,), (Role.ACCOUNT,))
TRADER_CONFIG = Entry("key", "state:trader:config", TraderConfig,
    (Role.TRADER,), (Role.DASHBOARD, Role.TRADER_API, Role.GUEST_READER))
TRADER_STATUS = Entry("key", "state:trader:status", TraderStatus,
    (Role.TRADER,), (Role.DASHBOARD, Role.TRADER_API, Role.HEALTH, Role.GUEST_READER))
TRADE_EVENTS = Entry("channel", "trader:events", TradeEvent,
    (Role.TRADER,), (Role.DASHBOARD, Role.TRADER_API, Role.GUEST_READER))
TRADE_LOG = Entry("stream", "trader:events:log", TradeEvent,
    (Role.TRADER,), (Role.DASHBOARD, Role.TRADER_API, Role.TRADER, Role.GUEST_READER),
    max_length=10_000)
TRADER_COMMANDS = Entry("stream", "trader:commands", TraderCommand,
    (Role.TRADER_API,), (Role.TRADER,), max_length=1000)
TRADER_REPLIES = Entry("list", "trader:replies:{id}", TraderReply,
    (Role.TRADER,), (Role.TRADER_API,), ttl_s=60)
TRADER_KILL = Entry("key", "trader:kill", KillFlag,
    (Role.TRADER_API, Role.TRADER), (Role.TRADER, Role.TRADER_API))

TABLE: tuple[Entry[Any], ...] = (
    CANDLE_UPDATES, *CANDLES.values(), TA_SIGNALS, TA_LATEST, SCAN, SCAN_LATEST, HISTORY, AUDIT,
    HEARTBEAT, HEALTH, ACTORS, EVENTS, SUPERVISOR, LEASE, CONTROL, CONTROL_REPLIES, BAN_UNTIL,
    ASSETS, LISTINGS, QUARANTINE, POSITIONS, BALANCE, ACCOUNT_REFRESH, TRADER_CONFIG, TRADER_STATUS,
    TRADE_EVENTS, TRADE_LOG, TRADER_COMMANDS, TRADER_REPLIES, TRADER_KILL,
)

# What the trader and the account write, where it is the user's own program that does.
_GUEST_TRADER = (Role.GUEST_TRADER,)
_OF_GUEST = (Role.DASHBOARD, Role.HEALTH, Role.GUEST_TRADER, Role.GUEST_READER)
GUEST_POSITIONS = Entry("key", POSITIONS.pattern, GuestValue, _GUEST_TRADER, _OF_GUEST)
GUEST_BALANCE = Entry("key", BALANCE.pattern, GuestValue, _GUEST_TRADER, _OF_GUEST)
GUEST_STATUS = Entry("key", TRADER_STATUS.pattern, GuestValue, _GUEST_TRADER, _OF_GUEST)
GUEST_CONFIG = Entry("key", TRADER_CONFIG.pattern, GuestValue, _GUEST_TRADER, _OF_GUEST)
GUEST_EVENTS = Entry("channel", TRADE_EVENTS.pattern, GuestValue,
    _GUEST_TRADER, (Role.GUESTS, Role.GUEST_READER))
GUEST_LOG = Entry("stream", TRADE_LOG.pattern, GuestEvent,
    (Role.GUESTS, Role.GUEST_TRADER),
    (Role.GUESTS, Role.DASHBOARD, Role.GUEST_TRADER, Role.GUEST_READER), max_length=10_000)
# fmt: on

GUEST_KEYS = (GUEST_POSITIONS, GUEST_BALANCE, GUEST_STATUS, GUEST_CONFIG)
OF_GUEST_TRADER = (
    *GUEST_KEYS, GUEST_EVENTS, GUEST_LOG,
)  # fmt: skip
OF_TRADER = (
    POSITIONS, BALANCE, ACCOUNT_REFRESH, TRADER_CONFIG, TRADER_STATUS, TRADE_EVENTS, TRADE_LOG,
    TRADER_COMMANDS, TRADER_REPLIES, TRADER_KILL,
)  # fmt: skip


def table(trader: TraderKind = "own") -> tuple[Entry[Any], ...]:
    """Return the table of a configuration: every entry, with the one role that writes it.

    Without a trader of the platform's own nobody writes what is the trader's, but for what is the
    guest's where the trader is outside.
    """
    if trader == "own":
        return TABLE
    guests = {entry.pattern: entry for entry in OF_GUEST_TRADER} if trader == "outside" else {}
    unwritten = {entry.pattern: replace(entry, writers=()) for entry in OF_TRADER}
    found = unwritten | guests
    return tuple(found.get(entry.pattern, entry) for entry in TABLE)


_HEAD = ("| name | kind | type | writer | bound | readers |", "|---|---|---|---|---|---|")


def as_markdown() -> str:
    """Return the table as the page `docs/redis.md`."""
    lines = [
        "# What is on the bus",
        "",
        "Made by `python -m shared.schema > docs/redis.md`; a test fails when it is stale.",
        "Keys hold the truth, channels only say that something changed. Every role is a Redis user",
        "that may do this and nothing else ([how](security.md)); `operator`, the person at the",
        "command line, may look at everything, and remove all but `trader:kill` and the lease.",
        "",
        *_HEAD,
    ]
    lines += _rows(TABLE)
    lines += [
        "",
        "The roles `guest-...` are of [programs of your own](guests.md). With a trader outside",
        "(`trader.kind: outside`) these rows are different, and nobody writes what else is the",
        "trader's; with `none` nobody writes any of it:",
        "",
        *_HEAD,
        *_rows(OF_GUEST_TRADER),
    ]
    return "\n".join(lines) + "\n"


def _rows(entries: Sequence[Entry[Any]]) -> list[str]:
    lines = []
    for entry in entries:
        bound = f"{entry.ttl_s} s" if entry.ttl_s else "–"
        if entry.max_length:
            bound = f"{entry.max_length} entries"
        lines.append(
            f"| `{entry.pattern}` | {entry.kind} | `{entry.message.__name__}` | {_writers(entry)} "
            f"| {bound} | {_readers(entry)} |"
        )
    return lines


def _readers(entry: Entry[Any]) -> str:
    named = [role for role in entry.readers if role not in ALL]
    return ", ".join(["all", *named] if set(ALL) <= set(entry.readers) else entry.readers)


def _writers(entry: Entry[Any]) -> str:
    if entry.writers == ACTOR_ROLES:
        return "that actor"
    if entry.own is None:
        return ", ".join(entry.writers)
    part, values = entry.own
    return ", ".join(f"{role} ({part} `{value}`)" for role, value in values)


if __name__ == "__main__":
    print(as_markdown(), end="")
