"""Jobs on Ray, on this machine or on several. Ray itself runs in a process of its own.

Ray's threads, signal handlers and output so stay out of the sweep, and its daemons end with it: the
process ends them, and removes their files, when its connection to the sweep closes.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from shared.backtest.executor import AHEAD, EXIT_S, MOST_DEATHS, JobFailed
from shared.backtest.sweep.prepared import ReadsScores
from shared.backtest.sweep.ray_worker import Failed, Job, Outcome, Ready, Setup
from shared.errors import PlatformError

ROOT = Path(__file__).resolve().parents[3]
DRIVER = Path(__file__).with_name("ray_driver.py")

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_LOG_TO_STDERR": "1"}
"""Nothing is sent to Ray's makers; what would be log files goes to standard error."""

ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Without it, Ray takes an address that others reach, even if told 127.0.0.1."""

START_S, CONNECT_S, REACH_S = 120.0, 30.0, 5.0
"""For a Ray of our own to start; for one to let us in; for its port to accept a connection."""

LEAST_STORE, MOST_STORE = 100 * 2**20, 2 * 2**30
"""Bytes of the object store; what is beyond goes to files in Ray's private directory."""


class EngineFailed(PlatformError):
    """Ray does not start, is not reached, or has ended."""


class RayExecutor:
    """Jobs as tasks of Ray, which is started, or connected to, when there is something to do.

    Args:
        processes: Jobs at a time, on a Ray of our own.
        address: `HOST:PORT` of a cluster that this machine belongs to; None for a Ray of our own.
        environment: For the processes of Ray.
    """

    def __init__(self, processes: int, address: str | None, environment: Mapping[str, str]) -> None:
        self._processes = processes
        self._address = address
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._connection: Connection[Any, Any]
        self._slots = 0
        self._numbered = 0

    def carry_out[J: ReadsScores, R](
        self, work: Callable[[J], R], jobs: Sequence[J]
    ) -> Iterator[R]:
        if not jobs:
            return
        if self._process is None:
            self._start({job.scores for job in jobs})
        first, self._numbered = self._numbered, self._numbered + len(jobs)
        waiting = list(range(len(jobs)))[::-1]
        deaths: Counter[int] = Counter()
        results: dict[int, Any] = {}
        for due in range(len(jobs)):
            while due not in results:
                while waiting and waiting[-1] < due + AHEAD * self._slots:
                    index = waiting.pop()
                    job = jobs[index]
                    self._send(Job(first + index, pickle.dumps((work, job)), job.scores))
                outcome = self._outcome()
                index = outcome.number - first
                if index < 0:
                    continue  # of jobs before, which ended in an error
                if outcome.answer is None:
                    deaths[index] += 1
                    if deaths[index] == MOST_DEATHS:
                        raise JobFailed(
                            f"{jobs[index]}: its process died {MOST_DEATHS} times, at last: "
                            f"{outcome.died}; if memory ran out, use fewer processes"
                        )
                    waiting.append(index)
                    continue
                result, error = pickle.loads(outcome.answer)
                if error is not None:
                    raise error
                results[index] = result
            yield results.pop(due)

    def close(self) -> None:
        """End all processes that were started, and remove their files."""
        if self._process is not None:
            self._connection.close()
            try:
                self._process.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()  # the kernel ends Ray's daemons with it
                self._process.wait()
            self._process = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _start(self, prepared: set[Path]) -> None:
        if self._address is not None:
            _reach(self._address)
        # Ray makes its own directory in it writable for everybody
        self._directory = Path(tempfile.mkdtemp(prefix="sweep-"))
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(DRIVER), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._driver_environment(),
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for this process, which ends the others
            )
        store = sum(file.stat().st_size for each in prepared for file in each.iterdir())
        store = min(max(2 * store, LEAST_STORE), MOST_STORE)
        self._send(Setup(self._address, self._processes, self._directory, store))
        within_s = START_S if self._address is None else CONNECT_S
        if not self._connection.poll(within_s):
            if self._address is None:
                raise EngineFailed(f"Ray did not start within {within_s:.0f} s")
            raise EngineFailed(
                f"--address {self._address}: no Ray let us in within {within_s:.0f} s: another "
                "program listens there, or the cluster has another RAY_AUTH_MODE or token"
            )
        ready = self._receive()
        assert isinstance(ready, Ready)
        self._slots = ready.slots

    def _driver_environment(self) -> dict[str, str]:
        ours = self._address is None
        given = self._environment.items()
        made = {name: value for name, value in given if not (ours and name.startswith("RAY_"))}
        path = [str(ROOT), made["PYTHONPATH"]] if made.get("PYTHONPATH") else [str(ROOT)]
        made |= QUIET | {"PYTHONPATH": os.pathsep.join(path)}
        if ours:
            # other users of this machine reach loopback, too
            token = secrets.token_hex(32)
            made |= ON_LOOPBACK | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        return made

    def _send(self, message: Setup | Job) -> None:
        with contextlib.suppress(ConnectionError):  # it has ended: to be read from `_receive`
            self._connection.send(message)

    def _receive(self) -> Ready | Outcome:
        try:
            message: Ready | Outcome | Failed = self._connection.recv()
        except (EOFError, OSError):
            raise EngineFailed(
                "the process that speaks with Ray has ended; the same command goes on where it was"
            ) from None
        if isinstance(message, Failed):
            raise EngineFailed(message.why)
        return message

    def _outcome(self) -> Outcome:
        outcome = self._receive()
        assert isinstance(outcome, Outcome)
        return outcome


def _reach(address: str) -> None:
    """Require that something listens there: Ray itself would try for two minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except OSError as error:
        raise EngineFailed(
            f"--address {address}: {error.strerror or error}; expected the HOST:PORT that "
            "`ray start --head --port PORT` was given"
        ) from None
