"""The platform under test and its breakable environment: Redis, wire, disk."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import psutil
import redis

from shared.api.token import token_path
from shared.config.load import load
from shared.config.sections import Config
from tests.chaos.storm.kinds import Pace
from tests.support import redis_admin
from tests.support.bad_wire import BadWire
from tests.support.paths import ROOT
from tests.support.platform_run import QUICK, Platform
from tests.support.private_redis import PrivateRedis, chosen_redis

PORTS = ("redis.url=redis://127.0.0.1:0/0", "health.port=0", "dashboard.port=0", "simulator.port=0",
         "trader_api.port=0")  # fmt: skip
HOOKS = ("testing.hooks=true",)
# many small trades: the storm tests orders, not profit
BUSY_TRADER = (
    "trader.entry_score=45", "trader.base_floor=40", "trader.margin=1", "trader.cooldown_min=0",
    "trader.max_positions=12", "trader.max_same_side=12", "trader.max_orders_per_hour=2000",
    "trader.max_losses=1000", "trader.cost_share_pct=50", "trader.daily_loss_pct=100",
    "trader.drawdown_pct=100", "trader.max_hold_h=0.1",
)  # fmt: skip
DISK_MB = 192
PR_SET_CHILD_SUBREAPER = 36
REQUEST_TIMEOUT_S = 1.0
ANSWER_S = 15.0

CALL_ERRORS = (
    OSError, redis.RedisError, sqlite3.Error, subprocess.SubprocessError, StopIteration,
    psutil.Error, http.client.HTTPException, orjson.JSONDecodeError,
)  # fmt: skip
"""Errors of requests to a platform under faults."""


def adopt_orphans() -> None:
    """Make this process the subreaper of its descendants."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def small_disk(folder: Path) -> str:
    """Mount a small disk at `folder`, in a private namespace; return why not, or ""."""
    if os.geteuid() != 0:
        return "only root may mount a small disk"
    try:
        os.unshare(os.CLONE_NEWNS)
        for command in (
            ["mount", "--make-rprivate", "/"],
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no small disk can be mounted here ({getattr(error, 'stderr', '') or error})"
    return ""


class Testbed:
    """One platform with its environment.

    Args:
        scene: `own`: with its embedded Redis; `apart`: with one behind a bad wire.
        quick: Scan every 2 s instead of at the normal interval.
        candles: Recorded candles; None: generated ones.
    """

    def __init__(
        self,
        home: Path,
        scene: str,
        *,
        quick: bool,
        candles: Path | None,
        rng: random.Random,
        settings: Sequence[str] = (),
        root: Path = ROOT,
    ) -> None:
        self.scene = scene
        self.home = home
        self.candles = candles
        self.second: subprocess.Popen[bytes] | None = None
        self.offset_ms = 0
        self.rewritten: set[str] = set()
        """Coins whose past was changed: a replay does not know it."""
        self._server: PrivateRedis | None = None
        self.wire: BadWire | None = None
        given = [*HOOKS, *BUSY_TRADER]
        if quick:
            given += ["fetcher.circuit_s=5", "trader_api.port=0", "scanner.interval_s=2"]
        if candles is not None:
            given.append(f"simulator.candles_dir={candles}")
        if scene == "apart":
            self._server = PrivateRedis(str(chosen_redis().path), "--maxmemory", "256mb")
            self.wire = BadWire(self._server.socket, rng)
            self._server.start()
            self.wire.start()
            given += ["redis.embedded=never", f"redis.url=redis://127.0.0.1:{self.wire.port}/0"]
        given += settings
        self.state_dir = home / "var"
        self.platform = Platform(self.state_dir, *given, root=root, pace=QUICK if quick else PORTS)
        self.config: Config = load(
            root / "config.yaml", [*(QUICK if quick else PORTS), f"state_dir={self.state_dir}",
                                   *given]
        )  # fmt: skip
        self.pace = Pace(
            scan_s=self.config.indicators.interval_s, hung_s=self.config.supervisor.hung_s
        )

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """The coins of each indicators actor."""
        return {f"indicators-{name}": coins for name, coins in self.config.groups.items()}

    def start(self) -> None:
        """Start the platform and wait until every actor is ready."""
        self.platform.start(ready=False)
        self.platform.wait_ready(120)

    def close(self) -> None:
        """Stop the platform and all its remaining processes."""
        try:
            for process in (self.second, self.platform.process):
                if process is not None and process.poll() is None:
                    process.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(60)
        finally:
            for each in psutil.Process().children(recursive=True):
                if self._server is None or each.pid != self._server_pid():
                    with contextlib.suppress(psutil.Error):
                        each.kill()
            if self.wire is not None:
                self.wire.stop()
            if self._server is not None:
                self._server.remove()

    def _server_pid(self) -> int | None:
        return None if self._server is None else self._server.pid

    def redis(self, timeout_s: float = REQUEST_TIMEOUT_S) -> redis.Redis:
        """Return a client of the platform's Redis that bypasses the wire.

        Raises:
            OSError: Redis has not started yet.
        """
        if self._server is not None:
            url = self._server.url
        else:
            url = redis_admin.as_admin(self.platform.operator_url())
        client: redis.Redis = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        )
        return client

    def rival(self) -> subprocess.Popen[bytes]:
        """Start a second supervisor on the same state_dir."""
        with (self.home / "rival.out").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "supervisor.py", "run", *self.platform.options],
                cwd=self.platform.root, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=self.platform.environment(),
            )  # fmt: skip

    def strays(self) -> list[psutil.Process]:
        """Return the platform's processes without a running supervisor; reap those that ended."""
        ours = {os.getpid()}
        for process in (self.platform.process, self.second):
            if process is not None and process.poll() is None:
                with contextlib.suppress(psutil.Error):
                    top = psutil.Process(process.pid)
                    ours |= {top.pid, *(child.pid for child in top.children(recursive=True))}
        mine = {p.pid for p in (self.platform.process, self.second) if p is not None}
        found = []
        for each in psutil.Process().children(recursive=True):
            if each.pid in ours | mine or each.pid == self._server_pid():
                continue
            try:
                if each.status() != psutil.STATUS_ZOMBIE:
                    found.append(each)
                elif each.ppid() == os.getpid():
                    os.waitpid(each.pid, os.WNOHANG)
            except (psutil.Error, ChildProcessError):
                continue
        return [each for each in found if _is_platform(each)]

    def order(self, actor: str, **what: float) -> None:
        """Write an order for an actor's fault injection hooks."""
        draft = self.state_dir / "trial" / f"{actor}.new"
        draft.write_bytes(orjson.dumps(what))
        draft.replace(draft.with_suffix(".json"))

    def step_clock(self, offset_ms: int) -> None:
        """Shift the wall clock of all but the exchange."""
        with (self.state_dir / "trial" / "clock").open("r+b") as file:
            file.write(b"%+020d" % offset_ms)
        self.offset_ms = offset_ms

    def fill_disk(self) -> None:
        with (self.home / "ballast").open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 20))
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0")

    def free_disk(self) -> None:
        (self.home / "ballast").unlink(missing_ok=True)

    def log_bytes(self) -> int:
        """Return the total size of the logs."""
        return sum(
            path.stat().st_size
            for path in [*(self.state_dir / "log").glob("*"), self.state_dir / "supervisor.out"]
            if path.is_file()
        )

    def simulator(self, path: str, body: Any = None, method: str = "GET") -> Any:
        """Call the simulated exchange.

        Raises:
            OSError: It does not answer, or with an error: a fault may cause that.
        """
        status, answer = self.platform.simulator(path, body, method)
        if status != HTTPStatus.OK or isinstance(answer, str):
            raise OSError(f"{path}: {status} {str(answer)[:200]}")
        return answer

    def ask_trader(self, path: str) -> tuple[int, Any]:
        """Post to the trader's API; return status and body.

        Raises:
            OSError: It does not answer.
        """
        port = self.platform.actor("trader-api")["port"]
        token = token_path(self.state_dir).read_text().strip()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, b"{}", headers)
            response = connection.getresponse()
            return response.status, orjson.loads(response.read())
        finally:
            connection.close()


def _is_platform(process: psutil.Process) -> bool:
    line = " ".join(process.cmdline())
    ours = ("coinex: ", "zygote", "supervisor.py", "redis-server", "valkey-server")
    return any(word in line for word in ours)


def make_home() -> Path:
    """Make a directory for a testbed, with a path short enough for sockets."""
    return Path(tempfile.mkdtemp(prefix="storm-"))


def remove_home(home: Path) -> None:
    """Unmount the small disk and remove the directory."""
    if home.is_mount():
        subprocess.run(["umount", "--lazy", str(home)], check=False, capture_output=True)
    shutil.rmtree(home, ignore_errors=True)
