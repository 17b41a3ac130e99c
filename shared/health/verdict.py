"""The verdict on the platform's health: a pure function of a snapshot and now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from shared.candles.freshness import oldest_s
from shared.clock import seconds_since, utc_text
from shared.config.sections import AccountSection, FetcherSection, TraderSection
from shared.exchanges.binance.refusals import WHAT_TO_DO, is_of_address
from shared.health.audit import audit_problems
from shared.health.guest_verdict import (
    GUESTS,
    GuestView,
    event_problems,
    guest_notes,
    guest_problems,
)
from shared.health.problems import (
    Problem,
    ProblemKind,
    follows_from_redis,
    is_redis_problem,
    masked,
    redis_problem,
)
from shared.health.trading_verdict import (
    TradingLimits,
    TradingView,
    trading_limits_for,
    trading_notes,
    trading_problems,
)
from shared.market import Timeframe
from shared.messages.actors import (
    ActorState,
    ActorStatus,
    Heartbeat,
    Lease,
    Quarantine,
    SupervisorState,
)
from shared.messages.candles import Ban, Listing
from shared.messages.signals import AuditReport, TaSignal
from shared.messages.trading import TraderKind

Status = Literal["ok", "degraded", "down"]

LISTED_ONE_BY_ONE = 3

NO_PROBLEM = ("announced", "young")
"""States of a listing that are notes."""

NOT_DONE = {"fetch": "not fetched", "compute": "not computed"}
"""What is not done with a quarantined coin, by stage."""


AHEAD_MS = 5_000
"""How far a timestamp may be ahead of our clock; clocks of one machine do not differ by more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Ages beyond which there is a problem. Units: seconds.

    Attributes:
        signal_s: Since a coin's signal was computed.
        candles_s: Between the fetch of a timeframe's candles and the signal made of them.
        heartbeat_s: Since an actor's heartbeat.
        starting_s: How long the first scan may take before each missing coin is a problem.
        recent_s: How long a bad message is reported.
        audit_s: Since the auditor's report.
        disk_s: Since a sync to disk began that has not ended.
        trading: Of account and trader.
    """

    signal_s: float = 45.0
    candles_s: Mapping[str, float] = field(
        default_factory=lambda: {t: oldest_s(FetcherSection(), t) for t in Timeframe}
    )
    heartbeat_s: float = 10.0
    starting_s: float = 120.0
    recent_s: float = 60.0
    audit_s: float = 600.0
    disk_s: float = 8.0
    trading: TradingLimits = field(default_factory=TradingLimits)


def limits_for(
    fetcher: FetcherSection,
    account: AccountSection,
    trader: TraderSection = TraderSection(),  # noqa: B008  # frozen
) -> Limits:
    """Return the limits for the intervals of candles, of the venue, and of an outside trader."""
    return Limits(
        signal_s=max(45.0, 1.5 * fetcher.interval_s),
        candles_s={timeframe: oldest_s(fetcher, timeframe) for timeframe in Timeframe},
        trading=trading_limits_for(account, trader),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisView:
    """State of Redis, as this actor's own bus sees it."""

    status: Literal["up", "down", "full", "refuses"]
    since_ms: int
    reason: str
    round_trip_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Inputs of the verdict. Signals and heartbeats that vanished from Redis are kept and age.

    Attributes:
        since_ms: When reading began.
        scanned_once: Every coin has had a signal, or has a known problem.
        quarantines: By (stage, symbol).
        listings: Coins that do not simply trade, by symbol.
        trading, guest: What the own trader and account wrote; what an outside one did.
        disk_stalled_s: For how long the disk below state_dir has not synced what was written.
    """

    mode: str
    since_ms: int
    symbols: Sequence[str]
    actors: Sequence[str]
    redis: RedisView
    scanned_once: bool = False
    statuses: Mapping[str, ActorStatus] = field(default_factory=dict)
    heartbeats: Mapping[str, Heartbeat] = field(default_factory=dict)
    signals: Mapping[str, TaSignal] = field(default_factory=dict)
    quarantines: Mapping[tuple[str, str], Quarantine] = field(default_factory=dict)
    listings: Mapping[str, Listing] = field(default_factory=dict)
    audit: AuditReport | None = None
    ban: Ban | None = None
    lease: Lease | None = None
    supervisor: SupervisorState | None = None
    trading: TradingView = field(default_factory=TradingView)
    trader_kind: TraderKind = "own"
    guest: GuestView = field(default_factory=GuestView)
    disk_stalled_s: float = 0.0

    @property
    def actor_names(self) -> list[str]:
        """Return the configured actors, then any others of the supervisor."""
        return [*self.actors, *sorted(set(self.statuses) - set(self.actors))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`ok`: no problems. `degraded`: problems, but some coins' signals are fresh. `down`: no
    fresh signal, or Redis does not answer.

    Attributes:
        found: The problems, the gravest first.
        consequences: Further problems, to be expected while Redis does not work.
        notes: Worth knowing, but no problem.
    """

    status: Status
    found: list[Problem]
    fresh_coins: int
    consequences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        return [problem.text for problem in self.found]


