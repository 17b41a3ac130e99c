"""What stays the same of a problem while its words change, and since when it has been there."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from shared.health.problems import Problem, ProblemKind, masked, noted
from shared.health.verdict import Limits, judge
from tests.support.problem_states import STATES, WELL

NOW_MS = 1_700_000_000_000


def ban(left_s: int) -> Problem:
    return Problem("exchange-ban", "", f"the exchange forbids all requests, another {left_s} s")


def test_a_problem_keeps_its_start_while_its_words_change() -> None:
    first = noted([ban(60)], [], NOW_MS)
    later = noted([ban(30)], first, NOW_MS + 30_000)
    assert [(p.key, p.since_ms) for p in later] == [("exchange:", NOW_MS)]
    assert later[0].text == str(ban(30)) != first[0].text


def test_a_problem_that_was_away_starts_anew() -> None:
    first = noted([ban(60)], [], NOW_MS)
    between = noted([], first, NOW_MS + 1000)
    again = noted([ban(58)], between, NOW_MS + 2000)
    assert again[0].since_ms == NOW_MS + 2000


def test_stages_of_one_story_are_one_problem() -> None:
    starting = Problem("actor-starting", "fetcher", "fetcher: starting for 3 s")
    dead = Problem("actor-quarantined", "fetcher", "fetcher: quarantined for 9 s")
    other = Problem("actor-quarantined", "scanner", "scanner: quarantined for 9 s")
    assert starting.key == dead.key != other.key
    since = noted([starting], [], NOW_MS)
    assert [p.since_ms for p in noted([dead, other], since, NOW_MS + 9000)] == [
        NOW_MS,
        NOW_MS + 9000,
    ]


def test_a_start_is_never_later_than_now_whatever_the_clock_did() -> None:
    first = noted([ban(60)], [], NOW_MS)
    assert noted([ban(60)], first, NOW_MS - 5000)[0].since_ms == NOW_MS - 5000


def test_each_problem_is_noted_once() -> None:
    assert len(noted([ban(2), ban(1)], [], NOW_MS)) == 1


def test_words_without_numbers_are_the_same_while_numbers_change() -> None:
    assert masked("fetcher: 12 log lines lost") == masked("fetcher: 3 log lines lost")


KEYS: dict[ProblemKind, list[str]] = {
    "redis-down": ["redis:"],
    "redis-full": ["redis:"],
    "redis-refuses": ["redis:"],
    "platform-starting": ["platform:"],
    "platform-empty": ["platform:"],
    "platform-clock": ["platform:clock"],
    "supervisor-missing": ["supervisor:"],
    "disk-stalled": ["disk:"],
    "supervisor-trouble": [
        "supervisor:fetcher: # log lines lost",
        "supervisor:the disk below /x is full",
    ],
    "actor-missing": [
        "actor:account",
        "actor:auditor",
        "actor:dashboard",
        "actor:fetcher",
        "actor:health",
        "actor:trader",
    ],
    "actor-starting": ["actor:dashboard", "actor:fetcher", "actor:health"],
    "actor-stalled": ["actor:fetcher"],
    "actor-stopping": ["actor:fetcher"],
    "actor-stopped": ["actor:fetcher"],
    "actor-backoff": ["actor:fetcher"],
    "actor-quarantined": ["actor:fetcher", "actor:health"],
    "actor-silent": ["actor:fetcher"],
    "actor-retrying": ["actor:fetcher"],
    "exchange-ban": ["exchange:"],
    "exchange-refused": ["exchange:", "exchange:streams"],
    "coin-trouble": ["coin:BTCUSDT", "coin:many, fetch failed: HTTP #"],
    "coin-silent": ["coin:ETHUSDT", "coin:SOLUSDT", "coin:XRPUSDT", "coin:many"],
    "coin-inputs": ["coin:BTCUSDT"],
    "audit-beyond": [
        "audit:field0",
        "audit:field1",
        "audit:field2",
        "audit:more fields",
        "audit:rsi",
    ],
    "audit-missing": ["audit:report"],
    "messages-bad": ["messages:dashboard", "messages:fetcher", "messages:health"],
    "position-bare": ["position:BTCUSDT"],
    "trader-silent": ["trader:word"],
    "trader-locked": ["trader:lock"],
    "trader-limit": ["trader:daily loss"],
    "trader-journal": ["trader:journal"],
    "strategy-trouble": ["strategy:trader"],
    "trader-trouble": ["trader:cycle"],
    "account-silent": ["account:"],
    "account-trouble": ["account:"],
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_are_those_that_alerts_remember_across_versions(kind: ProblemKind) -> None:
    found = set[str]()
    for change in (change for one, change in STATES if one == kind):
        problems = judge(replace(WELL, **change), NOW_MS, Limits()).found
        keys = {problem.key for problem in problems if problem.kind == kind}
        assert keys, change
        found |= keys
    assert sorted(found) == KEYS[kind]


def test_kinds_are_story_and_stage() -> None:
    assert all(kind.count("-") == 1 for kind in get_args(ProblemKind))
