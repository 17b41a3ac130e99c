"""Starts that are interrupted, and what a starting or stopping platform refuses."""

from __future__ import annotations

import os
import pty
import resource
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.messages.actors import ControlCommand, ControlReply
from shared.supervision.control_client import ask
from shared.supervision.test_hooks import trial_folder
from tests.chaos.conftest import Make
from tests.support.platform_run import Platform, gone, wait_for

ONLY_HEALTH = ("--only", "health")


def final_reply(running: Platform, verb: Any) -> ControlReply:
    command = ControlCommand(id=uuid.uuid4().hex, command=verb, actor="health")
    return list(ask(running.state_dir / "supervisor.sock", command, 10))[-1]


def children_of(running: Platform) -> list[str]:
    assert running.process is not None
    try:
        return [" ".join(c.cmdline()) for c in psutil.Process(running.process.pid).children()]
    except psutil.Error:
        return []


MOMENTS: dict[str, Callable[[Platform], bool]] = {
    "as Python starts": lambda _: True,
    "as the zygote warms up": lambda running: "zygote.py" in str(children_of(running)),
    "as Redis starts": lambda running: "redis" in str(children_of(running)),
    "as actors start": lambda running: (running.state_dir / "supervisor.sock").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_in_the_first_seconds_leaves_no_traceback_and_no_process(
    platform: Make, moment: str
) -> None:
    running = platform()
    running.start(*ONLY_HEALTH, ready=False, through=("env", "--block-signal=INT"))
    assert running.process is not None
    wait_for(lambda: MOMENTS[moment](running), 20, moment)
    tree = running.tree()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) in (0, -signal.SIGINT)
    wait_for(lambda: gone(tree), 15, "all of it gone")
    assert "Traceback" not in running.output() + running.log("zygote")
    assert "KeyboardInterrupt" not in running.output()


def test_sigterm_does_not_wait_for_a_redis_that_does_not_answer(
    platform: Make, tmp_path: Path
) -> None:
    silent = tmp_path / "redis-server"
    silent.write_text(
        '#!/bin/sh\ncase $1 in --version) echo "Redis server v=7.0.15";; *) exec sleep 600;; esac\n'
    )
    silent.chmod(0o755)
    running = platform()
    running.start(ready=False, PATH=f"{tmp_path}:{os.environ['PATH']}")
    wait_for(lambda: "sleep 600" in children_of(running), 20, "its Redis is silent")
    assert running.process is not None
    running.process.terminate()
    assert running.process.wait(20) == 0


def test_addresses_are_printed_with_neither_binance_nor_redis(platform: Make) -> None:
    nowhere = "redis://127.0.0.1:1/0", "http://127.0.0.1:1"
    running = platform(
        "mode=paper", "redis.embedded=never", f"redis.url={nowhere[0]}",
        f"binance.base_url={nowhere[1]}",
    )  # fmt: skip
    running.start(ready=False)
    wait_for(lambda: "dashboard: http://" in running.output(), 30, "its addresses")
    assert "health: http://" in running.output()
    assert "still waiting for " in running.output()


def test_nothing_is_started_or_changed_once_the_platform_stops(platform: Make) -> None:
    running = platform("testing.hooks=true")
    running.start(*ONLY_HEALTH)
    order = trial_folder(running.state_dir) / "health.json"
    order.write_text('{"block_s": 4}')
    wait_for(lambda: not order.exists(), 30, "its loop is blocked")
    assert running.process is not None
    running.process.terminate()
    wait_for(lambda: running.actor("health")["state"] == "stopping", 20)
    for verb in ("start", "restart", "release", "reload"):
        reply = final_reply(running, verb)
        assert (verb, reply.outcome) == (verb, "failed")
        assert "the platform is stopping: nothing is started or changed" in reply.reason
    running.process.send_signal(signal.SIGHUP)
    assert running.process.wait(30) == 0
    assert running.output().count("health starting") == 1
    assert "reload refused" in running.output()


def test_under_nohup_it_outlives_its_terminal(platform: Make) -> None:
    running = platform()
    master, slave = pty.openpty()
    running.start(*ONLY_HEALTH, stdin=slave, through=("setsid", "--ctty", "nohup"))
    os.close(slave)
    os.close(master)  # the session's leader, here the supervisor itself, is sent SIGHUP
    running.wait_replaced("health", running.kill_actor("health"), 40)


def test_without_nohup_it_ends_in_order_with_its_terminal(platform: Make) -> None:
    running = platform()
    master, slave = pty.openpty()
    running.start(*ONLY_HEALTH, stdin=slave, output=slave, through=("setsid", "--ctty"))
    tree = running.tree()
    os.close(slave)
    os.close(master)
    assert running.process is not None
    assert running.process.wait(30) == 0
    wait_for(lambda: gone(tree), 15, "all of it gone")


def test_inherited_descriptors_are_closed_and_a_low_limit_is_raised(platform: Make) -> None:
    many = 1100
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * many:
        pytest.skip(f"no process may open {many} files here")
    opener = (
        "import os, resource as r, sys; "
        f"r.setrlimit(r.RLIMIT_NOFILE, ({hard}, {hard})); "
        f"fds = [os.open('/dev/null', os.O_RDONLY) for _ in range({many})]; "
        "[os.set_inheritable(fd, True) for fd in fds]; "
        f"r.setrlimit(r.RLIMIT_NOFILE, (1200, {hard})); os.execv(sys.argv[1], sys.argv[1:])"
    )
    running = platform()
    running.start(*ONLY_HEALTH, through=(sys.executable, "-c", opener))
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    for process in running.tree():
        assert process.num_fds() < 100, process
    assert psutil.Process(running.pid("health")).rlimit(psutil.RLIMIT_NOFILE) == (wanted, hard)