def judge(seen: Snapshot, now_ms: int, limits: Limits) -> Verdict:
    """Return the platform's status and all its problems, the gravest first."""
    fresh = sum(
        is_fresh(seen.signals.get(symbol), now_ms, limits)
        for symbol in seen.symbols
        if not is_dead(seen, symbol)
    )
    redis = redis_problem(seen.redis.status, seen.redis.since_ms, seen.redis.reason, now_ms)
    problems = [
        *_disk_problems(seen, limits),
        *_trading_problems(seen, now_ms, limits),
        *_start_problems(seen, now_ms, limits),
        *_clock_problems(seen, now_ms),
        *_supervisor_problems(seen, now_ms, limits),
        *_actor_problems(seen, now_ms, limits),
        *_exchange_problems(seen, now_ms),
        *_coin_problems(seen, now_ms, limits),
        *_strategy_problems(seen),
        *_audit_problems(seen, now_ms, limits),
        *_bad_message_problems(seen, now_ms, limits),
    ]
    consequences: list[Problem] = []
    if redis is not None:
        consequences = [problem for problem in problems if follows_from_redis(problem)]
        problems = [redis, *(problem for problem in problems if problem not in consequences)]
    status: Status = "degraded" if problems else "ok"
    if seen.redis.status == "down" or not fresh:
        empty = Problem("platform-empty", "", "no coin to watch")
        status, problems = "down", problems or [empty]
    notes = [*trading_notes(seen.trading, seen.actors, seen.symbols), *_candle_notes(seen)]
    if seen.trader_kind == "outside":
        since = _listening_ms(seen, now_ms, limits)
        late_s = limits.trading.guest_s
        notes += guest_notes(seen.guest, now_ms=now_ms, listening_ms=since, late_s=late_s)
    notes += [
        f"{symbol}: {each.text}"
        for symbol, each in seen.listings.items()
        if symbol in seen.symbols and each.state in NO_PROBLEM
    ]
    return Verdict(
        status=status,
        found=problems,
        fresh_coins=fresh,
        consequences=[problem.text for problem in consequences],
        notes=notes,
    )


def age_s(at_ms: int | None, now_ms: int) -> float | None:
    """Return the seconds since `at_ms`, at least zero even if a clock was set back."""
    return None if at_ms is None else seconds_since(at_ms, now_ms)


def is_fresh(signal: TaSignal | None, now_ms: int, limits: Limits) -> bool:
    """Return whether a coin's signal is recent enough to be acted on."""
    return signal is not None and seconds_since(signal.computed_at_ms, now_ms) <= limits.signal_s


def is_dead(seen: Snapshot, symbol: str) -> bool:
    """Return whether a coin will not trade any more, whatever is still computed of it."""
    found = seen.listings.get(symbol)
    return found is not None and found.state in ("dead", "delisted")


def known_trouble(seen: Snapshot, symbol: str, now_ms: int) -> list[str]:
    """Return the published reason why a coin lacks a signal; "" if there is none."""
    fetcher = _detail(seen, "fetcher")
    found = []
    listing = seen.listings.get(symbol)
    if listing is not None and listing.state not in NO_PROBLEM:
        found.append(listing.text)
    elif reason := _mapping(fetcher.get("coins")).get(symbol):
        found.append(f"fetch failed: {reason}")
    for (stage, name), quarantine in seen.quarantines.items():
        in_force = name == symbol and quarantine.until_ms > now_ms
        if in_force and not (stage == "fetch" and found):
            found.append(
                f"quarantined until {utc_text(quarantine.until_ms)}: "
                f"{NOT_DONE[quarantine.stage]}, {quarantine.reason}"
            )
    for status in seen.statuses.values():
        until_ms = status.quarantined_coins.get(symbol, 0)
        if until_ms > now_ms:
            found.append(
                f"quarantined until {utc_text(until_ms)}: {status.name} died while computing it"
            )
    return found


def is_starting(seen: Snapshot, now_ms: int, limits: Limits) -> bool:
    """Return whether the first scan may still be going on."""
    return not seen.scanned_once and seconds_since(seen.since_ms, now_ms) < limits.starting_s


