"""What can be wrong: each problem with its words, and an identity that stays when they change.

A problem's words hold ages and counts; who tells people of it once, and again when it is over,
needs to know that it is still the same one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from shared.clock import seconds_since
from shared.messages.actors import NotedProblem

# The part before the first hyphen says whose story it is; docs/runbook.md has an entry for each.
ProblemKind = Literal[
    "redis-down",
    "redis-full",
    "platform-starting",
    "platform-empty",
    "platform-clock",
    "supervisor-missing",
    "supervisor-trouble",
    "actor-missing",
    "actor-starting",
    "actor-stalled",
    "actor-stopping",
    "actor-stopped",
    "actor-backoff",
    "actor-quarantined",
    "actor-silent",
    "actor-retrying",
    "exchange-ban",
    "coin-trouble",
    "coin-silent",
    "coin-inputs",
    "audit-beyond",
    "audit-missing",
    "messages-bad",
    "position-bare",
    "trader-silent",
    "trader-locked",
    "trader-limit",
    "trader-trouble",
    "account-silent",
    "account-trouble",
    "health-silent",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong now.

    Attributes:
        kind: Which entry of the runbook speaks of it.
        subject: Whom it concerns: an actor, a coin, a field; "" where the kind says it all.
        text: The whole of it for a person, ages included.
    """

    kind: ProblemKind
    subject: str
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def key(self) -> str:
        """Return what stays the same from its first word to its last, whatever the numbers say.

        Kinds of one story share it: an actor that starts, dies and is quarantined has one
        problem, not three.
        """
        return f"{self.kind.partition('-')[0]}:{self.subject}"


def redis_problem(status: str, since_ms: int, reason: str, now_ms: int) -> Problem | None:
    """Return what is wrong with Redis, which is `up`, `down` or `full` since `since_ms`."""
    lasted = f"{seconds_since(since_ms, now_ms):.0f} s"
    if status == "down":
        return Problem("redis-down", "", f"redis unreachable for {lasted}: {reason}")
    if status == "full":
        text = f"redis is full for {lasted}, nothing new can be written: {reason}"
        return Problem("redis-full", "", text)
    return None


def masked(text: str) -> str:
    """Return words without their numbers, for a problem that has no other subject."""
    return re.sub(r"\d+", "#", text)


def noted(
    problems: Iterable[Problem], before: Iterable[NotedProblem], now_ms: int
) -> list[NotedProblem]:
    """Return the problems as they travel, each with the time it was first seen without a break."""
    since: Mapping[str, int] = {problem.key: problem.since_ms for problem in before}
    return [
        NotedProblem(
            key=problem.key,
            kind=problem.kind,
            text=problem.text,
            since_ms=min(now_ms, since.get(problem.key, now_ms)),
        )
        for problem in once_each(problems)
    ]


def once_each(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield the first problem of each key."""
    seen: set[str] = set()
    for problem in problems:
        if problem.key not in seen:
            seen.add(problem.key)
            yield problem
