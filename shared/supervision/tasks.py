"""The supervisor's background tasks: none fails unnoticed.

`start` is for tasks that run a process: a bug in one leaves the process in an unknown state, so it
ends the supervisor (orderly, and systemd restarts it). `keep` is for tasks that only report: a bug
is logged and shown as a problem, and the task is restarted.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from shared.backoff import backoff_s
from shared.clock import Clock

FIRST_S, CAP_S = 0.5, 30.0


class Tasks:
    """Tasks of one event loop, all awaited."""

    def __init__(self, clock: Clock, rng: random.Random, log: logging.Logger) -> None:
        self._clock = clock
        self._rng = rng
        self._log = log
        self._running: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._failing: dict[str, str] = {}

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work`; `raise_failure` re-raises its exception."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._on_done)
        return task

    def keep(self, work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        """Run `work()` for ever, restarting it after a pause when it raises or returns."""
        return self.start(self._keep(work, name), name)

    async def _keep(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                await work()
                self._failing[name] = f"the {name} ended by itself"
            except Exception as error:  # noqa: BLE001  # only reports: no reason to stop trading
                self._log.exception("the %s failed and is started again", name)
                self._failing[name] = f"the {name} failed: {type(error).__name__}: {error}"
            lasted_s = self._clock.monotonic() - began
            failures = 1 if lasted_s > CAP_S else failures + 1
            await self._clock.sleep(backoff_s(failures, FIRST_S, CAP_S, self._rng.random()))
            self._failing.pop(name)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None and self._failure is None:
            self._log.error("%s failed", task.get_name(), exc_info=failure)
            self._failure = failure

    def raise_failure(self) -> None:
        """Raise the first exception of a task, if there was one."""
        if self._failure is not None:
            raise self._failure

    def problems(self) -> list[str]:
        """Return the failed tasks that wait for their restart, in words."""
        return list(self._failing.values())

    async def cancel(self) -> None:
        """Cancel every task and wait until all have ended."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
