"""supervisord, circus and gunicorn, each keeping ten of the same workers alive."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import redis

from benchmarks.peer_venv import ROOT, peer_python, version
from shared.proc_stats import cpu_s, pss_mb

WORKERS = 10
START_S = 90.0
PEERS = Path(__file__).resolve().with_name("peers")


class Peer:
    """One supervisor with its workers, at its fastest settings.

    Args:
        home: Its working directory.
        number: Its database in the Redis at `socket`.
    """

    def __init__(self, name: str, home: Path, socket: Path, number: int) -> None:
        self.name, self.title = name, f"{name} {version(SOURCE[name])}"
        self._home = home
        self._url = f"unix://{socket}?db={number}"
        self._client = redis.Redis.from_url(self._url, socket_timeout=None)
        self._log = (home / "out").open("wb")
        python = peer_python()
        self._process = subprocess.Popen(
            self._command(python),
            cwd=home,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "BEATS_URL": self._url, "OPENBLAS_NUM_THREADS": "1"},
        )
        self.workers: list[int] = []

    def wait_up(self) -> None:
        """Wait for the first heartbeat of every worker."""
        deadline = time.monotonic() + START_S
        while len(self.workers) < WORKERS:
            self.workers.append(self._next_beat(deadline - time.monotonic()))

    def kill_one(self) -> float:
        """SIGKILL a worker; return the seconds until its successor's first heartbeat."""
        started = time.perf_counter()
        os.kill(self.workers.pop(0), signal.SIGKILL)
        self.workers.append(self._next_beat(30))
        return time.perf_counter() - started

    def overhead(self) -> Sequence[int]:
        """Return the supervising processes."""
        top = psutil.Process(self._process.pid)
        found = [top.pid, *(process.pid for process in top.children(recursive=True))]
        return [pid for pid in found if pid not in self.workers]

    def everything(self) -> Sequence[int]:
        return [*self.overhead(), *self.workers]

    def stop(self) -> None:
        below = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        for process in below:
            if process.is_running():
                process.kill()
        self._client.close()
        self._log.close()

    def _next_beat(self, within_s: float) -> int:
        found = self._client.blpop(["beats"], timeout=max(0.1, within_s))
        if found is None:
            tail = (self._home / "out").read_text(errors="replace")[-1500:]
            raise RuntimeError(f"{self.title}: no heartbeat in time; it says:\n{tail}")
        return int(found[1])

    def _command(self, python: Path) -> list[str]:
        home, work = self._home, f"{python} {PEERS / 'worker.py'} {self._url}"
        if self.name == "supervisord":
            (home / "conf").write_text(
                f"[supervisord]\nnodaemon=true\nlogfile={home}/log\npidfile={home}/pid\n"
                f"childlogdir={home}\n[program:worker]\ncommand={work}\nnumprocs={WORKERS}\n"
                "process_name=%(process_num)02d\nautorestart=true\nstartsecs=0\n"
                "startretries=1000000\n"
            )
            return [str(python), "-m", "supervisor.supervisord", "-c", str(home / "conf")]
        if self.name == "circus":
            (home / "conf").write_text(
                f"[circus]\nendpoint=ipc://{home}/control\npubsub_endpoint=ipc://{home}/events\n"
                f"check_delay=0.1\nwarmup_delay=0\n[watcher:worker]\ncmd={work}\n"
                f"numprocesses={WORKERS}\nmax_retry=-1\nwarmup_delay=0\ncopy_env=True\n"
            )
            return [str(python), "-m", "circus.circusd", str(home / "conf")]
        hooks = PEERS / "gunicorn_hooks.py"
        return [
            str(python), "-m", "gunicorn", "--preload", "--workers", str(WORKERS),
            "--bind", f"unix:{home}/http", "--chdir", str(ROOT), "--config", str(hooks),
            "benchmarks.peers.gunicorn_app:app",
        ]  # fmt: skip


SOURCE = {"supervisord": "supervisor", "circus": "circus", "gunicorn": "gunicorn"}
"""Each program and the package it comes with."""


def cost(before: dict[int, float], pids: Sequence[int], over_s: float) -> tuple[float, float]:
    """Return percent of one core since `before`, and PSS in MB, summed over processes."""
    used = sum((cpu_s(pid) or 0.0) - before.get(pid, 0.0) for pid in pids)
    return 100 * used / over_s, sum(pss_mb(pid) or 0.0 for pid in pids)


def used_so_far(pids: Sequence[int]) -> dict[int, float]:
    """Return the processor seconds each process has used."""
    return {pid: cpu_s(pid) or 0.0 for pid in pids}
