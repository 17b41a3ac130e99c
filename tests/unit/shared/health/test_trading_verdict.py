"""Account and trader: each trouble has its words and its age, and none is asked of the absent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.health.trading_report import account_section, trader_section
from shared.clock import utc_text
from shared.config.sections import AccountSection
from shared.health.trading_verdict import (
    TradingLimits,
    TradingView,
    answering,
    looked,
    share,
    trading_limits_for,
    trading_notes,
    trading_problems,
)
from shared.health.verdict import Limits, RedisView, Snapshot, Verdict, judge
from shared.kill_switch import Lock
from shared.messages.trading import EvidenceStatus, TraderStatus
from tests.support.sightings import (
    NOW_MS,
    heartbeat,
    lease,
    signal,
    status,
    supervisor_state,
)
from tests.support.trading_sightings import balance, limit, position, positions, trader_status

LIMITS = TradingLimits()
ACTORS = ("account", "trader", "health")
LONG_AGO_MS = NOW_MS - 600_000
WELL = TradingView(positions=positions(), balance=balance(), status=trader_status())


def problems(
    later_ms: int = 0,
    actors: tuple[str, ...] = ACTORS,
    listening_ms: int | None = LONG_AGO_MS,
    **change: Any,
) -> list[str]:
    view = replace(WELL, **change)
    found = trading_problems(
        view, actors, now_ms=NOW_MS + later_ms, listening_ms=listening_ms, limits=LIMITS
    )
    return [problem.text for problem in found]


def platform(
    trading: TradingView, actors: tuple[str, ...] = ACTORS, **change: Any
) -> tuple[Snapshot, Verdict]:
    seen = Snapshot(
        mode="paper",
        since_ms=LONG_AGO_MS,
        symbols=("BTCUSDT",),
        actors=actors,
        redis=RedisView(status="up", since_ms=LONG_AGO_MS, reason="", round_trip_ms=0.1),
        scanned_once=True,
        statuses={name: status(name) for name in actors},
        heartbeats={name: heartbeat(name) for name in actors},
        signals={"BTCUSDT": signal("BTCUSDT")},
        lease=lease(),
        supervisor=supervisor_state(),
        trading=trading,
    )
    seen = replace(seen, **change)
    return seen, judge(seen, NOW_MS, Limits())


def test_when_both_are_well_nothing_is_said() -> None:
    assert problems() == []
    assert problems(positions=positions(position())) == []
    assert platform(WELL)[1] == Verdict(status="ok", found=[], fresh_coins=1)


def test_nothing_is_asked_of_actors_that_the_configuration_does_not_have() -> None:
    worst = TradingView(
        positions=positions(position(stop_loss=None), as_of_ms=1, reason="no keys"),
        balance=balance(1, reason="no keys"),
        status=trader_status(1, mode="locked", limits=[limit(state="latched")], foreign=["X"]),
        bare_since_ms={"BTCUSDT": 1},
    )
    seen, verdict = platform(worst, ("health",))
    assert verdict == Verdict(status="ok", found=[], fresh_coins=1)
    assert account_section(seen, NOW_MS) is trader_section(seen, NOW_MS, Limits()) is None


# A position without a stop


def test_a_position_without_a_stop_is_a_problem_after_twenty_seconds_and_not_before() -> None:
    bare: dict[str, Any] = {
        "positions": positions(position(stop_loss=None)),
        "status": trader_status(ours=["BTCUSDT"]),
        "bare_since_ms": {"BTCUSDT": NOW_MS - 20_000},
    }
    assert problems(**bare) == []
    assert problems(1000, **bare) == [
        "BTCUSDT: long position without a stop for 21 s; set one at the venue, or close it"
    ]
    assert platform(replace(WELL, **bare))[1].status == "ok"


def test_the_time_without_a_stop_counts_from_our_own_first_look_and_ends_with_the_stop() -> None:
    def look(view: TradingView, now_ms: int, **change: Any) -> TradingView:
        told = positions(position(**change), as_of_ms=now_ms)
        return looked(view, positions=told, balance=None, status=None, now_ms=now_ms)

    view = look(TradingView(), NOW_MS, stop_loss=None)
    view = look(view, NOW_MS + 15_000, stop_loss=None)
    assert view.bare_since_ms == {"BTCUSDT": NOW_MS}
    view = look(view, NOW_MS + 16_000)
    assert view.bare_since_ms == {}
    assert look(view, NOW_MS + 17_000, stop_loss=None).bare_since_ms == {"BTCUSDT": NOW_MS + 17_000}


def test_a_position_that_is_not_bare_for_long_hides_no_other() -> None:
    bare = {"BTCUSDT": NOW_MS, "ETHUSDT": NOW_MS - 30_000}
    (said,) = problems(bare_since_ms=bare)
    assert said.startswith("ETHUSDT: position without a stop for 30 s")


def test_bare_positions_of_account_and_trader_are_watched_together() -> None:
    view = looked(
        TradingView(lock=LOCK), positions=positions(position(stop_loss=None)), balance=None,
        status=trader_status(unprotected=["ETHUSDT"]), now_ms=NOW_MS,
    )  # fmt: skip
    assert view.bare_since_ms == {"BTCUSDT": NOW_MS, "ETHUSDT": NOW_MS}
    assert view.lock == LOCK


def test_without_the_traders_word_a_position_is_neither_ours_nor_foreign() -> None:
    assert TradingView().is_foreign(position()) is None


def test_without_an_account_the_traders_own_word_on_bare_positions_counts() -> None:
    said = trader_status(unprotected=["BTCUSDT"], ours=["BTCUSDT"])
    view = looked(TradingView(), positions=None, balance=None, status=said, now_ms=NOW_MS)
    found = problems(21_000, ("trader",), positions=None, status=said,
                     bare_since_ms=view.bare_since_ms)  # fmt: skip
    assert found == ["BTCUSDT: position without a stop for 21 s; set one at the venue, or close it"]


def test_what_the_account_sees_beats_what_the_trader_said_before() -> None:
    view = looked(
        WELL, positions=positions(position()), balance=None,
        status=trader_status(unprotected=["BTCUSDT"]), now_ms=NOW_MS,
    )  # fmt: skip
    assert view.bare_since_ms == {}


def test_a_foreign_position_is_a_note_but_without_a_stop_it_is_a_problem() -> None:
    foreign = trader_status(foreign=["BTCUSDT"])
    _, verdict = platform(replace(WELL, positions=positions(position()), status=foreign))
    assert (verdict.status, verdict.problems) == ("ok", [])
    assert verdict.notes == [
        "BTCUSDT: the position is foreign: not the trader's, never touched by it, "
        "counted in its limits"
    ]
    found = problems(
        1000, positions=positions(position(stop_loss=None)), status=foreign,
        bare_since_ms={"BTCUSDT": NOW_MS - 30_000},
    )  # fmt: skip
    assert found == [
        "BTCUSDT: long position without a stop for 31 s (foreign: the trader does not touch it); "
        "set one at the venue, or close it"
    ]


def test_a_position_that_opened_after_the_traders_look_is_neither_ours_nor_foreign() -> None:
    before = trader_status(ours=["BTCUSDT"], looked_ms=NOW_MS - 10_000)
    opened = {ms: position(opened_ms=NOW_MS - ms) for ms in (10_000, 9_999)}
    assert [before.is_foreign(each) for each in opened.values()] == [False, None]
    assert trader_status(foreign=["BTCUSDT"]).is_foreign(opened[10_000]) is True
    assert trader_status().is_foreign(opened[10_000]) is None
    assert trader_status(ours=["BTCUSDT"], looked_ms=None).is_foreign(opened[10_000]) is None
    found = problems(
        1000, positions=positions(replace(opened[9_999], stop_loss=None)), status=before,
        bare_since_ms={"BTCUSDT": NOW_MS - 30_000},
    )  # fmt: skip
    assert "(not known yet whether it is the trader's)" in found[0]


# The account


@pytest.mark.parametrize(
    ("reason", "as_of_ms", "said"),
    [
        ("no keys", 0, "account: no keys (no answer yet)"),
        (
            "venue down: connection refused", NOW_MS - 95_000,
            "account: venue down: connection refused "
            "(last answer 2023-11-14T22:11:45Z, 95 s ago)",
        ),
        (
            "venue frozen: index price unchanged", NOW_MS - 5_000,
            "account: venue frozen: index price unchanged "
            "(last answer 2023-11-14T22:13:15Z, 5 s ago)",
        ),
    ],
)  # fmt: skip
def test_why_the_account_cannot_tell_is_said_once_with_the_last_answer(
    reason: str, as_of_ms: int, said: str
) -> None:
    told: dict[str, Any] = {
        "positions": positions(as_of_ms=as_of_ms, reason=reason),
        "balance": balance(as_of_ms, reason=reason),
    }
    assert problems(**told) == [said]


def test_every_reason_of_the_account_is_said() -> None:
    assert problems(positions=positions(reason="no keys"), balance=balance(reason="HTTP 502")) == [
        "account: no keys; HTTP 502 (last answer 2023-11-14T22:13:20Z, 0 s ago)"
    ]


def test_the_account_is_stale_after_sixty_seconds_and_not_before() -> None:
    fresh: dict[str, Any] = {"status": trader_status(NOW_MS + 60_000)}
    assert problems(60_000, **fresh) == []
    assert problems(61_000, **fresh) == [
        "account: positions and balance are 61 s old: nobody renews them"
    ]


def test_what_counts_as_stale_follows_how_often_the_venue_is_looked_at() -> None:
    assert trading_limits_for(AccountSection()).account_s == 60
    assert trading_limits_for(AccountSection(interval_s=5)).account_s == 60
    assert trading_limits_for(AccountSection(interval_s=60)).account_s == 150


def test_an_account_that_never_published_is_waited_for_first() -> None:
    nothing: dict[str, Any] = {"positions": None, "balance": None}
    assert problems(listening_ms=NOW_MS - 60_000, **nothing) == []
    assert problems(1000, listening_ms=NOW_MS - 60_000, status=trader_status(), **nothing) == [
        "account: has not published anything, for 61 s"
    ]


# The trader


def test_a_trader_that_never_said_anything_is_waited_for_thirty_seconds() -> None:
    assert problems(status=None, listening_ms=NOW_MS - 30_000) == []
    assert problems(status=None, listening_ms=NOW_MS - 31_000) == [
        "trader: has not said how it is, for 31 s"
    ]


def test_the_trader_is_missed_only_while_the_bus_is_heard_and_the_start_is_over() -> None:
    silent = replace(WELL, status=None)
    missed = "trader: has not said how it is, for 40 s"
    for late in ("redis", "since_ms"):
        redis = RedisView(status="up", since_ms=0, reason="", round_trip_ms=0.1)
        times: dict[str, Any] = {"redis": redis, "since_ms": 0}
        if late == "redis":
            times["redis"] = replace(redis, since_ms=NOW_MS - 40_000)
        else:
            times["since_ms"] = NOW_MS - 40_000
        assert platform(silent, **times)[1].problems == [missed]
    starting: dict[str, Any] = {"since_ms": NOW_MS - 40_000, "scanned_once": False}
    assert platform(silent, **starting)[1].problems == ["starting: 1 of 1 coins scanned"]
    away = RedisView(status="down", since_ms=NOW_MS - 40_000, reason="gone", round_trip_ms=None)
    assert platform(silent, redis=away)[1].consequences == []


def test_an_enabled_trader_is_not_answering_after_thirty_seconds_and_not_before() -> None:
    young: dict[str, Any] = {"positions": positions(as_of_ms=NOW_MS + 30_000)}
    young["balance"] = balance(NOW_MS + 30_000)
    assert problems(30_000, **young) == []
    assert problems(31_000, **young) == ["trader: not answering for 31 s; it was enabled"]
    assert answering(WELL, NOW_MS + 30_000, LIMITS) == "yes"
    assert answering(WELL, NOW_MS + 31_000, LIMITS) == "silent"
    assert answering(TradingView(), NOW_MS, LIMITS) == "never"


# The trader run by a timer, every five minutes: NOW_MS is a full hour, and the run of then was well

BY_TIMER: dict[str, Any] = {"actors": ("account", "health"), "timer_s": 300.0}
DUE_MS = 300_000


def by_timer(**change: Any) -> TraderStatus:
    return trader_status(every_s=300, next_cycle_ms=NOW_MS + DUE_MS, **change)


def well_until(at_ms: int) -> dict[str, Any]:
    return {"positions": positions(as_of_ms=at_ms), "balance": balance(at_ms)}


def test_a_run_of_the_timer_is_missed_when_the_next_is_late_by_a_fair_margin() -> None:
    in_time_ms = DUE_MS + 90_000
    expected: dict[str, Any] = {**BY_TIMER, "status": by_timer(ours=["BTCUSDT"])}
    assert problems(in_time_ms, **expected, **well_until(NOW_MS + in_time_ms)) == []
    assert problems(in_time_ms + 1000, **expected, **well_until(NOW_MS + in_time_ms)) == [
        f"trader: no run of its timer since {utc_text(NOW_MS)}, 391 s ago; one is due every 5 min; "
        "it was enabled, with positions in BTCUSDT: start the timer"
    ]


def test_a_run_that_came_while_redis_was_away_is_not_missed() -> None:
    late_ms = DUE_MS + 91_000
    expected: dict[str, Any] = {**BY_TIMER, "status": by_timer(), **well_until(NOW_MS + late_ms)}
    assert problems(late_ms, **expected) != []
    assert problems(late_ms, **expected, listening_ms=None) == []
    assert problems(late_ms, **expected, listening_ms=NOW_MS + 1000) == []
    assert problems(late_ms, **expected, listening_ms=NOW_MS) != []


def test_a_timer_that_is_off_on_purpose_is_not_missed() -> None:
    for mode in ("disabled", "locked"):
        status = by_timer(mode=mode)
        expected = {**BY_TIMER, **well_until(NOW_MS + 3_600_000)}
        assert problems(3_600_000, status=status, **expected) == []


def test_a_status_left_by_a_trader_that_stayed_does_not_count_as_a_run() -> None:
    expected = {**BY_TIMER, **well_until(NOW_MS + 31_000)}
    (text,) = problems(31_000, status=trader_status(), **expected)
    assert text.startswith("trader: no run of its timer since")


def test_a_status_left_by_a_timer_does_not_count_for_a_trader_that_should_stay() -> None:
    seen = {"status": by_timer(), **well_until(NOW_MS + 31_000)}
    assert problems(30_000, **seen) == []
    assert problems(31_000, **seen) == ["trader: not answering for 31 s; it was enabled"]
    left = replace(WELL, status=by_timer())
    assert answering(left, NOW_MS + 31_000, LIMITS) == "silent"


def test_a_timer_that_has_not_run_yet_is_a_note() -> None:
    seen, verdict = platform(replace(WELL, status=None, timer_s=300.0), ("account", "health"))
    assert verdict.problems == []
    assert verdict.notes == [
        "trader: run by a timer, which has not run it yet; enable the timer to have it trade"
    ]
    assert trader_section(seen, NOW_MS, Limits()) is None
    assert platform(replace(WELL, status=None), ("account", "health"))[1].notes == []


def test_a_trader_run_by_a_timer_is_shown_with_its_last_and_next_cycle() -> None:
    seen, verdict = platform(replace(WELL, status=by_timer(), timer_s=300.0), ("account", "health"))
    assert verdict.problems == []
    shown = trader_section(seen, NOW_MS + 200_000, Limits())
    assert shown is not None
    assert (shown["answering"], shown["every_s"]) == (True, 300)
    assert shown["next_cycle"] == utc_text(NOW_MS + DUE_MS)
    late = trader_section(seen, NOW_MS + 400_000, Limits())
    assert late is not None
    assert late["answering"] is False


def test_what_is_read_anew_keeps_the_interval_of_the_timer() -> None:
    view = looked(
        replace(WELL, timer_s=300.0), positions=None, balance=None, status=None, now_ms=NOW_MS
    )
    assert view.timer_s == 300.0
    assert view.status is WELL.status


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "disabled"}, []),
        ({"mode": "locked"}, []),
        ({"mode": "reducing"}, ["trader: not answering for 40 s; it was reducing"]),
        (
            {"mode": "locked", "ours": ["BTCUSDT", "ETHUSDT"]},
            ["trader: not answering for 40 s; it was locked, with positions in BTCUSDT, ETHUSDT"],
        ),
    ],
)
def test_silence_matters_while_something_is_left_to_do(
    change: dict[str, Any], said: list[str]
) -> None:
    assert problems(status=trader_status(NOW_MS - 40_000, **change)) == said


def test_what_a_silent_trader_said_of_its_limits_is_not_repeated_as_if_it_held() -> None:
    old = trader_status(NOW_MS - 40_000, limits=[limit(state="warned")], trouble="x")
    assert problems(status=old) == ["trader: not answering for 40 s; it was enabled"]


def test_a_lock_says_why_and_what_it_means() -> None:
    assert problems(status=trader_status(mode="locked", reason="kill switch, by ada")) == [
        "trader: locked: kill switch, by ada; the kill switch is set: no new entries until it is "
        "released"
    ]
    assert problems(status=trader_status(mode="locked", reason="")) == [
        "trader: locked: the kill switch is set: no new entries until it is released"
    ]


@pytest.mark.parametrize(
    ("state", "used", "said"),
    [
        ("ok", "50", []),
        ("warned", "160", ["trader: daily loss is near its limit (160 of 200 USDT, 80 %)"]),
        ("warned", "260", ["trader: daily loss is above its limit (260 of 200 USDT, 130 %)"]),
        ("reached", "200", ["trader: daily loss is reached: no new entries while it lasts "
                            "(200 of 200 USDT, 100 %)"]),
        ("latched", "20", ["trader: daily loss is latched: no new entries until it is released "
                           "(20 of 200 USDT, 10 %)"]),
    ],
)  # fmt: skip
def test_each_state_of_a_limit_has_its_words(state: str, used: str, said: list[str]) -> None:
    assert problems(status=trader_status(limits=[limit(state=state, used=used)])) == said


def test_room_for_positions_that_is_full_is_told_and_is_no_problem() -> None:
    full = limit("positions", state="reached", used="3", limit="3", unit="positions", is_room=True)
    assert problems(status=trader_status(limits=[full])) == []
    view = TradingView(status=trader_status(limits=[full]))
    assert trading_notes(view, ["trader"], []) == [
        "trader: positions: all room is taken, no new entries while it lasts "
        "(3 of 3 positions, 100 %)"
    ]
    few = replace(full, state="warned", used="2")
    empty = replace(full, state="ok", used="0")
    view = TradingView(status=trader_status(limits=[few, empty, limit(state="warned")]))
    assert trading_notes(view, ["trader"], []) == [
        "trader: positions: little room is left (2 of 3 positions, 67 %)"
    ]


def test_a_coin_with_a_position_that_no_group_lists_is_a_note() -> None:
    view = TradingView(status=trader_status(ours=["BTCUSDT", "ETHUSDT"]))
    assert trading_notes(view, ["trader"], ["BTCUSDT"]) == [
        "ETHUSDT: in no group any more; its position is managed to its end"
    ]


@pytest.mark.parametrize(
    ("evidence", "note"),
    [
        (None, []),
        (EvidenceStatus(demand="ignore", fits=None, text="not asked for"), []),
        (EvidenceStatus(demand="require", fits=True, text="base 1"), []),
        (EvidenceStatus(demand="require", fits=None, text="base 1"), []),
        (
            EvidenceStatus(demand="advise", fits=False, text="it is none"),
            ["trader: no evidence of its settings, it enters all the same: it is none"],
        ),
        (
            EvidenceStatus(demand="require", fits=False, text="it is none"),
            ["trader: no evidence of its settings, no new entries: it is none"],
        ),
        (
            EvidenceStatus(demand="require", fits=False, text="it is none", accepted="my risk"),
            ["trader: accepted without evidence: my risk (it is none)"],
        ),
        (
            EvidenceStatus(demand="require", fits=True, text="base 1", accepted="my risk"),
            ["trader: accepted without evidence: my risk"],
        ),
    ],
)
def test_lack_of_evidence_is_a_note_and_no_problem(
    evidence: EvidenceStatus | None, note: list[str]
) -> None:
    status = trader_status(evidence=evidence)
    assert trading_notes(TradingView(status=status), ["trader"], []) == note
    assert problems(status=status) == []


def test_a_limit_of_zero_has_no_share() -> None:
    assert share(limit(limit="0")) is None
    assert share(limit(used="odd")) is None
    assert problems(status=trader_status(limits=[limit(state="reached", limit="0", unit="")])) == [
        "trader: daily loss is reached: no new entries while it lasts (50 of 0)"
    ]


def test_a_cycle_that_could_not_do_its_work_is_named() -> None:
    assert problems(status=trader_status(trouble="venue down: HTTP 502")) == [
        "trader: the last cycle could not do its work: venue down: HTTP 502"
    ]


# Redis


def test_while_redis_is_away_nobody_is_accused_of_silence() -> None:
    old: dict[str, Any] = {
        "positions": positions(as_of_ms=1), "balance": balance(1), "status": trader_status(1),
    }  # fmt: skip
    assert problems(listening_ms=None, **old) == []
    assert problems(listening_ms=NOW_MS - 10_000, **old) == []
    assert len(problems(listening_ms=NOW_MS - 61_000, **old)) == 2
    redis = RedisView(status="full", since_ms=LONG_AGO_MS, reason="OOM", round_trip_ms=0.1)
    _, verdict = platform(replace(WELL, **old), redis=redis)
    assert [text for text in verdict.problems if "redis" not in text] == []


def test_what_vanished_from_redis_is_kept_and_grows_old() -> None:
    view = looked(WELL, positions=None, balance=None, status=None, now_ms=NOW_MS)
    assert view == WELL


# What /health shows


def test_the_sections_tell_positions_limits_and_ages() -> None:
    said: TraderStatus = trader_status(
        NOW_MS - 4_000, limits=[limit(state="warned", used="170")], foreign=["BTCUSDT"]
    )
    told = replace(
        WELL,
        positions=positions(position(stop_loss=None), as_of_ms=NOW_MS - 9_000),
        status=said,
        bare_since_ms={"BTCUSDT": NOW_MS - 3_000},
    )
    seen, _ = platform(told)
    account = account_section(seen, NOW_MS)
    assert account is not None
    assert (account["age_s"], account["equity_quote"], account["reason"]) == (9.0, "10050", "")
    (held,) = account["positions"]
    assert (held["stop_loss"], held["without_stop_s"], held["foreign"]) == (None, 3.0, True)
    trader = trader_section(seen, NOW_MS, Limits())
    assert trader is not None
    assert (trader["answering"], trader["mode"], trader["age_s"]) == (True, "enabled", 4.0)
    assert trader["limits"][0] == {
        "name": "daily loss", "used": "170", "limit": "200", "unit": "USDT", "state": "warned",
        "is_room": False, "used_pct": 85.0,
    }  # fmt: skip
    later = trader_section(seen, NOW_MS + 27_000, Limits())
    assert later is not None and later["answering"] is False


def test_an_account_that_never_had_an_answer_has_no_age() -> None:
    told = TradingView(positions=positions(as_of_ms=0, reason="no keys"))
    account = account_section(platform(told)[0], NOW_MS)
    assert account is not None
    assert (account["as_of"], account["age_s"], account["reason"]) == (None, None, "no keys")


# The lock file and the journal

LOCK = Lock(reason="odd prices", who="ada", at_ms=NOW_MS)
LOCKED = (
    "trader: locked: by ada: odd prices; the kill switch is set: no new entries until it is "
    "released"
)


def test_a_lock_file_is_said_whatever_the_trader_said_last() -> None:
    assert problems(lock=LOCK) == [LOCKED]
    assert problems(lock=LOCK, status=None, listening_ms=None) == [LOCKED]
    assert problems(lock=replace(LOCK, mode="disabled")) == []
    noticed = trader_status(mode="locked", reason="killed by ada")
    (said,) = problems(lock=LOCK, status=noticed)
    assert "killed by ada" in said


def test_a_silent_trader_has_the_mode_of_its_lock_file() -> None:
    for view in (replace(WELL, lock=LOCK), TradingView(lock=LOCK)):
        seen, _ = platform(view)
        shown = trader_section(seen, NOW_MS, Limits())
        assert shown is not None
        assert (shown["mode"], shown["reason"]) == ("locked", "by ada: odd prices")
    seen, _ = platform(WELL)
    shown = trader_section(seen, NOW_MS, Limits())
    assert shown is not None
    assert (shown["mode"], shown["journal"]) == ("enabled", "")


def test_a_journal_is_named_and_what_is_locked_for_it_is_said_once() -> None:
    why = "trader.db: database is locked"
    assert problems(status=trader_status(journal=why)) == [f"trader: the journal: {why}"]
    doubted = trader_status(mode="locked", reason=f"no new entries ({why})", journal=why)
    assert problems(status=doubted) == [f"trader: the journal: {why}"]
    both = problems(status=doubted, lock=LOCK)
    assert [text.partition(":")[2][:12] for text in both] == [" the journal", " locked: no "]
