"""The whole platform as a user runs it, for tests that break parts of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import psutil
import redis

from shared.supervision.control_client import ask_status
from tests.support import redis_admin
from tests.support.paths import ROOT

QUICK = (
    "redis.url=redis://127.0.0.1:0/0",
    "health.port=0",
    "dashboard.port=0",
    "simulator.port=0",
    "trader_api.port=0",
    "fetcher.interval_s=2",
    "fetcher.request_timeout_s=1.5",
    "indicators.interval_s=2",
)
READY_S = 30.0
# Asking costs both sides processor time that a starting platform needs.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.16


def wait_for(condition: Callable[[], Any], within_s: float, what: str = "") -> Any:
    """Return the first true value of `condition`.

    Raises:
        AssertionError: It was never true within the time.
    """
    deadline = time.monotonic() + within_s
    pause_s = SHORTEST_PAUSE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or condition} (last: {value!r})")
        time.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)


class Platform:
    """A supervisor in its own state_dir, on free ports, with short intervals.

    Args:
        settings: `key.path=value` each, besides the short intervals.
        root: The checkout to run; a copy where files are broken on purpose.
        pace: Ports and intervals, before the settings.
    """

    def __init__(
        self, state_dir: Path, *settings: str, root: Path = ROOT, pace: Sequence[str] = QUICK
    ) -> None:
        self.state_dir = state_dir
        self.root = root
        self.options = [
            part
            for setting in (*pace, f"state_dir={state_dir}", *settings)
            for part in ("--set", setting)
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        *arguments: str,
        ready: bool = True,
        stdin: int = subprocess.DEVNULL,
        output: int | None = None,
        through: Sequence[str] = (),
        **environment: str,
    ) -> None:
        """Run the supervisor, and wait until every actor is ready.

        Args:
            arguments: Of `run`, besides the settings.
            output: Where it prints; a file in its state_dir if None.
            through: A program that starts it, with its arguments.
        """
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.state_dir / "supervisor.out", "ab", opener=_private) as file:
            self.process = subprocess.Popen(
                [*through, sys.executable, "supervisor.py", "run", *self.options, *arguments],
                cwd=self.root,
                stdin=stdin,
                stdout=file if output is None else output,
                stderr=file if output is None else output,
                env=self.environment() | environment,
            )
        if ready:
            self.wait_ready()

    def environment(self) -> dict[str, str]:
        """Return what the supervisor is started with: its Redis knows a user that tests may be."""
        programs = redis_admin.install(self.state_dir / "bin")
        return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def wait_ready(self, within_s: float = READY_S) -> None:
        """Wait until every actor is ready.

        Raises:
            AssertionError: One was not within the time; it says what was seen of the others.
        """
        try:
            wait_for(self.all_ready, within_s, "every actor ready")
        except AssertionError as error:
            waiting = [
                f"{row['name']}: {row['state']}, {row['reason'] or row['doing']}, deaths "
                f"{[(death['cause'], death['last_words'][-300:]) for death in row['deaths']]}"
                for row in self.actors()
                if row["state"] != "ready"
            ]
            raise AssertionError("\n".join([str(error), *waiting, self.output()[-3000:]])) from None

    def all_ready(self) -> bool:
        """Tell whether every actor is ready."""
        try:
            actors = self.status()["actors"]
        except OSError:
            assert self.process is None or self.process.poll() is None, self.output()
            return False
        return bool(actors) and all(a["state"] == "ready" for a in actors)

    def stop(self) -> None:
        """End it, politely if it still listens."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"it does not stop:\n{self.output()[-4000:]}") from None
        self.process = None

    def kill(self) -> None:
        """SIGKILL the supervisor."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def output(self) -> str:
        """Return what the supervisor printed."""
        return (self.state_dir / "supervisor.out").read_text()

    def run(self, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line on this platform."""
        verb, *rest = arguments
        return subprocess.run(
            [sys.executable, "supervisor.py", verb, *self.options, *rest],
            cwd=self.root, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def popen(self, verb: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of the command line that goes on until it is ended."""
        command = [sys.executable, "supervisor.py", verb, *self.options, *arguments]
        return subprocess.Popen(
            command, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def status(self) -> dict[str, Any]:
        """Return what `status --json` shows."""
        return ask_status(self.state_dir / "supervisor.sock", 10)

    def actor(self, name: str) -> dict[str, Any]:
        """Return one actor's row of the status."""
        return next(a for a in self.status()["actors"] if a["name"] == name)

    def actors(self) -> list[dict[str, Any]]:
        """Return every actor's row of the status."""
        rows: list[dict[str, Any]] = self.status()["actors"]
        return rows

    def pid(self, name: str) -> int:
        """Return an actor's pid."""
        pid: int = self.actor(name)["pid"]
        return pid

    def signal(self, name: str, number: int) -> int:
        """Send an OS signal to an actor; return its pid."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def kill_actor(self, name: str) -> int:
        """SIGKILL an actor; return the pid it had."""
        return self.signal(name, signal.SIGKILL)

    def is_replaced(self, name: str, old_pid: int) -> bool:
        """Tell whether another process has taken an actor's place and is ready."""
        row = self.actor(name)
        return row["state"] == "ready" and row["pid"] not in (None, old_pid)

    def wait_replaced(self, name: str, old_pid: int, within_s: float = 15) -> None:
        """Wait until another process has taken an actor's place and is ready."""
        wait_for(lambda: self.is_replaced(name, old_pid), within_s, f"{name} replaced")

    def tree(self) -> list[psutil.Process]:
        """Return the supervisor's process and everything below it."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def log(self, name: str) -> str:
        """Return an actor's log."""
        path = self.state_dir / "log" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def operator(self) -> redis.Redis:
        """Return a plain client with the rights of a person at the command line."""
        client: redis.Redis = redis.Redis.from_url(self.operator_url(), decode_responses=True)
        return client

    def redis(self) -> redis.Redis:
        """Return a plain client of the embedded Redis that may do everything."""
        url = redis_admin.as_admin(self.operator_url())
        client: redis.Redis = redis.Redis.from_url(url, decode_responses=True)
        return client

    def operator_url(self) -> str:
        """Return the URL a person at the command line uses."""
        return (self.state_dir / "redis" / "operator.url").read_text().strip()

    def signal_of(self, coin: str) -> dict[str, Any] | None:
        """Return a coin's published signal."""
        with self.redis() as client:
            raw = client.get(f"ta:latest:{coin}")
        return None if raw is None else orjson.loads(raw)

    def health(self, path: str = "/health") -> tuple[int, Any]:
        """Return status and body of the health endpoint."""
        return self._http(self.actor("health")["port"], path)

    def dashboard(self, path: str = "/api/state") -> tuple[int, Any]:
        """Return status and body of the dashboard."""
        return self._http(self.actor("dashboard")["port"], path)

    def simulator(self, path: str, body: Any = None, method: str = "GET") -> tuple[int, Any]:
        """Call the simulated exchange."""
        return self._http(self.actor("exchange-sim")["port"], path, body, method)

    def _http(self, port: int, path: str, body: Any = None, method: str = "GET") -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            data=None if body is None else orjson.dumps(body),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, raw = error.code, error.read()
        try:
            return status, orjson.loads(raw)
        except orjson.JSONDecodeError:
            return status, raw.decode()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def gone(processes: list[psutil.Process]) -> bool:
    """Tell whether none of these processes is left (zombies of ours count as gone)."""
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
