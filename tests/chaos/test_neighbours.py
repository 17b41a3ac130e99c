"""What a supervisor shares with others: an external Redis, its lease, systemd."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from tests.chaos.conftest import LIGHT, Make
from tests.support.platform_run import wait_for
from tests.support.private_redis import PrivateRedis


@pytest.fixture
def external(own_redis: Callable[..., PrivateRedis]) -> PrivateRedis:
    return own_redis()


def on(server: PrivateRedis, *more: str) -> tuple[str, ...]:
    return (*LIGHT, "redis.embedded=never", f"redis.url={server.url}", *more)


def test_an_external_redis_serves_as_well_and_outlives_us(
    platform: Make, external: PrivateRedis
) -> None:
    running = platform(*on(external))
    running.start()
    assert running.status()["supervisor"]["redis_pid"] is None
    wait_for(lambda: external.run("GET", "ta:latest:BTCUSDT"), 10)
    running.stop()
    assert external.run("EXISTS", "supervisor:lease") == 0


def test_a_second_supervisor_on_the_same_namespace_is_refused_by_the_lease(
    platform: Make, external: PrivateRedis
) -> None:
    first = platform(*on(external))
    first.start()
    second = platform(*on(external), state="second").run("run")
    assert second.returncode == 1
    assert f"pid {first.process.pid}" in second.stderr  # type: ignore[union-attr]
    assert socket.gethostname() in second.stderr
    neighbour = platform(*on(external, "redis.namespace=dev"), state="third")
    neighbour.start()
    wait_for(lambda: external.run("EXISTS", "dev:ta:latest:BTCUSDT"), 10)


def test_a_supervisor_that_finds_its_lease_taken_stops_everything(
    platform: Make, external: PrivateRedis
) -> None:
    running = platform(*on(external))
    running.start()
    lease = {"host": "elsewhere", "pid": 1, "instance": "another", "mode": "demo", "at_ms": 1}
    external.run("SET", "supervisor:lease", orjson.dumps(lease))
    assert running.process is not None
    wait_for(lambda: running.process and running.process.poll() is not None, 30, "stopped")
    assert running.process.returncode == 1
    assert "elsewhere" in running.output()


def test_a_killed_supervisors_lease_does_not_hold_up_its_successor(
    platform: Make, external: PrivateRedis
) -> None:
    running = platform(*on(external))
    running.start()
    running.kill()
    assert external.run("EXISTS", "supervisor:lease") == 1
    running.start()


def test_actors_that_cannot_step_are_shown_as_stalled_and_go_on_afterwards(
    platform: Make, external: PrivateRedis
) -> None:
    running = platform(*on(external))
    running.start()
    before = {row["name"]: row["pid"] for row in running.actors()}
    external.freeze()
    wait_for(lambda: running.actor("indicators-majors")["state"] == "stalled", 30, "stalled")
    external.thaw()
    wait_for(running.all_ready, 40)
    assert {row["name"]: row["pid"] for row in running.actors()} == before


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.settimeout(30)
    yield listening
    listening.close()


def test_systemd_is_told_when_all_is_ready_alive_and_stopping(
    platform: Make, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    running = platform(*LIGHT)
    running.start(ready=False)
    words: list[str] = []

    def hear(word: str) -> None:
        while word not in words:
            words.extend(systemd.recv(4096).decode().splitlines())

    hear("READY=1")
    assert running.all_ready()
    assert any(word.startswith("STATUS=waiting for") for word in words)
    words.clear()
    hear("WATCHDOG=1")
    assert running.process is not None
    running.process.send_signal(signal.SIGTERM)
    hear("STOPPING=1")
