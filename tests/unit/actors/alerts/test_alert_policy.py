"""When people are told: after how long, how often, how many, and what after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from actors.alerts.policy import (
    HOUR_MS,
    SHOWN,
    Alert,
    AlertLog,
    BusState,
    Observation,
    next_alert,
    observe,
)
from actors.alerts.state import AlertState
from shared import codec
from shared.config.sections import AlertsSection
from shared.health.problems import ProblemKind
from shared.messages.actors import HealthNote, NotedProblem

NOW_MS = 1_700_000_000_000
SETTINGS = AlertsSection(enabled=True, after_s=60, repeat_min=60, max_per_hour=4)
UP = BusState(status="up", since_ms=0, reason="", began_ms=0)


def problem(key: str = "actor:fetcher", since_ms: int = NOW_MS, text: str = "") -> NotedProblem:
    text = text or f"{key} is unwell for {since_ms % 1000} s"
    return NotedProblem(key=key, kind="actor-backoff", text=text, since_ms=since_ms)


def whole(*problems: NotedProblem) -> Observation:
    return Observation(problems=problems, whole=True, mode="demo")


class Story:
    """A book that is looked at second by second."""

    def __init__(self, settings: AlertsSection = SETTINGS) -> None:
        self.book, self.settings = AlertLog(), settings
        self.told: list[tuple[int, Alert]] = []

    def at(
        self, second: float, *problems: NotedProblem, seen: Observation | None = None
    ) -> Alert | None:
        now_ms = NOW_MS + int(second * 1000)
        self.book, alert = next_alert(self.book, seen or whole(*problems), now_ms, self.settings)
        if alert is not None:
            self.told.append((int(second), alert))
        return alert

    def every_second(self, seconds: Sequence[int], *problems: NotedProblem) -> None:
        for second in seconds:
            self.at(second, *problems)


def test_a_problem_is_told_once_it_has_lasted_and_only_once() -> None:
    story = Story()
    story.every_second(range(0, 600), problem())
    ((second, alert),) = story.told
    assert second == 60
    assert alert.title == "coinex demo: 1 problem"
    assert alert.body.startswith(
        "PROBLEM for 60 s, since 2023-11-14T22:13:20Z (actor-backoff): actor:fetcher is unwell"
    )


def test_a_problem_whose_words_change_every_second_is_still_the_same() -> None:
    story = Story()
    for second in range(600):
        story.at(second, problem(text=f"fetcher: backoff for {second} s"))
    assert [second for second, _ in story.told] == [60]


def test_a_short_problem_is_never_told() -> None:
    story = Story()
    story.every_second(range(59), problem())
    story.every_second(range(59, 600))
    assert story.told == [] and story.book == AlertLog()


def test_its_end_is_told_once_it_has_stayed_away_with_how_long_it_was() -> None:
    story = Story()
    story.every_second(range(120), problem())
    story.every_second(range(120, 600))
    (_, (second, alert)) = story.told
    assert (second, alert.title) == (180, "coinex demo: 1 ended")
    assert alert.body.startswith("ENDED 2023-11-14T22:15:20Z after 2 min (actor-backoff). It was:")
    assert "Open now: 0." in alert.body
    story.every_second(range(600, 4000, 100))
    assert story.book.told == [] and len(story.told) == 2


def test_no_end_is_told_when_nobody_wants_to_know() -> None:
    story = Story(AlertsSection(enabled=True, resolved=False))
    story.every_second(range(120), problem())
    story.every_second(range(120, 600))
    assert len(story.told) == 1 and story.book.told[0].is_over


def test_a_problem_that_comes_and_goes_is_told_once() -> None:
    story = Story()
    story.every_second(range(90), problem())
    for second in range(90, 900):
        story.at(second, *([problem(since_ms=NOW_MS + second * 1000)] if second % 40 < 5 else []))
    assert [second for second, _ in story.told] == [60]


def test_one_that_goes_on_is_told_again_after_its_time() -> None:
    story = Story()
    story.every_second(range(0, 3 * 3600, 10), problem())
    assert [second for second, _ in story.told] == [60, 3660, 7260]
    assert story.told[1][1].title == "coinex demo: 1 problem goes on"
    assert story.told[1][1].body.startswith("STILL for 61 min")


def test_repeat_of_zero_never_tells_again() -> None:
    story = Story(AlertsSection(enabled=True, repeat_min=0))
    story.every_second(range(0, 86_400, 60), problem())
    assert len(story.told) == 1


def test_all_of_one_look_is_one_message_and_the_many_are_counted() -> None:
    story = Story()
    problems = [problem(f"coin:C{number}") for number in range(SHOWN + 7)]
    story.every_second(range(100), *problems)
    ((_, alert),) = story.told
    assert alert.title == f"coinex demo: {SHOWN + 7} problems"
    assert alert.body.count("PROBLEM") == SHOWN
    assert "... and 7 more: see /health." in alert.body
    assert f"Open now: {SHOWN + 7}." in alert.body


def test_beyond_the_cap_messages_are_held_back_and_summed_up_when_there_is_room() -> None:
    story = Story()
    there: list[NotedProblem] = []
    for second in range(0, 3000):
        if second % 300 == 0:
            there.append(problem(f"actor:a{second}", since_ms=NOW_MS + second * 1000))
        story.at(second, *there)
    assert [second for second, _ in story.told] == [60, 360, 660]
    assert (
        "This was message 3 within an hour: only grave problems are sent before "
        "2023-11-14T23:14:20Z." in story.told[-1][1].body
    )
    assert story.book.held_count == 7
    for second in range(3000, 3700):
        story.at(second, *there)
    second, alert = story.told[3]
    assert second == 60 + HOUR_MS // 1000
    assert "7 held back" in alert.title
    assert "HELD BACK since 2023-11-14T22:29:20Z" in alert.body
    assert "actor:a2700 is unwell" in alert.body
    assert story.book.held_count == 0


def test_never_more_than_the_cap_within_any_hour_whatever_happens() -> None:
    story = Story(AlertsSection(enabled=True, after_s=0, repeat_min=1, max_per_hour=5))
    for second in range(0, 4 * 3600, 7):
        keys = [f"actor:a{n}" for n in range(9) if (second // (60 + 40 * n)) % 2]
        story.at(second, *(problem(key, since_ms=NOW_MS) for key in keys))
    times = [second for second, _ in story.told]
    assert len(times) > 10
    for first in times:
        assert sum(first <= second < first + 3600 for second in times) <= 5


def bare(second: int = 0) -> NotedProblem:
    text = "BTCUSDT: long position without a stop"
    at_ms = NOW_MS + second * 1000
    return NotedProblem(key="position:BTCUSDT", kind="position-bare", text=text, since_ms=at_ms)


def test_a_grave_problem_has_room_that_others_cannot_take() -> None:
    story = Story()
    there = [problem(f"actor:a{n}", since_ms=NOW_MS + n * 1000) for n in range(0, 1000, 100)]
    for second in range(1200):
        story.at(second, *(each for each in there if each.since_ms <= NOW_MS + second * 1000))
    assert len(story.told) == 3 and story.book.held_count == 7
    story.every_second(range(1200, 1300), *there, bare(1200))
    (_, _, _, (second, alert)) = story.told
    assert second == 1260 and alert.grave
    assert alert.body.startswith("PROBLEM for 60 s") and "without a stop" in alert.body
    assert "7 held back" in alert.title
    assert "This was message 4 within an hour: nothing is sent before" in alert.body


def test_grave_lines_that_had_to_wait_come_first_and_are_never_cut_off() -> None:
    story = Story(AlertsSection(enabled=True, after_s=0, max_per_hour=1))
    story.at(0, problem("actor:first"))
    many = [problem(f"actor:a{n}") for n in range(50)]
    story.at(10, *many)
    story.at(20, *many, bare())
    assert len(story.told) == 1
    story.at(3600, *many, bare())
    (_, (_, alert)) = story.told
    assert alert.grave and alert.body.index("without a stop") < alert.body.index("actor:a0 ")


@pytest.mark.parametrize("kind", ["trader-silent", "trader-missed", "guest-silent"])
def test_positions_that_nobody_manages_are_grave(kind: ProblemKind) -> None:
    story = Story()
    story.every_second(range(70), replace(problem(), kind=kind))
    assert [alert.grave for _, alert in story.told] == [True]


def test_whatever_begins_while_the_platform_is_down_is_grave() -> None:
    story = Story(AlertsSection(enabled=True, after_s=0))
    alert = story.at(0, seen=Observation(problems=[problem()], whole=True, mode="demo", down=True))
    assert alert is not None and alert.grave
    down = HealthNote(at_ms=NOW_MS, status="down", mode="demo", problems=[problem()])
    assert observe(down, UP, "demo", NOW_MS).down
    assert not observe(note(NOW_MS, problem()), UP, "demo", NOW_MS).down


def test_one_that_comes_back_again_and_again_is_counted_and_sent_once_an_hour() -> None:
    story = Story(AlertsSection(enabled=True, after_s=60, repeat_min=0, max_per_hour=1000))
    for second in range(3 * 3600):  # five minutes there, five minutes gone
        start_ms = NOW_MS + second // 600 * 600_000
        story.at(second, *([problem(since_ms=start_ms)] if second % 600 < 300 else []))
    assert [(second, alert.title.partition(": ")[2]) for second, alert in story.told] == [
        (60, "1 problem"), (360, "1 ended"), (660, "1 came back"),
        (4260, "1 came back"), (7860, "1 came back"),
    ]  # fmt: skip
    assert story.told[2][1].body.startswith("AGAIN within an hour, for 60 s, since")
    assert story.told[3][1].body.startswith("AGAIN 6 times since 2023-11-14T22:24:20Z, there now")
    story.every_second(range(3 * 3600, 4 * 3600))
    assert [alert.title.partition(": ")[2] for _, alert in story.told[5:]] == [
        "1 came back", "1 ended",
    ]  # fmt: skip
    assert "ENDED" in story.told[-1][1].body and "; it came 18 times" in story.told[-1][1].body
    assert story.book.told == []


def test_one_that_comes_back_and_stays_is_said_at_once_even_within_the_hour() -> None:
    story = Story()
    story.every_second(range(120), problem())
    story.every_second(range(120, 600))
    story.every_second(range(600, 900), problem(since_ms=NOW_MS + 600_000))
    assert [second for second, _ in story.told] == [60, 180, 660]
    assert "Open now: 1." in story.told[-1][1].body


def test_what_would_be_repeated_within_the_hour_comes_as_one_message() -> None:
    story = Story(AlertsSection(enabled=True, after_s=0, repeat_min=240, max_per_hour=1000))
    problems = [problem(f"actor:a{n}", since_ms=NOW_MS + 300_000 * n) for n in range(10)]
    for second in range(0, 9 * 3600, 10):
        story.at(second, *(p for p in problems if p.since_ms <= NOW_MS + second * 1000))
    repeats = [(second, alert.title) for second, alert in story.told if "goes on" in alert.title
               or "go on" in alert.title]  # fmt: skip
    assert repeats == [
        (4 * 3600, "coinex demo: 10 problems go on"),
        (8 * 3600, "coinex demo: 10 problems go on"),
    ]


def test_a_restart_tells_nothing_twice() -> None:
    story = Story()
    story.every_second(range(100), problem())
    raw = codec.encode(AlertState(book=story.book))
    story.book = codec.decode(AlertState, raw, "alerts.json").book
    story.every_second(range(130, 400), problem())
    story.every_second(range(400, 600))
    assert [second for second, _ in story.told] == [60, 460]
    raw = codec.encode(AlertState(book=story.book))
    story.book = codec.decode(AlertState, raw, "alerts.json").book
    story.every_second(range(700, 900), problem(since_ms=NOW_MS + 700_000))
    assert story.told[-1][1].title == "coinex demo: 1 came back"


def test_what_is_not_seen_any_more_is_not_over_while_not_all_is_seen() -> None:
    story = Story()
    story.every_second(range(100), problem())
    for second in range(100, 900):
        story.at(second, seen=Observation(problems=(), whole=False, mode="demo"))
    assert len(story.told) == 1 and story.book.told[0].gone_ms is None


def test_a_clock_set_back_neither_crashes_nor_repeats() -> None:
    story = Story()
    story.every_second(range(100), problem())
    story.every_second(range(-5000, -4000, 10), problem())
    assert len(story.told) == 1


# What can be seen


def note(at_ms: int, *problems: NotedProblem) -> HealthNote:
    return HealthNote(at_ms=at_ms, status="degraded", mode="demo", problems=list(problems))


def test_healths_word_is_taken_while_it_is_young() -> None:
    seen = observe(note(NOW_MS - 2000, problem()), UP, "demo", NOW_MS)
    assert seen.whole and list(seen.problems) == [problem()]


def test_silent_health_is_a_problem_of_its_own_and_says_what_is_not_known() -> None:
    seen = observe(note(NOW_MS - 40_000, problem()), UP, "demo", NOW_MS)
    (only,) = seen.problems
    assert not seen.whole
    assert (only.key, only.kind, only.since_ms) == ("health:", "health-silent", NOW_MS - 40_000)
    assert only.text == (
        "health has not said how the platform is since 2023-11-14T22:12:40Z, 40 s: "
        "what else is wrong is not known"
    )


def test_health_that_never_spoke_is_waited_for_first() -> None:
    young = BusState(status="up", since_ms=0, reason="", began_ms=NOW_MS)
    assert observe(None, young, "demo", NOW_MS + 10_000) == Observation(
        problems=(), whole=False, mode="demo"
    )
    (only,) = observe(None, young, "demo", NOW_MS + 20_000).problems
    assert only.text.startswith("health has not said how the platform is yet, 20 s")


def test_without_redis_that_is_the_problem_and_under_the_name_health_gives_it() -> None:
    down = BusState(status="down", since_ms=NOW_MS - 5000, reason="refused", began_ms=0)
    (only,) = observe(note(NOW_MS - 60_000), down, "demo", NOW_MS).problems
    assert (only.key, only.text) == ("redis:", "redis unreachable for 5 s: refused")
    full = BusState(status="full", since_ms=NOW_MS - 5000, reason="OOM", began_ms=0)
    (only,) = observe(note(NOW_MS - 60_000), full, "demo", NOW_MS).problems
    assert (only.key, only.kind) == ("redis:", "redis-full")


def test_when_redis_is_back_health_is_given_its_time() -> None:
    back = BusState(status="up", since_ms=NOW_MS - 5000, reason="", began_ms=0)
    assert observe(note(NOW_MS - 90_000), back, "demo", NOW_MS).problems == ()
