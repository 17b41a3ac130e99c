"""What follows a death."""

from __future__ import annotations

import signal

import pytest

from shared.supervision.restart import (
    CoinVerdict,
    Decision,
    Exit,
    Policy,
    Tally,
    after_death,
    judge_coin,
)
from tests.support.manual_clock import ORIGINS

POLICY = Policy()
CRASH = Exit(code=1)

at_any_origin = pytest.mark.parametrize("origin", ORIGINS)


def deaths(
    count: int, origin: float, exit_: Exit = CRASH, every_s: float = 1.0
) -> list[tuple[bool, float]]:
    tally, seen = Tally(), []
    for i in range(count):
        decision = after_death(exit_, tally, POLICY, origin + i * every_s, 0.5)
        tally = decision.tally
        seen.append((decision.quarantine, decision.delay_s))
    return seen


@at_any_origin
def test_first_death_is_answered_at_once(origin: float) -> None:
    assert after_death(CRASH, Tally(), POLICY, origin, 0.9) == Decision(
        tally=Tally(deaths=(origin,)), delay_s=0.0, reason="exit 1"
    )


@at_any_origin
@pytest.mark.parametrize("luck", [0.0, 0.5, 0.999])
@pytest.mark.parametrize(("earlier", "doubled"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0)])
def test_further_deaths_wait_half_to_whole_of_a_doubling(
    earlier: int, doubled: float, luck: float, origin: float
) -> None:
    patient = Policy(max_deaths=100)
    tally = Tally(deaths=tuple(origin + i for i in range(earlier)))
    delay = after_death(CRASH, tally, patient, origin + 10.0, luck).delay_s
    assert doubled * 0.5 <= delay <= doubled


def test_backoff_is_capped() -> None:
    tally = Tally(uncounted=40)
    assert 15.0 <= after_death(CRASH, tally, POLICY, 0.0, 0.0).delay_s <= 30.0


@at_any_origin
def test_five_deaths_within_the_window_lead_to_quarantine_for_its_time(origin: float) -> None:
    assert [quarantined for quarantined, _ in deaths(5, origin)] == [False] * 4 + [True]
    earlier = (origin, origin + 1, origin + 2, origin + 3)
    assert after_death(CRASH, Tally(deaths=earlier), POLICY, origin + 4, 0.5) == Decision(
        tally=Tally(deaths=(*earlier, origin + 4), on_trial=True),
        quarantine=True,
        until=origin + 304.0,
        reason="5 deaths within 60 s, the last: exit 1",
    )


@at_any_origin
def test_deaths_spread_wider_than_the_window_never_quarantine(origin: float) -> None:
    assert not any(quarantined for quarantined, _ in deaths(50, origin, every_s=16.0))


@at_any_origin
@pytest.mark.parametrize(("every_s", "quarantined"), [(15.0, True), (15.5, False)])
def test_a_death_counts_until_it_is_older_than_the_window(
    every_s: float, quarantined: bool, origin: float
) -> None:
    assert deaths(5, origin, every_s=every_s)[-1][0] is quarantined


@at_any_origin
def test_a_death_on_trial_leads_straight_back_into_quarantine(origin: float) -> None:
    tally = Tally()
    for i in range(5):
        tally = after_death(CRASH, tally, POLICY, origin + i, 0.5).tally
    decision = after_death(CRASH, tally, POLICY, origin + 1000, 0.5)
    assert (decision.quarantine, decision.delay_s) == (True, 0.0)
    assert decision.until == origin + 1300.0
    assert decision.reason == "died again on its trial after quarantine, the last: exit 1"
    assert decision.tally.on_trial


@pytest.mark.parametrize(
    ("code", "words"), [(78, "exit 78 (bad config)"), (125, "exit 125 (permanent error)")]
)
def test_an_actor_that_cannot_go_on_waits_for_release(code: int, words: str) -> None:
    before = Tally(deaths=(1.0,), uncounted=2)
    assert after_death(Exit(code=code), before, POLICY, 5.0, 0.5) == Decision(
        tally=before,
        quarantine=True,
        reason=f"{words}: waits for `release` or a changed config",
    )


@at_any_origin
def test_a_common_cause_backs_off_but_never_quarantines(origin: float) -> None:
    seen = deaths(40, origin, Exit(code=1, common_cause="Redis is away"), every_s=0.1)
    assert not any(quarantined for quarantined, _ in seen)
    assert seen[1][1] > 0
    assert seen[-1][1] == pytest.approx(22.5)


