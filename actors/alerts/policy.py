"""When to alert on a problem and on its end. Pure: from one AlertLog to the next.

A problem is alerted on once it has lasted, repeated at intervals, and its end is reported once it
has stayed away; one check makes one message. One that comes back within an hour is reported as
such and then counted, until it has been gone for an hour. Beyond the hourly cap, of which a part is
kept for grave problems, lines are held back and summed up in the next message.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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

RESERVE = 4
"""One of so many messages of an hour is kept for grave problems."""

_GRAVE = ("redis-", "health-silent", "supervisor-missing", "platform-empty", "position-bare",
          "trader-silent", "trader-missed", "trader-locked", "guest-silent",
          "guest-locked")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertedProblem:
    """A problem that was alerted on.

    Attributes:
        text: As sent.
        told_ms: When it was last sent.
        gone_ms: Since when it has been gone; None while it is present.
        is_over: Its end was sent; remembered for an hour, in case it comes back.
        times: How often it has come.
        told_times: Of these, how many have been sent.
    """

    key: str
    kind: str
    text: str
    since_ms: int
    told_ms: int
    gone_ms: int | None = None
    is_over: bool = False
    times: int = 1
    told_times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLog:
    """What was sent; persisted, so that a new process does not repeat it.

    Attributes:
        told: Open problems.
        sent_ms: Times of the last hour's messages.
        held: Lines held back since `held_since_ms`, the first `HELD_SHOWN`, grave ones first.
        held_grave: How many of these are grave.
        held_count: All lines held back.
    """

    told: list[AlertedProblem] = field(default_factory=list)
    sent_ms: list[int] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    held_grave: int = 0
    held_count: int = 0
    held_since_ms: int = 0
    v: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message.

    Attributes:
        tries: How often it was sent and perhaps delivered.
        due_ms: When it is sent again, if `tries` is not 0.
    """

    title: str
    body: str
    at_ms: int
    grave: bool = False
    tries: int = 0
    due_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One event. `text` is the line in the message."""

    event: Literal["new", "again", "still", "ended"]
    text: str
    grave: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The problems at one moment.

    Attributes:
        whole: False when health is unknown: problems not listed may persist.
        down: The platform as a whole is down: whatever begins now is grave.
    """

    problems: Sequence[NotedProblem]
    whole: bool
    mode: str
    down: bool = False


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
    down = note.status == "down"
    return Observation(problems=note.problems, whole=True, mode=mode, down=down)


def _partial(problem: Problem, since_ms: int, mode: str) -> Observation:
    noted = NotedProblem(key=problem.key, kind=problem.kind, text=problem.text, since_ms=since_ms)
    return Observation(problems=(noted,), whole=False, mode=mode)


