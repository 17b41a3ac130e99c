"""Files of the running platform that somebody removes: made again, and reported."""

from __future__ import annotations

import shutil
import signal

from tests.chaos.conftest import Make
from tests.support.platform_run import Platform, wait_for

ONLY_HEALTH = ("--only", "health")


def health_says(running: Platform, *words: str) -> bool:
    problems = "\n".join(running.health()[1]["problems"])
    return all(word in problems for word in words)


def test_removed_files_are_made_again_and_reported(platform: Make) -> None:
    running = platform()
    running.start(*ONLY_HEALTH)
    state = running.state_dir
    shutil.rmtree(state / "log")
    for name in ("supervisor.sock", "supervisor.lock", "redis/operator.url"):
        (state / name).unlink()
    for name in ("log", "supervisor.sock", "supervisor.lock", "redis/operator.url"):
        wait_for((state / name).exists, 10, name)
    again = "was removed from state_dir while running; made again at"
    parts = ("log", "redis", "supervisor.lock", "supervisor.sock")
    wait_for(lambda: health_says(running, *(f"{part} {again}" for part in parts)), 10)
    # the lock is one again, and the socket's commands reach the same supervisor
    assert running.run("run").returncode == 1
    with running.operator() as client:
        assert client.ping()
    # what an actor prints has a file again
    running.wait_replaced("health", running.kill_actor("health"))


def test_state_dir_that_is_gone_is_made_again(platform: Make) -> None:
    running = platform()
    running.start(*ONLY_HEALTH)
    shutil.rmtree(running.state_dir)
    wait_for((running.state_dir / "supervisor.sock").exists, 10)
    wait_for(lambda: health_says(running, "the embedded redis goes on, but saves nothing"), 10)
    assert running.process is not None
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0


def test_file_that_cannot_be_made_again_is_a_problem_while_it_is_missing(platform: Make) -> None:
    running = platform()
    running.start(*ONLY_HEALTH)
    log = running.state_dir / "log"
    shutil.rmtree(log)
    log.write_text("in the way")
    wait_for(lambda: health_says(running, "log is gone from state_dir and cannot be made"), 10)
    log.unlink()
    wait_for(lambda: health_says(running, "log was removed from state_dir while running"), 10)
    assert not health_says(running, "cannot be made")
