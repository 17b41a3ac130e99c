"""The dashboard through its own death, and through that of Redis."""

from __future__ import annotations

import urllib.error
from typing import Any

import psutil
import pytest

from tests.support.platform_run import Platform, wait_for

SHARED = ("auditor.enabled=false",)


def state(running: Platform) -> dict[str, Any]:
    try:
        code, body = running.dashboard()
    except urllib.error.URLError:
        return {"coinData": [], "redis": {}}
    assert code == 200
    assert isinstance(body, dict)
    return body


def all_live(running: Platform) -> bool:
    states = [coin["state"] for coin in state(running)["coinData"]]
    return bool(states) and set(states) == {"live"}


@pytest.fixture
def running(running: Platform) -> Platform:
    """The platform of the module, every coin shown as live."""
    wait_for(lambda: all_live(running), 20, "29 live coins")
    return running


def test_killed_dashboard_is_back_on_its_port_and_nobody_else_notices(running: Platform) -> None:
    before = {row["name"]: row["pid"] for row in running.actors()}
    port = running.actor("dashboard")["port"]
    old = running.kill_actor("dashboard")
    running.wait_replaced("dashboard", old)
    assert running.actor("dashboard")["port"] == port
    wait_for(lambda: all_live(running), 10, "29 live coins again")
    after = {row["name"]: row["pid"] for row in running.actors()}
    assert {name for name in before if before[name] != after[name]} == {"dashboard"}
    shown = next(a for a in state(running)["actors"] if a["name"] == "dashboard")
    assert shown["lastDeath"]["cause"] == "killed by SIGKILL"


def test_redis_that_is_restarted_at_once_costs_the_exchange_no_request(running: Platform) -> None:
    old = running.pid("dashboard")
    redis_pid = running.status()["supervisor"]["redis_pid"]
    psutil.Process(redis_pid).kill()
    wait_for(lambda: running.status()["supervisor"]["redis_pid"] not in (None, redis_pid), 15)

    def well_again() -> bool:
        data = state(running)
        return data["redis"].get("status") == "up" and all_live(running)

    wait_for(well_again, 20, "29 live coins again")
    assert running.pid("dashboard") == old

    def detail() -> dict[str, Any] | None:
        actors = running.health()[1]["actors"]
        found: dict[str, Any] | None = actors["dashboard"]["detail"]
        return found

    wait_for(lambda: (detail() or {}).get("fallback") is False, 10, "the fallback's figures")
    assert (detail() or {})["fallback_requests"] == 0
