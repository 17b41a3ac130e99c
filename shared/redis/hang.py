"""Notices that a redis-server hangs: it runs, and says nothing over a new connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psutil

LONGEST_TURN_S = 1.0
EVERY_S = 2.0


class HangWatch:
    """Counts for how long a server has left a PING unanswered, in turns of the caller's loop.

    So a machine or a supervisor that was suspended convicts nobody. Any answer counts, also one
    that refuses: a server that is loading or does not let us in is alive.

    Args:
        answers: Returns, however late, whether the server on a port said anything.

    Attributes:
        silent_s: Time without an answer.
    """

    def __init__(self, answers: Callable[[int], Coroutine[Any, Any, bool]] | None = None) -> None:
        self._answers = answers or _answers
        self.silent_s = 0.0
        self._pid: int | None = None
        self._turn_s = 0.0
        self._due_s = float("-inf")
        self._ping: asyncio.Task[bool] | None = None

    def turn(self, pid: int | None, port: int, now: float) -> None:
        """Count one turn, and ping when it is time.

        Args:
            pid: Of the server; None while there is none. A new one starts from zero.
            now: Monotonic seconds.
        """
        elapsed, self._turn_s = min(now - self._turn_s, LONGEST_TURN_S), now
        if pid != self._pid:
            self.close()
            self._pid, self.silent_s, self._due_s = pid, 0.0, now
            return
        if self._ping is not None and self._ping.done() and self._ping.result():
            self.silent_s, self._due_s, self._ping = 0.0, now + EVERY_S, None
        elif self._ping is not None:
            self.silent_s += elapsed
        if pid is not None and now >= self._due_s and (self._ping is None or self._ping.done()):
            self._ping = asyncio.create_task(self._answers(port), name="ping redis")

    def close(self) -> None:
        """Stop waiting for an answer."""
        if self._ping is not None:
            self._ping.cancel()
            self._ping = None


async def _answers(port: int) -> bool:
    """Return whether a server says anything to a PING, however late; False if it hangs up."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"PING\r\n")
            return bool(await reader.read(1))
        finally:
            writer.close()
    except OSError:
        return False


def excuse(pid: int) -> str:
    """Return why a silent server is to be left alone; "" if there is no reason."""
    try:
        server = psutil.Process(pid)
        if server.status() == psutil.STATUS_DISK_SLEEP:
            return "it waits for the disk"
        if any(child.status() != psutil.STATUS_ZOMBIE for child in server.children()):
            return "it is rewriting its files"
    except psutil.Error:
        return ""
    return ""
