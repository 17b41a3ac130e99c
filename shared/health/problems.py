"""Problems: each has a text, and a key that stays the same while ages and counts in it change.

The alerts actor needs the key to report a problem once, and again when it is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from shared.clock import seconds_since
from shared.messages.actors import NotedProblem

# Kinds with the same part before the first hyphen share a key; docs/runbook.md has them all.
ProblemKind = Literal[
    "redis-down",
    "redis-full",
    "redis-refuses",
    "disk-stalled",
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
    "exchange-refused",
    "coin-trouble",
    "coin-silent",
    "coin-inputs",
    "strategy-trouble",
    "audit-beyond",
    "audit-missing",
    "messages-bad",
    "position-bare",
    "trader-silent",
    "trader-missed",
    "trader-locked",
    "trader-limit",
    "trader-trouble",
    "trader-journal",
    "account-silent",
    "account-trouble",
    "guest-silent",
    "guest-locked",
    "guest-trouble",
    "guest-unreadable",
    "guest-events",
    "health-silent",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong now.

    Attributes:
        kind: Its entry in the runbook.
        subject: The actor, coin or field concerned; "" if there is none.
        text: The message, ages included.
    """

    kind: ProblemKind
    subject: str
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def key(self) -> str:
        """The identity of the problem while it lasts.

        Shared by related kinds: an actor that starts, dies and is quarantined has one problem,
        not three.
        """
        return f"{self.kind.partition('-')[0]}:{self.subject}"


def redis_problem(status: str, since_ms: int, reason: str, now_ms: int) -> Problem | None:
    """Return what is wrong with Redis, whose state (of the bus) has lasted since `since_ms`."""
    lasted = f"{seconds_since(since_ms, now_ms):.0f} s"
    if status == "down":
        return Problem("redis-down", "", f"redis unreachable for {lasted}: {reason}")
    if status == "full":
        text = f"redis is full for {lasted}, nothing new can be written: {reason}"
        return Problem("redis-full", "", text)
    if status == "refuses":
        return Problem("redis-refuses", "", f"redis refuses to serve for {lasted}: {reason}")
    return None


_FOLLOWS_FROM_REDIS: frozenset[ProblemKind] = frozenset(
    {
        "supervisor-missing",
        "actor-missing",
        "actor-silent",
        "coin-silent",
        "coin-inputs",
        "audit-missing",
        "trader-silent",
        "trader-missed",
        "account-silent",
        "guest-silent",
    }
)


def follows_from_redis(problem: Problem) -> bool:
    """Return whether a problem is to be expected while Redis does not work."""
    is_about_it = problem.kind.startswith(("actor-", "messages-")) and "Redis at" in problem.text
    return is_about_it or problem.kind in _FOLLOWS_FROM_REDIS


def is_redis_problem(text: str) -> bool:
    """Return whether a text is one of `redis_problem`."""
    return text.startswith(("redis unreachable ", "redis is full ", "redis refuses to serve "))


def masked(text: str) -> str:
    """Return a text without its numbers, as the subject of a problem that has no other."""
    return re.sub(r"\d+", "#", text)


def noted(
    problems: Iterable[Problem], before: Iterable[NotedProblem], now_ms: int
) -> list[NotedProblem]:
    """Return the problems as they are published, each with the time since when it has lasted."""
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
