"""What follows a death."""

from __future__ import annotations

import signal

import pytest

from shared.supervision.restart import Exit, Policy, Tally, after_death, judge_coin

POLICY = Policy()
CRASH = Exit(code=1)


def deaths(count: int, exit_: Exit = CRASH, every_s: float = 1.0) -> list[tuple[bool, float]]:
    tally, seen = Tally(), []
    for i in range(count):
        decision = after_death(exit_, tally, POLICY, i * every_s, 0.5)
        tally = decision.tally
        seen.append((decision.quarantine, decision.delay_s))
    return seen


def test_first_death_is_answered_at_once() -> None:
    assert after_death(CRASH, Tally(), POLICY, 0.0, 0.9).delay_s == 0.0


@pytest.mark.parametrize("luck", [0.0, 0.5, 0.999])
@pytest.mark.parametrize(("earlier", "doubled"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0)])
def test_further_deaths_wait_half_to_whole_of_a_doubling(
    earlier: int, doubled: float, luck: float
) -> None:
    patient = Policy(max_deaths=100)
    tally = Tally(deaths=tuple(float(i) for i in range(earlier)))
    delay = after_death(CRASH, tally, patient, 10.0, luck).delay_s
    assert doubled * 0.5 <= delay <= doubled


def test_backoff_is_capped() -> None:
    tally = Tally(uncounted=40)
    assert 15.0 <= after_death(CRASH, tally, POLICY, 0.0, 0.0).delay_s <= 30.0


def test_five_deaths_within_the_window_lead_to_quarantine_for_its_time() -> None:
    assert [quarantined for quarantined, _ in deaths(5)] == [False] * 4 + [True]
    tally = Tally(deaths=(0.0, 1.0, 2.0, 3.0))
    assert after_death(CRASH, tally, POLICY, 4.0, 0.5).until == 304.0


def test_deaths_spread_wider_than_the_window_never_quarantine() -> None:
    assert not any(quarantined for quarantined, _ in deaths(50, every_s=16.0))


def test_a_death_on_trial_leads_straight_back_into_quarantine() -> None:
    decision = after_death(CRASH, Tally(on_trial=True), POLICY, 1000.0, 0.5)
    assert decision.quarantine
    assert decision.until == 1300.0


@pytest.mark.parametrize("code", [78, 125])
def test_an_actor_that_cannot_go_on_waits_for_release(code: int) -> None:
    decision = after_death(Exit(code=code), Tally(), POLICY, 0.0, 0.5)
    assert decision.quarantine
    assert decision.until is None


def test_a_common_cause_backs_off_but_never_quarantines() -> None:
    seen = deaths(40, Exit(code=1, common_cause="Redis is away"), every_s=0.1)
    assert not any(quarantined for quarantined, _ in seen)
    assert seen[1][1] > 0
    assert seen[-1][1] == pytest.approx(22.5)


REDUCES = Policy(reduces=True, backoff_cap_s=2.0)


def test_an_actor_that_reduces_is_started_again_where_another_would_be_quarantined() -> None:
    tally = Tally(deaths=(0.0, 1.0, 2.0, 3.0))
    decision = after_death(CRASH, tally, REDUCES, 4.0, 0.5)
    assert (decision.quarantine, decision.reducing, decision.until) == (False, True, 304.0)
    assert 1.0 <= decision.delay_s <= 2.0
    assert "5 deaths within 60 s" in decision.reason
    assert after_death(CRASH, decision.tally, REDUCES, 9.0, 0.5).until == 309.0


@pytest.mark.parametrize("code", [78, 125])
def test_an_actor_that_reduces_is_started_again_although_it_cannot_go_on(code: int) -> None:
    decision = after_death(Exit(code=code), Tally(), REDUCES, 0.0, 0.5)
    assert (decision.quarantine, decision.reducing, decision.until) == (False, True, 300.0)
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


def test_an_exit_says_what_happened_in_words() -> None:
    assert Exit(signal=signal.SIGSEGV).text() == "killed by SIGSEGV"
    assert Exit(code=78).text() == "exit 78 (bad config)"
    assert Exit(signal=6, hung=True).text().startswith("hung")


@pytest.mark.parametrize(
    "own_fault", [Exit(signal=signal.SIGSEGV), Exit(code=1), Exit(signal=signal.SIGABRT, hung=True)]
)
def test_a_coin_is_convicted_at_once_by_a_fault_of_the_actor_itself(own_fault: Exit) -> None:
    assert judge_coin(own_fault, 0).convicted


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_outside_signal_convicts_only_when_it_hits_the_same_coin_twice(number: int) -> None:
    first = judge_coin(Exit(signal=number), 0)
    assert not first.convicted
    assert judge_coin(Exit(signal=number), first.suspicions).convicted


def test_a_common_cause_says_nothing_about_the_coin() -> None:
    outcome = judge_coin(Exit(code=1, common_cause="it died with the zygote"), 1)
    assert not outcome.convicted
    assert outcome.suspicions == 1
