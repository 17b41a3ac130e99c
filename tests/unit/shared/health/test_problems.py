"""What stays the same of a problem while its words change, and since when it has been there."""

from __future__ import annotations

from typing import get_args

from shared.health.problems import Problem, ProblemKind, masked, noted

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


def test_kinds_are_story_and_stage() -> None:
    assert all(kind.count("-") == 1 for kind in get_args(ProblemKind))
