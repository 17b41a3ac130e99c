"""The zygote lost before anything else is up: the platform comes up all the same, and says so."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.conftest import Make
from tests.support.platform_run import Platform, wait_for


def zygote_of(running: Platform) -> psutil.Process | None:
    assert running.process is not None
    try:
        children = psutil.Process(running.process.pid).children()
        return next((c for c in children if "zygote" in " ".join(c.cmdline())), None)
    except psutil.Error:
        return None


def kill_zygote(running: Platform, *others: int) -> int:
    """SIGKILL the first zygote that is none of `others`, as soon as there is one."""

    def found() -> psutil.Process | None:
        zygote = zygote_of(running)
        return None if zygote is None or zygote.pid in others else zygote

    pid: int = wait_for(found, 20, "a zygote").pid
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.parametrize("kills", [1, 3])
def test_zygote_killed_while_redis_starts_is_made_again(platform: Make, kills: int) -> None:
    running = platform()
    running.start(ready=False)
    killed: list[int] = []
    for _ in range(kills):
        killed.append(kill_zygote(running, *killed))
    running.wait_ready(60)
    assert running.status()["supervisor"]["zygote_pid"] not in killed


class Systemd:
    """Hears what a service says to its NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)
        self.said: list[str] = []

    def heard(self, word: str) -> bool:
        """Tell whether a message with `word` has come by now."""
        while True:
            try:
                self.said.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return any(f"{word}=1" in text.splitlines() for text in self.said)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    heard = Systemd(tmp_path / "notify")
    yield heard
    heard.close()


def test_neither_ready_nor_watchdog_is_sent_while_no_actor_can_be_started(
    platform: Make, checkout: Path, systemd: Systemd
) -> None:
    zygote = checkout / "shared" / "supervision" / "zygote.py"
    whole = zygote.read_text()
    zygote.write_text("raise SystemExit('broken on purpose')\n")
    running = platform("supervisor.start_s=2", root=checkout)
    running.start(ready=False, NOTIFY_SOCKET=systemd.address)
    # the third attempt comes after the time in which everything should have been ready
    wait_for(lambda: running.output().count("zygote lost") >= 4, 30, "given up on four times")
    assert not systemd.heard("READY"), systemd.said
    assert not systemd.heard("WATCHDOG"), systemd.said
    assert any("no actor can be started" in text for text in systemd.said), systemd.said
    zygote.write_text(whole)
    wait_for(lambda: systemd.heard("READY") and systemd.heard("WATCHDOG"), 60, "mended")
    running.wait_ready()