def next_alert(
    log: AlertLog, observation: Observation, now_ms: int, settings: AlertsSection
) -> tuple[AlertLog, Alert | None]:
    """Return the next log, and the message to send, if any."""
    sent_ms = [at_ms for at_ms in log.sent_ms if 0 <= now_ms - at_ms < HOUR_MS]
    cap = settings.max_per_hour
    ordinary_cap = max(1, cap - max(1, cap // RESERVE))
    has_room = len(sent_ms) < ordinary_cap
    alerted, lines = _events(log.told, observation, now_ms, settings, repeats=has_room)
    lines.sort(key=lambda line: not line.grave)
    log = dataclasses.replace(log, told=alerted, sent_ms=sent_ms)
    if not has_room:
        urgent = [line for line in lines if line.grave]
        if not (urgent or log.held_grave) or len(sent_ms) >= cap:
            return _hold_back(log, lines, now_ms), None
    if not lines and not log.held_count:
        return log, None
    sent_ms = [*sent_ms, now_ms]
    alert = _message(log, lines, observation.mode, now_ms)
    if len(sent_ms) in (ordinary_cap, cap):
        room = utc_text(sent_ms[0] + HOUR_MS)
        only = "only grave problems are sent" if len(sent_ms) < cap else "nothing is sent"
        note = f"This was message {len(sent_ms)} within an hour: {only} before {room}."
        alert = dataclasses.replace(alert, body=f"{alert.body}\n\n{note}")
    emptied = dataclasses.replace(
        log, sent_ms=sent_ms, held=[], held_count=0, held_grave=0, held_since_ms=0
    )
    return emptied, alert


def _is_grave(problem: NotedProblem, observation: Observation) -> bool:
    return observation.down or problem.kind.startswith(_GRAVE)


def _events(
    before: Sequence[AlertedProblem],
    observation: Observation,
    now_ms: int,
    settings: AlertsSection,
    *,
    repeats: bool,
) -> tuple[list[AlertedProblem], list[_Line]]:
    """Return the open problems, and a line for each event to send."""
    present: Mapping[str, NotedProblem] = {problem.key: problem for problem in observation.problems}
    known = {problem.key for problem in before}
    alerted: list[AlertedProblem] = []
    lines: list[_Line] = []
    for problem in present.values():
        if problem.key not in known and _has_lasted(problem, now_ms, settings):
            alerted.append(
                AlertedProblem(
                    key=problem.key,
                    kind=problem.kind,
                    text=_cut(problem.text),
                    since_ms=problem.since_ms,
                    told_ms=now_ms,
                )
            )
            text = _line("PROBLEM", problem.text, problem, now_ms)
            lines.append(_Line(event="new", text=text, grave=_is_grave(problem, observation)))
    is_due = repeats and any(
        old.key in present and _repeat_due(old, now_ms, settings, early_ms=0) for old in before
    )
    for old in before:
        now = present.get(old.key)
        after: AlertedProblem | None
        if now is not None:
            after, line = _still_there(old, now, observation, now_ms, settings, is_due=is_due)
        else:
            after, line = _not_there(old, observation, now_ms, settings)
        if after is not None and line is None and repeats:
            after, line = _counted(after, now_ms)
        alerted += [after] if after is not None else []
        lines += [line] if line is not None else []
    return alerted, lines


def _has_lasted(problem: NotedProblem, now_ms: int, settings: AlertsSection) -> bool:
    return now_ms - problem.since_ms >= 1000 * settings.after_s


def _repeat_due(
    old: AlertedProblem, now_ms: int, settings: AlertsSection, *, early_ms: float
) -> bool:
    repeat_ms = 60_000 * settings.repeat_min
    return bool(repeat_ms) and not old.is_over and now_ms - old.told_ms >= repeat_ms - early_ms


def _still_there(
    old: AlertedProblem,
    now: NotedProblem,
    observation: Observation,
    now_ms: int,
    settings: AlertsSection,
    *,
    is_due: bool,
) -> tuple[AlertedProblem, _Line | None]:
    """Return a problem that is present, and the line about it, if any.

    Args:
        is_due: Another one is repeated now: one that is due within the hour comes along.
    """
    latest: dict[str, Any] = {"kind": now.kind, "text": _cut(now.text), "told_ms": now_ms}
    if old.is_over:
        if not _has_lasted(now, now_ms, settings):
            return old, None
        back = dataclasses.replace(
            old,
            **latest,
            since_ms=now.since_ms,
            gone_ms=None,
            is_over=False,
            times=2,
            told_times=2,
        )
        text = _line("AGAIN within an hour,", now.text, now, now_ms)
        return back, _Line(event="again", text=text, grave=_is_grave(now, observation))
    gone_ms = now_ms - old.gone_ms if old.gone_ms is not None else 0
    came_back = gone_ms > 0 and gone_ms >= 1000 * settings.after_s
    old = dataclasses.replace(old, gone_ms=None, times=old.times + came_back)
    early_ms = min(HOUR_MS, 30_000 * settings.repeat_min)
    if not is_due or not _repeat_due(old, now_ms, settings, early_ms=early_ms):
        return old, None
    text = _line("STILL", now.text, old, now_ms)
    told = dataclasses.replace(old, **latest, told_times=old.times)
    return told, _Line(event="still", text=text + _times(old))


def _not_there(
    old: AlertedProblem, observation: Observation, now_ms: int, settings: AlertsSection
) -> tuple[AlertedProblem | None, _Line | None]:
    """Return a problem that is not seen, None when it is forgotten, and its line, if any."""
    if not observation.whole:
        return old, None
    gone_ms = now_ms if old.gone_ms is None else old.gone_ms
    gone = dataclasses.replace(old, gone_ms=gone_ms)
    if old.is_over:
        return (gone if now_ms - gone_ms < HOUR_MS else None), None
    away_ms = HOUR_MS if old.times > 1 else 1000 * settings.after_s
    if now_ms - gone_ms < away_ms or (old.gone_ms is None and away_ms):
        return gone, None
    line = _Line(event="ended", text=_ended(old, gone_ms)) if settings.resolved else None
    after = None if old.times > 1 else dataclasses.replace(gone, is_over=True)
    return after, line


def _counted(problem: AlertedProblem, now_ms: int) -> tuple[AlertedProblem, _Line | None]:
    """Return a problem and how often it came back, if an hour has passed since it was sent."""
    more = problem.times - problem.told_times
    if not more or now_ms - problem.told_ms < HOUR_MS:
        return problem, None
    state = "there now" if problem.gone_ms is None else "gone now"
    since = utc_text(problem.told_ms)
    text = f"AGAIN {more} times since {since}, {state} ({problem.kind}): {problem.text}"
    told = dataclasses.replace(problem, told_ms=now_ms, told_times=problem.times)
    return told, _Line(event="again", text=text)


def _hold_back(log: AlertLog, lines: Sequence[_Line], now_ms: int) -> AlertLog:
    if not lines:
        return log
    grave = [line.text for line in lines if line.grave]
    others = [line.text for line in lines if not line.grave]
    held = [*log.held[: log.held_grave], *grave, *log.held[log.held_grave :], *others]
    return dataclasses.replace(
        log,
        held=held[:HELD_SHOWN],
        held_count=log.held_count + len(lines),
        held_grave=min(HELD_SHOWN, log.held_grave + len(grave)),
        held_since_ms=log.held_since_ms or now_ms,
    )


def _message(log: AlertLog, lines: Sequence[_Line], mode: str, now_ms: int) -> Alert:
    events = [line.event for line in lines]
    counts = [
        (events.count("new"), "problem", "problems"),
        (events.count("again"), "came back", "came back"),
        (events.count("still"), "problem goes on", "problems go on"),
        (events.count("ended"), "ended", "ended"),
        (log.held_count, "held back", "held back"),
    ]
    summary = ", ".join(
        f"{count} {one if count == 1 else many}" for count, one, many in counts if count
    )
    parts = _listed([line.text for line in lines])
    if log.held_count:
        since = utc_text(log.held_since_ms)
        parts.append(f"HELD BACK since {since}, more than may be sent in an hour:")
        parts += _listed(log.held, log.held_count)
    is_open = sum(problem.gone_ms is None for problem in log.told)
    parts.append(f"Open now: {is_open}. Told {utc_text(now_ms)}.")
    return Alert(
        title=f"coinex {mode}: {summary}",
        body="\n\n".join(parts),
        at_ms=now_ms,
        grave=bool(log.held_grave) or any(line.grave for line in lines),
    )


def _listed(lines: Sequence[str], count: int | None = None) -> list[str]:
    left = (len(lines) if count is None else count) - min(len(lines), SHOWN)
    return [*lines[:SHOWN], *([f"... and {left} more: see /health."] if left else [])]


def _line(word: str, text: str, since: NotedProblem | AlertedProblem, now_ms: int) -> str:
    lasted = _duration(now_ms - since.since_ms)
    return f"{word} for {lasted}, since {utc_text(since.since_ms)} ({since.kind}): {_cut(text)}"


def _ended(problem: AlertedProblem, gone_ms: int) -> str:
    lasted = _duration(gone_ms - problem.since_ms)
    ended = f"ENDED {utc_text(gone_ms)} after {lasted}{_times(problem)} ({problem.kind})"
    return f"{ended}. It was: {problem.text}"


def _times(problem: AlertedProblem) -> str:
    return f"; it came {problem.times} times" if problem.times > 1 else ""


def _cut(text: str) -> str:
    return shortened(text, SHOWN_TEXT)


def _duration(milliseconds: int) -> str:
    seconds = max(0, milliseconds) // 1000
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
