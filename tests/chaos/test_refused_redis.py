"""A Redis that answers "no", freezes, or whose keys went bad: named, survived, healed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.chaos.conftest import LIGHT, Make, is_well
from tests.support.moving_address import MovingAddress
from tests.support.platform_run import Platform, wait_for
from tests.support.ports import free_port
from tests.support.private_redis import PrivateRedis

SHARED = (*LIGHT, "supervisor.hung_s=3")
ALL_MOVED_S = 30.0


def first_problem(running: Platform) -> str:
    problems = running.health()[1]["problems"]
    return str(problems[0]) if problems else ""


def page_redis(running: Platform) -> Any:
    return running.dashboard()[1]["redis"]


def platforms_clients(server: PrivateRedis) -> list[str]:
    """Return the names of the connections that have one: all of the platform, none of the test."""
    listed = server.run("CLIENT", "LIST")
    assert isinstance(listed, bytes)
    rows = [dict(part.partition("=")[::2] for part in line.split())
            for line in listed.decode().splitlines()]  # fmt: skip
    return sorted(row["name"] for row in rows if row.get("name"))


def test_failover_is_named_first_survived_and_followed_by_every_client(
    platform: Make, own_redis: Callable[..., PrivateRedis]
) -> None:
    ports = (free_port(), free_port())
    old, new = (own_redis("--port", str(port), "--repl-diskless-sync-delay", "0") for port in ports)
    new.run("REPLICAOF", "127.0.0.1", ports[0])
    address = MovingAddress(old)
    with address.serve_in_thread() as url:
        running = platform(*LIGHT, "redis.embedded=never", f"redis.url={url}")
        running.start()
        wait_for(lambda: is_well(running), 30, "all well")
        before = {row["name"]: row["pid"] for row in running.actors()}

        new.run("REPLICAOF", "NO", "ONE")
        old.run("REPLICAOF", "127.0.0.1", ports[1])
        wait_for(lambda: "refuses writes: READONLY" in first_problem(running), 20, "named first")
        wait_for(
            lambda: "READONLY" in str(running.status()["supervisor"]["problems"]),
            10, "named by the supervisor, who writes each second",
        )  # fmt: skip
        wait_for(lambda: page_redis(running)["fallback"], 30, "candles from the exchange")
        assert page_redis(running)["status"] == "refuses"
        running.kill_actor("scanner")
        wait_for(lambda: running.actor("scanner")["deaths"], 10)
        assert [death["counted"] for death in running.actor("scanner")["deaths"]] == [False]

        address.target, moved_s = new, time.monotonic()
        wait_for(lambda: not platforms_clients(old), ALL_MOVED_S, "nobody on the old one")
        assert time.monotonic() - moved_s < ALL_MOVED_S
        assert {"supervisor", "health", "trader"} <= set(platforms_clients(new))
        wait_for(lambda: is_well(running), 60, "well again")
        after = {row["name"]: row["pid"] for row in running.actors() if row["name"] != "scanner"}
        assert after == {name: before[name] for name in after}
        running.stop()


def test_frozen_embedded_redis_is_replaced_and_no_actor_is(running: Platform) -> None:
    before = {row["name"]: row["pid"] for row in running.actors()}
    pid = running.status()["supervisor"]["redis_pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: running.status()["supervisor"]["redis_pid"] not in (None, pid), 30, "replaced")
    wait_for(lambda: is_well(running), 60, "well again")
    assert {row["name"]: row["pid"] for row in running.actors()} == before
    assert f"the embedded redis (pid {pid}) has answered nothing" in running.output()


def test_changed_users_are_named_first_and_heal(running: Platform) -> None:
    with running.redis() as client:
        users = [str(line) for line in client.acl_list() if line.split()[1] not in ("tests",)]
        for line in users:
            client.execute_command("ACL", "SETUSER", line.split()[1], "-@all", "clearselectors")
        wait_for(lambda: "NOPERM" in first_problem(running), 30, "named first")
        assert running.health()[1]["redis"]["status"] == "refuses"
        for line in users:
            _, name, *rules = line.split(" ")
            client.execute_command("ACL", "SETUSER", name, "reset", *grouped(rules))
    wait_for(lambda: is_well(running), 60, "well again")


def grouped(rules: list[str]) -> list[str]:
    """Return rules with each selector in one word, as ACL SETUSER takes them."""
    found: list[str] = []
    for rule in rules:
        if found and found[-1].startswith("(") and not found[-1].endswith(")"):
            found[-1] += f" {rule}"
        else:
            found.append(rule)
    return found


def test_keys_that_went_bad_are_replaced_and_the_operator_may_remove_one(
    running: Platform,
) -> None:
    with running.redis() as client:
        client.set("supervisor:actors", "a string")
        client.set("market:ban_until", "not JSON")
        client.rpush("quarantine:compute:BTCUSDT", "of another type")
        wait_for(
            lambda: (
                client.type("supervisor:actors") == "hash"
                and not client.exists("market:ban_until", "quarantine:compute:BTCUSDT")
            ),
            30,
            "replaced by their owners",
        )
        client.hset("supervisor:actors", "stranger", "{}")
        wait_for(lambda: not client.hexists("supervisor:actors", "stranger"), 15, "removed")
    assert running.run("bus", "forget", "cache:candles:BTCUSDT:4h").returncode == 0
    refused = running.run("bus", "forget", "trader:kill")
    assert refused.returncode == 1 and "coinex trader release" in refused.stderr
    with running.redis() as client:
        wait_for(lambda: client.exists("cache:candles:BTCUSDT:4h"), 10, "written anew")
        client.flushall()
        wait_for(lambda: len(client.keys("cache:candles:*")) == 3 * 7, 10, "written anew")
