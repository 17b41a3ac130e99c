"""The one abstraction: an actor repeats `step()` until asked to stop, and sends heartbeats."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import os
import random
import signal
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from shared import proc_stats, schema
from shared.backoff import backoff_s
from shared.bus import Bus, BusStatus
from shared.clock import Clock, ClockJump, ClockJumps
from shared.errors import BusUnavailable, TransientError
from shared.exchanges.venue_keys import VenueKeys
from shared.messages.actors import Heartbeat
from shared.messages.candles import Source
from shared.supervision.status_pipe import StatusKind, StatusPipe
from shared.supervision.test_hooks import Hooks

BEAT_S = 1.0
PSS_EVERY_BEATS = 15
DRAIN_S = 5.0
AFTER_JUMP_S = 5.0
"""Until a scan after a jump of the clock: fetching all candles anew takes about a second."""

RETRY_FIRST_S, RETRY_CAP_S = 1.0, 15.0


class UsageReader(Protocol):
    """Reads what a process uses, as `proc_stats` does."""

    def pss_mb(self, pid: int) -> float | None: ...
    def rss_mb(self, pid: int) -> float: ...
    def cpu_s(self, pid: int) -> float | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything an actor depends on; it builds nothing global and reads no environment.

    Attributes:
        section: Its part of the configuration, as plain values.
        probation: True in the run after a death: name each coin before computing it.
        quarantined_coins: Coins the supervisor quarantined, with the epoch ms of their release.
        reducing_until_ms: Epoch ms until which a trader may only reduce; None: no limit.
        keys: Keys that sign requests to the venue; None without any.
        alert_urls: URLs of the alert services; they contain secrets.
        once: Exit after one step.
        trial: Fault injection hooks of a trial; None outside trials.
        usage: Reads this process's memory and processor time, for the heartbeat.
    """

    name: str
    mode: str
    source: Source
    state_dir: Path
    section: Mapping[str, Any]
    bus: Bus
    clock: Clock
    log: logging.Logger
    rng: random.Random
    status: StatusPipe
    probation: bool
    quarantined_coins: Mapping[str, int]
    reducing_until_ms: int | None = None
    keys: VenueKeys | None = None
    alert_urls: tuple[str, ...] = ()
    once: bool = False
    trial: Hooks | None = None
    usage: UsageReader = proc_stats


