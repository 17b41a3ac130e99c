"""A coin, the exchange or Redis in trouble: who is named, who goes on, what heals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import orjson
import pytest

from tests.support.platform_run import Platform, wait_for

SHARED = ("fetcher.circuit_s=3",)  # a coin that is well again is soon tried again
COINS = 29
BAD = "SOLUSDT"
SCANS = 4
INTERVAL_S = 2.0


@pytest.fixture
def running(running: Platform) -> Iterator[Platform]:
    """The platform of the module; the exchange is healed afterwards."""
    yield running
    running.simulator("/sim/faults", method="DELETE")


def restarts(running: Platform) -> dict[str, int]:
    return {row["name"]: row["restarts"] for row in running.actors()}


@pytest.mark.parametrize("kind", ["5xx", "html", "price_zero", "hang", "delisted"])
def test_one_bad_coin_is_named_and_the_others_stay_on_time(running: Platform, kind: str) -> None:
    before = restarts(running)
    code, _ = running.simulator(
        "/sim/faults", [{"kind": kind, "symbol": BAD, "for_s": 600}], method="POST"
    )
    assert code < 300
    # a row refused by itself is a note if the stream has brought that candle
    fields = ("problems", "notes") if kind == "price_zero" else ("problems",)
    named = wait_for(
        lambda: [text for f in fields for text in running.health()[1][f] if BAD in text],
        20,
        "the coin named",
    )
    scans_before = running.health()[1]["actors"]["indicators-payments"]["steps"]
    worst_s = 0.0

    def scanned_often() -> bool:
        nonlocal worst_s
        body = running.health()[1]
        ages = [s["signal_age_s"] for name, s in body["symbols"].items() if name != BAD]
        assert len(ages) == COINS - 1
        worst_s = max(worst_s, *ages)
        return bool(body["actors"]["indicators-payments"]["steps"] - scans_before >= SCANS)

    wait_for(scanned_often, 60)
    assert worst_s < 4 * INTERVAL_S, named
    assert running.health()[0] == 200
    assert restarts(running) == before


def test_no_request_is_sent_during_a_ban_whatever_dies_meanwhile(running: Platform) -> None:
    running.simulator("/sim/faults", [{"kind": "418", "for_s": 8}], method="POST")
    wait_for((running.state_dir / "binance-ban").exists, 15, "the ban noted")
    wait_for(
        lambda: "forbids all requests (HTTP 418)" in str(running.health()[1]["problems"]),
        10,
        "told on health",
    )
    sent = requests(running)
    redis_pid = running.status()["supervisor"]["redis_pid"]
    os.kill(redis_pid, signal.SIGSTOP)
    running.kill_actor("fetcher")
    time_left = wait_for(lambda: _ban_left_s(running) <= 3 and 1, 30)
    assert time_left
    assert requests(running) == sent
    os.kill(redis_pid, signal.SIGCONT)
    wait_for(lambda: requests(running) > sent, 30, "requests after the ban")
    wait_for(lambda: running.health()[1]["status"] == "ok", 60, "health ok again")


def requests(running: Platform) -> int:
    """Return how many requests the exchange has seen."""
    _, body = running.simulator("/sim/requests")
    return sum(
        kind["count"] if isinstance(kind, dict) else kind
        for kind in body.get("counts", body).values()
    )


def _ban_left_s(running: Platform) -> float:
    ban = orjson.loads((running.state_dir / "binance-ban").read_bytes())
    return float(ban["until_ms"]) / 1000 - time.time()


def test_redis_frozen_then_full_restarts_nobody_is_told_and_heals(running: Platform) -> None:
    before = restarts(running)
    redis_pid = running.status()["supervisor"]["redis_pid"]

    os.kill(redis_pid, signal.SIGSTOP)
    wait_for(lambda: _told(running, "redis"), 30, "frozen Redis told")
    assert running.health()[0] == 503
    os.kill(redis_pid, signal.SIGCONT)
    wait_for(lambda: running.health()[1]["status"] == "ok", 60, "healed after the freeze")

    with running.redis() as client:
        client.config_set("maxmemory", "1mb")
    wait_for(lambda: _told(running, "full"), 30, "full Redis told")
    with running.redis() as client:
        client.config_set("maxmemory", "256mb")
    wait_for(lambda: running.health()[1]["status"] == "ok", 60, "healed after being full")
    wait_for(lambda: not running.status()["supervisor"]["problems"], 20)

    assert restarts(running) == before


def _told(running: Platform, word: str) -> bool:
    """Tell whether both the health endpoint and `status` name the trouble."""
    health = str(running.health()[1]["problems"]).lower()
    status = str(running.status()["supervisor"]["problems"]).lower()
    return word in health and word in status
