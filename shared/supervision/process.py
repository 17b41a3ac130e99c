"""Processes as the supervisor sees them: their output, their exit, and how to end them.

*Gone* means that the pidfd is readable, nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

EXIT_REPORT_S = 0.5
READ_SIZE = 65_536


class LineReader:
    """Splits the output of a pipe into lines without blocking.

    Args:
        fd: Read end; closed here at end of file.
        on_line: Called with each line, without its newline.
        longest: A longer line is cut there and marked.
    """

    def __init__(self, fd: int, on_line: Callable[[bytes], None], longest: int) -> None:
        self._fd = fd
        self._on_line = on_line
        self._longest = longest
        self._partial = b""
        self._skipping = False
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._read)

    def _read(self) -> bool:
        try:
            chunk = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return False
        if not chunk:
            self.close()
            return False
        *whole, rest = (self._partial + chunk).split(b"\n")
        for line in whole:
            if self._skipping:
                self._skipping = False
            else:
                self._on_line(self._cut(line))
        if len(rest) > self._longest:
            if not self._skipping:
                self._on_line(self._cut(rest))
            self._skipping, rest = True, b""
        self._partial = rest
        return True

    def _cut(self, line: bytes) -> bytes:
        return line if len(line) <= self._longest else line[: self._longest] + b" [cut]"

    def drain(self) -> None:
        """Read what a dead process left in the pipe, and close it."""
        for _ in range(64):  # another process may have inherited the pipe and keep writing
            if self._fd < 0 or not self._read():
                break
        if self._partial:
            self._on_line(self._partial)
            self._partial = b""
        self.close()

    def close(self) -> None:
        """Stop reading."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


class Process:
    """One actor's process, from fork to gone.

    Attributes:
        gone: Set when its pidfd is readable.
        reported: Set when its parent has reported the wait status, or cannot any more.
        status: Its wait status; None while unknown (also when the zygote died with it).
    """

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.gone = asyncio.Event()
        self.status: int | None = None
        self.reported = asyncio.Event()
        self._pidfd = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._on_gone)

    def _on_gone(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.gone.set()

    def send(self, number: int) -> None:
        """Send an OS signal, unless the process is gone."""
        if not self.gone.is_set():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def kill_group(self) -> None:
        """SIGKILL the process and everything in its group."""
        if not self.gone.is_set():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self.send(signal.SIGKILL)

    async def wait_gone(self, within_s: float | None = None) -> bool:
        """Wait until the process is gone; False when it is not in time."""
        try:
            await asyncio.wait_for(self.gone.wait(), within_s)
        except TimeoutError:
            return False
        return True

    async def exit_status(self) -> int | None:
        """Return the wait status of a process that is gone; None if it is unknown."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.reported.wait(), EXIT_REPORT_S)
        return self.status


async def end(child: Process, stop_s: float) -> None:
    """Send SIGTERM, wait, SIGKILL the group, wait until it is gone."""
    child.send(signal.SIGTERM)
    child.send(signal.SIGCONT)  # a stopped process does not handle SIGTERM
    if not await child.wait_gone(stop_s):
        child.kill_group()
        await child.wait_gone()


async def abort(child: Process, grace_s: float = 2.0) -> None:
    """End a hung process with SIGABRT, so that it prints its stacks."""
    child.send(signal.SIGABRT)
    child.send(signal.SIGCONT)
    if not await child.wait_gone(grace_s):
        child.kill_group()
        await child.wait_gone()
