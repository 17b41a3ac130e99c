"""Floods of messages and connections, too little processor time, and what a platform does then."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import orjson
import psutil
import redis

from tests.support.platform_run import Platform

Send = Callable[["redis.client.Pipeline", bytes], object]

AT_ONCE = 100
LARGE = 1_000_000
PERIOD_S, TREE_S = 0.1, 1.0


def control_messages(restarted: str) -> Iterator[bytes]:
    """Yield commands, unknown and malformed ones, each with a reply address of its own.

    Args:
        restarted: An actor, which every fourth of them restarts.
    """
    for number in itertools.count():
        name = f"flood-{number}"
        match number % 4:
            case 0:
                yield orjson.dumps({"id": name, "command": "restart", "actor": restarted})
            case 1:
                yield orjson.dumps({"id": name, "command": "status"})
            case 2:
                yield orjson.dumps({"id": name, "command": "explode"})
            case 3:
                yield bytes(LARGE) + b"%d" % number if number % 400 == 3 else b"no %d" % number


def garbage() -> Iterator[bytes]:
    """Yield messages that no reader understands."""
    return (b"no message %d" % number for number in itertools.count())


def publishing(*channels: str) -> Send:
    """Return what publishes a message, on one channel after another."""
    turns = itertools.cycle(channels)
    return lambda pipe, message: pipe.publish(next(turns), message)


def appending(stream: str) -> Send:
    """Return what appends a message to a stream."""
    return lambda pipe, message: pipe.xadd(stream, {"id": message}, maxlen=1000)


class Flood:
    """Sends messages from a thread, at a pace.

    Args:
        connect: Returns a client of Redis.
        send: Adds one message to a pipeline.
        seconds: Time that `count` messages are spread over.
    """

    def __init__(
        self, connect: Callable[[], redis.Redis], send: Send, messages: Iterator[bytes], *,
        count: int, seconds: float,
    ) -> None:  # fmt: skip
        self._connect = connect
        self._send = send
        self._messages = messages
        self._count = count
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def start(self) -> None:
        self._thread.start()

    @property
    def is_on(self) -> bool:
        """Whether there are messages left to send."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Send no more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while self.sent < self._count and not self._over.is_set():
            due = min(1.0, (time.monotonic() - began) / self._seconds) * self._count
            most = min(int(due) - self.sent, AT_ONCE)
            if most <= 0:
                self._over.wait(0.005)
                continue
            with self._connect() as client, client.pipeline(False) as pipe:
                for message in itertools.islice(self._messages, most):
                    self._send(pipe, message)
                pipe.execute()
            self.sent += most


class Connections:
    """Connections that ask for nothing, kept open."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def open(self, port: int, count: int) -> None:
        """Open many to one port.

        Raises:
            OSError: Nobody listens.
        """
        for _ in range(count):
            self._open.append(socket.create_connection(("127.0.0.1", port), timeout=5))

    def close(self) -> None:
        for each in self._open:
            each.close()
        self._open.clear()


class BusyLoops:
    """Uses up every processor, at the priority of whoever starts it.

    Args:
        seconds: When it ends by itself at the latest.
    """

    def __init__(self, seconds: float) -> None:
        self._program = (
            f"import time; t = time.monotonic()\nwhile time.monotonic() - t < {seconds}: 0"
        )
        self._loops: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        command = [sys.executable, "-c", self._program]
        self._loops = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]

    def stop(self) -> None:
        for each in self._loops:
            each.kill()
            each.wait()


class Throttle:
    """Lets a platform run for a share of the time only, as a quota of its cgroup does.

    Args:
        share: Of each `PERIOD_S`; its processes are stopped (SIGSTOP) for the rest.
    """

    def __init__(self, platform: Platform, share: float) -> None:
        self._platform = platform
        self._runs_s = share * PERIOD_S
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let it run freely again."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        listed, tree = float("-inf"), list[psutil.Process]()
        while not self._over.is_set():
            if time.monotonic() - listed > TREE_S:
                tree, listed = self._platform.tree(), time.monotonic()
            self._signal(tree, signal.SIGSTOP)
            time.sleep(PERIOD_S - self._runs_s)
            self._signal(tree, signal.SIGCONT)
            time.sleep(self._runs_s)

    def _signal(self, tree: list[psutil.Process], number: int) -> None:
        for each in tree:
            with contextlib.suppress(psutil.Error):
                each.send_signal(number)


class Watch:
    """Asks a supervisor for its status while something goes on; keeps the worst that was seen."""

    def __init__(self, platform: Platform) -> None:
        assert platform.process is not None
        self._platform = platform
        self._process = psutil.Process(platform.process.pid)
        self._before_mb = self._rss_mb()
        self.slowest_s = 0.0
        self.grown_mb = 0.0
        self.redis: set[str] = set()

    def _rss_mb(self) -> float:
        return float(self._process.memory_info().rss) / 2**20

    def look(self) -> None:
        """Ask once."""
        began = time.monotonic()
        status = self._platform.status()
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.grown_mb = max(self.grown_mb, self._rss_mb() - self._before_mb)
        self.redis.add(status["supervisor"]["redis"])

    def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Ask until something is true; return the seconds it took.

        Raises:
            AssertionError: It was not within the time.
        """
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < within_s, f"not within {within_s} s"
            self.look()
            time.sleep(0.05)
        return time.monotonic() - began