class Actor:
    """Base of every actor. Subclasses write `setup`, `step` and `teardown`.

    What `setup` opens goes onto `resources`, which is closed at the end and before a retry.
    `setup` and `step` may raise TransientError: logged once, retried with capped jitter.
    Any other error ends the process; the supervisor decides what comes next.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.name = context.name
        self.bus = context.bus
        self.clock = context.clock
        self.log = context.log
        self.detail: dict[str, Any] = {}
        self.resources = contextlib.AsyncExitStack()
        self._state: Literal["starting", "ready", "stopping"] = "starting"
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None]
        self._steps = 0
        self._last_step_ms: int | None = None
        self._step_ms: float | None = None
        self._lag_ms = 0.0
        self._jumps = ClockJumps(self.clock)

    async def setup(self) -> None:
        """Prepare once, before the first step."""

    async def step(self) -> float:
        """Do one turn of work and return the seconds until the next."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Finish critical work before background tasks end; called only on a stop."""

    async def teardown(self) -> None:
        """Release what `setup` acquired, the newest first."""
        await self.resources.aclose()

    def clock_jumped(self, jump: ClockJump) -> None:
        """Do what is due after a suspend or a set clock; by default the next step, at once."""
        self.wake()

    def look_at_clock(self) -> None:
        """Call `clock_jumped` if the clock has jumped; done with every beat, too."""
        jump = self._jumps.look()
        if jump is not None:
            self.log.warning("the clock jumped by %+.0f s", jump.by_ms / 1000)
            self.clock_jumped(jump)

    def ready(self) -> None:
        """Report that the actor can do its job."""
        if self._state == "starting":
            self._state = "ready"
            self.context.status.send(StatusKind.READY)

    def not_ready(self, reason: str) -> None:
        """Report why the actor cannot do its job yet."""
        if self._state == "starting":
            self.context.status.send(StatusKind.NOT_READY, reason)

    def doing(self, what: str) -> None:
        """Report the current activity in a few words."""
        self.context.status.send(StatusKind.DOING, what)

    def computing(self, symbol: str) -> None:
        """Report the coin about to be computed, so that a death can be attributed to it."""
        self.context.status.send(StatusKind.COIN, symbol)

    def wake(self) -> None:
        """End the pause before the next step."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the current step, then end."""
        if self._state != "stopping":
            self._state = "stopping"
            self.context.status.send(StatusKind.DOING, "stopping")
        self._stop.set()
        self._wake.set()

    def background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` beside the steps; if it fails, the actor fails."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_background_end)

    def _on_background_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def run(self) -> None:
        """Run until stopped.

        Raises:
            Exception: The error that ended a step, a background task or the beat.
        """
        self._failure = asyncio.get_running_loop().create_future()
        self.background(self._beat(), "beat")
        self.background(self._publish_heartbeats(), "heartbeat")
        if self.context.trial is not None:
            self.background(self.context.trial.run(self.clock), "trial")
        main = asyncio.create_task(self._run_steps(), name="steps")
        try:
            await self._wait_for_end(main)
        finally:
            tasks = [main, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._failure.cancel()
            await self.teardown()

    async def _wait_for_end(self, main: asyncio.Task[None]) -> None:
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            awaited: list[asyncio.Future[Any]] = [main, stopping, self._failure]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            if self._stop.is_set():  # the steps may have ended first
                await asyncio.wait([main], timeout=DRAIN_S)
                await self.drain()
            if main.done():
                main.result()
        finally:
            stopping.cancel()

    async def _run_steps(self) -> None:
        await self._with_retries(self._set_up)
        while not self._stop.is_set():
            self._wake.clear()
            started = self.clock.monotonic()
            pause = await self._with_retries(self.step)
            self._steps += 1
            self._step_ms = (self.clock.monotonic() - started) * 1000
            self._last_step_ms = self.clock.now_ms()
            self.context.status.send(StatusKind.STEP, f"{self._step_ms:.1f}")
            if self.context.once:
                return
            await self._pause(pause if pause is not None else 0.0)

    async def _set_up(self) -> None:
        await self.resources.aclose()
        await self.setup()

    async def _with_retries[T](self, work: Any) -> Any:
        failures = 0
        while not self._stop.is_set():
            try:
                result = await work()
            except TransientError as error:
                failures += 1
                self.detail["retrying"] = f"{error} ({failures} in a row)"
                self.not_ready(str(error))
                if failures == 1:
                    self.log.warning("will retry: %s", error)
                pause_s = backoff_s(failures, RETRY_FIRST_S, RETRY_CAP_S, self.context.rng.random())
                if not self._stop.is_set():
                    self._wake.clear()  # else one wake would end every pause
                await self._pause(pause_s)
            else:
                if failures:
                    self.log.info("recovered after %d failures", failures)
                    self.detail.pop("retrying", None)
                return result
        return None

    async def _pause(self, seconds: float) -> None:
        pause = asyncio.ensure_future(self.clock.sleep(seconds))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait([pause, woken], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            woken.cancel()

    async def _beat(self) -> None:
        while True:
            self.context.status.send(StatusKind.BEAT)
            due = self.clock.monotonic() + BEAT_S
            await self.clock.sleep(BEAT_S)
            self._lag_ms = max(0.0, (self.clock.monotonic() - due) * 1000)
            self.look_at_clock()

    async def _publish_heartbeats(self) -> None:
        pid, usage = os.getpid(), self.context.usage
        code = ""  # sent from the second beat on: startup waits for the first
        beats, pss_mb, cpu_s, cpu_at_s = 0, 0.0, 0.0, self.clock.monotonic()
        while True:
            if beats == 1:
                code = loaded_code_digest()
            if beats % PSS_EVERY_BEATS == 1:
                pss_mb = usage.pss_mb(pid) or 0.0
            used_s, now_s = usage.cpu_s(pid) or 0.0, self.clock.monotonic()
            cpu_pct = 100 * (used_s - cpu_s) / (now_s - cpu_at_s) if beats else 0.0
            cpu_s, cpu_at_s = used_s, now_s
            heartbeat = Heartbeat(
                name=self.name,
                at_ms=self.clock.now_ms(),
                pid=pid,
                state=self._state,
                steps=self._steps,
                last_step_ms=self._last_step_ms,
                step_ms=self._step_ms,
                lag_ms=round(self._lag_ms, 2),
                rss_mb=round(usage.rss_mb(pid), 1),
                pss_mb=round(pss_mb, 1),
                cpu_pct=round(cpu_pct, 1),
                code=code,
                detail={
                    **self.detail,
                    "bad_messages": self.bus.bad_messages,
                    "bad_message": self.bus.bad_message,
                    "bad_message_ms": self.bus.bad_message_ms,
                    "refused": self.bus.reason if self.bus.status is BusStatus.REFUSES else "",
                },
            )
            with contextlib.suppress(BusUnavailable):  # the bus logs loss and return itself
                await self.bus.put(schema.HEARTBEAT, heartbeat, name=self.name)
            beats += 1
            await self.clock.sleep(BEAT_S)


def loaded_code_digest() -> str:
    """Return a short digest of the project files this process has loaded."""
    root = str(Path(__file__).resolve().parent.parent)
    files = {str(getattr(module, "__file__", "")) for module in list(sys.modules.values())}
    digest = hashlib.blake2s(digest_size=6)
    for file in sorted(files):
        if file.startswith(root) and "site-packages" not in file:
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def run_actor(actor: Actor) -> None:
    """Run one actor on a fresh event loop until it ends; SIGTERM and SIGINT stop it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, actor.stop)
        try:
            await actor.run()
        finally:
            await actor.bus.close()

    gc.freeze()
    asyncio.run(main())
