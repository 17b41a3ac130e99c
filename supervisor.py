#!/usr/bin/env python3
"""The supervisor: starts the actors, watches and restarts them, stops them in order.

As a program it is the command line, whose commands are in `shared/console/`. It knows nothing of
trading and imports no actor, so a broken actor cannot take it down. Signal handlers only set
flags; the loop acts.
"""

from __future__ import annotations

# built in: importing `signal` takes time in which Ctrl-C would end in a traceback
import _signal  # type: ignore[import-not-found]
import os
import sys

if __name__ == "__main__":
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # until there is something to stop
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT])  # blocked by `make run`

import argparse


def _run(options: argparse.Namespace) -> int:
    from supervisor import run  # noqa: PLC0415  # this file, not as __main__

    return run(options)


if __name__ == "__main__":
    # before the imports: only `run` needs them
    from shared.console.command_line import main

    sys.exit(main(sys.argv[1:], environment=os.environ, run=_run))

import asyncio
import contextlib
import fnmatch
import random
import signal
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from shared import logs, proc_stats
from shared.bus import Bus, BusStatus
from shared.clock import Clock, SystemClock
from shared.config.load import load
from shared.config.secrets import Secrets
from shared.config.sections import Config
from shared.descriptors import close_inherited, raise_limit
from shared.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    BusUnavailable,
    ConfigError,
    did_you_mean,
)
from shared.exchanges.sim.keys import KeyFile, new_keys
from shared.health.problems import redis_problem
from shared.messages.actors import Lease
from shared.output import QueuedOutput, never_blocking
from shared.permissions import OTHERS, Findings, close_to_others
from shared.pid_lock import AlreadyLocked, PidLock
from shared.redis.server import RedisServer
from shared.schema import Role
from shared.supervision import preflight
from shared.supervision.actor_log import ActorLog, journal_socket
from shared.supervision.child import LONGEST_LOG_LINE, Child, ChildContext
from shared.supervision.children import Children
from shared.supervision.commands import SupervisorCommands
from shared.supervision.control import ControlChannel, ControlSocket
from shared.supervision.launch import ROOT, launch_message, missing_secrets
from shared.supervision.lease import SupervisorLease, boot_id
from shared.supervision.lifecycle import State
from shared.supervision.process import LineReader
from shared.supervision.readiness import ReadinessFiles
from shared.supervision.specs import (
    child_specs,
    code_modules,
    configured_ports,
    listeners,
    policy,
)
from shared.supervision.state_files import Restore, StateFiles
from shared.supervision.status_publisher import StatusPublisher, Transitions
from shared.supervision.systemd import Notifier
from shared.supervision.tasks import Tasks
from shared.supervision.test_hooks import SteppedClock, trial_folder
from shared.supervision.zygote_client import Zygote
from shared.web.hosts import base_url

TURN_S = 0.5
WAITING_S = 5.0
CALM = frozenset({"starting", "ready", "stopping", "stopped"})
LONGEST_SHOWN_LINE = 500