def test_a_death_of_a_common_cause_is_counted_apart_and_only_for_the_backoff() -> None:
    away = Exit(code=1, common_cause="Redis is away")
    decision = after_death(away, Tally(deaths=(1.0,), uncounted=1), POLICY, 5.0, 0.5)
    assert decision == Decision(
        tally=Tally(deaths=(1.0,), uncounted=2), delay_s=0.75, reason="exit 1; Redis is away"
    )


REDUCES = Policy(reduces=True, backoff_cap_s=2.0)


@at_any_origin
def test_an_actor_that_reduces_is_started_again_where_another_would_be_quarantined(
    origin: float,
) -> None:
    tally = Tally(deaths=tuple(origin + i for i in range(4)))
    decision = after_death(CRASH, tally, REDUCES, origin + 4, 0.5)
    assert (decision.quarantine, decision.reducing) == (False, True)
    assert decision.until == origin + 304
    assert 1.0 <= decision.delay_s <= 2.0
    assert "5 deaths within 60 s" in decision.reason
    assert after_death(CRASH, decision.tally, REDUCES, origin + 9, 0.5).until == origin + 309


@pytest.mark.parametrize("code", [78, 125])
def test_an_actor_that_reduces_is_started_again_although_it_cannot_go_on(code: int) -> None:
    decision = after_death(Exit(code=code), Tally(), REDUCES, 0.0, 0.5)
    assert (decision.quarantine, decision.reducing, decision.until) == (False, True, 300.0)
    assert decision.reason.startswith("it says that it cannot go on, the last: exit ")
    again = after_death(Exit(code=code), decision.tally, REDUCES, 1.0, 0.5)
    assert 0 < again.delay_s <= 2.0


def test_an_actor_that_reduces_does_so_for_its_own_deaths_only() -> None:
    tally, away = Tally(), Exit(code=1, common_cause="Redis is away")
    for at in range(20):
        decision = after_death(away, tally, REDUCES, float(at), 0.999)
        tally = decision.tally
        assert not decision.reducing
    assert decision.delay_s <= 2.0
    assert not after_death(CRASH, Tally(), REDUCES, 0.0, 0.5).reducing


@pytest.mark.parametrize(
    ("exit_", "words"),
    [
        (Exit(code=0), "exit 0"),
        (Exit(code=1), "exit 1"),
        (Exit(code=78), "exit 78 (bad config)"),
        (Exit(code=125), "exit 125 (permanent error)"),
        (Exit(), "ended, exit status unknown"),
        (Exit(signal=signal.SIGSEGV), "killed by SIGSEGV"),
        (Exit(signal=99), "killed by OS signal 99"),
        (Exit(signal=6, hung=True), "hung: no beat, ended by the supervisor"),
        (Exit(signal=9, common_cause="Redis is away"), "killed by SIGKILL; Redis is away"),
    ],
)
def test_an_exit_says_what_happened_in_words(exit_: Exit, words: str) -> None:
    assert exit_.text() == words


def test_a_hung_actor_did_not_ask_for_anything_by_its_exit_code() -> None:
    assert Exit(code=78).is_permanent
    assert not Exit(code=78, hung=True).is_permanent


@pytest.mark.parametrize(
    "own_fault",
    [
        *(Exit(signal=getattr(signal, f"SIG{name}")) for name in ("SEGV", "BUS", "FPE", "ILL")),
        *(Exit(signal=getattr(signal, f"SIG{name}")) for name in ("ABRT", "SYS")),
        Exit(code=1),
        Exit(signal=signal.SIGABRT, hung=True),
        Exit(signal=signal.SIGKILL, hung=True),
        Exit(code=0, hung=True),
    ],
)
def test_a_coin_is_convicted_at_once_by_a_fault_of_the_actor_itself(own_fault: Exit) -> None:
    assert judge_coin(own_fault, 0) == CoinVerdict(convicted=True, suspicions=1)


@pytest.mark.parametrize(
    "outside", [Exit(signal=signal.SIGKILL), Exit(signal=signal.SIGTERM), Exit(code=0), Exit()]
)
def test_an_end_from_outside_convicts_only_when_it_hits_the_same_coin_twice(outside: Exit) -> None:
    assert judge_coin(outside, 0) == CoinVerdict(convicted=False, suspicions=1)
    assert judge_coin(outside, 1) == CoinVerdict(convicted=True, suspicions=2)


def test_a_common_cause_says_nothing_about_the_coin() -> None:
    outcome = judge_coin(Exit(code=1, common_cause="it died with the zygote"), 1)
    assert outcome == CoinVerdict(convicted=False, suspicions=1)
