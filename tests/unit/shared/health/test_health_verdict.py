"""The verdict: every trouble has its words and its weight, and nothing else has any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.config.sections import AccountSection, FetcherSection
from shared.health.verdict import (
    NOT_DONE,
    Limits,
    RedisView,
    Snapshot,
    age_s,
    judge,
    limits_for,
)
from shared.market import Timeframe
from shared.messages.actors import Quarantine
from shared.messages.candles import Ban, Listing, ListingState
from shared.messages.signals import TaSignal
from tests.support.sightings import (
    NOW_MS,
    audit,
    death,
    heartbeat,
    input_state,
    lease,
    signal,
    status,
    supervisor_state,
)

LIMITS = Limits()
COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")
ACTORS = ("fetcher", "indicators-majors", "health")
UP = RedisView(status="up", since_ms=NOW_MS - 600_000, reason="", round_trip_ms=0.2)
WELL = Snapshot(
    mode="demo",
    since_ms=NOW_MS - 600_000,
    symbols=COINS,
    actors=ACTORS,
    redis=UP,
    scanned_once=True,
    statuses={name: status(name) for name in ACTORS},
    heartbeats={name: heartbeat(name) for name in ACTORS},
    signals={symbol: signal(symbol, NOW_MS - 10_000) for symbol in COINS},
    lease=lease(),
    supervisor=supervisor_state(),
)


def found(later_ms: int = 0, **change: Any) -> tuple[str, list[str]]:
    verdict = judge(replace(WELL, **change), NOW_MS + later_ms, LIMITS)
    return verdict.status, verdict.problems


def with_actor(name: str, state: str, **change: Any) -> dict[str, Any]:
    return {"statuses": {**WELL.statuses, name: status(name, state, **change)}}


def with_signals(**ages_s: float) -> dict[str, Any]:
    changed = {s: signal(s, NOW_MS - round(age * 1000)) for s, age in ages_s.items()}
    return {"signals": {**WELL.signals, **changed}}


def test_no_problem_is_ok() -> None:
    verdict = judge(WELL, NOW_MS, LIMITS)
    assert (verdict.status, verdict.problems, verdict.fresh_coins) == ("ok", [], 5)


# Redis


def test_redis_away_is_down_for_as_long_as_it_lasts() -> None:
    redis = RedisView(
        status="down", since_ms=NOW_MS - 12_000, reason="no answer within 2 s", round_trip_ms=None
    )
    assert found(redis=redis) == ("down", ["redis unreachable for 12 s: no answer within 2 s"])
    assert found(30_000, redis=redis)[1][0].startswith("redis unreachable for 42 s")


def test_redis_away_accuses_no_actor_of_silence() -> None:
    redis = replace(UP, status="down", since_ms=NOW_MS - 40_000)
    beats = {name: heartbeat(name, NOW_MS - 40_000) for name in ACTORS}
    state, problems = found(redis=redis, heartbeats=beats)
    assert (state, len(problems)) == ("down", 1)


def test_redis_full_is_degraded_while_signals_are_fresh_then_down() -> None:
    redis = replace(UP, status="full", since_ms=NOW_MS - 3_000, reason="OOM")
    state, (problem,) = found(redis=redis)
    assert state == "degraded"
    assert problem == "redis is full for 3 s, nothing new can be written: OOM"
    assert found(60_000, redis=redis)[0] == "down"


# Starting


def test_first_scan_is_waited_for_without_naming_each_coin() -> None:
    young: dict[str, Any] = {"scanned_once": False, "since_ms": NOW_MS - 2_000}
    assert found(signals={}, **young) == ("down", ["starting: 0 of 5 coins scanned"])
    some = {"BTCUSDT": signal("BTCUSDT")}
    assert found(signals=some, **young) == ("degraded", ["starting: 1 of 5 coins scanned"])


@pytest.mark.parametrize("since_ms", [NOW_MS - 120_000, NOW_MS - 121_000])
def test_start_that_takes_too_long_names_the_coins(since_ms: int) -> None:
    old: dict[str, Any] = {"scanned_once": False, "since_ms": since_ms}
    signals = {s: WELL.signals[s] for s in COINS[1:]}
    assert found(signals=signals, **old) == ("degraded", ["BTCUSDT: no signal yet"])


def test_actors_not_yet_known_are_no_problem_of_their_own_at_the_start() -> None:
    young: dict[str, Any] = {"scanned_once": False, "since_ms": NOW_MS - 2_000, "lease": None}
    state, problems = found(signals={}, statuses={}, heartbeats={}, supervisor=None, **young)
    assert (state, problems) == ("down", ["starting: 0 of 5 coins scanned"])


# Disk and clock


def test_disk_that_does_not_sync_is_named_after_eight_seconds() -> None:
    assert found(disk_stalled_s=8.0) == ("ok", [])
    text = (
        "the disk below state_dir has not synced for 12 s: the trader's journal, Redis' files and "
        "logs cannot be written"
    )
    assert found(disk_stalled_s=12.0) == ("degraded", [text])


def test_clock_that_was_set_back_is_named_beyond_five_seconds() -> None:
    assert found(**with_signals(BTCUSDT=-5)) == ("ok", [])
    assert found(**with_signals(BTCUSDT=-5.001, ETHUSDT=-7200, XRPUSDT=-4)) == (
        "degraded",
        [
            "the clock was set back: 2 signals are stamped up to 7200 s ahead of it, and how old "
            "they are is not known"
        ],
    )


# Supervisor and actors


def test_nobody_holding_the_lease_is_named() -> None:
    assert found(lease=None) == (
        "degraded",
        ["no supervisor holds the lease: nothing that ends is started again"],
    )


def test_redis_that_came_back_empty_is_given_time_to_be_told_of_the_supervisor() -> None:
    for ago_ms in (3_000, 10_000):
        assert found(lease=None, redis=replace(UP, since_ms=NOW_MS - ago_ms)) == ("ok", [])
    assert found(lease=None, redis=replace(UP, since_ms=NOW_MS - 10_001))[0] == "degraded"


def test_supervisors_own_problems_are_passed_on_but_not_what_it_says_of_redis() -> None:
    refuses = "redis refuses to serve for 3 s: x"
    said = supervisor_state("redis unreachable for 3 s: x", refuses, "the disk is full")
    assert found(supervisor=said) == ("degraded", ["the disk is full"])


@pytest.mark.parametrize(
    ("state", "change", "words"),
    [
        ("starting", {"doing": "warming up: 3 of 87 windows"},
         "starting for 5 s: warming up: 3 of 87 windows"),
        ("starting", {}, "starting for 5 s"),
        ("stalled", {"doing": "scan"}, "stalled for 5 s: scan"),
        ("stopping", {}, "stopping for 5 s"),
        ("stopped", {"reason": "stopped by an operator"},
         "stopped for 5 s: stopped by an operator"),
        ("backoff", {"deaths": [death("SIGKILL")], "backoff_until_ms": NOW_MS + 3_000},
         "backoff for 5 s: last death: SIGKILL, next try in 3 s"),
        ("quarantined", {"reason": "exit code 78", "deaths": [death("exit code 78")]},
         "quarantined for 5 s: exit code 78"),
        ("quarantined",
         {"reason": "5 deaths in 60 s", "deaths": [death("SIGSEGV")],
          "backoff_until_ms": NOW_MS + 900_000},
         "quarantined for 5 s: 5 deaths in 60 s, last death: SIGSEGV, next try in 900 s"),
        ("backoff", {"reason": "exit 1", "backoff_until_ms": NOW_MS - 3_000},
         "backoff for 5 s: exit 1, next try in 0 s"),
    ],
)  # fmt: skip
def test_actor_that_is_not_ready_is_named_with_state_and_reason(
    state: str, change: dict[str, Any], words: str
) -> None:
    assert found(**with_actor("fetcher", state, **change)) == ("degraded", [f"fetcher: {words}"])


def test_actor_nobody_has_seen_is_not_running() -> None:
    statuses = {name: seen for name, seen in WELL.statuses.items() if name != "fetcher"}
    beats = {name: seen for name, seen in WELL.heartbeats.items() if name != "fetcher"}
    expected = ("degraded", ["fetcher: not running"])
    assert found(statuses=statuses, heartbeats=beats) == expected


def test_actor_without_a_supervisor_is_judged_by_its_heartbeat() -> None:
    state, problems = found(statuses={}, lease=None, supervisor=None)
    assert state == "degraded" and len(problems) == 1 and "no supervisor" in problems[0]


@pytest.mark.parametrize(("age_ms", "expected"), [(10_000, []), (10_001, ["no heartbeat for 10"])])
def test_silent_actor_is_named_after_ten_seconds(age_ms: int, expected: list[str]) -> None:
    beats = {**WELL.heartbeats, "fetcher": heartbeat("fetcher", NOW_MS - age_ms)}
    problems = found(heartbeats=beats)[1]
    assert [words in p for words, p in zip(expected, problems, strict=True)] == [True] * len(
        expected
    )


def test_silence_counts_from_the_return_of_redis() -> None:
    beats = {**WELL.heartbeats, "fetcher": heartbeat("fetcher", NOW_MS - 40_000)}
    assert found(heartbeats=beats, redis=replace(UP, since_ms=NOW_MS - 2_000)) == ("ok", [])


def test_actor_that_retries_says_what() -> None:
    beat = heartbeat("fetcher", retrying="Connection refused (3 in a row)")
    beats = {**WELL.heartbeats, "fetcher": beat}
    expected = ["fetcher: retrying: Connection refused (3 in a row)"]
    assert found(heartbeats=beats) == ("degraded", expected)
    beats["fetcher"] = heartbeat("fetcher", refused="Redis refuses PUBLISH")
    expected = ["fetcher: retrying: Redis refuses PUBLISH"]
    assert found(heartbeats=beats) == ("degraded", expected)


# Exchange


def test_ban_is_named_until_it_is_over() -> None:
    ban = Ban(until_ms=NOW_MS + 1_842_000, status=418, at_ms=NOW_MS)
    state, (problem,) = found(ban=ban)
    assert state == "degraded"
    assert problem == (
        "the exchange forbids all requests (HTTP 418) until 2023-11-14T22:44:02Z, another 1842 s"
    )
    assert found(ban=replace(ban, until_ms=NOW_MS)) == ("ok", [])


# Coins


@pytest.mark.parametrize(
    ("age", "expected"),
    [(45.0, ("ok", [])), (45.1, ("degraded", ["BTCUSDT: no new signal for 45 s"]))],
)
def test_signal_is_old_after_45_seconds(age: float, expected: tuple[str, list[str]]) -> None:
    assert found(**with_signals(BTCUSDT=age)) == expected


def test_up_to_three_coins_are_named_one_by_one() -> None:
    three = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    expected = [f"{coin}: no new signal for 50 s" for coin in three]
    assert found(**with_signals(**dict.fromkeys(three, 50.0)))[1] == expected
    expected = [f"{coin}: fetch failed: HTTP 502" for coin in three]
    assert found(**with_fetcher(coins=dict.fromkeys(three, "HTTP 502")))[1] == expected


def test_many_coins_without_any_signal_are_one_problem() -> None:
    expected = f"5 coins: no signal yet: {', '.join(COINS)}"
    assert found(signals={}) == ("down", [expected])


def test_many_old_signals_are_one_problem_that_names_all() -> None:
    state, problems = found(**with_signals(BTCUSDT=50, ETHUSDT=61, SOLUSDT=50, XRPUSDT=50))
    assert state == "degraded"
    expected = "4 coins: no new signal for 61 s: BTCUSDT, ETHUSDT, SOLUSDT, XRPUSDT"
    assert problems == [expected]


def test_nothing_fresh_is_down() -> None:
    state, problems = found(60_000)
    assert state == "down"
    assert any(problem.startswith("5 coins: no new signal for 70 s") for problem in problems)


def test_coin_without_any_signal_after_the_start_is_named() -> None:
    signals = {s: WELL.signals[s] for s in COINS if s != "ETHUSDT"}
    assert found(signals=signals) == ("degraded", ["ETHUSDT: no signal yet"])


def with_fetcher(**detail: Any) -> dict[str, Any]:
    return {"heartbeats": {**WELL.heartbeats, "fetcher": heartbeat("fetcher", **detail)}}


def test_failing_coin_is_named_with_its_reason() -> None:
    trouble = with_fetcher(coins={"BTCUSDT": "HTTP 502 (3 in a row)"})
    assert found(**trouble) == ("degraded", ["BTCUSDT: fetch failed: HTTP 502 (3 in a row)"])
    assert found(**trouble, **with_signals(BTCUSDT=80)) == (
        "degraded",
        ["BTCUSDT: fetch failed: HTTP 502 (3 in a row); no new signal for 80 s"],
    )


def listed(state: ListingState, text: str, since_ms: int = NOW_MS) -> dict[str, Any]:
    return {"listings": {"BTCUSDT": Listing(state=state, text=text, since_ms=since_ms)}}


DEAD = listed("dead", "dead since 2023-06-28: status BREAK")
YOUNG = listed("young", "young: listed 9 min ago, no closed 1h candle yet", NOW_MS - 540_000)


def test_coin_that_does_not_trade_is_told_apart_from_a_failed_read() -> None:
    trouble = DEAD | with_fetcher(coins={"BTCUSDT": "x"})
    assert found(**trouble) == ("degraded", ["BTCUSDT: dead since 2023-06-28: status BREAK"])


def test_dead_coin_says_nothing_of_its_signals_and_none_of_them_counts_as_fresh() -> None:
    words = ["BTCUSDT: dead since 2023-06-28: status BREAK"]
    for old_s in (1, 80):
        assert found(**DEAD, **with_signals(BTCUSDT=old_s))[1] == words
    alone = replace(WELL, symbols=("BTCUSDT",), **DEAD)
    assert judge(alone, NOW_MS, Limits()).status == "down"


@pytest.mark.parametrize("signals", [{}, WELL.signals])
def test_announced_coin_is_a_note_with_or_without_a_signal(signals: dict[str, TaSignal]) -> None:
    words = "announced: trading has not begun (PRE_TRADING)"
    seen = replace(WELL, **listed("announced", words), signals={**WELL.signals, **signals})
    verdict = judge(seen, NOW_MS, Limits())
    assert (verdict.problems, verdict.notes) == ([], [f"BTCUSDT: {words}"])


def test_young_coin_lacks_candles_without_a_problem_but_not_for_ever() -> None:
    bare = signal("BTCUSDT", NOW_MS)
    bare = replace(bare, inputs={
        t: input_state(bars=0, stale=True) if t != "5m" else state
        for t, state in bare.inputs.items()
    })  # fmt: skip
    seen = replace(WELL, **YOUNG, signals={**WELL.signals, "BTCUSDT": bare})
    verdict = judge(seen, NOW_MS, Limits())
    assert (verdict.problems, verdict.notes) == (
        [],
        [f"BTCUSDT: {YOUNG['listings']['BTCUSDT'].text}"],
    )
    without = {s: each for s, each in WELL.signals.items() if s != "BTCUSDT"}
    assert found(**YOUNG, signals=without) == ("ok", [])
    long_ago = listed("young", "young: listed 11 min ago", NOW_MS - 660_000)
    assert found(**long_ago, signals=without)[1] == ["BTCUSDT: no signal yet"]
    assert found(**YOUNG, **with_fetcher(coins={"BTCUSDT": "HTTP 502"}))[1] == [
        "BTCUSDT: fetch failed: HTTP 502"
    ]


def test_same_failure_of_many_coins_is_one_problem() -> None:
    trouble = with_fetcher(coins=dict.fromkeys(COINS, "HTTP 502"))
    assert found(**trouble)[1] == [f"5 coins: fetch failed: HTTP 502: {', '.join(COINS)}"]


@pytest.mark.parametrize(
    "detail",
    [{"coins": ["BTCUSDT"]}, {"coins": None}, {"stream": 5}, {"stream": {"refused": [403]}}],
)
def test_detail_of_another_shape_is_no_crash(detail: dict[str, Any]) -> None:
    assert found(**with_fetcher(**detail)) == ("ok", [])


def test_a_candle_that_the_exchange_changed_is_a_note() -> None:
    changed = {"BTCUSDT 1h": "the candle of 2026-03-01T12:00:00Z, close 1.0 to 2.0"}
    verdict = judge(replace(WELL, **with_fetcher(changed=changed)), NOW_MS, LIMITS)
    assert verdict.status == "ok"
    assert verdict.notes == [
        "BTCUSDT 1h: the exchange has changed the candle of 2026-03-01T12:00:00Z, close 1.0 to 2.0"
    ]


ROW = "the exchange's row of 2026-03-01T12:00:00Z cannot be a candle: low above open"


def test_a_bad_row_is_named_with_coin_and_timeframe() -> None:
    bad = with_fetcher(bad_rows={"ETHUSDT 4h": ROW})
    words = f"ETHUSDT: 4h candles have a gap: {ROW}"
    assert found(**bad) == ("degraded", [words])
    assert found(**bad, **with_signals(ETHUSDT=80)) == (
        "degraded",
        [f"{words}; no new signal for 80 s"],
    )


def test_a_bad_row_and_the_gap_in_the_signal_are_one_thing() -> None:
    gap = replace(input_state(), unfilled_gap=True)
    known = replace(WELL.signals["ETHUSDT"], inputs={"5m": input_state(), "4h": gap})
    assert found(
        **with_fetcher(bad_rows={"ETHUSDT 4h": ROW}), signals={**WELL.signals, "ETHUSDT": known}
    ) == ("degraded", [f"ETHUSDT: 4h candles have a gap: {ROW}"])


def test_a_bad_row_of_a_coin_that_fails_is_named_beside_that() -> None:
    trouble = with_fetcher(coins={"ETHUSDT": "1h: HTTP 502"}, bad_rows={"ETHUSDT 4h": ROW})
    assert found(**trouble)[1] == [
        f"ETHUSDT: fetch failed: 1h: HTTP 502; 4h candles have a gap: {ROW}"
    ]


def test_a_break_of_the_price_scale_and_rows_that_cost_nothing_are_notes() -> None:
    said = with_fetcher(
        scale_breaks={"BTCUSDT": "its price scale changed 100:1 at …"},
        harmless_rows={"ETHUSDT 1h": ROW},
    )
    verdict = judge(replace(WELL, **said), NOW_MS, LIMITS)
    assert verdict.status == "ok"
    assert verdict.notes == [
        "BTCUSDT: its price scale changed 100:1 at …",
        f"ETHUSDT 1h: left out, without a gap: {ROW}",
    ]


def test_changed_candles_of_many_are_one_note() -> None:
    changed = dict.fromkeys([f"{coin} 5m" for coin in COINS], "the candle of …")
    verdict = judge(replace(WELL, **with_fetcher(changed=changed)), NOW_MS, LIMITS)
    (note,) = verdict.notes
    assert note.startswith("the exchange has changed candles of BTCUSDT 5m, ETHUSDT 5m, ")


def quarantine(stage: str, symbol: str, until_ms: int = NOW_MS + 60_000) -> dict[str, Any]:
    entry = Quarantine(
        symbol=symbol,
        stage=stage,  # type: ignore[arg-type]
        reason="5 failures",
        since_ms=NOW_MS,
        until_ms=until_ms,
    )
    return {"quarantines": {(stage, symbol): entry}}


@pytest.mark.parametrize("stage", ["fetch", "compute"])
def test_quarantined_coin_is_named_until_its_time_is_up(stage: str) -> None:
    words = f"BTCUSDT: quarantined until 2023-11-14T22:14:20Z: {NOT_DONE[stage]}, 5 failures"
    assert found(**quarantine(stage, "BTCUSDT")) == ("degraded", [words])
    assert found(**quarantine(stage, "BTCUSDT", NOW_MS)) == ("ok", [])


def test_fetch_failure_and_its_quarantine_are_not_told_twice() -> None:
    trouble = with_fetcher(coins={"BTCUSDT": "HTTP 502 (9 in a row)"})
    assert found(**trouble, **quarantine("fetch", "BTCUSDT"))[1] == [
        "BTCUSDT: fetch failed: HTTP 502 (9 in a row)"
    ]


def test_coin_convicted_by_the_supervisor_is_named() -> None:
    convicted = with_actor("indicators-majors", "ready", quarantined_coins={
        "SOLUSDT": NOW_MS + 60_000, "XRPUSDT": NOW_MS,
    })  # fmt: skip
    assert found(**convicted) == (
        "degraded",
        ["SOLUSDT: quarantined until 2023-11-14T22:14:20Z: indicators-majors died while "
         "computing it"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"m5": input_state(stale=True, fetched_at_ms=NOW_MS - 13_000)},
         "5m candles are stale, fetched 13 s before the signal"),
        ({"m5": input_state(fetched_at_ms=NOW_MS - 106_000)},
         "5m candles are stale, fetched 106 s before the signal"),
        ({"m5": input_state(fetched_at_ms=NOW_MS - 3_600_000)},
         "5m candles are stale, fetched 3600 s before the signal"),
        ({"m5": input_state(fetched_at_ms=None), "h1": input_state(unfilled_gap=True)},
         "no 5m candles; 1h candles have a gap"),
        ({"h1": input_state(fetched_at_ms=NOW_MS - 421_000)},
         "1h candles are stale, fetched 421 s before the signal"),
        ({"h4": input_state(fetched_at_ms=None)}, "no 4h candles"),
        ({"m5": input_state(unfilled_gap=True)}, "5m candles have a gap"),
        ({"h4": input_state(fetched_at_ms=None), "m5": input_state(unfilled_gap=True)},
         "5m candles have a gap; no 4h candles"),
    ],
)  # fmt: skip
def test_fresh_signal_made_of_bad_candles_is_a_problem(inputs: Any, words: str) -> None:
    signals = {**WELL.signals, "BTCUSDT": signal("BTCUSDT", **inputs)}
    assert found(signals=signals) == ("degraded", [f"BTCUSDT: {words}"])


def test_candles_as_old_as_they_may_be_are_no_problem() -> None:
    good = signal(
        "BTCUSDT",
        m5=input_state(fetched_at_ms=NOW_MS - 105_000),
        h1=input_state(fetched_at_ms=NOW_MS - 420_000),
    )
    assert found(signals={**WELL.signals, "BTCUSDT": good}) == ("ok", [])


def test_candles_of_a_timeframe_that_is_not_fetched_are_never_too_old() -> None:
    odd = signal("BTCUSDT")
    odd = replace(odd, inputs={**odd.inputs, "1d": input_state(fetched_at_ms=0)})
    assert found(signals={**WELL.signals, "BTCUSDT": odd}) == ("ok", [])


# Bad messages


def test_bad_messages_are_told_for_a_minute() -> None:
    bad: dict[str, Any] = {
        "bad_messages": 2,
        "bad_message": "ta:latest:X: not JSON",
        "bad_message_ms": NOW_MS - 59_000,
    }
    beats = {**WELL.heartbeats, "fetcher": heartbeat("fetcher", **bad)}
    assert found(1_000, heartbeats=beats) == (
        "degraded",
        ["fetcher skipped bad messages on the bus (2 so far, the newest ta:latest:X: not JSON)"],
    )
    assert found(1_001, heartbeats=beats) == ("ok", [])


def test_bad_messages_that_the_supervisor_skipped_are_told_as_well() -> None:
    skipped = replace(
        supervisor_state(),
        bad_messages=3,
        bad_message="supervisor:lease: not JSON",
        bad_message_ms=NOW_MS - 59_000,
    )
    text = "supervisor skipped bad messages on the bus (3 so far, the newest {})"
    expected = [text.format("supervisor:lease: not JSON")]
    assert found(1_000, supervisor=skipped) == ("degraded", expected)
    assert found(1_001, supervisor=skipped) == ("ok", [])


def test_an_actor_that_never_skipped_a_message_is_not_named() -> None:
    well = heartbeat("fetcher", bad_messages=0, bad_message="", bad_message_ms=None)
    assert found(heartbeats={**WELL.heartbeats, "fetcher": well}) == ("ok", [])


# Laws


def test_gravest_comes_first() -> None:
    problems = found(
        redis=replace(UP, status="full"),
        **with_actor("fetcher", "stalled"),
        ban=Ban(until_ms=NOW_MS + 1_000, status=429, at_ms=NOW_MS),
        **with_signals(BTCUSDT=90),
    )[1]
    heads = [problem.split(" ")[0] for problem in problems]
    assert heads == ["redis", "fetcher:", "the"]


def test_what_follows_from_a_redis_that_refuses_is_folded_below_it() -> None:
    refusal = "Redis at h:1 refuses writes: READONLY You can't write against a read only replica."
    verdict = judge(
        replace(
            WELL,
            redis=replace(UP, status="refuses", since_ms=NOW_MS - 60_000, reason=refusal),
            **with_actor("fetcher", "starting", reason="Redis at h:1 refuses writes: READONLY"),
            **with_signals(BTCUSDT=90, ETHUSDT=90),
        ),
        NOW_MS,
        LIMITS,
    )
    assert verdict.status == "degraded"
    assert verdict.problems == [f"redis refuses to serve for 60 s: {refusal}"]
    starting, *silent = verdict.consequences
    assert starting.startswith("fetcher: starting")
    assert silent == [f"{coin}: no new signal for 90 s" for coin in ("BTCUSDT", "ETHUSDT")]


def test_nothing_is_folded_while_redis_works() -> None:
    assert judge(replace(WELL, **with_signals(BTCUSDT=90)), NOW_MS, LIMITS).consequences == []


def test_platform_without_coins_is_never_ok() -> None:
    assert found(symbols=(), signals={}) == ("down", ["no coin to watch"])


@pytest.mark.parametrize(
    ("at_ms", "expected"), [(None, None), (NOW_MS - 1_500, 1.5), (NOW_MS + 5_000, 0.0)]
)
def test_age_is_never_negative(at_ms: int | None, expected: float | None) -> None:
    assert age_s(at_ms, NOW_MS) == expected


def test_limits_follow_the_intervals_of_the_configuration() -> None:
    usual = limits_for(FetcherSection(), AccountSection())
    assert (usual.signal_s, usual.trading.account_s) == (45.0, 60.0)
    slow = limits_for(FetcherSection(interval_s=60), AccountSection(interval_s=60))
    assert (slow.signal_s, slow.trading.account_s) == (90.0, 150.0)
    assert slow.candles_s[Timeframe.M5] == 165.0


def test_default_limits_know_every_timeframe() -> None:
    assert set(LIMITS.candles_s) == set(Timeframe)


# The audit


AUDITED: dict[str, Any] = {
    "actors": (*ACTORS, "auditor"),
    "statuses": {**WELL.statuses, "auditor": status("auditor")},
    "heartbeats": {**WELL.heartbeats, "auditor": heartbeat("auditor")},
}


def test_a_report_within_tolerance_is_no_problem() -> None:
    assert found(audit=audit(rsi=1e-9), **AUDITED) == ("ok", [])


def test_a_number_beyond_its_tolerance_degrades() -> None:
    state, problems = found(audit=audit(rsi=0.1, stoch_k=1e-9), **AUDITED)
    assert state == "degraded"
    assert problems == [
        "audit: BTCUSDT: rsi is 50.1, pandas-ta 1 says 50: 1.0e-01 points off, 1e-06 allowed"
    ]


def test_the_first_report_is_waited_for_ten_minutes() -> None:
    young = {**AUDITED, "since_ms": NOW_MS - 600_000}
    assert found(**young) == ("ok", [])
    old = {**AUDITED, "since_ms": NOW_MS - 3_600_000, "redis": replace(UP, since_ms=0)}
    assert found(**old)[1] == [
        "audit: no report yet, 60 min: nobody holds the published numbers against pandas-ta"
    ]


def test_a_report_older_than_ten_minutes_is_a_problem_whatever_it_said() -> None:
    seen = {**AUDITED, "since_ms": 0, "redis": replace(UP, since_ms=0)}
    state, (problem,) = found(audit=audit(NOW_MS - 660_000, rsi=0.1), **seen)
    assert state == "degraded"
    assert problem.startswith("audit: no report since 2023-11-14T22:02:20Z, 11 min")
    assert found(audit=audit(NOW_MS - 600_000), **seen) == ("ok", [])
    assert len(found(audit=audit(NOW_MS - 600_000, rsi=0.1), **seen)[1]) == 1


def test_redis_that_was_away_gives_the_auditor_its_time_again() -> None:
    seen = {**AUDITED, "since_ms": 0, "redis": replace(UP, since_ms=NOW_MS - 60_000)}
    assert found(audit=audit(NOW_MS - 700_000), **seen) == ("ok", [])
    away = replace(UP, status="down", since_ms=NOW_MS - 700_000)
    problems = found(audit=audit(NOW_MS - 700_000), **{**seen, "redis": away})[1]
    assert not any(problem.startswith("audit") for problem in problems)


def test_without_an_auditor_an_old_report_says_nothing() -> None:
    assert found(audit=audit(NOW_MS - 700_000, rsi=0.1)) == ("ok", [])