class Supervisor:
    """One running platform; construct it on its event loop.

    Args:
        reread: Reads the configuration again, for `reload`; raises ConfigError.
        environment: Inherited by children, with systemd's variables; without secrets.
        only: Pattern of actor names; others are not started.
        output: Our own, whose lost lines are a problem.
    """

    def __init__(
        self,
        config: Config,
        *,
        reread: Callable[[], Config],
        environment: Mapping[str, str],
        lock: PidLock,
        redis: RedisServer,
        clock: Clock,
        secrets: Secrets,
        only: str = "*",
        output: Sequence[QueuedOutput] = (),
    ) -> None:
        self._config = config
        self._clock = clock
        self._rng = random.Random()
        self._log = logs.logger("supervisor")
        self._state_dir = Path(config.state_dir).resolve()
        self._log_folder = self._state_dir / "log"
        self._lock = lock
        self._redis = redis
        self._bus: Bus | None = None
        self._channel: ControlChannel | None = None
        self._state_files = self._watching({})
        self._secrets = secrets
        self._sim_keys = None if config.mode == "live" else new_keys()
        self._sim_key_file = KeyFile(self._state_dir)
        self._output = output
        self._notifier = Notifier(environment)
        self._readiness = ReadinessFiles(environment, self._log)
        self._journal = journal_socket(environment.get("JOURNAL_STREAM", ""))
        self._started = clock.monotonic()
        self._over = asyncio.Event()
        self._exit_code = EXIT_OK
        self._impatient = False
        self._was_ready = False
        self._waiting_shown = False
        self._had_terminal = not _terminal_is_missing()
        self._transitions = Transitions(clock)
        self._tasks = Tasks(clock, self._rng, self._log)
        self._zygote_log = ActorLog(self._log_folder / "zygote.log", clock, self._journal)
        self._zygote = self._make_zygote(self._pipe_to(self._zygote_log), environment)
        self._children = Children(
            config,
            self._child_context(),
            state_dir=self._state_dir,
            only=only,
            journal=self._journal,
        )
        self._commands = SupervisorCommands(
            config,
            self._children,
            reread=reread,
            missing_secrets=lambda fresh: missing_secrets(fresh, secrets),
            own_status=self._own_status,
            shut_down=self._over.set,
            is_stopping=self._over.is_set,
            log=self._log,
        )

    async def run(self) -> int:
        """Supervise until stopped; return the exit code.

        Raises:
            ConfigError: No usable Redis.
        """
        self._handle_signals()
        self._zygote.start()  # warms up while Redis starts
        try:
            self._notifier.notify(STATUS="waiting for Redis")
            await self._unless_over(self._redis.start())
            self._bus = Bus(
                self._redis.url(Role.SUPERVISOR),
                name="supervisor",
                clock=self._clock,
                namespace=self._config.redis.namespace,
                log=self._log,
            )
            await self._supervise(self._bus)
            await self._bus.close()
        except ConfigError:
            if not self._over.is_set():  # Ctrl-C ended a program that Redis was looked for with
                raise
        finally:
            self._over.set()
            await self._zygote.close()
            await self._tasks.cancel()
            await self._redis.stop()
            _ignore_signals()
        self._log.info("stopped")
        return self._exit_code

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_term)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it stays ignored
            loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        # `stty tostop` would stop us in the background at the first line we print
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    async def _unless_over[T](self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of `work`; cancel it and return None once we are to stop."""
        working = asyncio.ensure_future(work)
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({working, over}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            over.cancel()
            working.cancel()
            await asyncio.wait({working})

    async def _supervise(self, bus: Bus) -> None:
        lease = SupervisorLease(
            bus,
            self._state_dir,
            instance=uuid.uuid4().hex,
            boot=boot_id(),
            mode=self._config.mode,
            clock=self._clock,
            log=self._log,
        )
        if not await self._unless_over(self._is_ours(lease)) or self._over.is_set():
            return
        publisher = StatusPublisher(
            bus,
            self._transitions,
            lease=lease,
            mode=self._config.mode,
            clock=self._clock,
            statuses=lambda: [actor.status() for actor in self._children],
            problems=self.problems,
            lease_lost=self._on_lease_lost,
        )
        answer = self._commands.answer
        control = ControlSocket(self._state_dir / "supervisor.sock", answer, self._log)
        await control.open()
        self._state_files = self._watched_files(control)
        channel = self._channel = ControlChannel(bus, answer, self._clock, self._log)
        reporting = [
            self._tasks.keep(self._state_files.keep, "watch on state_dir"),
            self._tasks.keep(publisher.keep, "status publisher"),
            self._tasks.keep(channel.keep, "control channel"),
        ]
        for remark in self._children.remarks:
            self._log.warning("%s", remark)
        self._children.boot()
        try:
            await self._turn_until_over()
        finally:
            self._readiness.close()
            self._notifier.notify(STOPPING=1, STATUS="stopping")
            within_s = self._commands.config.supervisor.stop_all_s
            if not await self._children.stop(within_s, lambda: self._impatient):
                self._log.error("not everything stopped within %g s and was killed", within_s)
            for task in reporting:
                task.cancel()
            await asyncio.gather(*reporting, return_exceptions=True)
            await control.close()
            await publisher.close()

    # Parts

    def _make_zygote(self, log_fd: int, environment: Mapping[str, str]) -> Zygote:
        return Zygote(
            root=ROOT,
            modules=code_modules(self._config),
            log_fd=log_fd,
            environment=environment,
            healthy_s=self._config.supervisor.healthy_s,
            clock=self._clock,
            rng=self._rng,
            tasks=self._tasks,
            log=self._log,
            on_lost=lambda pause_s: self._on_transition("zygote", "lost", {"again_in_s": pause_s}),
        )

    def _child_context(self) -> ChildContext:
        return ChildContext(
            zygote=self._zygote,
            tasks=self._tasks,
            settings=self._config.supervisor,
            policy=policy(self._config),
            clock=self._clock,
            rng=self._rng,
            log=self._log,
            launch=self._launch,
            common_cause=self._common_cause,
            on_transition=self._on_transition,
        )

    def _launch(self, actor: Child) -> Mapping[str, Any]:
        return launch_message(
            actor.spec,
            self._commands.config,
            self._redis.url,
            secrets=self._secrets,
            sim_keys=self._sim_keys,
            probation=actor.next_on_probation,
            quarantined_coins=actor.coins.quarantined(self._clock.now_ms()),
            reducing_until_ms=actor.reducing_until_ms,
        )

    async def _is_ours(self, lease: SupervisorLease) -> bool:
        try:
            holder = await lease.claim()
        except BusUnavailable as error:
            self._log.warning("going on without Redis, it is tried again: %s", error)
            return True
        if holder is not None:
            self._log.error(
                "another supervisor holds this Redis: host %s, pid %d, mode %s; stop that one, or "
                "give this one its own redis.namespace",
                holder.host,
                holder.pid,
                holder.mode,
            )
            self._exit_code = EXIT_FAILED
        return holder is None

    def _pipe_to(self, log: ActorLog) -> int:
        read_end, write_end = os.pipe()
        LineReader(read_end, log.append, LONGEST_LOG_LINE)
        return write_end

    def _watched_files(self, control: ControlSocket) -> StateFiles:
        async def lock() -> bool:
            try:
                return self._lock.restore()
            except AlreadyLocked as error:
                self._end_for_another(f"{error}: it was removed, and another supervisor has it now")
                return False

        async def logs() -> bool:
            was_gone = not self._log_folder.exists()
            self._log_folder.mkdir(parents=True, exist_ok=True)
            outputs = [self._zygote_log, *(actor.output for actor in self._children)]
            return any([was_gone, *[output.restore() for output in outputs]])

        async def logins() -> bool:
            return self._redis.restore_files()

        async def sim_keys() -> bool:
            return self._sim_keys is not None and self._sim_key_file.restore(self._sim_keys)

        with contextlib.suppress(OSError):  # said by `logs` and `sim_keys`, if it lasts
            self._log_folder.mkdir(parents=True, exist_ok=True)
            if self._sim_keys is not None:
                self._sim_key_file.write(self._sim_keys)
        parts = {
            "supervisor.lock": lock,
            "supervisor.sock": control.restore,
            "log": logs,
            "redis": logins,
            "simulator/venue-keys.json": sim_keys,
        }
        return self._watching(parts)

    def _watching(self, parts: Mapping[str, Restore]) -> StateFiles:
        def correct_modes() -> Findings:
            # what others may read in a directory that is closed to them can wait for the next start
            return close_to_others(self._state_dir, kept=OTHERS)

        return StateFiles(parts, correct_modes, self._clock, self._log)

    # The loop

    async def _turn_until_over(self) -> None:
        before = self._clock.monotonic()
        while not self._over.is_set():
            now = self._clock.monotonic()
            self._children.tick(now - before)
            before = now
            self._redis.tick(now)
            self._readiness.show(list(self._children))
            self._tasks.raise_failure()
            self._notify(now)
            self._show_waiting(now)
            try:
                await asyncio.wait_for(self._over.wait(), TURN_S)
            except TimeoutError:
                continue

    def _notify(self, now: float) -> None:
        """Send READY once, and WATCHDOG in every turn; neither while no actor can be started."""
        if not self._zygote.is_up:
            self._notifier.notify(STATUS="no actor can be started until the zygote is back")
            return
        missing = self._children.missing()
        took = now - self._started
        if not self._was_ready and (not missing or took > self._commands.config.supervisor.start_s):
            self._was_ready = True
            self._notifier.notify(READY=1)
            if missing:
                self._log.warning("after %.1f s still waiting for %s", took, ", ".join(missing))
            else:
                self._log.info("all actors ready after %.1f s", took)
                self._waiting_shown = True
                self._show_addresses()
        self._notifier.notify(
            WATCHDOG=1, STATUS=f"waiting for {', '.join(missing)}" if missing else "all ready"
        )

    def _show_waiting(self, now: float) -> None:
        """Print once what a start waits for, and the addresses all the same."""
        if self._waiting_shown or now - self._started < WAITING_S:
            return
        self._waiting_shown = True
        waiting: dict[str, list[str]] = {}
        for actor in self._children:
            if actor.state is not State.READY:
                waiting.setdefault(actor.status().doing, []).append(actor.name)
        for reason, names in waiting.items():
            self._log.warning("still waiting for %s: %s", ", ".join(names), reason or "not started")
        self._show_addresses()

    def _show_addresses(self) -> None:
        for actor in self._children:
            if actor.spec.port is not None:
                host = listeners(self._commands.config)[actor.name][0]
                self._log.info("%s: %s", actor.name, base_url(host, actor.spec.port))

    # Signals and callbacks

    def _on_term(self) -> None:
        if self._over.is_set():
            self._impatient = True
            self._children.kill()
        self._over.set()

    def _on_hangup(self) -> None:
        if self._terminal_is_gone():
            self._on_term()
            return
        try:
            self._commands.reload()
        except ConfigError as error:
            self._log.error("reload refused, nothing was changed:\n%s", error)

    def _terminal_is_gone(self) -> bool:
        return self._had_terminal and _terminal_is_missing()

    def _on_lease_lost(self, holder: Lease) -> None:
        self._end_for_another(f"host {holder.host} pid {holder.pid} now supervises this namespace")

    def _end_for_another(self, why: str) -> None:
        self._log.critical("%s: stopping everything here", why)
        self._exit_code = EXIT_FAILED
        self._over.set()

    def _common_cause(self) -> str:
        status = self._bus.status if self._bus else BusStatus.DOWN
        if self._bus is not None and status in (BusStatus.FULL, BusStatus.REFUSES):
            return f"Redis does not serve: {self._bus.reason}"
        if status is not BusStatus.UP or not self._redis.is_up:
            return "Redis is away"
        return "the disk is full" if proc_stats.disk_is_full(self._state_dir) else ""

    def _on_transition(self, actor: str, event: str, details: Mapping[str, Any]) -> None:
        known = {key: value for key, value in details.items() if value not in ("", None, [])}
        output = known.pop("last_output", [])
        log = self._log.info if event in CALM else self._log.warning
        log(f"{actor} {event}", extra=known)
        if output:
            known["last_output"] = [line[:LONGEST_SHOWN_LINE] for line in output]
        self._transitions.add(actor, event, known)

    def _own_status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "mode": self._config.mode,
            "uptime_s": round(self._clock.monotonic() - self._started, 1),
            "state_dir": str(self._state_dir),
            "redis": str(self._bus.status if self._bus else BusStatus.DOWN),
            "redis_pid": self._redis.pid,
            "zygote_pid": self._zygote.pid,
            "app_zygote_pid": self._zygote.app_zygote_pid,
            "problems": self.problems(),
        }

    def problems(self) -> list[str]:
        """Return the supervisor's own problems, in words."""
        found = [*self._redis.problems(), *self._tasks.problems()]
        found += filter(None, (stream.problem() for stream in self._output))
        found += self._state_files.problems()
        found += filter(None, [self._channel.problem() if self._channel else ""])
        if (bus := self._bus) is not None:
            redis = redis_problem(bus.status, bus.status_since_ms, bus.reason, self._clock.now_ms())
            found += [redis.text] if redis is not None else []
        if self._zygote.pid is None:
            found.append("the zygote is gone: no actor can be started until it is back")
        if proc_stats.disk_is_full(self._state_dir):
            found.append(f"the disk below {self._state_dir} is full")
        for actor in self._children:
            if actor.output.is_losing:
                found.append(f"{actor.name}: {actor.output.lost_lines} log lines lost")
        return found


def _ignore_signals() -> None:
    """Ignore what would interrupt the last steps of a stop, with a traceback."""
    loop, stops = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    for number in stops:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)


