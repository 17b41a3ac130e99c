"""Invariants of the platform under faults, checked on each observation. Pure.

A fault opens a window; while it is open, only what the fault may affect is excused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.storm.kinds import Affected, Pace
from tests.chaos.storm.schedule import Planned

STALE_S = 45.0
"""Age from which a coin's signal is stale, as for `/health`."""

UNPROVOKED_S = 10.0
"""An earlier problem may reappear this long after recovery; so may an actor that a command
restarts."""

ECHO = "trader: the last cycle could not do its work"
ECHO_S = 330.0
NAMES_A_COIN = re.compile(r"[:;] [A-Z0-9]{5,20}: ")
"""A cycle that failed under a fault is reported until the next one, five minutes later. That is no
breach within this time, unless it names a coin, whose position is unprotected."""

PROMPT_S = 15.0
LAG_S = 2.0
AFTERMATH_S = 3.0
WINDOWS_KEPT = 20
COMMAND_S = 60.0
STRAY_S = 5.0

RULES: Mapping[str, str] = {
    "fresh": f"no coin is older than {STALE_S:g} s except those a fault affects",
    "told": "/health stops saying ok in time after a visible fault begins, and names what broke",
    "healed": "/health says ok, and all actors are ready, within a scan + 20 s after a fault ends",
    "calm": "no problem without a fault",
    "spared": "no actor dies that a fault does not hit",
    "orphans": "no process is left without a supervisor",
    "alone": "of two supervisors one goes on, and the other names it",
    "commands": f"an accepted command is done or failed within {COMMAND_S:g} s of Redis' return",
    "prompt": f"every coin's signal of a close is there within {PROMPT_S:g} s without a fault",
    "lag": f"no event loop is more than {LAG_S:g} s late without a fault",
    "bounds": "memory, descriptors, keys and logs stay within their bounds",
    "orders": "no order is doubled or lost: journal and venue agree",
    "signals": "what was published equals an undisturbed replay byte for byte",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A broken rule: when, in seconds since the start, and the evidence."""

    rule: str
    at: float
    evidence: str


@dataclass(slots=True, kw_only=True, eq=False)
class Window:
    """A fault in time. Times are seconds since the start; None: not yet."""

    planned: Planned
    begun: float
    ended: float | None = None
    well: float | None = None
    shown_s: float | None = None
    reported: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The fault in words, with its number."""
        return f"fault {self.planned.number} ({self.planned.text()}, begun at {self.begun:.1f} s)"

    def due(self, pace: Pace) -> float:
        """Return the recovery deadline; infinity while the fault lasts."""
        if self.ended is None:
            return float("inf")
        return self.ended + self.planned.kind.noticed(pace) + pace.heal_s

    def was_over_by(self, at: float) -> bool:
        """Return whether it had ended by then; an instant fault ends on recovery."""
        over = self.ended if self.planned.lasts_s else self.well
        return over is not None and over < at

    def covers(self, at: float, pace: Pace) -> bool:
        """Return whether this fault may cause what is observed at a time."""
        return self.overlaps(at, at, pace)

    def overlaps(self, start: float, end: float, pace: Pace) -> bool:
        """Return whether this fault may cause what is observed at some time of a span."""
        until = self.due(pace) if self.well is None else min(self.due(pace), self.well)
        return self.begun <= end and start <= until + AFTERMATH_S

    def hits(self, affected: Affected, actor: str) -> bool:
        """Return whether an actor is among those affected."""
        return affected == "all" or (affected == "victim" and actor == self.planned.victim)

    def kills(self, actor: str) -> bool:
        also = self.planned.also
        return self.hits(self.planned.kind.dies, actor) or (
            also is not None and also.victim == actor
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The platform at one moment. None: no answer.

    Attributes:
        at: Seconds since the start, at the end of the observation.
        ages_s: Age of each coin's signal; None while Redis does not answer.
        states: State of each actor.
        deaths: All known deaths, as (actor, unique id, cause).
        lags_s: How late each event loop was, by its newest heartbeat.
        close_age_s: Seconds since the newest 5m close.
        is_close_missing: Whether a coin's signal of it is missing.
    """

    at: float
    health: str | None
    problems: Sequence[str] = ()
    ages_s: Mapping[str, float] | None = None
    states: Mapping[str, str] | None = None
    deaths: Sequence[tuple[str, str, str]] = ()
    lags_s: Mapping[str, float] = field(default_factory=dict)
    close_age_s: float | None = None
    is_close_missing: bool = False

    @property
    def is_echo(self) -> bool:
        """Whether the only problem is a failed cycle."""
        problems = self.problems
        matches = bool(problems) and all(
            text.startswith(ECHO) and not NAMES_A_COIN.search(text) for text in problems
        )
        return self.health == "degraded" and matches

    @property
    def is_well(self) -> bool:
        """Whether everything has recovered."""
        return (
            (self.health == "ok" or self.is_echo)
            and self.states is not None
            and set(self.states.values()) == {"ready"}
            and self.ages_s is not None
            and max(self.ages_s.values(), default=0.0) <= STALE_S
        )


class Checker:
    """Checks observations against the rules.

    Args:
        groups: The coins of each indicators actor, by the actor's name.

    Attributes:
        worst_s: Worst staleness of each group outside of faults...
        worst_hit_s: ...and while a fault excused it.
        worst_lag_s, worst_close_s: Worst event-loop lag, and time from a close to the last coin's
            signal, outside of faults.
        checks: Number of checks of each rule.
    """

    def __init__(self, pace: Pace, groups: Mapping[str, Sequence[str]]) -> None:
        self._pace = pace
        self._group_of = {coin: name for name, coins in groups.items() for coin in coins}
        self._windows: list[Window] = []
        self._deaths: set[tuple[str, str]] = set()
        self._uneasy_since: float | None = None
        self._echo_since: float | None = None
        self._stale: dict[str, bool] = {}
        self._is_late = False
        self._close_checked_at = float("-inf")
        self.worst_lag_s = self.worst_close_s = 0.0
        self.breaches: list[Breach] = []
        self.worst_s: dict[str, float] = dict.fromkeys(groups, 0.0)
        self.worst_hit_s: dict[str, float] = dict.fromkeys(groups, 0.0)
        self.checks: dict[str, int] = dict.fromkeys(RULES, 0)
        self.deaths: dict[str, int] = {}

    def open(self, window: Window) -> None:
        """Add a fault that begins."""
        self._windows = [*self._windows[-WINDOWS_KEPT:], window]

    def report(self, rule: str, at: float, evidence: str) -> None:
        self.breaches.append(Breach(rule=rule, at=at, evidence=evidence))

    def check(self, observation: Observation) -> None:
        self._check_fresh(observation)
        self._check_told(observation)
        self._check_healed(observation)
        self._check_calm(observation)
        self._check_echo(observation)
        self._check_spared(observation)
        self._check_lag(observation)
        self._check_prompt(observation)

    def ignore_deaths(self, observation: Observation) -> None:
        """Ignore the deaths before the storm."""
        self._deaths |= {(actor, token) for actor, token, _ in observation.deaths}

    def _excuses(self, at: float) -> list[Window]:
        return [window for window in self._windows if window.covers(at, self._pace)]

    def _check_fresh(self, observation: Observation) -> None:
        if observation.ages_s is None:
            return
        self.checks["fresh"] += 1
        excuses = self._excuses(observation.at)
        for coin, age in observation.ages_s.items():
            group = self._group_of[coin]
            excused = any(w.hits(w.planned.kind.stale, group) for w in excuses)
            worst_s = self.worst_hit_s if excused else self.worst_s
            worst_s[group] = max(worst_s[group], age)
            stale = age > STALE_S and not excused
            if stale and not self._stale.get(group):
                self.report(
                    "fresh",
                    observation.at,
                    f"{coin} of {group} is {age:.1f} s old; {_during(excuses)}",
                )
                self._stale[group] = True
            elif age <= STALE_S:
                self._stale.pop(group, None)

    def _check_told(self, observation: Observation) -> None:
        for window in self._windows:
            seen_s = window.planned.kind.seen(self._pace)
            if seen_s is None or window.shown_s is not None or "told" in window.reported:
                continue
            limit = window.begun + seen_s
            if observation.at >= window.begun and _shows(observation, window):
                window.shown_s = observation.at - window.begun
                self.checks["told"] += 1
            elif observation.at > limit and not window.was_over_by(limit):
                window.reported.add("told")
                self.report(
                    "told",
                    observation.at,
                    f"{seen_s:.0f} s after {window.name} /health says {observation.health}: "
                    f"{'; '.join(observation.problems[:3]) or 'no problem'}",
                )

    def _check_healed(self, observation: Observation) -> None:
        late = [w for w in self._windows if w.well is None and observation.at > w.due(self._pace)]
        for window in late:
            if "healed" not in window.reported and not observation.is_well:
                window.reported.add("healed")
                self.report(
                    "healed",
                    observation.at,
                    f"not well in time after {window.name}: {_unwell(observation)}",
                )

    def _check_calm(self, observation: Observation) -> None:
        if self._excuses(observation.at) or self._any_unhealed():
            self._uneasy_since = None
            return
        self.checks["calm"] += 1
        if observation.is_well:
            self._uneasy_since = None
        elif self._uneasy_since is None:
            self._uneasy_since = observation.at
        elif observation.at - self._uneasy_since > UNPROVOKED_S:
            self.report("calm", observation.at, f"{_unwell(observation)}; without a fault")
            self._uneasy_since = float("inf")

    def _check_echo(self, observation: Observation) -> None:
        if not observation.is_echo:
            self._echo_since = None
        elif self._echo_since is None:
            self._echo_since = observation.at
        elif observation.at - self._echo_since > ECHO_S:
            self.report("healed", observation.at, f"for {ECHO_S:.0f} s: {_unwell(observation)}")
            self._echo_since = float("inf")

    def _any_unhealed(self) -> bool:
        """Return whether the platform has not recovered from a fault yet, overdue or not."""
        return any(window.well is None for window in self._windows)

    def _check_spared(self, observation: Observation) -> None:
        self.checks["spared"] += 1
        excuses = self._excuses(observation.at)
        for actor, token, cause in observation.deaths:
            if (actor, token) in self._deaths:
                continue
            self._deaths.add((actor, token))
            self.deaths[actor] = self.deaths.get(actor, 0) + 1
            if not any(window.kills(actor) for window in excuses):
                self.report("spared", observation.at, f"{actor} died: {cause}; {_during(excuses)}")

    def _check_lag(self, observation: Observation) -> None:
        if self._excuses(observation.at) or self._any_unhealed():
            return
        self.checks["lag"] += 1
        self.worst_lag_s = max(self.worst_lag_s, *observation.lags_s.values(), 0.0)
        late = {name: f"{s:.1f} s" for name, s in observation.lags_s.items() if s > LAG_S}
        if late and not self._is_late:
            self.report("lag", observation.at, f"event loops late: {late}")
        self._is_late = bool(late)

    def _check_prompt(self, observation: Observation) -> None:
        """Check each close once, unless a fault came between it and its signals."""
        age_s = observation.close_age_s
        if age_s is None:
            return
        closed_at = observation.at - age_s
        if any(w.overlaps(closed_at, observation.at, self._pace) for w in self._windows):
            return
        if observation.is_close_missing:
            self.worst_close_s = max(self.worst_close_s, age_s)
        if age_s <= PROMPT_S or closed_at - self._close_checked_at < STALE_S:
            return
        self._close_checked_at = closed_at
        self.checks["prompt"] += 1
        if observation.is_close_missing:
            self.report(
                "prompt", observation.at, f"{age_s:.0f} s after a close signals are missing"
            )


def _shows(observation: Observation, window: Window) -> bool:
    """Return whether `/health` shows a fault: names what is broken, or does not answer."""
    if observation.health is None:
        return True
    wanted = [re.escape(window.planned.victim), window.planned.kind.named]
    return observation.health != "ok" and all(
        any(re.search(pattern, text) for text in observation.problems)
        for pattern in wanted
        if pattern
    )


def _during(excuses: Sequence[Window]) -> str:
    return f"during {', '.join(w.name for w in excuses)}" if excuses else "in a quiet time"


def _unwell(observation: Observation) -> str:
    parts = [f"/health says {observation.health or 'nothing'}", *observation.problems[:4]]
    if observation.states is None:
        parts.append("the supervisor does not answer")
    else:
        unready = [
            f"{name} is {state}" for name, state in observation.states.items() if state != "ready"
        ]
        parts += unready[:4]
    if observation.ages_s is None:
        parts.append("Redis cannot be read")
    else:
        oldest = max(observation.ages_s.items(), key=lambda each: each[1], default=("", 0.0))
        if oldest[1] > STALE_S:
            parts.append(f"{oldest[0]} is {oldest[1]:.0f} s old")
    return "; ".join(parts)


@dataclass(slots=True, kw_only=True)
class Command:
    """One control command. Times are seconds since the start."""

    id: str
    text: str
    sent: float
    accepted: float | None = None
    finished: float | None = None
    outcome: str = ""


def overdue(
    command: Command, windows: Sequence[Window], now: float, patience_s: float = COMMAND_S
) -> bool:
    """Return whether an accepted command has waited too long for its outcome.

    Time with a Redis fault does not count. A killed supervisor leaves its command without an
    outcome; the sender must repeat it.
    """
    if command.accepted is None or command.finished is not None:
        return False
    since = command.accepted
    for window in windows:
        end = now if window.ended is None else window.ended
        if end < command.accepted or window.begun > now:
            continue
        if window.planned.kind.name in ("supervisor-kill", "two-supervisors"):
            return False
        if window.planned.kind.hits_redis:
            since = max(since, end)
    return now - since > patience_s
