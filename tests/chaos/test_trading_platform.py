"""Account, trader and its API in a whole platform: keys that show nowhere, deaths, commands."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
import pytest

from shared.clock import SystemClock
from shared.errors import VenueDenied
from shared.exchanges.venue_keys import VenueKeys
from shared.kill_switch import KillSwitch
from tests.chaos.conftest import Make
from tests.support.platform_run import Platform, wait_for
from tests.support.venue import simulated_client, simulated_url

SMALL = ("groups={majors: [BTCUSDT, ETHUSDT]}", "auditor.enabled=false", "account.interval_s=1")
SHARED = SMALL
ACCESS_ID, SECRET_KEY = "marked-access-id-7f3a", "marked-secret-key-91bc"
MARKS = (ACCESS_ID, SECRET_KEY)


def said(platform: Platform, *arguments: str) -> Any:
    """Return what `coinex trader ... --json` prints."""
    ended = platform.run("trader", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    return orjson.loads(ended.stdout)


def wait_ready(platform: Platform, name: str) -> None:
    def ready() -> bool:
        try:
            return bool(platform.actor(name)["state"] == "ready")
        except OSError:  # the supervisor does not listen yet
            return False

    wait_for(ready, 30, f"{name} ready")


def is_another(platform: Platform, name: str, old: int) -> bool:
    return platform.pid(name) not in (None, old)


def trader_mode(platform: Platform) -> str:
    with platform.redis() as client:
        raw = client.get("state:trader:status")
    return "" if raw is None else str(orjson.loads(raw)["mode"])


def sim_keys(platform: Platform) -> dict[str, str]:
    """Return the simulated venue's keys, as a client of a person's own would read them."""
    path = platform.state_dir / "simulator" / "venue-keys.json"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    keys: dict[str, str] = orjson.loads(path.read_bytes())
    return keys


def is_let_in(platform: Platform, keys: VenueKeys) -> bool:
    """Return whether the simulated venue shows the balance to these keys."""
    url = f"http://127.0.0.1:{platform.actor('exchange-sim')['port']}"

    async def asked() -> bool:
        async with aiohttp.ClientSession() as session:
            venue = simulated_client(url, session, SystemClock(), timeout_s=10, keys=keys)
            await venue.server_time()
            try:
                await venue.balance()
            except VenueDenied:
                return False
            return True

    return asyncio.run(asked())


def token_of(platform: Platform) -> str:
    return (platform.state_dir / "api.token").read_text().strip()


# Keys


def traces(platform: Platform, marks: tuple[str, ...]) -> Iterator[str]:
    """Yield where a mark is seen in anything the platform left, shows or is."""
    found: dict[str, bytes] = {}
    for path in platform.state_dir.rglob("*"):
        if path.is_file() and path.name not in ("api.token", "venue-keys.json"):
            found[str(path.relative_to(platform.state_dir))] = path.read_bytes()
    for process in platform.tree():
        for name in ("environ", "cmdline", "comm"):
            at = Path(f"/proc/{process.pid}/{name}")
            found[f"{' '.join(process.cmdline()[:2])} {name}"] = at.read_bytes()
    found["status --json"] = orjson.dumps(platform.status())
    for page in ("/health", "/metrics"):
        found[page] = str(platform.health(page)[1]).encode()
    found["/api/state"] = str(platform.dashboard()[1]).encode()
    found["trader status"] = platform.run("trader", "status", "--json").stdout.encode()
    with platform.redis() as client:
        reads: dict[str, Callable[[str], Any]] = {
            "string": client.get,
            "hash": client.hgetall,
            "stream": client.xrange,
            "list": lambda key: client.lrange(key, 0, -1),
        }
        for key in client.scan_iter(count=1000):
            kind = client.type(key)
            if kind != "none":  # it may have expired just now
                found[f"redis {key}"] = str(reads[kind](key)).encode()
    assert len(found) > 40, sorted(found)
    for where, content in found.items():
        for mark in marks:
            if mark.encode() in content:
                yield f"{where}: {mark}"


def test_keys_show_in_nothing_that_a_live_platform_prints_keeps_or_is(
    platform: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = platform(*SMALL, "trader.enabled=false", state="exchange")
    exchange.start()
    port = exchange.actor("exchange-sim")["port"]
    monkeypatch.setenv("COINEX_VENUE_KEY", ACCESS_ID)
    monkeypatch.setenv("COINEX_VENUE_SECRET", SECRET_KEY)
    live = platform(
        *SMALL, "mode=live", "trader.enabled=true", "redis.embedded=always",
        f"venue.base_url={simulated_url(f'http://127.0.0.1:{port}')}", f"binance.base_url=http://127.0.0.1:{port}",
        state="live",
    )  # fmt: skip
    live.start(ready=False)
    for name in ("health", "dashboard", "trader-api"):
        wait_ready(live, name)
    # The venue was asked with these keys, and does not know them.
    wait_for(lambda: "4005" in live.actor("trader")["doing"], 15, "trader denied")
    with live.redis() as client:
        wait_for(lambda: "4005" in (client.get("state:positions") or ""), 15, "account denied")
    for name in ("account", "trader"):
        old = live.signal(name, signal.SIGABRT)  # it prints its stacks
        wait_for(partial(is_another, live, name, old), 15, f"another {name}")
        assert "most recent call first" in live.log(name)
    live.run("trader", "kill", "--reason", "odd")
    assert list(traces(live, (*MARKS, token_of(live)))) == []


@pytest.mark.parametrize("mode", ["demo", "paper"])
def test_keys_given_to_a_platform_that_simulates_show_nowhere_and_are_not_used(
    platform: Make, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("COINEX_VENUE_KEY", ACCESS_ID)
    monkeypatch.setenv("COINEX_VENUE_SECRET", SECRET_KEY)
    running = platform(
        *SMALL, f"mode={mode}", "trader.enabled=true", "redis.embedded=always",
        "binance.base_url=http://127.0.0.1:9", "binance.stream_url=ws://127.0.0.1:9",
    )  # fmt: skip
    running.start(ready=mode == "demo")
    for name in ("exchange-sim", "account", "trader-api", "health", "dashboard"):
        wait_ready(running, name)
    assert not is_let_in(running, VenueKeys(*MARKS))
    keys = sim_keys(running)
    for name in ("exchange-sim", "account", "trader"):
        old = running.signal(name, signal.SIGABRT)  # it prints its stacks
        wait_for(partial(is_another, running, name, old), 15, f"another {name}")
    wait_ready(running, "exchange-sim")
    assert sim_keys(running) == keys
    assert is_let_in(running, VenueKeys(keys["access_id"], keys["secret_key"]))
    if mode == "demo":  # those who sign are restarted with keys that it accepts
        restarted_ms = time.time_ns() // 1_000_000
        with running.redis() as client:
            wait_for(
                lambda: orjson.loads(client.get("state:positions"))["as_of_ms"] > restarted_ms,
                20, "positions",
            )  # fmt: skip
        wait_ready(running, "trader")
    assert list(traces(running, (*MARKS, token_of(running), *keys.values()))) == []


def test_one_key_without_the_other_ends_with_78(
    platform: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COINEX_VENUE_SECRET", SECRET_KEY)
    running = platform(*SMALL)
    running.start(ready=False)
    assert running.process is not None
    assert running.process.wait(30) == 78
    assert "given without COINEX_VENUE_KEY" in running.output()
    assert SECRET_KEY not in running.output()
    running.process = None


# Deaths


def test_trader_that_keeps_dying_is_always_started_again_and_then_only_reduces(
    running: Platform,
) -> None:
    wait_for(lambda: trader_mode(running) == "enabled", 20, "enabled")
    for _ in range(6):
        old = running.kill_actor("trader")
        running.wait_replaced("trader", old, 10)
    row = running.actor("trader")
    assert row["state"] == "ready"
    assert "in mode reducing until" in row["reason"]
    wait_for(lambda: trader_mode(running) == "reducing", 20, "reducing")
    ended = running.run("release", "trader")
    assert ended.returncode == 0, ended.stderr
    wait_for(lambda: trader_mode(running) == "enabled", 20, "enabled again")
    assert running.actor("trader")["reason"] == ""


def test_what_only_reduces_ends_with_a_changed_setting_and_starts_nothing_that_was_stopped(
    platform: Make, checkout: Path
) -> None:
    running = platform(*SMALL, "supervisor.max_deaths=1", root=checkout)
    running.start()

    def reduce() -> None:
        wait_for(lambda: trader_mode(running) == "enabled", 20, "enabled")
        old = running.kill_actor("trader")
        running.wait_replaced("trader", old, 10)
        assert "in mode reducing until" in running.actor("trader")["reason"]

    reduce()
    config = checkout / "config.yaml"
    config.write_text(config.read_text().replace("  cooldown_min: 60", "  cooldown_min: 61"))
    assert running.run("reload").returncode == 0
    wait_for(lambda: "reducing" not in running.actor("trader")["reason"], 5, "its end")
    reduce()
    assert running.run("stop", "trader").returncode == 0
    released = running.run("release", "trader", timeout_s=20)
    assert released.returncode == 0, released.stderr
    assert "stays so until it is started" in released.stdout
    row = running.actor("trader")
    assert (row["state"], row["pid"]) == ("stopped", None)
    assert "reducing" not in row["reason"]


def test_when_memory_runs_out_the_trader_is_the_last_to_go(running: Platform) -> None:
    scores = {
        row["name"]: int(Path(f"/proc/{row['pid']}/oom_score_adj").read_text())
        for row in running.actors()
    }
    if set(scores.values()) == {0}:
        pytest.skip("this machine does not let the score be raised")
    spared = scores.pop("trader")
    assert spared < min(scores.values())


# Commands


def test_trader_is_steered_from_the_command_line(running: Platform) -> None:
    wait_for(lambda: trader_mode(running) == "enabled", 20, "enabled")
    table = running.run("trader", "status")
    assert table.returncode == 0, table.stderr
    assert "TRADER  enabled" in table.stdout
    assert "equity 10000 USDT" in table.stdout
    killed = said(running, "kill", "--reason", "odd prices")
    assert (killed["outcome"], killed["mode"], killed["lock"]["reason"]) == (
        "done", "locked", "odd prices",
    )  # fmt: skip
    assert said(running, "status")["status"]["lock"]["reason"] == "odd prices"
    refused = running.run("trader", "enable")
    assert refused.returncode == 1
    assert "odd prices; release it first" in refused.stderr
    assert said(running, "release")["mode"] == "enabled"
    refused = running.run("trader", "close", "BTCUSDT")
    assert (refused.returncode, "BTCUSDT" in refused.stderr) == (1, True)
    assert running.run("trader", "close").returncode == 2
    assert running.run("trader", "kill", "BTCUSDT").returncode == 2
    assert said(running, "flatten")["lock"]["flatten"] is True
    assert said(running, "release")["mode"] == "enabled"


def test_kill_from_the_command_line_holds_without_an_api(running: Platform) -> None:
    assert running.run("stop", "trader-api").returncode == 0
    ended = running.run("trader", "kill", "--reason", "odd")
    assert ended.returncode == 3
    assert "the lock" in ended.stderr
    assert "is set all the same" in ended.stderr
    lock = KillSwitch(running.state_dir).read()
    assert lock is not None
    assert lock.reason == "odd"
    wait_for(lambda: trader_mode(running) == "locked", 20, "locked")
    assert running.run("trader", "status").returncode == 3
    assert running.run("start", "trader-api").returncode == 0
    assert said(running, "release")["mode"] == "enabled"


@pytest.mark.parametrize("name", ["account", "trader"])
def test_actor_takes_one_step_by_hand_and_ends(platform: Make, name: str) -> None:
    running = platform(*SMALL, "trader.enabled=false")
    running.start()
    port = running.actor("exchange-sim")["port"]
    ended = subprocess.run(
        [
            sys.executable, "-m", "actors", name, "--once", f"state_dir={running.state_dir}",
            f"simulator.port={port}", "trader.enabled=true", SMALL[0],
        ],
        cwd=running.root, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    if name == "trader":
        assert trader_mode(running) == "enabled"


def test_commands_say_so_where_no_trader_runs(platform: Make) -> None:
    nothing = platform(*SMALL)
    ended = nothing.run("trader", "status")
    assert ended.returncode == 3
    assert "no trader answers" in ended.stderr
    ended = nothing.run("trader", "kill")
    assert ended.returncode == 3
    assert not nothing.state_dir.exists()  # a mistyped directory is not made


def test_ending_the_platform_ends_all_of_it(platform: Make) -> None:
    running = platform(*SMALL)
    running.start()
    processes = running.tree()
    running.stop()
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)
    assert not (running.state_dir / "api.url").exists()