def _terminal_is_missing() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return True
    return False


# The command line


def run(options: argparse.Namespace) -> int:
    """Run a supervisor until it is stopped; return the exit code.

    Raises:
        ConfigError: The configuration or the environment is wrong, or no Redis can be used.
    """

    def read() -> Config:
        return load(Path(options.config), options.set, mode=options.mode)

    config = read()
    names = [spec.name for spec in child_specs(config, configured_ports(config))]
    if not fnmatch.filter(names, options.only):
        hint = did_you_mean(options.only, names) or f"known: {', '.join(names)}"
        logs.print_error(f"--only {options.only!r}: no actor has such a name: {hint}")
        return EXIT_USAGE
    raise_limit()
    close_inherited()  # now: the configuration may have been one of them
    with never_blocking("supervisor") as output:
        return _run_on(config, read, options.only, output)


def _run_on(
    config: Config, read: Callable[[], Config], only: str, output: Sequence[QueuedOutput]
) -> int:
    secrets, users = preflight.take_logins(config, os.environ)
    state_dir = Path(config.state_dir).resolve()
    preflight.close_to_others(state_dir, logs.logger("supervisor"))
    try:
        lock = preflight.lock(state_dir)
    except preflight.AlreadyRunning as error:
        logs.print_error(error)
        return EXIT_FAILED
    preflight.wait_for_ports(config)
    setproctitle(f"coinex: supervisor ({config.mode})")
    for text in secrets.renamed():
        logs.logger("supervisor").warning("%s", text)
    steps = config.mode == "demo" and config.testing.hooks
    clock = SteppedClock(trial_folder(state_dir)) if steps else SystemClock()
    redis = preflight.redis_server(config, secrets, users, clock=clock, environment=os.environ)

    def reread() -> Config:
        fresh = read()
        if faults := secrets.of_another_venue(fresh.venue.name):
            raise ConfigError(faults)
        return fresh

    async def supervise() -> int:
        supervisor = Supervisor(
            config,
            reread=reread,
            environment=dict(os.environ),
            lock=lock,
            redis=redis,
            clock=clock,
            secrets=secrets,
            only=only,
            output=output,
        )
        return await supervisor.run()

    try:
        return asyncio.run(supervise())
    finally:
        lock.close()
