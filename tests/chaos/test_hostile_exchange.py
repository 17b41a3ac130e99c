"""Replies and frames that are too large cost their coin, and nothing else."""

from __future__ import annotations

import orjson
import psutil

from shared.clock import SystemClock
from tests.chaos.conftest import LIGHT, Make, is_well
from tests.support.platform_run import Platform, wait_for

BOMBED, ENDLESS, FRAMED = "ETHUSDT", "LTCUSDT", "SOLUSDT"
HIT, OTHERS = {BOMBED, ENDLESS}, (FRAMED, "BTCUSDT", "XLMUSDT")
QUICK = ("fetcher.circuit_failures=2", "fetcher.circuit_s=2")
MOST_GROWTH_MB = 100
OLDEST_BEAT_S = 5.0


def failing(running: Platform) -> dict[str, str]:
    """Return on /health why coins cannot be fetched."""
    detail = running.health()[1]["actors"]["fetcher"]["detail"]
    coins: dict[str, str] = detail["coins"]
    return coins


def left_out(running: Platform) -> set[str]:
    return {coin for coin, row in running.health()[1]["symbols"].items() if row["quarantine"]}


def fetched_ms(running: Platform, coin: str) -> int:
    with running.redis() as client:
        raw = client.get(f"cache:candles:{coin}")
    return 0 if raw is None else int(orjson.loads(raw)["fetched_at_ms"])


def test_bombs_and_bodies_without_end_are_named_and_cost_no_other_coin(platform: Make) -> None:
    running = platform(*LIGHT, *QUICK)
    running.start()
    wait_for(lambda: is_well(running), 60, "well")
    pid = running.pid("fetcher")
    memory = psutil.Process(pid).memory_info
    before = peak = memory().rss
    oldest_s = 0.0
    faults = [
        {"kind": "bomb", "symbol": BOMBED, "value": 900, "for_s": 600},
        {"kind": "endless", "symbol": ENDLESS, "for_s": 600},
        {"kind": "stream_bomb", "symbol": FRAMED, "for_s": 600},
    ]
    begun_ms = SystemClock().now_ms()
    assert running.simulator("/sim/faults", faults, "POST")[0] == 200

    def are_left_out() -> bool:
        nonlocal peak, oldest_s
        peak = max(peak, memory().rss)
        oldest_s = max(oldest_s, running.actor("fetcher")["beat_age_s"])
        return left_out(running) == HIT

    wait_for(are_left_out, 60, "both left out")
    reasons = failing(running)
    assert set(reasons) == HIT
    assert "bytes of gzip decompress to more than 1,048,576 bytes" in reasons[BOMBED]
    assert "bytes have arrived, at most 1,048,576 are read" in reasons[ENDLESS]
    wait_for(lambda: "exceeds limit 8192" in str(running.health()[1]), 20, "frame is named")
    assert peak - before < MOST_GROWTH_MB * 2**20
    assert oldest_s < OLDEST_BEAT_S
    assert running.pid("fetcher") == pid
    for coin in OTHERS:
        assert fetched_ms(running, coin) > begun_ms

    assert running.simulator("/sim/faults", method="DELETE")[0] == 200
    wait_for(lambda: not failing(running), 60, "fetched again")
