"""A Redis user per role: the whole platform at work under them, and what outages do to that."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from shared.redis.users import read_passwords
from shared.schema import ALL, Role, role_of
from tests.chaos.conftest import FEW_COINS, Make
from tests.support.paths import ROOT
from tests.support.platform_run import Platform, wait_for
from tests.support.private_redis import PrivateRedis

SHARED = ("auditor.interval_s=2", "redis.namespace=dev")
REFUSAL = re.compile(r"NOPERM|WRONGPASS|NOAUTH|does not let in|no permission", re.IGNORECASE)


@pytest.fixture
def running(running: Platform) -> Platform:
    """The platform of the module, its Redis' log of refusals empty."""
    with running.redis() as admin:
        admin.acl_log_reset()
    return running


def scanned_again(running: Platform) -> bool:
    """Tell whether every actor has done work; the auditor's first report is the last to come."""
    body = running.health()[1]
    return (
        body["status"] == "ok"
        and body["audit"] is not None
        and min(actor["steps"] for actor in body["actors"].values()) >= 3
    )


def all_logged_in(running: Platform) -> bool:
    """Tell whether each role has a connection as the user of its own, and nobody else has one."""
    roles = {role_of(row["name"]) for row in running.actors()} | {Role.SUPERVISOR}
    try:
        with running.redis() as admin:
            users = {row["user"] for row in admin.client_list()} - {"tests"}
    except redis.exceptions.ConnectionError:
        return False
    return users == {f"dev.{role}" for role in roles}


def refusals(running: Platform) -> list[str]:
    logs = [running.log(path.stem) for path in (running.state_dir / "log").glob("*.log")]
    return [line for log in [*logs, running.output()] for line in log.splitlines()
            if REFUSAL.search(line)]  # fmt: skip


def test_platform_works_without_one_refusal_also_after_redis_was_killed(running: Platform) -> None:
    wait_for(lambda: scanned_again(running), 60, "every actor has stepped three times")
    wait_for(lambda: all_logged_in(running), 15, "every role logged in, and nobody else")
    assert running.run("bus", "get", "ta:latest:BTCUSDT").returncode == 0
    assert len(running.run("bus", "keys", "ta:latest:*").stdout.splitlines()) == 29
    for key in ("supervisor:actors", "supervisor:events", "scan:latest"):
        assert running.run("bus", "get", key).stderr == ""
    before = {row["name"]: row["restarts"] for row in running.actors()}
    assert running.run("restart", "indicators-majors").returncode == 0
    with running.redis() as admin:
        assert admin.acl_log() == []
    old = running.status()["supervisor"]["redis_pid"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: running.status()["supervisor"]["redis_pid"] not in (None, old), 15)
    wait_for(lambda: all_logged_in(running), 30, "every role logged in again")
    wait_for(lambda: scanned_again(running), 60, "health ok again")
    with running.redis() as admin:
        assert admin.acl_log() == []
    assert {row["name"]: row["restarts"] for row in running.actors()} == {
        name: count + (name == "indicators-majors") for name, count in before.items()
    }
    assert refusals(running) == []


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield what lies in a process's writable memory, but for what was never written to."""
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in maps:
            first, last, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()  # type: ignore[union-attr]
            if rights.startswith("rw"):
                size = int(last, 16) - int(first, 16)
                memory.seek(int(first, 16))
                try:
                    found = memory.read(size)
                except OSError:  # a mapping of a device
                    continue
                if found != bytes(size):
                    yield found


