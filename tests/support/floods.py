"""Floods of messages on a Redis channel, and what a platform takes meanwhile."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import orjson
import psutil
import redis

from tests.support.platform_run import Platform

AT_ONCE = 100
LARGE = 1_000_000


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


class Flood:
    """Publishes messages from a thread, at a pace.

    Args:
        seconds: Time that `count` messages are spread over.
    """

    def __init__(
        self, url: str, channel: str, messages: Iterator[bytes], *, count: int, seconds: float
    ) -> None:
        self._url = url
        self._channel = channel
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
            with redis.Redis.from_url(self._url) as client, client.pipeline(False) as pipe:
                for message in itertools.islice(self._messages, most):
                    pipe.publish(self._channel, message)
                pipe.execute()
            self.sent += most


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
