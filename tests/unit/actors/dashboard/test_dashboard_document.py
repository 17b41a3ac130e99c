"""The state of a coin: which verdict it gets when, and that none comes before the data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.dashboard.document import PageInputs, document
from actors.dashboard.prices import CoinPrices
from shared.health.verdict import Limits, RedisView, Snapshot
from shared.market import Timeframe
from shared.messages.actors import Quarantine
from shared.messages.candles import Ban, Listing, ListingState
from shared.messages.signals import CoinScore, LabelChange, ScorePart, SideScore, TaSignal
from tests.support.candle_series import START_MS, walk, window_at
from tests.support.sightings import NOW_MS, death, heartbeat, input_state, signal, status

COIN, OTHER = "BTCUSDT", "ETHUSDT"


def world(**seen: Any) -> PageInputs:
    found = Snapshot(
        mode="demo", since_ms=NOW_MS - 1000, symbols=(COIN, OTHER),
        actors=("fetcher", "dashboard"),
        redis=RedisView(status="up", since_ms=NOW_MS, reason="", round_trip_ms=0.1),
    )  # fmt: skip
    return PageInputs(
        snapshot=replace(found, **seen), source="sim", namespace="", groups={"all": [COIN, OTHER]},
        limits=Limits(), prices={COIN: CoinPrices(), OTHER: CoinPrices()},
    )  # fmt: skip


def with_price(found: PageInputs) -> PageInputs:
    window = window_at(walk(1, 400), Timeframe.M5, START_MS + 390 * Timeframe.M5.ms)
    found.prices[COIN].apply_window(window)
    return found


def with_signal(now: TaSignal, **seen: Any) -> PageInputs:
    return with_price(world(signals={COIN: now}, **seen))


def coin(found: PageInputs) -> dict[str, Any]:
    shown: dict[str, Any] = document(found, NOW_MS)["coinData"][0]
    return shown


def test_before_the_first_data_there_is_no_verdict() -> None:
    data = document(world(), NOW_MS)
    assert data["taSignals"] == {COIN: None, OTHER: None}
    for shown in data["coinData"]:
        assert shown["state"] == "loading"
        for name in ("price", "base", "bonus", "change24hPct", "computedAtMs", "quarantine"):
            assert shown[name] is None
        assert shown["spark"] == []
    assert (data["positions"], data["balance"], data["trader"]) == (None, None, None)


def test_a_coin_is_split_as_the_exchange_lists_it_and_not_at_all_before() -> None:
    found = world()
    assert (coin(found)["baseAsset"], coin(found)["quoteAsset"]) == (None, None)
    found.assets = {COIN: ("BTC", "USDT")}
    assert (coin(found)["baseAsset"], coin(found)["quoteAsset"]) == ("BTC", "USDT")


FRESH = signal(COIN, NOW_MS)
OLD = NOW_MS - 46_000
LEFT_OUT = {
    ("compute", COIN): Quarantine(
        symbol=COIN, stage="compute", reason="5 failures", since_ms=1, until_ms=NOW_MS + 1
    )
}


def listed(state: ListingState, text: str) -> dict[str, Any]:
    return {"listings": {COIN: Listing(state=state, text=text, since_ms=NOW_MS - 1000)}}


WORDS: dict[ListingState, str] = {
    "announced": "announced: trading has not begun (PRE_TRADING)",
    "young": "young: listed 25 min ago, no closed 1h candle yet",
    "halted": "halted since 2023-11-14 22:10 UTC: status HALT",
    "dead": "dead since 2023-06-28: status BREAK",
    "delisted": "delisted: not listed at the exchange",
}

CASES: dict[str, tuple[PageInputs, str, str]] = {
    "fresh": (with_signal(FRESH), "live", ""),
    "no signal yet": (with_price(world()), "warming", "waiting for the first signal"),
    "never a signal": (with_price(world(scanned_once=True)), "stale", "no signal"),
    "few bars": (
        with_signal(signal(COIN, NOW_MS, m5=input_state(NOW_MS, bars=299, warm=False))),
        "warming",
        "299 of 300 closed 5m candles",
    ),
    "gap": (
        with_signal(signal(COIN, NOW_MS, m5=input_state(NOW_MS, unfilled_gap=True))),
        "warming",
        "5m candles have a gap",
    ),
    "old signal": (with_signal(signal(COIN, OLD)), "stale", "no new signal"),
    "old candles": (
        with_signal(signal(COIN, NOW_MS, m5=input_state(NOW_MS, stale=True))),
        "stale",
        "5m candles are stale",
    ),
    "candles fetched long ago": (
        with_signal(signal(COIN, NOW_MS, m5=input_state(NOW_MS - 200_000))),
        "stale",
        "5m candles are stale",
    ),
    "quarantined coin": (
        with_signal(FRESH, quarantines=LEFT_OUT),
        "quarantined",
        "not computed, 5 failures",
    ),
    "coin that killed": (
        with_signal(
            FRESH,
            statuses={"indicators-a": status("indicators-a", quarantined_coins={COIN: NOW_MS + 1})},
        ),
        "quarantined",
        "indicators-a died while computing it",
    ),
    "quarantine over": (
        with_signal(
            FRESH,
            quarantines={k: replace(q, until_ms=NOW_MS) for k, q in LEFT_OUT.items()},
        ),
        "live",
        "",
    ),
    "another price scale": (
        with_signal(
            FRESH,
            heartbeats={
                "fetcher": heartbeat("fetcher", scale_breaks={COIN: "its price scale changed"})
            },
        ),
        "warming",
        "its price scale changed",
    ),
    "delisted, and so left out": (
        with_signal(FRESH, **listed("delisted", WORDS["delisted"]), quarantines=LEFT_OUT),
        "delisted",
        WORDS["delisted"],
    ),
    **{
        state: (with_signal(FRESH, **listed(state, text)), state, text)
        for state, text in WORDS.items()
    },
    "young before its first signal": (
        world(**listed("young", WORDS["young"])),
        "young",
        WORDS["young"],
    ),
    "young without new signals": (
        with_signal(signal(COIN, OLD), **listed("young", WORDS["young"])),
        "stale",
        "no new signal",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_state_of_a_coin(name: str) -> None:
    found, state, reason = CASES[name]
    shown = coin(found)
    assert (shown["state"], shown["stateReason"]) == (state, reason)
    assert (shown["quarantine"] is not None) == ("left out" in name or "coin" in name)


@pytest.mark.parametrize("state", WORDS)
def test_numbers_of_a_coin_that_does_not_trade_are_not_shown_as_current(
    state: ListingState,
) -> None:
    found = with_signal(FRESH, **listed(state, WORDS[state]))
    found.scores = {COIN: scored()}
    shown = coin(found)
    assert (shown["change24hPct"] is not None) == (state == "young")
    assert (shown["nextCloseMs"] is not None) == (state == "young")
    has_signal = state in ("young", "halted")
    assert (shown["computedAtMs"] is not None) == has_signal
    assert (document(found, NOW_MS)["taSignals"][COIN] is not None) == has_signal
    assert shown["closedUntilMs"] == found.prices[COIN].closed_until_ms


def scored(score: int = 61) -> CoinScore:
    side = SideScore(score=score, parts=[ScorePart(name="trend", points=20.0, max=30.0, text="up")])
    return CoinScore(
        symbol=COIN, close=1.0, change_24h_pct=-3.21, long=side, short=replace(side, score=12),
        coverage=1.0, label_long="candidate", label_short="none", long_bonus=10, short_bonus=0,
        closed_until_ms=1, fault="",
    )  # fmt: skip


def test_base_and_bonus_stay_apart_and_the_scan_gives_the_change() -> None:
    found = with_signal(FRESH)
    found.scores = {COIN: scored()}
    shown = coin(found)
    assert (shown["base"]["long"], shown["base"]["short"]) == (61, 12)
    assert shown["base"]["longParts"] == [
        {"name": "trend", "points": 20.0, "max": 30.0, "text": "up"}
    ]
    assert shown["bonus"] == {"long": 10, "short": 0, "reasoning": ["aligned"]}
    assert shown["change24hPct"] == -3.21


def test_score_without_a_single_part_is_no_verdict() -> None:
    found = with_signal(FRESH)
    nothing = SideScore(score=0, parts=[])
    found.scores = {COIN: replace(scored(), long=nothing, short=nothing, coverage=0.0)}
    assert coin(found)["base"] is None


def test_in_fallback_indicators_are_unavailable_not_neutral_and_prices_go_on() -> None:
    found = with_signal(FRESH)
    found.scores = {COIN: scored()}
    found.fallback = True
    found.fallback_troubles = {COIN: "HTTP 502"}
    data = document(found, NOW_MS)
    assert data["taSignals"] == {COIN: None, OTHER: None}
    assert data["redis"]["fallback"] is True
    assert data["exchange"]["troubles"] == {COIN: "HTTP 502"}
    shown = data["coinData"][0]
    assert (shown["state"], shown["base"], shown["bonus"]) == ("unavailable", None, None)
    assert shown["computedAtMs"] is None and shown["price"] is not None


def test_actors_are_told_with_their_last_death_or_as_unknown() -> None:
    died = status("fetcher", "backoff", restarts=2, deaths=[death("exit 1"), death("SIGSEGV")])
    found = world(statuses={"fetcher": died, "left over": status("left over")})
    actors = document(found, NOW_MS)["actors"]
    assert [a["name"] for a in actors] == ["fetcher", "dashboard", "left over"]
    assert actors[0]["lastDeath"]["cause"] == "SIGSEGV" and actors[0]["restarts"] == 2
    assert (actors[1]["state"], actors[1]["lastDeath"]) == ("unknown", None)


def test_ban_is_told_from_the_bus_or_from_what_this_process_heard_and_ends() -> None:
    found = world(ban=Ban(until_ms=NOW_MS + 5, status=418, at_ms=1))
    assert document(found, NOW_MS)["exchange"]["bannedUntilMs"] == NOW_MS + 5
    assert document(found, NOW_MS + 5)["exchange"]["bannedUntilMs"] is None
    found.banned_until_ms = NOW_MS + 9
    assert document(found, NOW_MS)["exchange"]["bannedUntilMs"] == NOW_MS + 9


def test_history_is_told_in_the_names_of_the_page() -> None:
    found = world()
    found.history = [
        LabelChange(at_ms=5, symbol=COIN, side="long", event="entered", label="strong", base=81,
                    bonus=None, close=2.5)
    ]  # fmt: skip
    assert document(found, NOW_MS)["signalHistory"] == [
        {"atMs": 5, "symbol": COIN, "side": "long", "event": "entered", "label": "strong",
         "base": 81, "bonus": None, "close": 2.5}
    ]  # fmt: skip