def test_a_process_holds_the_password_of_its_own_role_alone(running: Platform) -> None:
    assert running.process is not None
    # a late child is given what the app zygote has learnt till then
    running.wait_replaced("scanner", running.kill_actor("scanner"))
    wait_for(lambda: running.status()["supervisor"]["app_zygote_pid"], 20, "an app zygote")
    passwords = read_passwords(running.state_dir / "redis" / "users")
    itself = running.status()["supervisor"]
    actors = {str(role_of(row["name"])): row["pid"] for row in running.actors()}
    others = {name: itself[f"{name}_pid"] for name in ("zygote", "app_zygote", "redis")}
    try:
        held = {
            name: {
                str(role)
                for chunk in memory_of(pid)
                for role, password in passwords.items()
                if password.encode() in chunk
            }
            for name, pid in {**actors, **others, "supervisor": running.process.pid}.items()
        }
    except PermissionError:
        pytest.skip("memory of other processes cannot be read here")
    assert held.pop("supervisor") == set(ALL)
    assert held.pop("zygote") == held.pop("app_zygote") == set()
    assert held.pop("redis") <= {*actors, "supervisor"}  # what was just sent to it
    assert held == {role: {role} for role in actors}
    environments = [psutil.Process(pid).environ() for pid in actors.values()]
    assert not [p for p in passwords.values() if any(p in str(e) for e in environments)]
    logs = [path.read_text() for path in (running.state_dir / "log").glob("*.log")]
    assert not [p for p in passwords.values() if p in "".join([*logs, running.output()])]


def test_operator_steers_and_looks_and_cannot_write(running: Platform) -> None:
    with running.operator() as person:
        person.publish("dev:supervisor:control", '{"id": "t-1", "command": "status"}')
        assert person.blpop(["dev:supervisor:replies:t-1"], timeout=20)
        assert person.get("dev:ta:latest:BTCUSDT")
        for command in (
            ("SET", "dev:ta:latest:BTCUSDT", "x"), ("DEL", "dev:trader:kill"),
            ("PUBLISH", "dev:signals:scan", "x"), ("GET", "ta:latest:BTCUSDT"),
            ("CONFIG", "GET", "*"), ("FLUSHALL",), ("EVAL", "return 1", 0), ("ACL", "LIST"),
        ):  # fmt: skip
            with pytest.raises(redis.exceptions.NoPermissionError):
                person.execute_command(*command)
    watching = running.popen("bus", "watch", "signals:ta:BTC*")
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("signals:ta:BTCUSDT {")
    finally:
        watching.kill()
        watching.communicate()
    shown = running.run("bus", "get", "no:such:key")
    assert shown.returncode == 1 and "docs/redis.md" in shown.stderr