def _detail(seen: Snapshot, actor: str) -> Mapping[str, Any]:
    heartbeat = seen.heartbeats.get(actor)
    return heartbeat.detail if heartbeat else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _disk_problems(seen: Snapshot, limits: Limits) -> Iterator[Problem]:
    if seen.disk_stalled_s > limits.disk_s:
        text = (
            f"the disk below state_dir has not synced for {seen.disk_stalled_s:.0f} s: the "
            "trader's journal, Redis' files and logs cannot be written"
        )
        yield Problem("disk-stalled", "", text)


def _trading_problems(seen: Snapshot, now_ms: int, limits: Limits) -> Iterator[Problem]:
    since = _listening_ms(seen, now_ms, limits)
    if seen.trader_kind == "outside":
        late_s = limits.trading.guest_s
        yield from guest_problems(seen.guest, now_ms=now_ms, listening_ms=since, late_s=late_s)
        yield from event_problems(_detail(seen, GUESTS), now_ms, limits.recent_s)
    yield from trading_problems(
        seen.trading, seen.actors, now_ms=now_ms, listening_ms=since, limits=limits.trading
    )


def _listening_ms(seen: Snapshot, now_ms: int, limits: Limits) -> int | None:
    """Return since when what is published has arrived; None while it may not."""
    is_heard = seen.redis.status == "up" and not is_starting(seen, now_ms, limits)
    return max(seen.redis.since_ms, seen.since_ms) if is_heard else None


def _clock_problems(seen: Snapshot, now_ms: int) -> Iterator[Problem]:
    """Yield a problem if signals are ahead of the clock: set back, it makes old ones look new."""
    stamps = [signal.computed_at_ms - now_ms for signal in seen.signals.values()]
    ahead_ms = [ms for ms in stamps if ms > AHEAD_MS]
    if ahead_ms:
        text = (
            f"the clock was set back: {len(ahead_ms)} signals are stamped up to "
            f"{max(ahead_ms) / 1000:.0f} s ahead of it, and how old they are is not known"
        )
        yield Problem("platform-clock", "clock", text)


def _start_problems(seen: Snapshot, now_ms: int, limits: Limits) -> Iterator[Problem]:
    if is_starting(seen, now_ms, limits):
        scanned = sum(symbol in seen.signals for symbol in seen.symbols)
        text = f"starting: {scanned} of {len(seen.symbols)} coins scanned"
        yield Problem("platform-starting", "", text)


def _supervisor_problems(seen: Snapshot, now_ms: int, limits: Limits) -> Iterator[Problem]:
    # a Redis that came back empty is filled again within seconds
    heard_s = seconds_since(max(seen.redis.since_ms, seen.since_ms), now_ms)
    if seen.redis.status == "up" and heard_s > limits.heartbeat_s and seen.lease is None:
        text = "no supervisor holds the lease: nothing that ends is started again"
        yield Problem("supervisor-missing", "", text)
    if seen.supervisor is not None:
        # its problems with Redis are left out: this process's own view is newer
        yield from (
            Problem("supervisor-trouble", masked(text), text)
            for text in seen.supervisor.problems
            if not is_redis_problem(text)
        )


def _actor_problems(seen: Snapshot, now_ms: int, limits: Limits) -> Iterator[Problem]:
    for name in seen.actors:
        status, heartbeat = seen.statuses.get(name), seen.heartbeats.get(name)
        trouble: tuple[ProblemKind, str] | None = None
        if status is not None:
            trouble = _state_trouble(status, now_ms)
        elif heartbeat is None and not is_starting(seen, now_ms, limits):
            trouble = "actor-missing", "not running"
        if trouble is None and heartbeat is not None:
            trouble = _heartbeat_trouble(seen, heartbeat, now_ms, limits)
        if trouble is not None:
            kind, text = trouble
            yield Problem(kind, name, f"{name}: {text}")


_STATE_KINDS: Mapping[ActorState, ProblemKind] = {
    "starting": "actor-starting",
    "stalled": "actor-stalled",
    "stopping": "actor-stopping",
    "stopped": "actor-stopped",
    "backoff": "actor-backoff",
    "quarantined": "actor-quarantined",
}


def _state_trouble(status: ActorStatus, now_ms: int) -> tuple[ProblemKind, str] | None:
    if status.state == "ready":
        return None
    parts = [f"{status.state} for {seconds_since(status.since_ms, now_ms):.0f} s"]
    if status.reason:
        parts.append(status.reason)
    elif status.state in ("starting", "stalled") and status.doing:
        parts.append(status.doing)
    if status.state in ("backoff", "quarantined"):
        if status.deaths and status.deaths[-1].cause not in status.reason:
            parts.append(f"last death: {status.deaths[-1].cause}")
        if status.backoff_until_ms is not None:
            left_s = max(0.0, (status.backoff_until_ms - now_ms) / 1000)
            parts.append(f"next try in {left_s:.0f} s")
    text = ": ".join(parts[:2]) + "".join(f", {part}" for part in parts[2:])
    return _STATE_KINDS[status.state], text


