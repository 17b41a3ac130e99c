"""The problems of account and trader: a pure function of what they last published, and now.

Their keys never expire, so their age is checked. An actor that is not configured has no problems.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.clock import seconds_since, utc_text
from shared.config.sections import AccountSection, TraderSection
from shared.health.problems import Problem
from shared.messages.trading import (
    TIMER_LATE_MS,
    Balance,
    Position,
    Positions,
    TraderLimit,
    TraderMode,
    TraderStatus,
)
from shared.trading.mode import SetLock

ACCOUNT, TRADER = "account", "trader"

MEANS: Mapping[TraderMode, str] = {
    "enabled": "opens and manages positions",
    "reducing": "no new entries; open positions are still managed",
    "disabled": "no new entries; open positions are still managed",
    "locked": "the kill switch is set: no new entries until it is released",
}

WHOSE: Mapping[bool | None, str] = {
    True: " (foreign: the trader does not touch it)",
    None: " (not known yet whether it is the trader's)",
    False: "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingLimits:
    """Ages beyond which there is a problem. Units: seconds.

    Attributes:
        account_s: Since the venue last answered the account's publisher.
        trader_s: Since the trader's newest status.
        bare_s: Since a position was first seen without a stop.
        guest_s: Of what a trader outside the platform wrote.
    """

    account_s: float = 60.0
    trader_s: float = 30.0
    bare_s: float = 20.0
    guest_s: float = 450.0


def trading_limits_for(
    account: AccountSection,
    trader: TraderSection = TraderSection(),  # noqa: B008  # frozen
) -> TradingLimits:
    """Return the limits for the intervals of reading the venue, and of an outside trader."""
    return TradingLimits(
        account_s=max(60.0, 2 * account.interval_s + 30),
        guest_s=max(trader.outside_every_s + 30, 1.5 * trader.outside_every_s),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingView:
    """What account and trader published last; None if they never did.

    Attributes:
        lock: The lock file, which applies whatever the trader published.
        bare_since_ms: By coin, since when this process has seen its position without a stop.
        timer_s: Between the runs of the timer that trades, by the configuration; None without one.
    """

    positions: Positions | None = None
    balance: Balance | None = None
    status: TraderStatus | None = None
    lock: SetLock | None = None
    bare_since_ms: Mapping[str, int] = field(default_factory=dict)
    timer_s: float | None = None

    def has_trader(self, actors: Collection[str]) -> bool:
        """Return whether somebody trades: an actor that stays, or a timer."""
        return TRADER in actors or self.timer_s is not None

    def is_foreign(self, position: Position) -> bool | None:
        """Return whether a position is foreign; None if the trader has not said so yet."""
        return None if self.status is None else self.status.is_foreign(position)


def looked(
    before: TradingView,
    *,
    positions: Positions | None,
    balance: Balance | None,
    status: TraderStatus | None,
    now_ms: int,
) -> TradingView:
    """Return the view after one more read; what vanished from Redis is kept and ages."""
    positions = positions or before.positions
    status = status or before.status
    by_symbol = {} if positions is None else {p.symbol: p for p in positions.positions}
    bare = [symbol for symbol, position in by_symbol.items() if position.stop_loss is None]
    if status is not None:
        bare += [symbol for symbol in status.unprotected if symbol not in by_symbol]
    return dataclasses.replace(
        before,
        positions=positions,
        balance=balance or before.balance,
        status=status,
        bare_since_ms={symbol: before.bare_since_ms.get(symbol, now_ms) for symbol in bare},
    )


Answering = Literal["yes", "silent", "never"]


def answering(view: TradingView, now_ms: int, limits: TradingLimits) -> Answering:
    """Return whether the trader's newest status is recent."""
    if view.status is None:
        return "never"
    resident_ms = round(1000 * limits.trader_s)
    until_ms = view.status.current_until_ms(resident_ms)
    if view.timer_s is None:  # whatever a timer left, one that stays renews it
        until_ms = min(until_ms, view.status.as_of_ms + resident_ms)
    return "silent" if now_ms > until_ms else "yes"


