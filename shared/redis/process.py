"""The embedded redis-server as a process: start, watch and stop it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from shared.redis.binary import Binary

LOG_BYTES = 5_000_000

# A program of its own between fork and exec, because Python code after a fork is safe only in a
# single-threaded parent. The death signal survives the exec; a parent that died before it was set
# is detected by its pid.
_LAST_STEP = """
import ctypes, os, signal, sys
if ctypes.CDLL(None, use_errno=True).prctl(1, int(signal.SIGTERM), 0, 0, 0):
    sys.exit("prctl(PR_SET_PDEATHSIG) failed")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the supervisor is gone")
os.umask(0o077)
os.execv(sys.argv[2], ["redis-server", sys.argv[3]])
"""

_ABOUT_FILES = re.compile(
    r"append.?only|\bAOF\b|\bRDB\b|wrong signature|short read|loading DB|DB version", re.IGNORECASE
)
_ABOUT_THE_MACHINE = re.compile(
    r"no space left|permission denied|read-only file system|too many open files|"
    r"cannot allocate|address already in use|config file error|unresolved configuration",
    re.IGNORECASE,
)


class RedisProcess:
    """One redis-server at a time.

    Call `start` from the main thread only: the server's death signal is tied to that thread.
    """

    def __init__(self, binary: Binary, log_path: Path) -> None:
        self.binary = binary
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self._output_from = 0

    @property
    def pid(self) -> int | None:
        """Pid of the running server; None when there is none."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Exit code of the newest server (negative: an OS signal); None while it runs."""
        return self._process.poll() if self._process else None

    def start(self, config: Path) -> None:
        """Start the server in a session of its own; it appends to its log file."""
        self._release()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self.log_path.stat().st_size > LOG_BYTES:
                self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            self._output_from = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAST_STEP, str(os.getpid()),
                 str(self.binary.path), str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=config.parent,
                # A group of its own keeps the terminal's Ctrl-C away. Not a session of its own:
                # only while its parent is in the same session does the kernel wake a stopped
                # server (SIGHUP, SIGCONT) when that parent dies, so that it sees its SIGTERM.
                process_group=0,
            )  # fmt: skip
        self._pidfd = os.pidfd_open(self._process.pid)

    async def gone(self) -> int:
        """Wait until the server has ended; return its exit code."""
        assert self._process is not None and self._pidfd is not None
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        # a duplicate, so that two may wait: the loop allows one callback per descriptor
        watched = os.dup(self._pidfd)
        try:
            loop.add_reader(watched, ended.set)
            await ended.wait()
        finally:
            loop.remove_reader(watched)
            os.close(watched)
        return self._process.wait()

    async def stop(self, timeout_s: float) -> None:
        """As `end`, for good."""
        if self.pid is not None:
            await self.end(timeout_s)
        self._release()

    async def end(self, timeout_s: float) -> None:
        """Ask the server to save and exit, wait, kill; return when it is gone."""
        assert self._process is not None
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)  # a stopped process handles no other signal
        try:
            await asyncio.wait_for(self.gone(), timeout_s)
        except TimeoutError:
            self._process.kill()
            await self.gone()

    def refused_its_files(self) -> bool:
        """Return whether the newest server ended because its files are damaged."""
        serious = [line for line in self._output() if " # " in line or "***" in line]
        about_machine = any(_ABOUT_THE_MACHINE.search(line) for line in serious)
        return (
            self.exit_code not in (None, 0)
            and not about_machine
            and any(_ABOUT_FILES.search(line) for line in serious)
        )

    def last_words(self) -> str:
        """Return the newest server's last line of output."""
        lines = self._output()
        return lines[-1] if lines else "it printed nothing"

    def _output(self) -> list[str]:
        try:
            with self.log_path.open("rb") as log:
                removed = os.fstat(log.fileno()).st_size < self._output_from
                log.seek(0 if removed else self._output_from)
                text = log.read(200_000).decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _release(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
