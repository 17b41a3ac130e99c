"""A redis-server of one test run, on a unix socket nobody else knows."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from shared.redis.binary import Binary, bundled_server, find_binaries


def chosen_redis() -> Binary:
    """Return the server that the platform would start.

    Raises:
        ConfigError: There is none.
    """
    return find_binaries(os.get_exec_path(), bundled_server())[0]


class PrivateRedis:
    """Start, stop, freeze and refill a real server; its data do not outlive it."""

    def __init__(self, binary: str, *options: str) -> None:
        # Unix socket paths are limited to about 100 characters; pytest's are longer.
        self.home = Path(tempfile.mkdtemp(prefix="bus-"))
        self.socket = self.home / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._command = [
            binary, "--port", "0", "--unixsocket", str(self.socket), "--save", "",
            "--dir", str(self.home), "--logfile", str(self.home / "redis.log"), *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(self._command)
        deadline = time.monotonic() + 10
        while True:
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
                return
            except redis.RedisError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.01)

    @property
    def pid(self) -> int | None:
        """Process id, while it runs."""
        return None if self._process is None else self._process.pid

    def kill(self) -> None:
        """End the server at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the server from answering while its sockets stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def run(self, *command: str | int | bytes) -> object:
        """Run any command on a connection of its own."""
        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*command)

    def remove(self) -> None:
        """Kill the server and delete its directory."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)