def trading_problems(
    view: TradingView,
    actors: Collection[str],
    *,
    now_ms: int,
    listening_ms: int | None,
    limits: TradingLimits,
) -> Iterator[Problem]:
    """Yield the problems, the gravest first.

    Args:
        actors: The configured ones; others have no problems.
        listening_ms: Since when the bus has answered without a break; None during an outage, in
            which silence is no problem.
    """
    if ACCOUNT in actors or TRADER in actors:
        yield from _bare_problems(view, now_ms, limits)
    if view.has_trader(actors):
        yield from _trader_problems(view, now_ms, listening_ms, limits)
    if ACCOUNT in actors:
        yield from _account_problems(view, now_ms, listening_ms, limits)


def trading_notes(
    view: TradingView, actors: Collection[str], symbols: Collection[str]
) -> list[str]:
    """Return notes: worth knowing, but no problem.

    Args:
        symbols: The coins of the configuration.
    """
    if not view.has_trader(actors):
        return []
    if view.status is None:
        return [] if view.timer_s is None else [f"trader: {NOT_RUN_YET}"]
    kept = [
        f"{symbol}: in no group any more; its position is managed to its end"
        for symbol in view.status.ours
        if symbol not in symbols
    ]
    foreign = [
        f"{symbol}: the position is foreign: not the trader's, never touched by it, "
        "counted in its limits"
        for symbol in view.status.foreign
    ]
    full = [_room_text(each) for each in view.status.limits if each.is_room and each.state != "ok"]
    return kept + foreign + full + _evidence_notes(view.status)


def _evidence_notes(status: TraderStatus) -> list[str]:
    evidence = status.evidence
    if evidence is None:
        return []
    if evidence.accepted:
        fits = "" if evidence.fits else f" ({evidence.text})"
        return [f"trader: accepted without evidence: {evidence.accepted}{fits}"]
    if evidence.fits is not False:
        return []
    meanwhile = "no new entries" if evidence.demand == "require" else "it enters all the same"
    return [f"trader: no evidence of its settings, {meanwhile}: {evidence.text}"]


def share(limit: TraderLimit) -> float | None:
    """Return the used share of a limit, 1 for all; None if the limit is zero or no number."""
    try:
        used, most = float(limit.used), float(limit.limit)
    except ValueError:
        return None
    return used / most if most else None


NOT_RUN_YET = "run by a timer, which has not run it yet; enable the timer to have it trade"


def _silent_s(at_ms: int, now_ms: int, listening_ms: int | None) -> float:
    """Return for how long nothing has arrived although the bus has answered."""
    return 0.0 if listening_ms is None else seconds_since(max(at_ms, listening_ms), now_ms)


def _bare_problems(view: TradingView, now_ms: int, limits: TradingLimits) -> Iterator[Problem]:
    by_symbol: dict[str, Position] = (
        {} if view.positions is None else {p.symbol: p for p in view.positions.positions}
    )
    for symbol, since_ms in view.bare_since_ms.items():
        if seconds_since(since_ms, now_ms) <= limits.bare_s:
            continue
        position = by_symbol.get(symbol)
        side = f"{position.side} " if position is not None else ""
        whose = ""
        if position is not None and view.status is not None:
            whose = WHOSE[view.is_foreign(position)]
        text = (
            f"{symbol}: {side}position without a stop for "
            f"{seconds_since(since_ms, now_ms):.0f} s{whose}; set one at the venue, or close it"
        )
        yield Problem("position-bare", symbol, text)


