"""What is said of a trader outside the platform, from what it wrote and when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from actors.dashboard.outside import guest_positions as shown_positions
from actors.health.report import report
from shared import schema
from shared.config.sections import AccountSection, FetcherSection, TraderSection
from shared.health.guest_verdict import GuestView, guest_looked
from shared.health.trading_verdict import trading_limits_for
from shared.health.verdict import Limits, Snapshot, Verdict, judge, limits_for
from shared.messages.guests import GuestValue
from tests.support.guest_sightings import (
    guest_balance,
    guest_position,
    guest_positions,
    guest_status,
)
from tests.support.problem_states import WELL, redis
from tests.support.sightings import NOW_MS, signal

LATE_MS = 450_000
ACTORS = ("fetcher", "auditor", "guests", "dashboard", "health")


def platform(view: GuestView, **change: Any) -> Snapshot:
    seen = replace(WELL, actors=ACTORS, trader_kind="outside", guest=view)
    beats = {**WELL.heartbeats, "guests": replace(WELL.heartbeats["fetcher"], name="guests")}
    statuses = {**WELL.statuses, "guests": replace(WELL.statuses["fetcher"], name="guests")}
    return replace(seen, **{"heartbeats": beats, "statuses": statuses, **change})


def view(as_of_ms: int = NOW_MS, **change: Any) -> GuestView:
    return GuestView(
        **{
            "positions": guest_positions(as_of_ms),
            "balance": guest_balance(as_of_ms),
            "status": guest_status(as_of_ms),
            **change,
        }
    )


def judged(seen: Snapshot, now_ms: int = NOW_MS) -> Verdict:
    """Return the verdict as of a time at which signals and heartbeats are young."""
    later = now_ms - NOW_MS
    moved = replace(
        seen,
        signals={symbol: signal(symbol, now_ms) for symbol in seen.signals},
        heartbeats={
            n: replace(each, at_ms=each.at_ms + later) for n, each in seen.heartbeats.items()
        },
        audit=None if seen.audit is None else replace(seen.audit, at_ms=now_ms),
    )
    return judge(moved, now_ms, Limits())


def test_a_guest_that_writes_at_its_rhythm_is_no_problem_and_no_note() -> None:
    for age_ms in (0, 300_000, LATE_MS):
        found = judged(platform(view()), NOW_MS + age_ms)
        assert (found.status, found.problems, found.notes) == ("ok", [], [])


def test_what_is_older_than_one_and_a_half_of_its_rhythm_is_late_and_named() -> None:
    found = judged(platform(view()), NOW_MS + LATE_MS + 1000)
    assert found.problems == [
        "your own trader is late: state:positions is 8 min old; state:balance is 8 min old; "
        "state:trader:status is 8 min old"
    ]
    assert found.status == "degraded"
    seen = platform(view(NOW_MS + LATE_MS + 1000, balance=guest_balance()))
    assert judged(seen, NOW_MS + LATE_MS + 1000).problems == [
        "your own trader is late: state:balance is 8 min old"
    ]


def test_a_guest_that_has_not_written_yet_is_a_note_until_its_time_from_the_start_is_over() -> None:
    text = "state:positions has not been written yet"
    seen = platform(GuestView(), since_ms=NOW_MS)
    found = judged(seen, NOW_MS + LATE_MS)
    assert found.problems == [] and f"your own trader: {text}" in found.notes
    assert len(found.notes) == 3
    late = judged(seen, NOW_MS + LATE_MS + 1)
    assert late.notes == [] and late.problems[0].startswith(f"your own trader is late: {text}; ")


def test_after_a_restart_old_values_are_a_note_until_its_time_is_over() -> None:
    seen = platform(view(NOW_MS - 3_600_000), since_ms=NOW_MS)
    assert judged(seen, NOW_MS + 1000).problems == []
    assert "your own trader: state:balance is 60 min old" in judged(seen, NOW_MS + 1000).notes
    assert judged(seen, NOW_MS + LATE_MS + 1000).problems


def test_silence_is_no_problem_while_redis_does_not_answer() -> None:
    seen = platform(view(1), **redis("down"))
    assert not [p for p in judged(seen).problems if "late" in p]


@pytest.mark.parametrize(("every_s", "late_s"), [(300, 450), (10, 40), (3600, 5400)])
def test_its_rhythm_is_the_configured_one(every_s: float, late_s: float) -> None:
    trader = TraderSection(kind="outside", outside_every_s=every_s)
    limits = limits_for(FetcherSection(), AccountSection(), trader)
    assert limits.trading.guest_s == trading_limits_for(AccountSection(), trader).guest_s == late_s
    shown = shown_positions(view(), limits.trading)
    assert shown is not None and shown["old_after_ms"] == 1000 * late_s


def look(before: GuestView, **raws: Any) -> GuestView:
    entries = {"positions": schema.GUEST_POSITIONS, "balance": schema.GUEST_BALANCE,
               "status": schema.GUEST_STATUS, "config": schema.GUEST_CONFIG}  # fmt: skip
    return guest_looked(
        before,
        {
            entry: GuestValue(raws[name] if type(raws[name]) is bytes else orjson.dumps(raws[name]))
            if raws.get(name) is not None
            else None
            for name, entry in entries.items()
        },
    )


def test_what_cannot_be_read_is_a_problem_as_long_as_it_is_there_and_the_last_value_ages() -> None:
    good = {"as_of_ms": NOW_MS, "positions": []}
    bad = {"as_of_ms": NOW_MS, "positions": [{"symbol": "BTCUSDT", "side": "x"}]}
    first = look(view(), positions=good)
    then = look(first, positions=bad)
    assert then.positions == first.positions
    assert judged(platform(then)).problems == [
        'state:positions: positions[0].side: found "x", expected long or short'
    ]
    assert look(then, positions=bad) is then
    assert judged(platform(look(then, positions=good))).problems == []
    assert judged(platform(look(then))).problems == []
    late = judged(platform(then), NOW_MS + LATE_MS + 1000).problems
    assert "state:positions is" not in late[0] and late[1].startswith("state:positions: ")


def test_what_vanished_from_redis_is_kept_and_ages() -> None:
    first = look(GuestView(), balance={"as_of_ms": NOW_MS, "equity": 1}, config={"a": 1})
    assert look(first).balance == first.balance is not None
    assert first.config is not None and first.config.settings == {"a": "1"}


def test_its_own_words_are_problems() -> None:
    status = guest_status(mode="locked", reason="lock file", trouble="no answer")
    seen = platform(view(status=status, balance=guest_balance(reason="venue down")))
    assert judged(seen).problems == [
        "your own trader is locked: lock file",
        "your own trader is in trouble: no answer",
        "state:balance: your own trader has nothing newer: venue down",
    ]
    # what a silent one said last is no news
    old = platform(view(status=replace(status, as_of_ms=NOW_MS - LATE_MS - 1)))
    assert judged(old).problems[0].startswith("your own trader is late: state:trader:status")
    assert "locked" not in " ".join(judged(old).problems)


def test_a_time_ahead_of_the_clock_is_named_and_not_taken_for_new() -> None:
    assert judged(platform(view(NOW_MS + 5000))).problems == []
    ahead = platform(view(balance=guest_balance(NOW_MS + 3_600_000)))
    assert judged(ahead).problems == [
        "state:balance: its time is 60 min ahead of this machine's clock: how old it is is not "
        "known"
    ]
    ahead = platform(view(status=guest_status(NOW_MS + 3_600_000)))
    assert report(ahead, judged(ahead), NOW_MS, Limits())["trader"]["answering"] is False


def test_a_position_without_a_told_stop_is_no_alarm() -> None:
    seen = platform(view(positions=guest_positions(NOW_MS, guest_position())))
    assert judged(seen).problems == []


def test_health_shows_what_the_guest_told_and_whose_it_is() -> None:
    held = guest_positions(NOW_MS, guest_position(stop_loss="59000"))
    seen = platform(view(positions=held, status=guest_status(last_trade_ms=NOW_MS - 1000)))
    body = report(seen, judged(seen), NOW_MS + 1000, Limits())
    account, trader = body["account"], body["trader"]
    assert (account["kind"], account["equity_quote"], account["age_s"]) == ("outside", "10050.5", 1)
    assert account["positions"][0]["stop_loss"] == "59000"
    assert (trader["kind"], trader["mode"], trader["answering"]) == ("outside", "enabled", True)
    assert trader["last_trade"] == "2023-11-14T22:13:19Z"
    later = report(seen, judged(seen), NOW_MS + LATE_MS + 1, Limits())
    assert later["trader"]["answering"] is False
    never = report(platform(GuestView()), judged(seen), NOW_MS, Limits())
    assert never["account"] is never["trader"] is None


def test_without_any_trader_nothing_is_said_of_one() -> None:
    seen = replace(
        WELL, trader_kind="none", actors=("fetcher", "auditor", "dashboard", "health"),
        guest=view(1),
    )  # fmt: skip
    found = judge(seen, NOW_MS, Limits())
    assert (found.problems, found.notes) == ([], [])
    body = report(seen, found, NOW_MS, Limits())
    assert body["account"] is body["trader"] is None