def test_actor_run_by_hand_logs_in_as_its_role(running: Platform) -> None:
    assert running.run("stop", "fetcher").returncode == 0
    port = running.actor("exchange-sim")["port"]
    settings = ("redis.namespace=dev", f"state_dir={running.state_dir}", f"simulator.port={port}")
    by_hand = subprocess.Popen(
        [sys.executable, "-m", "actors", "fetcher", *settings],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        with running.redis() as admin:
            wait_for(
                lambda: f'"pid":{by_hand.pid},' in (admin.get("dev:actor:heartbeat:fetcher") or ""),
                20, "its heartbeat",
            )  # fmt: skip
            users = {row["user"] for row in admin.client_list() if row["name"] == "fetcher"}
            assert users == {"dev.fetcher"}
            assert admin.acl_log() == []
    finally:
        by_hand.terminate()
        output, _ = by_hand.communicate(timeout=20)
        running.run("start", "fetcher")
    assert by_hand.returncode == 0, output.decode()


@pytest.fixture
def with_users(
    platform: Make, own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> tuple[Platform, PrivateRedis, Path]:
    """An external Redis with the users `redis-acl` printed, and a platform that is given them."""
    server = own_redis()
    passwords = tmp_path / "passwords"
    given = platform(
        FEW_COINS, "redis.embedded=never", f"redis.url={server.url}",
        f"redis.users_file={passwords}",
    )  # fmt: skip
    printed = given.run("redis-acl", "--passwords", str(passwords))
    assert printed.returncode == 0, printed.stderr
    for line in printed.stdout.splitlines()[1:]:  # the first shuts out the test itself
        _, name, *rules = re.findall(r"\([^)]*\)|\S+", line)
        server.run("ACL", "SETUSER", name, *rules)
    return given, server, passwords


def test_external_redis_with_users_serves_each_role_by_its_own(
    with_users: tuple[Platform, PrivateRedis, Path],
) -> None:
    running, server, _ = with_users
    running.start()
    wait_for(lambda: running.health()[1]["status"] == "ok", 60, "health ok")
    assert server.run("ACL", "LOG") == []
    assert running.run("bus", "get", "ta:latest:BTCUSDT").returncode == 0
    assert refusals(running) == []


def test_wrong_passwords_are_all_named_at_start_and_nothing_is_tried_again(
    with_users: tuple[Platform, PrivateRedis, Path],
) -> None:
    running, server, _ = with_users
    server.run("ACL", "SETUSER", "fetcher", "resetpass", ">another")
    server.run("ACL", "DELUSER", "health")
    running.start(ready=False)
    assert running.process is not None
    assert running.process.wait(30) == 78
    lines = [line for line in running.output().splitlines() if "does not let in" in line]
    assert [re.findall(r"user '([^']+)'", line) for line in lines] == [["fetcher"], ["health"]]
    assert all(str(server.socket) in line and "redis.users_file" in line for line in lines)
    assert not list((running.state_dir / "log").glob("fetcher.log"))


def test_password_changed_while_running_costs_no_actor_and_heals(
    with_users: tuple[Platform, PrivateRedis, Path],
) -> None:
    running, server, passwords = with_users
    running.start()
    wait_for(lambda: running.health()[1]["status"] == "ok", 60, "health ok")
    server.run("ACL", "SETUSER", "scanner", "resetpass", ">another")  # cuts its connections, too
    server.run("CLIENT", "KILL", "USER", "scanner")
    wait_for(lambda: "does not let in user 'scanner'" in running.log("scanner"), 20)
    known = read_passwords(passwords)[Role.SCANNER]
    server.run("ACL", "SETUSER", "scanner", f">{known}")
    wait_for(lambda: "bus up again" in running.log("scanner"), 20)
    server.run("ACL", "SETUSER", "operator", "resetpass")
    refused = running.run("bus", "get", "ta:latest:BTCUSDT")
    assert refused.returncode == 1
    assert "does not let in user 'operator'" in refused.stderr and known not in refused.stderr
    assert {row["restarts"] for row in running.actors()} == {0}
    # once for its calls, once for its heartbeat's at most: an outage is told, not repeated
    assert running.log("scanner").count("does not let in") <= 2


def test_passwords_are_made_once_and_completed_and_printed_hashed(
    platform: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "passwords"
    path.write_text("operator not-a-hex-digest\n")
    path.chmod(0o600)
    given = platform(f"redis.users_file={path}", "redis.namespace=dev")
    first = given.run("redis-acl", "--passwords", str(path))
    known = read_passwords(path)
    assert set(known) == set(ALL) and known[Role.OPERATOR] == "not-a-hex-digest"
    assert f"{len(ALL) - 1} new password(s)" in first.stderr
    again = given.run("redis-acl", "--passwords", str(path))
    assert again.stdout == first.stdout and again.stderr == ""
    names = [line.split()[1] for line in first.stdout.splitlines()]
    assert names == ["default", *(f"dev.{role}" for role in known)]
    assert not [p for p in known.values() if p in first.stdout + first.stderr]
    older = given.run("redis-acl", "--passwords", str(path), "--server", "6.2").stdout
    assert "(" not in older and "%" not in older and "~dev:trader:kill" in older
    monkeypatch.setenv("COINEX_REDIS_PASSWORD", "another")
    both = given.run("run")
    assert both.returncode == 78 and "keep one of them" in both.stderr


def test_users_file_that_cannot_be_used_is_a_fault_that_check_finds_too(
    platform: Make, tmp_path: Path
) -> None:
    path = tmp_path / "passwords"
    cases = {
        "cannot be read": None,
        "no password for supervisor": "operator sesame\n",
        "expected a role and its password": "operator\n",
    }
    given = platform(f"redis.users_file={path}")
    for words, text in cases.items():
        if text is not None:
            path.write_text(text)
            path.chmod(0o600)
        for verb in ("check", "run"):
            refused = given.run(verb)
            assert refused.returncode == 78 and words in refused.stderr, refused.stderr
            assert "sesame" not in refused.stderr
    path.chmod(0o644)
    assert "mode 644" in given.run("check").stderr
