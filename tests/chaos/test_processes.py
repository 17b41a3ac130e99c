"""Killing, freezing and poisoning processes: what comes back, and what goes with whom."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
import redis

from tests.chaos.conftest import LIGHT, Make
from tests.support.platform_run import Platform, gone, wait_for

SHARED = ()


def test_every_killed_actor_is_replaced(running: Platform) -> None:
    for row in running.actors():
        old = running.kill_actor(row["name"])
        running.wait_replaced(row["name"], old)
        death = running.actor(row["name"])["deaths"][-1]
        assert death["cause"] == "killed by SIGKILL"


def test_frozen_actor_is_replaced_with_its_stacks_in_the_log_and_others_stay_fresh(
    platform: Make,
) -> None:
    running = platform(*LIGHT, "supervisor.hung_s=3", "supervisor.healthy_s=1")
    running.start()
    old = running.signal("indicators-majors", signal.SIGSTOP)
    worst_age_ms = 0

    def replaced() -> bool:
        nonlocal worst_age_ms
        other = running.signal_of("LTCUSDT")
        assert other is not None
        with running.redis() as client:
            now_ms = int(float(client.time()[0]) * 1000)
        worst_age_ms = max(worst_age_ms, now_ms - other["computed_at_ms"])
        return running.is_replaced("indicators-majors", old)

    wait_for(replaced, 3 + 3 + 3)
    assert "most recent call first" in running.log("indicators-majors")
    assert running.actor("indicators-majors")["deaths"][-1]["cause"].startswith("hung")
    assert worst_age_ms < 10_000


def test_redis_killed_comes_back_and_no_actor_is_restarted(running: Platform) -> None:
    before = {row["name"]: row["pid"] for row in running.actors()}
    last = running.signal_of("BTCUSDT")
    old = running.status()["supervisor"]["redis_pid"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: running.status()["supervisor"]["redis_pid"] not in (None, old), 10)

    def signals_go_on() -> bool:
        try:
            newest = running.signal_of("BTCUSDT")
        except redis.exceptions.ConnectionError:
            return False
        return newest is not None and newest != last

    wait_for(signals_go_on, 30, "a new signal")
    wait_for(lambda: running.health()[1]["status"] == "ok", 30, "health ok")
    assert {row["name"]: row["pid"] for row in running.actors()} == before


def test_zygote_killed_is_made_again_and_every_actor_with_it(running: Platform) -> None:
    before = {row["name"]: row["pid"] for row in running.actors()}
    old = running.status()["supervisor"]["zygote_pid"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: all(running.is_replaced(n, p) for n, p in before.items()), 30, "all replaced")
    for row in running.actors():
        assert "zygote" in row["deaths"][-1]["cause"]
        assert row["deaths"][-1]["counted"] is False


def test_nothing_outlives_a_killed_supervisor_and_the_next_start_finds_its_way_clear(
    platform: Make,
) -> None:
    running = platform(*LIGHT)
    running.start()
    running.signal("indicators-majors", signal.SIGSTOP)
    tree = running.tree()
    assert len(tree) >= 11  # supervisor, zygote, redis, nine actors
    running.kill()
    wait_for(lambda: gone(tree), 5, f"all gone: {tree}")
    running.start()


def test_redis_that_was_frozen_does_not_outlive_the_next_start(platform: Make) -> None:
    running = platform(*LIGHT)
    running.start()
    redis_process = psutil.Process(running.status()["supervisor"]["redis_pid"])
    redis_process.suspend()
    running.kill()
    running.start()
    assert gone([redis_process])


def test_actor_with_a_syntax_error_is_quarantined_and_comes_back_when_mended(
    platform: Make, checkout: Path
) -> None:
    running = platform(*LIGHT, "supervisor.healthy_s=0", root=checkout)
    running.start()
    good = {
        name: (checkout / name).read_text() for name in ("actors/health/actor.py", "supervisor.py")
    }
    for name, text in good.items():
        (checkout / name).write_text(text + "\ndef broken(:\n")
    running.kill_actor("health")
    row = wait_for(
        lambda: (r := running.actor("health"))["state"] == "quarantined" and r, 30, "quarantined"
    )
    assert "SyntaxError" in row["deaths"][-1]["last_words"]
    assert "SyntaxError" in running.log("health")
    old = running.kill_actor("indicators-majors")  # the others restart as ever
    running.wait_replaced("indicators-majors", old)
    for name, text in good.items():
        (checkout / name).write_text(text)
    wait_for(lambda: running.actor("health")["state"] == "ready", 10, "mended")


def test_poison_coin_is_quarantined_at_its_second_death_and_the_others_go_on(
    platform: Make,
) -> None:
    running = platform(*LIGHT, "testing.poison_coin=ETHUSDT")
    running.start(ready=False)
    wait_for(lambda: _answers(running), 20, "the supervisor answers")
    row = wait_for(
        lambda: (r := running.actor("indicators-majors"))["quarantined_coins"] and r,
        20,
        "convicted",
    )
    assert list(row["quarantined_coins"]) == ["ETHUSDT"]
    assert [d["cause"] for d in row["deaths"]] == ["killed by SIGSEGV"] * 2
    assert row["deaths"][-1]["doing"] == "computing ETHUSDT"
    others = ("BTCUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT")
    wait_for(lambda: all(map(running.signal_of, others)), 10, "the others published")
    assert running.signal_of("ETHUSDT") is None
    wait_for(
        lambda: any("ETHUSDT" in problem for problem in running.health()[1]["problems"]),
        15,
        "health names the coin",
    )


def test_actor_killed_from_outside_twice_convicts_no_coin(running: Platform) -> None:
    before = len(running.actor("indicators-majors")["deaths"])
    for _ in range(2):
        old = running.kill_actor("indicators-majors")
        running.wait_replaced("indicators-majors", old)
    row = running.actor("indicators-majors")
    assert len(row["deaths"]) == before + 2
    assert row["quarantined_coins"] == {}


@pytest.mark.slow
def test_actor_above_its_memory_is_replaced_without_a_death(platform: Make) -> None:
    running = platform(*LIGHT, "supervisor.max_pss_mb=20")
    running.start(ready=False)  # the fetcher weighs more than that: it is replaced for ever
    wait_for(lambda: _answers(running), 20)
    row = wait_for(lambda: (r := running.actor("fetcher"))["recycled"] and r, 40, "recycled")
    assert row["deaths"] == []


@pytest.mark.parametrize("how", ["shutdown", "terminate"])
def test_an_orderly_stop_leaves_nothing(platform: Make, how: str) -> None:
    running = platform(*LIGHT)
    running.start()
    tree = running.tree()
    if how == "shutdown":
        assert running.run("shutdown").returncode == 0
    running.stop()
    assert gone(tree)
    assert not (running.state_dir / "supervisor.sock").exists()


def _answers(running: Platform) -> bool:
    try:
        return bool(running.status())
    except OSError:
        return False


def test_app_zygote_killed_takes_its_actors_along_and_all_come_back(running: Platform) -> None:
    before = {row["name"]: row["pid"] for row in running.actors()}
    old = running.status()["supervisor"]["app_zygote_pid"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: all(running.is_replaced(n, p) for n, p in before.items()), 30, "all replaced")
    assert running.status()["supervisor"]["app_zygote_pid"] not in (None, old)


def test_frozen_zygotes_are_made_again_when_they_do_not_answer(running: Platform) -> None:
    own = running.status()["supervisor"]
    os.kill(own["app_zygote_pid"], signal.SIGSTOP)
    os.kill(own["zygote_pid"], signal.SIGSTOP)
    old = running.kill_actor("indicators-payments")
    running.wait_replaced("indicators-payments", old, 40)


def test_changed_code_is_what_a_restarted_actor_runs(platform: Make, checkout: Path) -> None:
    running = platform(*LIGHT, root=checkout)
    running.start()
    path = checkout / "actors" / "health" / "actor.py"
    path.write_text(path.read_text() + "\nprint('the new code speaks')\n")
    assert running.actor("health")["old_code"]
    assert running.run("restart", "health").returncode == 0
    wait_for(lambda: "the new code speaks" in running.log("health"), 10)
    assert not running.actor("health")["old_code"]


def test_supervisor_out_of_descriptors_loses_nobody_and_recovers(running: Platform) -> None:
    assert running.process is not None
    top = psutil.Process(running.process.pid)
    limits = top.rlimit(psutil.RLIMIT_NOFILE)
    old = running.pid("indicators-defi")
    top.rlimit(psutil.RLIMIT_NOFILE, (5, limits[1]))  # numbers below are all in use
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: "Too many open files" in running.output(), 20, "it says so")
    top.rlimit(psutil.RLIMIT_NOFILE, limits)
    running.wait_replaced("indicators-defi", old, 30)