def _trader_problems(
    view: TradingView, now_ms: int, listening_ms: int | None, limits: TradingLimits
) -> Iterator[Problem]:
    status, lock = view.status, view.lock
    is_answering = answering(view, now_ms, limits) == "yes"
    is_said = status is not None and is_answering and status.mode == "locked"
    if lock is not None and lock.mode == "locked" and not is_said:
        text = f"trader: locked: by {lock.who}: {_because(lock.reason)}{MEANS['locked']}"
        yield Problem("trader-locked", "lock", text)
    if status is None:
        if view.timer_s is not None:
            return
        if (silent_s := _silent_s(0, now_ms, listening_ms)) > limits.trader_s:
            text = f"trader: has not said how it is, for {silent_s:.0f} s"
            yield Problem("trader-silent", "word", text)
        return
    if view.timer_s is not None and not is_answering:
        yield from _missed_run(status, now_ms, listening_ms, view.timer_s)
        return
    age = seconds_since(status.as_of_ms, now_ms)
    if view.timer_s is None and _silent_s(status.as_of_ms, now_ms, listening_ms) > limits.trader_s:
        if _is_missed(status):
            text = f"trader: not answering for {age:.0f} s; it was {_last_known(status)}"
            yield Problem("trader-silent", "word", text)
        return
    if not is_answering:
        return
    if status.journal:
        yield Problem("trader-journal", "journal", f"trader: the journal: {status.journal}")
    # without a lock file, the journal is what it is locked for
    if status.mode == "locked" and not (status.journal and lock is None):
        text = f"trader: locked: {_because(status.reason)}{MEANS['locked']}"
        yield Problem("trader-locked", "lock", text)
    for limit in status.limits:
        if limit.state != "ok" and not limit.is_room:
            yield Problem("trader-limit", limit.name, _limit_text(limit))
    if status.trouble:
        text = f"trader: the last cycle could not do its work: {status.trouble}"
        yield Problem("trader-trouble", "cycle", text)


def _missed_run(
    status: TraderStatus, now_ms: int, listening_ms: int | None, timer_s: float
) -> Iterator[Problem]:
    # a run that came during an outage could not say so; the next one can
    patience_s = timer_s + TIMER_LATE_MS / 1000
    if _is_missed(status) and _silent_s(0, now_ms, listening_ms) > patience_s:
        age = seconds_since(status.as_of_ms, now_ms)
        text = (
            f"trader: no run of its timer since {utc_text(status.as_of_ms)}, {age:.0f} s ago; one "
            f"is due every {timer_s / 60:.0f} min; it was {_last_known(status)}: start the timer"
        )
        yield Problem("trader-missed", "word", text)


def _is_missed(status: TraderStatus) -> bool:
    """Return whether its silence matters; not of one that was off and has no positions."""
    return status.mode in ("enabled", "reducing") or bool(status.ours)


def _last_known(status: TraderStatus) -> str:
    positions = f", with positions in {', '.join(status.ours)}" if status.ours else ""
    return f"{status.mode}{positions}"


def _because(reason: str) -> str:
    return f"{reason}; " if reason else ""


def _used_text(limit: TraderLimit) -> str:
    used = f"{limit.used} of {limit.limit} {limit.unit}".rstrip()
    part = share(limit)
    return used if part is None else f"{used}, {100 * part:.0f} %"


def _room_text(limit: TraderLimit) -> str:
    full = limit.state == "reached"
    room = "all room is taken, no new entries while it lasts" if full else "little room is left"
    return f"trader: {limit.name}: {room} ({_used_text(limit)})"


def _limit_text(limit: TraderLimit) -> str:
    part = share(limit)
    after = {
        "warned": "near its limit" if part is None or part < 1 else "above its limit",
        "reached": "reached: no new entries while it lasts",
        "latched": "latched: no new entries until it is released",
    }[limit.state]
    return f"trader: {limit.name} is {after} ({_used_text(limit)})"


def _account_problems(
    view: TradingView, now_ms: int, listening_ms: int | None, limits: TradingLimits
) -> Iterator[Problem]:
    published = [message for message in (view.positions, view.balance) if message is not None]
    if not published:
        if (silent_s := _silent_s(0, now_ms, listening_ms)) > limits.account_s:
            text = f"account: has not published anything, for {silent_s:.0f} s"
            yield Problem("account-silent", "", text)
        return
    last_ms = min(message.as_of_ms for message in published)
    reasons = list(dict.fromkeys(message.reason for message in published if message.reason))
    if reasons:
        last = (
            f"last answer {utc_text(last_ms)}, {seconds_since(last_ms, now_ms):.0f} s ago"
            if last_ms
            else "no answer yet"
        )
        yield Problem("account-trouble", "", f"account: {'; '.join(reasons)} ({last})")
    elif _silent_s(last_ms, now_ms, listening_ms) > limits.account_s:
        age = seconds_since(last_ms, now_ms)
        text = f"account: positions and balance are {age:.0f} s old: nobody renews them"
        yield Problem("account-silent", "", text)
