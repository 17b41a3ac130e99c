"""When to alert on a problem and on its end. Pure: from one AlertLog to the next.

A problem is alerted on once it has lasted, repeated at intervals, and its end is reported once it
has stayed away; one check makes one message. Beyond the hourly cap lines are held back and
summed up in the next message.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.clock import utc_text
from shared.config.sections import AlertsSection
from shared.errors import shortened
from shared.health.problems import Problem, redis_problem
from shared.messages.actors import HealthNote, NotedProblem

HOUR_MS = 3_600_000
SILENT_S = 15.0
"""Age of health's report, published every second, from which health counts as silent."""

SHOWN = 10
"""Problems listed in one message; services truncate long ones."""

SHOWN_TEXT = 300
HELD_SHOWN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertedProblem:
    """A problem that was alerted on.

    Attributes:
        text: As sent.
        told_ms: When it was last sent.
        gone_ms: Since when it has been gone; None while it is present.
    """

    key: str
    kind: str
    text: str
    since_ms: int
    told_ms: int
    gone_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLog:
    """What was sent; persisted, so that a new process does not repeat it.

    Attributes:
        told: Open problems.
        sent_ms: Times of the last hour's messages.
        held: Lines held back since `held_since_ms`, the first `HELD_SHOWN`.
        held_count: All lines held back.
    """

    told: list[AlertedProblem] = field(default_factory=list)
    sent_ms: list[int] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    held_count: int = 0
    held_since_ms: int = 0
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    title: str
    body: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The problems at one moment.

    Attributes:
        whole: False when health is unknown: problems not listed may persist.
    """

    problems: Sequence[NotedProblem]
    whole: bool
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BusState:
    """The bus as the alerts actor's own connection sees it.

    Attributes:
        status: Of Redis, unchanged since `since_ms`.
        began_ms: When the actor started.
    """

    status: str
    since_ms: int
    reason: str
    began_ms: int


def observe(note: HealthNote | None, bus: BusState, mode: str, now_ms: int) -> Observation:
    """Return the problems health reports, or that health or Redis does not answer."""
    problem = redis_problem(bus.status, bus.since_ms, bus.reason, now_ms)
    if problem is not None:
        return _partial(problem, bus.since_ms, mode)
    last_ms = note.at_ms if note is not None else 0
    # After an outage or a start health gets its full time again.
    since_ms = max(last_ms, bus.since_ms, bus.began_ms)
    silent_s = (now_ms - since_ms) / 1000
    if silent_s > SILENT_S:
        last = f"since {utc_text(last_ms)}" if last_ms else "yet"
        problem = Problem(
            "health-silent",
            "",
            f"health has not said how the platform is {last}, {silent_s:.0f} s: "
            "what else is wrong is not known",
        )
        return _partial(problem, since_ms, mode)
    if note is None or now_ms - note.at_ms > SILENT_S * 1000:
        return Observation(problems=(), whole=False, mode=mode)
    return Observation(problems=note.problems, whole=True, mode=mode)


def _partial(problem: Problem, since_ms: int, mode: str) -> Observation:
    noted = NotedProblem(key=problem.key, kind=problem.kind, text=problem.text, since_ms=since_ms)
    return Observation(problems=(noted,), whole=False, mode=mode)


def next_alert(
    log: AlertLog, observation: Observation, now_ms: int, settings: AlertsSection
) -> tuple[AlertLog, Alert | None]:
    """Return the next log, and the message to send, if any."""
    sent_ms = [at_ms for at_ms in log.sent_ms if 0 <= now_ms - at_ms < HOUR_MS]
    has_room = len(sent_ms) < settings.max_per_hour
    alerted, lines = _events(log.told, observation, now_ms, settings, repeats=has_room)
    log = dataclasses.replace(log, told=alerted, sent_ms=sent_ms)
    if not has_room:
        return _hold_back(log, [line for _, line in lines], now_ms), None
    if not lines and not log.held_count:
        return log, None
    sent_ms = [*sent_ms, now_ms]
    alert = _message(log, lines, observation.mode, now_ms)
    if len(sent_ms) == settings.max_per_hour:
        again = utc_text(sent_ms[0] + HOUR_MS)
        cap = f"This was message {len(sent_ms)} within an hour: the next comes after {again}."
        alert = dataclasses.replace(alert, body=f"{alert.body}\n\n{cap}")
    emptied = dataclasses.replace(log, sent_ms=sent_ms, held=[], held_count=0, held_since_ms=0)
    return emptied, alert


def _events(
    before: Sequence[AlertedProblem],
    observation: Observation,
    now_ms: int,
    settings: AlertsSection,
    *,
    repeats: bool,
) -> tuple[list[AlertedProblem], list[tuple[str, str]]]:
    """Return the open problems, and a (word, line) for each event to send."""
    present: Mapping[str, NotedProblem] = {problem.key: problem for problem in observation.problems}
    known = {problem.key for problem in before}
    alerted: list[AlertedProblem] = []
    lines: list[tuple[str, str]] = []
    for problem in present.values():
        if problem.key not in known and now_ms - problem.since_ms >= 1000 * settings.after_s:
            alerted.append(
                AlertedProblem(
                    key=problem.key,
                    kind=problem.kind,
                    text=_cut(problem.text),
                    since_ms=problem.since_ms,
                    told_ms=now_ms,
                )
            )
            lines.append(("new", _line("PROBLEM", problem.text, problem, now_ms)))
    for old in before:
        now = present.get(old.key)
        if now is not None:
            is_due = settings.repeat_min and now_ms - old.told_ms >= 60_000 * settings.repeat_min
            if is_due and repeats:
                lines.append(("still", _line("STILL", now.text, old, now_ms)))
                alerted.append(
                    dataclasses.replace(
                        old, kind=now.kind, text=_cut(now.text), told_ms=now_ms, gone_ms=None
                    )
                )
            else:
                alerted.append(dataclasses.replace(old, gone_ms=None))
        elif not observation.whole:
            alerted.append(old)
        elif old.gone_ms is None and settings.after_s:
            alerted.append(dataclasses.replace(old, gone_ms=now_ms))
        elif now_ms - (old.gone_ms or now_ms) < 1000 * settings.after_s:
            alerted.append(old)
        elif settings.resolved:
            lines.append(("ended", _ended(old, old.gone_ms or now_ms)))
    return alerted, lines


def _hold_back(log: AlertLog, lines: Sequence[str], now_ms: int) -> AlertLog:
    if not lines:
        return log
    return dataclasses.replace(
        log,
        held=[*log.held, *lines][:HELD_SHOWN],
        held_count=log.held_count + len(lines),
        held_since_ms=log.held_since_ms or now_ms,
    )


def _message(log: AlertLog, lines: Sequence[tuple[str, str]], mode: str, now_ms: int) -> Alert:
    words = [word for word, _ in lines]
    counts = [
        (words.count("new"), "problem", "problems"),
        (words.count("still"), "problem goes on", "problems go on"),
        (words.count("ended"), "ended", "ended"),
        (log.held_count, "held back", "held back"),
    ]
    summary = ", ".join(
        f"{count} {one if count == 1 else many}" for count, one, many in counts if count
    )
    parts = _listed([line for _, line in lines])
    if log.held_count:
        since = utc_text(log.held_since_ms)
        parts.append(f"HELD BACK since {since}, more than may be sent in an hour:")
        parts += _listed(log.held, log.held_count)
    is_open = sum(problem.gone_ms is None for problem in log.told)
    parts.append(f"Open now: {is_open}. Told {utc_text(now_ms)}.")
    return Alert(title=f"coinex {mode}: {summary}", body="\n\n".join(parts), at_ms=now_ms)


def _listed(lines: Sequence[str], count: int | None = None) -> list[str]:
    left = (len(lines) if count is None else count) - min(len(lines), SHOWN)
    return [*lines[:SHOWN], *([f"... and {left} more: see /health."] if left else [])]


def _line(word: str, text: str, since: NotedProblem | AlertedProblem, now_ms: int) -> str:
    lasted = _duration(now_ms - since.since_ms)
    return f"{word} for {lasted}, since {utc_text(since.since_ms)} ({since.kind}): {_cut(text)}"


def _ended(problem: AlertedProblem, gone_ms: int) -> str:
    lasted = _duration(gone_ms - problem.since_ms)
    return f"ENDED {utc_text(gone_ms)} after {lasted} ({problem.kind}). It was: {problem.text}"


def _cut(text: str) -> str:
    return shortened(text, SHOWN_TEXT)


def _duration(milliseconds: int) -> str:
    seconds = max(0, milliseconds) // 1000
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