def _heartbeat_trouble(
    seen: Snapshot, heartbeat: Heartbeat, now_ms: int, limits: Limits
) -> tuple[ProblemKind, str] | None:
    silent_s = seconds_since(heartbeat.at_ms, now_ms)
    # during an outage no heartbeat arrives: Redis' problem, not each actor's
    heard_s = seconds_since(seen.redis.since_ms, now_ms)
    if seen.redis.status == "up" and min(silent_s, heard_s) > limits.heartbeat_s:
        return "actor-silent", f"no heartbeat for {silent_s:.0f} s"
    # published all the same, so that it is about some of its commands only
    retrying = heartbeat.detail.get("retrying") or heartbeat.detail.get("refused")
    return ("actor-retrying", f"retrying: {retrying}") if retrying else None


def _exchange_problems(seen: Snapshot, now_ms: int) -> Iterator[Problem]:
    ban, refused = seen.ban, _mapping(_detail(seen, "fetcher").get("stream")).get("refused")
    left_s = 0.0 if ban is None else (ban.until_ms - now_ms) / 1000
    if ban is not None and is_of_address(ban.status):  # over, it is about to be refused again
        text = (
            f"the exchange refuses this address (HTTP {ban.status}), nothing is asked until "
            f"{utc_text(ban.until_ms)}, another {max(0.0, left_s):.0f} s: {WHAT_TO_DO[ban.status]}"
        )
        yield Problem("exchange-refused", "", text)
    elif ban is not None and left_s > 0:
        text = (
            f"the exchange forbids all requests (HTTP {ban.status}) until "
            f"{utc_text(ban.until_ms)}, another {left_s:.0f} s"
        )
        yield Problem("exchange-ban", "", text)
    elif type(refused) is int and is_of_address(refused):
        text = (
            f"the exchange refuses this address its streams (HTTP {refused}), so closes come by "
            f"requests, seconds later: {WHAT_TO_DO[refused]}"
        )
        yield Problem("exchange-refused", "streams", text)


def _coin_problems(seen: Snapshot, now_ms: int, limits: Limits) -> Iterator[Problem]:
    starting = is_starting(seen, now_ms, limits)
    troubled: dict[str, str] = {}
    badly_fed: dict[str, str] = {}
    unexplained: dict[str, float | None] = {}
    for symbol in seen.symbols:
        signal = seen.signals.get(symbol)
        stale = not is_fresh(signal, now_ms, limits) and not (starting and signal is None)
        age = age_s(signal.computed_at_ms if signal else None, now_ms)
        listing = seen.listings.get(symbol)
        bad_rows = _bad_rows(seen, symbol)
        inputs = [] if signal is None or stale else _input_trouble(signal, listing, limits)
        if known := known_trouble(seen, symbol, now_ms):
            if listing is None or listing.is_traded:
                known += _explained([_signal_text(age)] if stale else [], bad_rows)
            troubled[symbol] = "; ".join(known)
        elif listing is not None and _has_not_begun(listing, signal, now_ms):
            continue
        elif stale and not bad_rows:
            unexplained[symbol] = age
        elif inputs := _explained([_signal_text(age)] if stale else inputs, bad_rows):
            badly_fed[symbol] = "; ".join(inputs)
    yield from _grouped("coin-trouble", troubled)
    yield from _grouped("coin-inputs", badly_fed)
    yield from _silent(unexplained)


def _strategy_problems(seen: Snapshot) -> Iterator[Problem]:
    for name in seen.actors:
        if trouble := _detail(seen, name).get("strategy_trouble"):
            yield Problem("strategy-trouble", name, f"{name}: {trouble}")


def _candle_notes(seen: Snapshot) -> Iterator[str]:
    fetcher = _detail(seen, "fetcher")
    yield from (f"{name}: {what}" for name, what in _mapping(fetcher.get("scale_breaks")).items())
    for field_name, one, many in (
        ("changed", "the exchange has changed", "the exchange has changed candles of"),
        ("harmless_rows", "left out, without a gap:", "rows left out, without a gap:"),
    ):
        found = _mapping(fetcher.get(field_name))
        if len(found) <= LISTED_ONE_BY_ONE:
            yield from (f"{name}: {one} {what}" for name, what in found.items())
        else:
            yield f"{many} {', '.join(found)}; `coinex logs fetcher` has them"


