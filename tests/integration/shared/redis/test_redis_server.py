"""The embedded redis-server: chosen, started, kept alive, stopped, never left behind."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import psutil
import pytest

from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.sections import RedisSection
from shared.errors import BusUnavailable, ConfigError
from shared.messages.candles import Ban
from shared.redis.binary import Binary, Release, bundled_server, find_binaries
from shared.redis.hang import excuse
from shared.redis.process import RedisProcess
from shared.redis.server import RedisServer, read_operator_url
from shared.redis.users import Users
from shared.schema import ALL, BAN_UNTIL, Role
from tests.conftest import missing
from tests.support import redis_admin
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.private_redis import PrivateRedis
from tests.support.waiting import eventually

MakeServer = Callable[..., RedisServer]


@pytest.fixture
async def server(tmp_path: Path, redis_binary: str) -> AsyncIterator[MakeServer]:
    made: list[RedisServer] = []

    def make(
        mode: str = "demo",
        *,
        directories: Sequence[str] | None = None,
        users: Users | None = None,
        hung_s: float = 15,
        **section: object,
    ) -> RedisServer:
        section.setdefault("url", f"redis://127.0.0.1:{free_port()}/0")
        server = RedisServer(
            RedisSection(**section),  # type: ignore[arg-type]
            mode=mode,
            state_dir=tmp_path / "var",
            clock=SystemClock(),
            log=logging.getLogger("supervisor"),
            rng=random.Random(1),
            users=users,
            directories=directories,
            hung_s=hung_s,
        )
        made.append(server)
        return server

    yield make
    for server in made:
        await server.stop()


async def remember(redis: RedisServer | str, until_ms: int) -> None:
    bus = Bus(as_fetcher(redis), name="test", clock=SystemClock())
    await bus.put(BAN_UNTIL, Ban(until_ms=until_ms, status=418, at_ms=1))
    await bus.close()


async def recall(redis: RedisServer | str) -> int | None:
    bus = Bus(as_fetcher(redis), name="test", clock=SystemClock())
    ban = await bus.get(BAN_UNTIL)
    await bus.close()
    return ban.until_ms if ban else None


def as_fetcher(redis: RedisServer | str) -> str:
    """Return the URL of the one role that writes a ban."""
    return redis if isinstance(redis, str) else redis.url(Role.FETCHER)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def launch(*command: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def pid_of(server: RedisServer) -> int:
    assert server.pid is not None
    return server.pid


# Started and stopped


async def test_operator_url_is_one_that_redis_cli_takes(server: MakeServer, tmp_path: Path) -> None:
    client = shutil.which("redis-cli")
    if client is None:
        missing("redis-cli is not on PATH")
    redis = server()
    await redis.start()
    url = read_operator_url(tmp_path / "var")
    assert url is not None
    asked = await asyncio.create_subprocess_exec(
        client, "--no-auth-warning", "-u", url, "PING", stdout=asyncio.subprocess.PIPE
    )
    assert (await asked.communicate())[0] == b"PONG\n"


async def test_demo_starts_its_own_on_the_urls_port_with_a_secret_password_per_role(
    server: MakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    redis = server(url=f"redis://127.0.0.1:{port}/3", maxmemory_mb=32)
    await redis.start()
    assert redis.is_own and redis.is_up and redis.problems() == []
    passwords = [redis.url(role).split(":")[2].split("@")[0] for role in ALL]
    assert [redis.url(role) for role in ALL] == [
        f"redis://{role}:{password}@127.0.0.1:{port}/3"
        for role, password in zip(ALL, passwords, strict=True)
    ]
    assert read_operator_url(tmp_path / "var") == redis.url(Role.OPERATOR)
    assert len(set(passwords)) == len(ALL) and min(map(len, passwords)) >= 32
    command_line = " ".join(psutil.Process(pid_of(redis)).cmdline())
    config = (tmp_path / "var" / "redis" / "redis.conf").read_text()
    assert not [p for p in passwords if p in command_line or p in config or p in caplog.text]
    for name in ("redis.conf", "operator.url", "users"):
        mode = (tmp_path / "var" / "redis" / name).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
    await remember(redis, 5)
    bus = Bus(f"redis://127.0.0.1:{port}/3", name="stranger", clock=SystemClock())
    with pytest.raises(BusUnavailable):
        await bus.get(BAN_UNTIL)
    await bus.close()


async def test_server_is_set_up_as_promised(server: MakeServer, tmp_path: Path) -> None:
    programs = redis_admin.install(tmp_path / "bin")
    redis = server(maxmemory_mb=32, directories=[str(programs)])
    await redis.start()
    admin_url = redis_admin.as_admin(redis.url(Role.SUPERVISOR))
    bus = Bus(admin_url, name="test", clock=SystemClock())
    names = ("bind", "appendonly", "maxmemory", "maxmemory-policy", "protected-mode", "save")
    replies = await bus._run([("CONFIG", "GET", name) for name in names])
    found = {reply[0].decode(): reply[1].decode() for reply in replies}
    await bus.close()
    assert found == {
        "bind": "127.0.0.1",
        "appendonly": "yes",
        "maxmemory": str(32 * 2**20),
        "maxmemory-policy": "noeviction",
        "protected-mode": "yes",
        "save": "",
    }
    process = psutil.Process(pid_of(redis))
    # Ctrl-C in a terminal goes to the supervisor's process group alone.
    assert os.getpgid(process.pid) == process.pid
    assert process.cmdline()[0] == "coinex: redis"


async def test_stop_saves_and_the_next_start_finds_everything(
    server: MakeServer, tmp_path: Path
) -> None:
    first = server()
    await first.start()
    pid, old_url = pid_of(first), first.url(Role.FETCHER)
    await remember(first, 77)
    await first.stop()
    assert not alive(pid)
    assert read_operator_url(tmp_path / "var") is None
    assert not (tmp_path / "var" / "redis" / "users").exists()
    second = server()
    await second.start()
    assert second.url(Role.FETCHER) != old_url
    assert await recall(second) == 77


async def test_killed_server_comes_back_with_port_password_and_values(server: MakeServer) -> None:
    redis = server()
    await redis.start()
    url, pid = redis.url(Role.FETCHER), pid_of(redis)
    await remember(url, 8)
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGTERM)
    await eventually(lambda: redis.pid not in (None, pid) and redis.is_up, within_s=10)
    assert redis.url(Role.FETCHER) == url
    assert await recall(url) == 8
    os.kill(pid_of(redis), signal.SIGKILL)
    await eventually(lambda: not redis.is_up)
    assert redis.problems()
    await eventually(lambda: redis.is_up, within_s=10)
    assert await recall(url) == 8
    assert redis.problems() == []
    redis.tick()


async def test_frozen_server_is_replaced_with_its_data_and_one_that_answers_is_not(
    server: MakeServer,
) -> None:
    redis = server(hung_s=1)
    await redis.start()
    await remember(redis, 8)
    pid, loop = pid_of(redis), asyncio.get_running_loop()

    def replaced() -> bool:
        redis.tick(loop.time())
        return redis.is_up and redis.pid != pid

    turns = loop.time() + 2
    await eventually(lambda: replaced() or loop.time() > turns, every_s=0.1)
    assert pid_of(redis) == pid
    os.kill(pid, signal.SIGSTOP)
    await eventually(replaced, within_s=20, every_s=0.1)
    assert not alive(pid)
    assert await recall(redis) == 8
    assert redis.problems() == []


async def test_server_that_is_rewriting_its_files_is_left_alone(
    own_redis: Callable[..., PrivateRedis],
) -> None:
    private = own_redis()
    assert private.pid is not None and excuse(private.pid) == ""
    private.run("MSET", *(part for n in range(100) for part in (f"key{n}", "x")))
    private.run("CONFIG", "SET", "rdb-key-save-delay", 10_000_000)
    private.run("BGSAVE")
    private.freeze()
    assert excuse(private.pid) == "it is rewriting its files"
    private.thaw()


async def test_stopped_server_is_stopped_for_good_also_when_frozen(server: MakeServer) -> None:
    redis = server()
    await redis.start()
    pid = pid_of(redis)
    os.kill(pid, signal.SIGSTOP)
    await redis.stop()
    assert not alive(pid)


# Never left behind, never in the way


SUPERVISOR = """
import asyncio, logging, sys
from pathlib import Path
from shared.clock import SystemClock
from shared.config.sections import RedisSection
from shared.redis.server import RedisServer
from shared.schema import Role

