"""The auditor in the whole platform: it finds a spoiled kernel, and is missed by nobody."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.chaos.conftest import FEW_COINS, Make
from tests.support.platform_run import Platform, wait_for

TURN_S = 3


def audited(running: Platform) -> bool:
    body = running.health()[1]
    return body["status"] == "ok" and body["audit"] is not None


def test_a_spoiled_kernel_stands_on_health_until_it_is_mended(
    platform: Make, checkout: Path
) -> None:
    running = platform(FEW_COINS, f"auditor.interval_s={TURN_S}", root=checkout)
    running.start()
    wait_for(lambda: audited(running), 60, "a first report, and all well")
    assert running.health()[1]["audit"]["within_tolerance"] is True

    kernel = checkout / "shared" / "indicators" / "rolling.py"
    good = kernel.read_text()
    spoiled = good.replace("2.0 / (period + 1)", "2.0002 / (period + 1)")
    assert spoiled != good
    kernel.write_text(spoiled)
    assert running.run("restart", "indicators-*").returncode == 0
    code, body = wait_for(
        lambda: (h := running.health()) and "audit: " in str(h[1]["problems"]) and h,
        # a signal of the spoiled kernel, and one turn that meets it
        2 * TURN_S + 10,
        "the problem named",
    )
    assert (code, body["status"]) == (200, "degraded")
    # which field is furthest off, and so told with its numbers, the market of the day decides
    told = " ".join(problem for problem in body["problems"] if problem.startswith("audit: "))
    assert "ema8_5m" in told and "pandas-ta" in told, told
    assert running.health("/readyz")[0] == 503

    kernel.write_text(good)
    assert running.run("restart", "indicators-*").returncode == 0
    wait_for(lambda: audited(running), 2 * TURN_S + 20, "all well again")


def test_a_killed_auditor_changes_nothing_for_anybody_else(platform: Make) -> None:
    running = platform(FEW_COINS, f"auditor.interval_s={TURN_S}")
    running.start()
    wait_for(lambda: audited(running), 60, "a first report, and all well")
    before = {row["name"]: row["pid"] for row in running.actors()}
    nice = {name for name, pid in before.items() if psutil.Process(pid).nice() > 0}
    assert nice == {"auditor"}  # nor does it take the processor from anybody
    first = running.signal_of("BTCUSDT")
    old = running.kill_actor("auditor")
    running.wait_replaced("auditor", old)

    new = running.pid("auditor")

    def at_work_again() -> object:
        body = running.health()[1]
        row = body["actors"]["auditor"]
        return row["pid"] == new and row["detail"]["coins_compared"] and body["status"] == "ok"

    wait_for(at_work_again, 60, "the new process compares, and all is well")
    after = {row["name"]: row["pid"] for row in running.actors()}
    assert {name for name in before if before[name] != after[name]} == {"auditor"}
    assert first is not None
    wait_for(
        lambda: (
            (now := running.signal_of("BTCUSDT"))
            and now["computed_at_ms"] > first["computed_at_ms"]
        ),
        10,
        "signals go on",
    )
    assert "Traceback" not in running.log("auditor")
