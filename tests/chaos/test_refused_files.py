"""Files of the running platform that somebody removes: made again, and reported."""

from __future__ import annotations

import shutil
import signal

from tests.chaos.conftest import Make
from tests.support.platform_run import Platform, wait_for

KEYS = "simulator/venue-keys.json"
ONLY_HEALTH = ("--only", "health")


def health_says(running: Platform, *words: str) -> bool:
    problems = "\n".join(running.health()[1]["problems"])
    return all(word in problems for word in words)


def test_removed_files_are_made_again_and_reported(platform: Make) -> None:
    running = platform()
    running.start(*ONLY_HEALTH)
    state = running.state_dir
    with running.redis() as client:  # a message that the supervisor skips when it renews its lease
        client.set("supervisor:lease", "{broken")
    wait_for((state / "log" / "health.log").exists, 30, "a first line of health's")
    shutil.rmtree(state / "log")
    files = ("supervisor.sock", "supervisor.lock", "redis/operator.url", KEYS)
    keys = (state / KEYS).read_bytes()
    for name in files:
        (state / name).unlink()
    for name in ("log", *files):
        wait_for((state / name).exists, 30, name)
    again = "was removed from state_dir while running; made again at"
    parts = ("log", "redis", "supervisor.lock", "supervisor.sock", KEYS)
    for part in parts:
        wait_for(lambda: health_says(running, f"{part} {again}"), 30, part)  # noqa: B023
    # the lock is one again, and the socket's commands reach the same supervisor
    assert running.run("run").returncode == 1
    with running.operator() as client:
        assert client.ping()
    assert (state / KEYS).read_bytes() == keys
    bad = ("supervisor skipped bad messages on the bus (", "the newest supervisor:lease")
    wait_for(lambda: health_says(running, *bad), 30, "a bad message")
    # what an actor prints has a file again
    running.wait_replaced("health", running.kill_actor("health"), 40)


def test_state_dir_that_is_gone_is_made_again(platform: Make) -> None:
    running = platform()
    running.start(*ONLY_HEALTH)
    # in one step: what is removed file by file is made again meanwhile
    running.state_dir.rename(running.state_dir.with_name("elsewhere"))
    wait_for((running.state_dir / "supervisor.sock").exists, 30)
    wait_for(lambda: health_says(running, "the embedded redis goes on, but saves nothing"), 30)
    assert running.process is not None
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0