def _bad_rows(seen: Snapshot, symbol: str) -> dict[str, str]:
    """Return by timeframe which rows of the exchange leave a gap."""
    rows = _mapping(_detail(seen, "fetcher").get("bad_rows"))
    return {t: str(rows[name]) for t in Timeframe if (name := f"{symbol} {t}") in rows}


def _explained(inputs: Sequence[str], bad_rows: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a coin's candles, gaps with the rows that leave them."""
    gaps = {f"{timeframe} candles have a gap": why for timeframe, why in bad_rows.items()}
    rest = [text for text in inputs if text not in gaps]
    return [*(f"{gap}: {why}" for gap, why in gaps.items()), *rest]


def _signal_text(age: float | None) -> str:
    return "no signal yet" if age is None else f"no new signal for {age:.0f} s"


def _has_not_begun(listing: Listing, signal: TaSignal | None, now_ms: int) -> bool:
    """Return whether a coin need not have a signal yet."""
    if not listing.is_traded:
        return True
    return signal is None and now_ms - (listing.since_ms or 0) < 2 * Timeframe.M5.ms


def _input_trouble(signal: TaSignal, listing: Listing | None, limits: Limits) -> list[str]:
    found = []
    for timeframe, state in signal.inputs.items():
        if listing is not None and not state.bars:
            continue  # young: none has closed yet
        if state.fetched_at_ms is None:
            found.append(f"no {timeframe} candles")
            continue
        old_s = (signal.computed_at_ms - state.fetched_at_ms) / 1000
        if state.stale or old_s > limits.candles_s.get(timeframe, math.inf):
            found.append(f"{timeframe} candles are stale, fetched {old_s:.0f} s before the signal")
        if state.unfilled_gap:
            found.append(f"{timeframe} candles have a gap")
    return found


def _grouped(kind: ProblemKind, texts: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem per coin, or one for many coins with the same text."""
    by_text: dict[str, list[str]] = {}
    for symbol, text in texts.items():
        by_text.setdefault(text, []).append(symbol)
    for text, symbols in by_text.items():
        if len(symbols) <= LISTED_ONE_BY_ONE:
            yield from (Problem(kind, symbol, f"{symbol}: {text}") for symbol in symbols)
        else:
            listed = f"{len(symbols)} coins: {text}: {', '.join(symbols)}"
            yield Problem(kind, f"many, {masked(text)}", listed)


def _silent(ages: Mapping[str, float | None]) -> Iterator[Problem]:
    if len(ages) <= LISTED_ONE_BY_ONE:
        for symbol, age in ages.items():
            yield Problem("coin-silent", symbol, f"{symbol}: {_signal_text(age)}")
        return
    oldest = max((age for age in ages.values() if age is not None), default=None)
    text = f"{len(ages)} coins: {_signal_text(oldest)}: {', '.join(ages)}"
    yield Problem("coin-silent", "many", text)


def is_audited(seen: Snapshot) -> bool:
    """Return whether the published numbers are being compared with a referee's."""
    return "auditor" in seen.actors


def _audit_problems(seen: Snapshot, now_ms: int, limits: Limits) -> Iterator[Problem]:
    if not is_audited(seen):
        return
    reported_ms = seen.audit.at_ms if seen.audit else 0
    # an outage or a restart gives the auditor its full time again
    silent_s = seconds_since(max(reported_ms, seen.since_ms, seen.redis.since_ms), now_ms)
    if seen.audit is not None and seconds_since(reported_ms, now_ms) <= limits.audit_s:
        yield from audit_problems(seen.audit)
    elif seen.redis.status == "up" and silent_s > limits.audit_s:
        last = f"since {utc_text(reported_ms)}" if reported_ms else "yet"
        text = (
            f"audit: no report {last}, {silent_s / 60:.0f} min: nobody holds the published "
            "numbers against pandas-ta"
        )
        yield Problem("audit-missing", "report", text)


def _bad_message_problems(seen: Snapshot, now_ms: int, limits: Limits) -> Iterator[Problem]:
    details = {name: _detail(seen, name) for name in seen.actors}
    if seen.supervisor is not None:
        details["supervisor"] = asdict(seen.supervisor)
    for name, detail in details.items():
        at_ms = detail.get("bad_message_ms")
        if type(at_ms) is int and seconds_since(at_ms, now_ms) <= limits.recent_s:
            count, newest = detail.get("bad_messages"), detail.get("bad_message")
            text = f"{name} skipped bad messages on the bus ({count} so far, the newest {newest})"
            yield Problem("messages-bad", name, text)
