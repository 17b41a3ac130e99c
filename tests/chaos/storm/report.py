"""The report of a storm: as text for people, as JSON for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.chaos.storm.bounds import Slope
from tests.chaos.storm.invariants import RULES, Breach, Command, Window


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Results of a storm, summed over its scenes."""

    seed: int
    seconds: float
    windows: list[Window] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)
    worst_s: dict[str, float] = field(default_factory=dict)
    worst_hit_s: dict[str, float] = field(default_factory=dict)
    worst_lag_s: float = 0.0
    worst_close_s: float = 0.0
    deaths: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    commands: list[Command] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    slopes: list[Slope] = field(default_factory=list)

    @property
    def held(self) -> bool:
        return not self.breaches


def recoveries(windows: Sequence[Window]) -> Mapping[str, list[float]]:
    """Return the seconds from the end of each fault to recovery, by kind."""
    found: dict[str, list[float]] = defaultdict(list)
    for window in windows:
        if window.ended is not None and window.well is not None:
            found[window.planned.kind.name].append(window.well - window.ended)
    return found


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)]


def as_text(outcome: Outcome) -> str:
    """Return the report for people."""
    return "\n".join(_lines(outcome)) + "\n"


def _lines(outcome: Outcome) -> Iterator[str]:
    found = recoveries(outcome.windows)
    counts = Counter(window.planned.kind.name for window in outcome.windows)
    yield (
        f"Storm of seed {outcome.seed}: {len(outcome.windows)} faults in {outcome.seconds:.0f} s"
    )
    yield ""
    yield f"{'fault':18} {'times':>5}   {'well again after: median':>24} {'p95':>8} {'worst':>8}"
    for name, count in sorted(counts.items()):
        times = found.get(name)
        figures = (
            f"{median(times):22.1f} s {p95(times):6.1f} s {max(times):6.1f} s"
            if times
            else f"{'never':>24}"
        )
        yield f"{name:18} {count:5}   {figures}"
    for skipped in outcome.skipped:
        yield f"not done: {skipped}"
    yield ""
    yield "Worst staleness of each group, and while a fault excused it (a clock step adds 3600 s):"
    for name, age in sorted(outcome.worst_s.items()):
        yield f"  {name:24} {age:6.1f} s {outcome.worst_hit_s[name]:8.1f} s"
    yield (
        f"Without a fault: worst event-loop lag {outcome.worst_lag_s:.2f} s, "
        f"worst time from a close to the last coin's signal {outcome.worst_close_s:.1f} s"
    )
    yield ""
    yield "Restarts (deaths): " + (
        ", ".join(
            f"{name} {count} ({outcome.deaths[name]})"
            for name, count in sorted(outcome.restarts.items())
            if count
        )
        or "none"
    )
    ends = Counter(_ending(command) for command in outcome.commands)
    yield "Control commands: " + (", ".join(f"{n} {what}" for what, n in ends.items()) or "none")
    yield from outcome.notes
    for slope in outcome.slopes:
        yield (
            f"  {slope.name:34} {slope.first:9.1f} -> {slope.last:9.1f} {slope.unit:3}"
            f"{slope.per_hour:+10.2f} per hour"
        )
    yield ""
    broken = Counter(breach.rule for breach in outcome.breaches)
    for rule, words in RULES.items():
        checks = outcome.checks[rule]
        verdict = f"BROKEN {broken[rule]}x" if broken[rule] else "held" if checks else "not tried"
        yield f"{verdict:12} {rule:9} {words} ({checks} checks)"
    if outcome.breaches:
        yield ""
        yield "Evidence:"
        for breach in outcome.breaches:
            yield f"  at {breach.at:7.1f} s  {breach.rule}: {breach.evidence}"


def _finite(ages: Mapping[str, float]) -> dict[str, float | None]:
    return {name: age if age < float("inf") else None for name, age in ages.items()}


def _ending(command: Command) -> str:
    if command.finished is not None:
        return command.outcome
    if command.outcome:
        return "not sent"
    return "never accepted" if command.accepted is None else "accepted, without an outcome"


def as_plain(outcome: Outcome) -> dict[str, Any]:
    """Return the report for programs."""
    return {
        "seed": outcome.seed,
        "seconds": round(outcome.seconds, 1),
        "held": outcome.held,
        "faults": [
            {
                "number": window.planned.number,
                "kind": window.planned.kind.name,
                "way": window.planned.way,
                "victim": window.planned.victim,
                "also": window.planned.also.text() if window.planned.also else "",
                "begun_s": window.begun,
                "ended_s": window.ended,
                "well_s": window.well,
                "told_after_s": window.shown_s,
            }
            for window in outcome.windows
        ],
        "recovery_s": {
            kind: {"median": median(t), "p95": p95(t), "worst": max(t), "times": len(t)}
            for kind, t in recoveries(outcome.windows).items()
        },
        "worst_staleness_s": _finite(outcome.worst_s),
        "worst_staleness_excused_s": _finite(outcome.worst_hit_s),
        "worst_lag_s": outcome.worst_lag_s,
        "worst_close_s": outcome.worst_close_s,
        "deaths": dict(outcome.deaths),
        "restarts": dict(outcome.restarts),
        "checks": dict(outcome.checks),
        "skipped": outcome.skipped,
        "breaches": [
            {"rule": breach.rule, "at_s": breach.at, "evidence": breach.evidence}
            for breach in outcome.breaches
        ],
    }
