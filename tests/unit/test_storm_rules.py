"""The storm's own judgement: every rule is seen broken, and not where a fault excuses it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from tests.chaos.storm.bounds import beyond, slopes
from tests.chaos.storm.faults import CLASSES
from tests.chaos.storm.invariants import ECHO, Checker, Command, Observation, Window, overdue
from tests.chaos.storm.kinds import BY_NAME, KINDS, Pace
from tests.chaos.storm.monitor import ResourceSample
from tests.chaos.storm.orders import JournalContents, disagreements
from tests.chaos.storm.report import Outcome, as_plain, as_text, p95
from tests.chaos.storm.schedule import Planned, schedule

PACE = Pace(scan_s=30, hung_s=15)
GROUPS = {"indicators-a": ["BTCUSDT"], "indicators-b": ["ETHUSDT"]}
ACTORS = ["fetcher", "health", "trader", *GROUPS]
FRESH = {"BTCUSDT": 1.0, "ETHUSDT": 1.0}
READY = dict.fromkeys(ACTORS, "ready")


def observation(at: float, **changes: Any) -> Observation:
    given: dict[str, Any] = {"at": at, "health": "ok", "ages_s": FRESH, "states": READY}
    return Observation(**{**given, **changes})


def opened(checker: Checker, name: str, begun: float = 10, **planned: Any) -> Window:
    window = Window(planned=Planned(number=1, kind=BY_NAME[name], **planned), begun=begun)
    checker.open(window)
    return window


def rules(checker: Checker) -> list[str]:
    return [breach.rule for breach in checker.breaches]


# The schedule


def test_a_seed_gives_one_schedule_and_another_seed_another() -> None:
    def first(seed: int) -> list[Planned]:
        return list(itertools.islice(schedule(seed, KINDS, ACTORS, PACE), 60))

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_every_kind_comes_once_before_any_comes_twice() -> None:
    planned = itertools.islice(schedule(5, KINDS, ACTORS, PACE), 2 * len(KINDS))
    names = [each.kind.name for each in planned]
    assert set(names[: len(KINDS)]) == {kind.name for kind in KINDS}
    assert sorted(names[: len(KINDS)]) == sorted(names[len(KINDS) :])


def test_victims_are_actors_the_kind_aims_at() -> None:
    for each in itertools.islice(schedule(5, KINDS, [*ACTORS, "exchange-sim"], PACE), 200):
        assert each.victim in (ACTORS if each.kind.needs == "hooks" else [*ACTORS, "exchange-sim"]
                               ) if each.kind.aims else each.victim == ""  # fmt: skip


def test_every_kind_is_known_how_to_be_done_and_lasts_long_enough_to_be_seen() -> None:
    assert set(CLASSES) == set(BY_NAME)
    for pace in (PACE, Pace(scan_s=2, hung_s=15)):
        for kind in KINDS:
            seen_s = kind.seen(pace)
            if seen_s is not None and kind.lasting(pace, 0):
                assert kind.lasting(pace, 0) > seen_s or kind.lasts_scans, kind.name


# The rules


def test_a_stale_coin_breaks_a_rule_unless_a_fault_hits_its_group() -> None:
    stale = {**FRESH, "BTCUSDT": 46.0}
    checker = Checker(PACE, GROUPS)
    checker.check(observation(1, ages_s=stale))
    assert rules(checker) == ["fresh"]

    checker = Checker(PACE, GROUPS)
    opened(checker, "freeze", victim="indicators-a")
    checker.check(observation(20, ages_s=stale))
    assert rules(checker) == []
    checker.check(observation(21, ages_s={**FRESH, "ETHUSDT": 46.0}))
    assert rules(checker) == ["fresh"]


def test_one_stale_spell_is_one_breach() -> None:
    checker = Checker(PACE, GROUPS)
    for at in range(5):
        checker.check(observation(at, ages_s={**FRESH, "BTCUSDT": 46.0 + at}))
    assert rules(checker).count("fresh") == 1


def test_health_that_does_not_tell_of_a_fault_in_time_breaks_a_rule() -> None:
    checker = Checker(PACE, GROUPS)
    opened(checker, "redis-pause", lasts_s=20)
    checker.check(observation(17))
    assert rules(checker) == []
    checker.check(observation(19))
    checker.check(observation(20))
    assert rules(checker) == ["told"]


@pytest.mark.parametrize("health", ["down", "degraded", None])
def test_health_that_tells_in_time_breaks_none(health: str | None) -> None:
    checker = Checker(PACE, GROUPS)
    opened(checker, "redis-pause", lasts_s=20)
    checker.check(observation(17, health=health, problems=["Redis has been down for 6 s"]))
    checker.check(observation(19))
    assert rules(checker) == []


def test_health_must_name_what_broke_not_only_that_something_did() -> None:
    checker = Checker(PACE, GROUPS)
    opened(checker, "redis-refuses", way="READONLY", lasts_s=20)
    checker.check(observation(17, health="degraded", problems=["29 coins: no new signal for 50 s"]))
    checker.check(observation(26, health="degraded", problems=["29 coins: no new signal for 59 s"]))
    assert rules(checker) == ["told"]
    assert "no new signal" in checker.breaches[0].evidence


def test_a_late_event_loop_breaks_a_rule_once_unless_a_fault_excuses_it() -> None:
    checker = Checker(PACE, GROUPS)
    checker.check(observation(20, lags_s={"health": 0.3}))
    assert rules(checker) == []
    checker.check(observation(21, lags_s={"health": 2.3}))
    checker.check(observation(22, lags_s={"health": 2.3}))
    assert rules(checker) == ["lag"]
    assert checker.worst_lag_s == 2.3

    checker = Checker(PACE, GROUPS)
    opened(checker, "redis-pause", begun=15, lasts_s=20)
    checker.check(observation(20, lags_s={"health": 2.3}))
    assert rules(checker) == []
    assert checker.checks["lag"] == 0


def test_a_close_without_signals_breaks_a_rule_once() -> None:
    checker = Checker(PACE, GROUPS)
    checker.check(observation(20, close_age_s=14.0, is_close_missing=True))
    assert rules(checker) == []
    checker.check(observation(22, close_age_s=16.0, is_close_missing=True))
    checker.check(observation(23, close_age_s=17.0, is_close_missing=True))
    assert rules(checker) == ["prompt"]
    assert checker.worst_close_s == 17.0
    checker.check(observation(320, close_age_s=14.0))
    checker.check(observation(322, close_age_s=16.0))
    checker.check(observation(323, close_age_s=17.0))
    assert checker.checks["prompt"] == 2
    assert rules(checker) == ["prompt"]


def test_a_fault_between_a_close_and_its_signals_excuses_it() -> None:
    checker = Checker(PACE, GROUPS)
    window = opened(checker, "redis-pause", begun=15, lasts_s=2)
    window.ended = window.well = 17
    checker.check(observation(26, close_age_s=16.0, is_close_missing=True))
    assert rules(checker) == []
    assert checker.checks["prompt"] == 0


def test_a_frozen_actor_is_told_of_only_where_it_is_named() -> None:
    checker = Checker(PACE, GROUPS)
    opened(checker, "freeze", victim="fetcher")
    checker.check(observation(12, health="degraded", problems=["trader: starting for 1 s"]))
    checker.check(observation(25))
    assert rules(checker) == ["told"]


def test_what_is_not_well_in_time_breaks_a_rule_once() -> None:
    checker = Checker(PACE, GROUPS)
    window = opened(checker, "redis-kill")
    window.ended = 10
    due = window.due(PACE)
    assert due == 10 + 5 + PACE.heal_s
    checker.check(observation(due - 1, health="degraded"))
    assert rules(checker) == []
    checker.check(observation(due + 1, health="degraded"))
    checker.check(observation(due + 2, health="degraded"))
    assert rules(checker) == ["healed"]


def test_trouble_that_nobody_made_breaks_a_rule() -> None:
    checker = Checker(PACE, GROUPS)
    checker.check(observation(1, health="degraded"))
    checker.check(observation(8, health="degraded"))
    assert rules(checker) == []
    checker.check(observation(12, health="degraded", problems=["something"]))
    assert rules(checker) == ["calm"]
    assert "something" in checker.breaches[0].evidence


def test_a_cycle_that_failed_is_an_echo_until_the_next_one_should_have_been() -> None:
    problems = ["trader: the last cycle could not do its work: no answer"]
    echo = observation(1, health="degraded", problems=problems)
    assert echo.is_well
    assert not observation(1, health="degraded", problems=[*problems, "another"]).is_well
    assert not observation(1, health="down", problems=problems).is_well
    for text in (f"{problems[0]}; BTCUSDT: no stop", f"{ECHO}: BTCUSDT: no stop"):
        assert not observation(1, health="degraded", problems=[text]).is_well
    checker = Checker(PACE, GROUPS)
    checker.check(echo)
    checker.check(observation(300, health="degraded", problems=problems))
    assert rules(checker) == []
    checker.check(observation(340, health="degraded", problems=problems))
    checker.check(observation(700, health="degraded", problems=problems))
    assert rules(checker) == ["healed"]


def test_a_death_breaks_a_rule_unless_a_fault_kills_that_actor() -> None:
    death = ("fetcher", "1", "killed by SIGKILL")
    for name, victim, broken in (
        ("kill", "fetcher", []),
        ("kill", "health", ["spared"]),
        ("zygote-kill", "", []),
        ("redis-pause", "", ["spared"]),
    ):
        checker = Checker(PACE, GROUPS)
        opened(checker, name, victim=victim, lasts_s=20)
        checker.check(observation(12, health="down", deaths=[death]))
        checker.check(observation(13, health="down", deaths=[death]))
        assert rules(checker) == broken, name


def test_a_blow_in_the_middle_of_another_fault_excuses_its_own_victim_only() -> None:
    blow = Planned(number=1, kind=BY_NAME["kill"], victim="fetcher")
    for actor, broken in (("fetcher", []), ("health", ["spared"])):
        checker = Checker(PACE, GROUPS)
        opened(checker, "redis-pause", lasts_s=20, also=blow)
        checker.check(observation(12, health="down", deaths=[(actor, "1", "killed")]))
        assert rules(checker) == broken


def test_deaths_from_before_the_storm_are_nobodys() -> None:
    checker = Checker(PACE, GROUPS)
    known = observation(0, deaths=[("fetcher", "1", "killed")])
    checker.ignore_deaths(known)
    checker.check(known)
    assert rules(checker) == []


def test_a_command_is_overdue_a_minute_after_redis_is_back() -> None:
    command = Command(id="c", text="restart x", sent=5, accepted=6)
    window = Window(planned=Planned(number=1, kind=BY_NAME["redis-kill"]), begun=10, ended=30)
    assert not overdue(command, [window], 89)
    assert overdue(command, [window], 91)
    assert overdue(command, [], 67)
    killed = Window(planned=Planned(number=1, kind=BY_NAME["supervisor-kill"]), begun=10, ended=30)
    assert not overdue(command, [killed], 500)
    command.finished = 20
    assert not overdue(command, [window], 500)


# Orders


def journal(state: str = "taken", fills: Mapping[str, Any] | None = None) -> JournalContents:
    return JournalContents(
        intents={"t1": ("BTCUSDT", state)},
        orders={"t1": "7"} if state == "taken" else {},
        fills={"7": [("1", Decimal(2))]} if fills is None else fills,
        open_sizes={"BTCUSDT": Decimal(2)},
    )


def venue(**changes: Any) -> dict[str, Any]:
    order = {"order_id": 7, "client_id": "t1", "market": "BTCUSDT"}
    return {
        "orders": [], "over": [order],
        "deals": [{"deal_id": 1, "order_id": 7, "amount": "2"}],
        "positions": [{"market": "BTCUSDT", "side": "long", "size": "2"}],
    } | changes  # fmt: skip


def test_journal_and_venue_that_agree_do() -> None:
    assert list(disagreements(journal(), venue())) == []
    foreign = {"order_id": 8, "client_id": "", "market": "ETHUSDT"}
    with_foreign = venue(over=[*venue()["over"], foreign])
    assert list(disagreements(journal(), with_foreign)) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (journal(), venue(over=[], deals=[]), "taken by the journal, not at the venue"),
        (journal(), venue(over=venue()["over"] * 2), "2 orders at the venue, expected one"),
        (journal("refused"), venue(), "refused by the journal, but at the venue"),
        (journal("unknown"), venue(), "still unknown at the end"),
        (journal(fills={}), venue(), "fills at the venue"),
        (journal(), venue(positions=[]), "2 open by the journal, 0 at the venue"),
        (
            JournalContents(intents={}, orders={}, fills={}),
            venue(),
            "at the venue, but never journalled",
        ),
    ],
)
def test_every_disagreement_is_named(
    ours: JournalContents, theirs: dict[str, Any], said: str
) -> None:
    assert any(said in text for text in disagreements(ours, theirs))


# Bounds, slopes, the report


def sample(at: float, mb: float = 50, descriptors: int = 20, keys: int = 300) -> ResourceSample:
    return ResourceSample(
        at=at, memory_mb={"fetcher": mb}, descriptors={"fetcher": descriptors},
        pids={"fetcher": 1}, keys=keys, log_bytes=0,
    )  # fmt: skip


def test_growth_beyond_its_bounds_is_named() -> None:
    assert list(beyond([sample(0), sample(10)], 300)) == []
    for grown in (sample(10, mb=400), sample(10, descriptors=100), sample(10, keys=900)):
        assert len(list(beyond([sample(0), grown], 300))) == 1


def test_slopes_are_per_hour() -> None:
    found = {s.name: s for s in slopes([sample(60 * i, mb=50 + i) for i in range(60)])}
    assert found["memory fetcher"].per_hour == pytest.approx(60)
    assert found["keys in Redis"].per_hour == pytest.approx(0)


def test_the_report_names_what_was_broken_and_its_evidence() -> None:
    checker = Checker(PACE, GROUPS)
    checker.check(observation(1, ages_s={**FRESH, "BTCUSDT": 46.0}))
    outcome = Outcome(seed=3, seconds=60, breaches=checker.breaches, worst_s=checker.worst_s,
                      worst_hit_s=checker.worst_hit_s)  # fmt: skip
    assert not outcome.held
    text = as_text(outcome)
    assert "BROKEN 1x    fresh" in text
    assert "BTCUSDT of indicators-a is 46.0 s old" in text
    assert as_plain(outcome)["breaches"][0]["rule"] == "fresh"


def test_p95_is_a_value_that_occurred() -> None:
    assert p95([3.0]) == 3.0
    assert p95([float(n) for n in range(1, 101)]) == 95.0
