"""The kill switch of a whole platform whose every other part is frozen, locked or silent."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil

from shared.kill_switch import KillSwitch
from tests.chaos.conftest import Make
from tests.support.paths import ROOT
from tests.support.platform_run import Platform, wait_for

SMALL = ("groups={majors: [BTCUSDT, ETHUSDT]}", "auditor.enabled=false", "account.interval_s=1")
SHOWN_S = 20


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[None]:
    processes = [psutil.Process(pid) for pid in pids]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@contextlib.contextmanager
def locked(platform: Platform) -> Iterator[None]:
    """Hold the journal's write lock."""
    with contextlib.closing(
        sqlite3.connect(platform.state_dir / "trader.db", isolation_level=None, timeout=30)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def trader_of(platform: Platform) -> dict[str, Any]:
    trader: dict[str, Any] | None = platform.health()[1]["trader"]
    return trader or {}


def test_kill_holds_and_shows_with_redis_and_api_frozen_and_the_journal_locked(
    platform: Make,
) -> None:
    running = platform(*SMALL, "trader.enabled=true", "redis.embedded=always")
    running.start()
    wait_for(lambda: trader_of(running).get("mode") == "enabled", 30, "enabled")
    api, redis_pid = running.pid("trader-api"), running.status()["supervisor"]["redis_pid"]
    assert api is not None
    with locked(running):
        wait_for(lambda: "trader.db" in trader_of(running)["journal"], 30, "the journal named")
        problems = running.health()[1]["problems"]
        assert any("the journal: " in text and "is locked" in text for text in problems), problems
        with frozen(api, redis_pid):
            command = subprocess.Popen(
                [sys.executable, "supervisor.py", "trader", "flatten", "--reason", "odd prices",
                 "--set", f"state_dir={running.state_dir}"],
                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                wait_for(KillSwitch(running.state_dir).read, 10, "the lock")

                def shown() -> bool:
                    body = running.health()[1]
                    said = any("trader: locked: " in text for text in body["problems"])
                    return said and body["trader"]["mode"] == "locked"

                wait_for(shown, SHOWN_S, "locked on /health")
            finally:
                command.send_signal(signal.SIGTERM)
                command.wait()

    def status() -> bool:
        first = running.run("trader", "status").stdout.split("\n", 1)[0]
        return first.startswith("TRADER  locked") and "odd prices" in first

    wait_for(status, SHOWN_S, "locked in trader status")
