"""Whoever reads what the platform prints stops reading, or goes away: it goes on all the same."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.conftest import Make
from tests.support.paths import ROOT
from tests.support.platform_run import Platform, gone, wait_for
from tests.support.ports import free_port

ONLY_HEALTH = ("--only", "health")
NOTHING_TO_FETCH = ("auditor.enabled=false",)


class Terminal:
    """A terminal, and the person at it."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()

    def press(self, key: bytes) -> None:
        os.write(self.master, key)

    def close(self) -> None:
        for fd in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def full_pipe() -> tuple[int, int]:
    """Return a pipe that takes no byte more."""
    read_end, write_end = os.pipe()
    fill(write_end)
    return read_end, write_end


def fill(fd: int) -> None:
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fd, b"." * 4096)
    os.set_blocking(fd, True)


def read_until(fd: int, words: str, within_s: float = 40) -> str:
    """Read what is printed until `words` have come."""
    found, deadline = b"", time.monotonic() + within_s
    while words.encode() not in found:
        assert time.monotonic() < deadline, found[-2000:]
        if select.select([fd], [], [], 0.1)[0]:
            found += os.read(fd, 65536)
    return found.decode()


def check_it_supervises(running: Platform) -> None:
    """A dead actor comes back, `status` answers, SIGTERM ends it in order: nothing is left."""
    running.wait_replaced("health", running.kill_actor("health"), 40)
    tree = running.tree()
    check_it_ends(running)
    wait_for(lambda: gone(tree), 15, "all of it gone")


def check_it_ends(running: Platform) -> None:
    assert running.process is not None
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == 0


def test_ctrl_s_in_its_terminal_stops_nothing_but_the_terminal(
    platform: Make, terminal: Terminal
) -> None:
    running = platform(*NOTHING_TO_FETCH)
    running.start(*ONLY_HEALTH, output=terminal.slave)
    read_until(terminal.master, "all actors ready")
    terminal.press(b"\x13")
    running.wait_replaced("health", running.kill_actor("health"), 40)
    terminal.press(b"\x11")
    assert "health death" in read_until(terminal.master, "health ready")
    terminal.press(b"\x13")
    check_it_supervises(running)


def test_pipe_that_nobody_reads_stops_nothing_and_gets_what_was_queued(platform: Make) -> None:
    read_end, write_end = full_pipe()
    running = platform(*NOTHING_TO_FETCH)
    running.start(*ONLY_HEALTH, output=write_end)
    running.wait_replaced("health", running.kill_actor("health"), 40)
    assert "health death" in read_until(read_end, '"event":"health death"')
    check_it_supervises(running)
    os.close(read_end)
    os.close(write_end)


def test_output_without_a_reader_is_no_reason_to_end(platform: Make) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    running = platform(*NOTHING_TO_FETCH)
    running.start(*ONLY_HEALTH, output=write_end)
    os.close(write_end)
    wait_for(lambda: "log lines lost" in str(running.status()["supervisor"]["problems"]), 30)
    check_it_supervises(running)


def test_journal_that_takes_nothing_stops_nothing(platform: Make) -> None:
    journal, ours = socket.socketpair()
    with journal, ours:
        fill(ours.fileno())
        where = os.fstat(ours.fileno())
        running = platform(*NOTHING_TO_FETCH)
        running.start(
            *ONLY_HEALTH, output=ours.fileno(), JOURNAL_STREAM=f"{where.st_dev}:{where.st_ino}"
        )
        check_it_supervises(running)


def test_it_runs_without_standard_streams(platform: Make) -> None:
    running = platform(*NOTHING_TO_FETCH)
    running.start(*ONLY_HEALTH, through=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))
    assert running.process is not None
    fds = Path(f"/proc/{running.process.pid}/fd")
    assert {str((fds / fd).readlink()) for fd in "012"} == {"/dev/null"}
    check_it_supervises(running)


def test_actor_in_the_foreground_goes_on_when_nobody_reads_it(tmp_path: Path) -> None:
    read_end, write_end = full_pipe()
    port = free_port()
    settings = (
        "redis.url=redis://127.0.0.1:1/0", "redis.embedded=never", f"state_dir={tmp_path}",
        f"health.port={port}",
    )  # fmt: skip
    actor = subprocess.Popen(
        [sys.executable, "-m", "actors", "health", *settings],
        cwd=ROOT,
        stdout=write_end,
        stderr=write_end,
    )
    try:
        wait_for(lambda: is_alive(port), 60, "it answers, though it has logged the loss of Redis")
        actor.terminate()
        assert actor.wait(30) == 0
    finally:
        actor.kill()
        actor.wait()
        os.close(read_end)
        os.close(write_end)


def is_alive(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