async def main():
    server = RedisServer(
        RedisSection(url="redis://127.0.0.1:0/0"), mode="demo", clock=SystemClock(),
        state_dir=Path(sys.argv[1]), log=logging.getLogger(),
    )
    await server.start()
    print(server.pid, server.url(Role.FETCHER), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def supervise(state_dir: Path) -> tuple[subprocess.Popen[str], int, str]:
    """Start a process that keeps a Redis; return it with the server's pid and URL."""
    supervisor = launch(sys.executable, "-c", SUPERVISOR, str(state_dir), cwd=ROOT)
    assert supervisor.stdout is not None
    pid, url = (await asyncio.to_thread(supervisor.stdout.readline)).split()
    return supervisor, int(pid), url


async def test_server_ends_with_its_data_saved_when_the_supervisor_is_killed(
    server: MakeServer, tmp_path: Path
) -> None:
    supervisor, pid, url = await supervise(tmp_path / "var")
    await remember(url, 99)
    supervisor.kill()
    # At once, as `kill -9` and a fresh start do: the new one must not stumble over the old.
    successor = server()
    await successor.start()
    assert not alive(pid)
    assert await recall(successor) == 99
    assert successor.problems() == []
    supervisor.communicate()


async def test_frozen_server_ends_too_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    supervisor, pid, _ = await supervise(tmp_path / "var")

    def every_thread_has_stopped() -> bool:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    os.kill(pid, signal.SIGSTOP)
    await eventually(every_thread_has_stopped)
    supervisor.kill()
    supervisor.communicate()
    try:
        await eventually(lambda: not alive(pid))
    finally:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kind", ["chosen", "bundled"])
async def test_frozen_left_over_of_an_earlier_supervisor_does_not_stop_a_start(
    server: MakeServer, redis_binary: str, kind: str, tmp_path: Path
) -> None:
    directory = tmp_path / "var" / "redis"
    directory.mkdir(parents=True)
    binary = redis_binary if kind == "chosen" else str(bundled_server())
    left_over = launch(binary, "--port", "0", "--save", "", cwd=directory)
    await eventually(lambda: psutil.Process(left_over.pid).name() == Path(binary).name)
    left_over.send_signal(signal.SIGSTOP)
    redis = server()
    await redis.start()
    assert not alive(left_over.pid)
    left_over.communicate()


# Files


async def damage(server: MakeServer, tmp_path: Path, directories: Sequence[str] | None) -> None:
    redis = server(directories=directories)
    await redis.start()
    for number in range(20):
        await remember(redis, number)
    await redis.stop()
    (log,) = (tmp_path / "var" / "redis" / "appendonlydir").glob("*.incr.aof")
    # In the middle, for a torn tail is mended by the server itself.
    raw = log.read_bytes()
    log.write_bytes(raw[:100] + b"\x00garbage\x00" * 10 + raw[200:])


@pytest.mark.parametrize("directories", [None, []], ids=["chosen", "bundled"])
async def test_damaged_files_are_set_aside_after_two_refusals(
    server: MakeServer, tmp_path: Path, directories: Sequence[str] | None
) -> None:
    await damage(server, tmp_path, directories)
    redis = server(directories=directories)
    await redis.start()
    assert redis.is_up
    assert await recall(redis) is None
    (aside,) = (tmp_path / "var" / "redis").glob("damaged-*Z")
    assert list(aside.rglob("*.incr.aof"))
    (problem,) = redis.problems()
    assert "started empty" in problem and str(aside) in problem
    refusals = (tmp_path / "var" / "log" / "redis.log").read_text().count("Bad file format")
    assert refusals == 2


async def test_failures_that_are_not_the_files_move_nothing(
    server: MakeServer, tmp_path: Path
) -> None:
    first = server()
    await first.start()
    await remember(first, 4)
    await first.stop()
    # A directive this server does not know makes it exit like damaged files do.
    redis = server()
    original = redis._files.write_config

    def broken(**options: object) -> Path:
        path = original(**options)  # type: ignore[arg-type]
        with path.open("a") as config:
            config.write("appendonly-nonsense yes\n")
        return path

    redis._files.write_config = broken  # type: ignore[method-assign]
    starting = asyncio.create_task(redis.start())
    await eventually(lambda: redis._failures >= 4, within_s=10)
    assert not list((tmp_path / "var" / "redis").glob("damaged-*"))
    redis._files.write_config = original  # type: ignore[method-assign]
    await starting
    assert await recall(redis) == 4


async def test_files_of_who_knows_which_server_are_not_touched(
    server: MakeServer, tmp_path: Path
) -> None:
    first = server()
    await first.start()
    await remember(first, 6)
    await first.stop()
    version = tmp_path / "var" / "redis" / "server-version"
    version.write_text("junk")
    with pytest.raises(ConfigError, match="expected a version"):
        await server().start()
    assert version.read_text() == "junk"


async def test_newer_version_without_any_data_hinders_nobody(
    server: MakeServer, tmp_path: Path
) -> None:
    (tmp_path / "var" / "redis").mkdir(parents=True)
    (tmp_path / "var" / "redis" / "server-version").write_text("99.0\n")
    redis = server()
    await redis.start()
    assert redis.is_up


async def test_words_of_redis_8_about_an_unknown_directive_are_not_about_the_files(
    tmp_path: Path,
) -> None:
    path = tmp_path / "redis-server"
    path.write_text(
        "#!/bin/sh\n"
        "echo '7:M 30 Nov 2026 00:13:33.585 # Unresolved Configuration(s) Detected:'\n"
        "echo \"7:M 30 Nov 2026 00:13:33.585 # >>> 'appendonly-nonsense yes'\"\n"
        "exit 1\n"
    )
    path.chmod(0o755)
    server = RedisProcess(Binary(path, Release("Redis", (8, 0))), tmp_path / "redis.log")
    server.start(tmp_path / "redis.conf")
    assert await server.gone() == 1
    assert "appendonly-nonsense" in server.last_words()
    assert not server.refused_its_files()
    await server.stop(1)


# Which Redis


async def test_taken_port_makes_demo_use_a_free_one(server: MakeServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        redis = server(url=f"redis://127.0.0.1:{port}/0")
        await redis.start()
        assert redis.is_up
        assert f":{port}/" not in redis.url(Role.SUPERVISOR)


async def test_live_uses_a_redis_that_answers(
    server: MakeServer, own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    port = free_port()
    external = own_redis("--port", str(port), "--bind", "127.0.0.1")
    redis = server(mode="live", url=f"redis://127.0.0.1:{port}/0")
    await redis.start()
    assert not redis.is_own and redis.is_up and redis.pid is None
    assert {redis.url(role) for role in ALL} == {f"redis://127.0.0.1:{port}/0"}
    assert read_operator_url(tmp_path / "var") == f"redis://127.0.0.1:{port}/0"
    assert redis.problems() == []
    await redis.stop()
    assert external.run("PING")


async def test_live_starts_its_own_when_nothing_listens(server: MakeServer) -> None:
    port = free_port()
    redis = server(mode="live", url=f"redis://localhost:{port}/0")
    await redis.start()
    assert redis.is_own and f":{port}/" in redis.url(Role.SUPERVISOR)


async def test_live_refuses_a_port_held_by_something_else_and_names_it(server: MakeServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        redis = server(mode="paper", url=f"redis://:hidden@127.0.0.1:{port}/0")
        with pytest.raises(ConfigError) as caught:
            await redis.start()
    text = str(caught.value)
    assert f"127.0.0.1:{port} is held by" in text and f"(pid {os.getpid()})" in text
    assert "hidden" not in text


async def test_live_refuses_a_redis_with_other_credentials(
    server: MakeServer, own_redis: Callable[..., PrivateRedis], caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    external = own_redis("--port", str(port), "--bind", "127.0.0.1")
    external.run("CONFIG", "SET", "requirepass", "right")
    redis = server(mode="live", url=f"redis://:not-right@127.0.0.1:{port}/0")
    for refused in (redis.check, redis.start):
        with pytest.raises(ConfigError, match="does not let in user 'default'") as caught:
            await refused()
        assert f"127.0.0.1:{port}" in str(caught.value)
        assert "not-right" not in str(caught.value)
    # the password may be one that only the service is given
    await server(mode="live", embedded="never", url=f"redis://127.0.0.1:{port}/0").check()
    assert "unless the service has a password" in caplog.text


async def test_embedded_never_takes_the_url_as_it_is(server: MakeServer) -> None:
    redis = server(embedded="never", url="redis://127.0.0.1:1/0")
    await redis.start()
    assert not redis.is_own and redis.url(Role.FETCHER) == "redis://127.0.0.1:1/0"


# Which binary


def program(directory: Path, says: str) -> Path:
    """Make a redis-server that tells its version and does nothing else."""
    directory.mkdir()
    path = directory / "redis-server"
    path.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_redis_server_of_version_7_on_path_comes_before_the_bundled_one(tmp_path: Path) -> None:
    old = program(tmp_path / "old", "Redis server v=6.2.14 sha=00000000:0 bits=64")
    seven = program(tmp_path / "seven", "Redis server v=7.0.15 sha=00000000:0 bits=64")
    fork = program(tmp_path / "fork", "Valkey server v=8.1.4 sha=00000000:0 bits=64")
    broken = program(tmp_path / "broken", "")
    bundled = bundled_server()
    assert bundled is not None
    path = [str(directory.parent) for directory in (broken, old, seven, fork)]
    found = find_binaries(["/nowhere", *path], bundled)
    assert [binary.path for binary in found] == [seven, fork, bundled]
    assert [str(binary.release) for binary in found][:2] == ["Redis 7.0", "Valkey 8.1"]
    assert found[2].release.product == "Valkey"
    with pytest.raises(
        ConfigError, match=r"no redis-server 7 or newer .*redis-server is Redis 6\.2"
    ):
        find_binaries(path[:2], None)
    with pytest.raises(ConfigError, match=r"no other was found"):
        find_binaries(path[:1], None)


async def test_bundled_server_is_as_good_and_is_kept_once_it_has_written(
    server: MakeServer, tmp_path: Path
) -> None:
    redis = server(directories=[])
    await redis.start()
    assert redis.is_up and redis.problems() == []
    await remember(redis, 3)
    pid = pid_of(redis)
    assert psutil.Process(pid).cmdline()[0] == "coinex: redis"
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: redis.pid not in (None, pid) and redis.is_up, within_s=10)
    assert await recall(redis) == 3
    await redis.stop()
    # redis-server is installed meanwhile; it cannot open what Valkey wrote
    later = server(
        directories=[str(program(tmp_path / "seven", "Redis server v=7.0.15 bits=64").parent)]
    )
    await later.start()
    assert await recall(later) == 3
    assert later.problems() == [] and not list((tmp_path / "var" / "redis").glob("of-*"))


async def test_files_that_no_server_found_can_read_are_set_aside_in_demo_and_a_fault_elsewhere(
    server: MakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = server()
    await first.start()
    await remember(first, 6)
    await first.stop()
    directory = tmp_path / "var" / "redis"
    (directory / "server-version").write_text("99.0\n")  # as written before there was Valkey
    paper = server(mode="paper", embedded="always")
    demo = server()
    for refused in (paper.check, paper.start):
        with pytest.raises(ConfigError, match=r"written by Redis 99\.0, which no server found can"):
            await refused()
    await demo.check()
    assert (directory / "server-version").read_text() == "99.0\n"
    assert not list(directory.glob("of-*"))
    await demo.start()
    assert await recall(demo) is None
    assert demo.problems() == []
    (aside,) = directory.glob("of-redis-99.0-*Z")
    assert list(aside.rglob("*.incr.aof"))
    assert f"cannot read what Redis 99.0 wrote: the files are in {aside}" in caplog.text
