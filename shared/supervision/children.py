"""All supervised actors: which there are, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import dataclasses
import fnmatch
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from shared import proc_stats
from shared.config import ports
from shared.config.sections import Config
from shared.evidence.record import digest_of
from shared.strategy.source import StrategySection
from shared.supervision.actor_log import ActorLog
from shared.supervision.child import Child, ChildContext
from shared.supervision.coins_in_use import coins_in_use, in_words, kept
from shared.supervision.launch import ROOT, strategy_section
from shared.supervision.lifecycle import Event, State
from shared.supervision.specs import ChildSpec, child_specs, listeners, policy

NEEDS_WAIT_S = 10.0
MEASURE_EVERY_S = 10.0
STOP_PATIENCE_S = 60.0
RESTART_EVERY_S, RESTART_WAITS_S = 2.0, 5.0
"""How long a restart waits for one under way, at least and (if it is stuck) at most."""


class Children:
    """The actors of one supervisor.

    Args:
        context: What they share; `adopt` updates its settings and policy.
        only: Pattern of names; others are left out.
        journal: The systemd journal's socket, or None.

    Attributes:
        remarks: What an operator must know about the coins of the current configuration.
    """

    def __init__(
        self,
        config: Config,
        context: ChildContext,
        *,
        state_dir: Path,
        only: str = "*",
        journal: socket.socket | None = None,
    ) -> None:
        self._config = config
        self._context = context
        self._state_dir = state_dir
        self._only = only
        self._journal = journal
        self._ports: dict[str, int] = {}
        self._kept: tuple[str, ...] = ()
        self.remarks: list[str] = []
        self._actors: dict[str, Child] = {}
        self._due: set[str] = set()
        """Actors whose first start may still wait for others."""
        self._leaving: set[str] = set()
        self._restarting: dict[str, asyncio.Task[tuple[bool, str]]] = {}
        self._to_restart: dict[str, asyncio.Task[tuple[bool, str]]] = {}
        self._code_seen = proc_stats.newest_change(ROOT)
        self._cpu: dict[int, float] = {}
        self._cpu_pct: dict[int, float] = {}
        self._measured = context.clock.monotonic()
        for spec in self._specs(config, strategy_section(config)):
            self._add(spec)

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._actors.values()))

    def names(self, pattern: str = "*") -> list[str]:
        """Return the names that match a pattern."""
        return fnmatch.filter(self._actors, pattern)

    def missing(self) -> list[str]:
        """Return the names of the actors that are not ready."""
        return [actor.name for actor in self if actor.state is not State.READY]

    # Starting and stopping

    def boot(self) -> None:
        """Start the actors in order; none waits for another longer than `NEEDS_WAIT_S`."""
        for actor in self:
            self._due.add(actor.name)
            self._context.tasks.start(self._start_after_needs(actor), f"start of {actor.name}")

    async def _start_after_needs(self, actor: Child) -> None:
        needed = [self._actors[name] for name in actor.spec.needs if name in self._actors]
        await asyncio.gather(
            *(need.wait_for(frozenset({State.READY}), NEEDS_WAIT_S) for need in needed)
        )
        if actor.name in self._due and actor.state is State.STOPPED:
            actor.handle(Event.START)

    async def stop(self, within_s: float, impatient: Callable[[], bool]) -> bool:
        """Stop level by level, the last started first; False when some had to be killed."""
        self._due.clear()
        self._to_restart.clear()
        try:
            async with asyncio.timeout(within_s):
                for level in sorted({a.spec.level for a in self}, reverse=True):
                    actors = [a for a in self if a.spec.level == level]
                    for actor in actors:
                        actor.handle(Event.STOP)
                        if impatient():
                            actor.kill()
                    await self._all_stopped(actors)
        except TimeoutError:
            self.kill()
            for actor in self:
                actor.handle(Event.STOP)
            await self._all_stopped(list(self))
            return False
        return True

    async def _all_stopped(self, actors: list[Child]) -> None:
        stopped = frozenset({State.STOPPED})
        await asyncio.gather(*(a.wait_for(stopped, STOP_PATIENCE_S) for a in actors))

    def kill(self) -> None:
        """SIGKILL all of them."""
        for actor in self:
            actor.kill()

    # Running

    def tick(self, elapsed_s: float) -> None:
        """Check every actor, and measure them now and then."""
        for actor in self:
            actor.tick(elapsed_s)
        self._retry_on_new_code()
        now = self._context.clock.monotonic()
        if now - self._measured >= MEASURE_EVERY_S:
            self._measure(now)

    def _retry_on_new_code(self) -> None:
        """Restart quarantined actors once the code has changed."""
        waiting = [a for a in self if a.state is State.QUARANTINED]
        if not waiting:
            return
        newest = proc_stats.newest_change(ROOT)
        if newest != self._code_seen:
            self._code_seen = newest
            for actor in waiting:
                self._context.log.info("%s: the code changed, trying again", actor.name)
                actor.handle(Event.DUE)

    def _measure(self, now: float) -> None:
        elapsed, self._measured = now - self._measured, now
        used: dict[int, float] = {}
        for actor in self:
            pid = actor.pid
            if pid is None or not actor.state.has_process:
                continue
            memory, cpu = proc_stats.pss_mb(pid), proc_stats.cpu_s(pid)
            if cpu is not None:
                used[pid] = cpu
                self._cpu_pct[pid] = 100 * (cpu - self._cpu.get(pid, cpu)) / elapsed
            if memory is not None:
                actor.set_memory(memory)
        self._cpu = used
        self._cpu_pct = {pid: pct for pid, pct in self._cpu_pct.items() if pid in used}

    async def carry_out(self, verb: str, name: str) -> tuple[bool, str]:
        """Carry out an operator's command on one actor; return success and the result in words.

        Restarts asked for while one is under way are one restart, after it.
        """
        actor = self._actors[name]
        if verb == "restart":
            if name not in self._to_restart:
                self._to_restart[name] = asyncio.create_task(self._restart(actor))
            return await asyncio.shield(self._to_restart[name])
        if verb == "release":
            actor.release()
            if actor.state.is_unwanted:
                return True, f"{name} is {actor.state} and stays so until it is started"
        else:
            actor.handle(Event(verb))
        if verb == "stop":
            self._due.discard(name)
            self._to_restart.pop(name, None)
            gone = await actor.wait_for(frozenset({State.STOPPED}), actor.stop_s + 5)
            return gone, f"{name} {'stopped' if gone else 'does not stop'}"
        return await self._until_ready(actor)

    async def _restart(self, actor: Child) -> tuple[bool, str]:
        task, name = asyncio.current_task(), actor.name
        assert task is not None
        if (under_way := self._restarting.get(name)) is not None:
            await asyncio.sleep(RESTART_EVERY_S)
            await asyncio.wait([under_way], timeout=RESTART_WAITS_S)
        if self._to_restart.get(name) is not task:
            return False, f"{name} was stopped meanwhile"
        self._restarting[name] = self._to_restart.pop(name)
        try:
            actor.handle(Event.RESTART)
            return await self._until_ready(actor)
        finally:
            if self._restarting.get(name) is task:
                del self._restarting[name]

    async def _until_ready(self, actor: Child) -> tuple[bool, str]:
        wanted = frozenset({State.READY, State.QUARANTINED})
        await actor.wait_for(wanted, actor.stop_s + self._context.settings.start_s)
        status = actor.status()
        detail = f": {actor.reason or status.doing}" if actor.state is not State.READY else ""
        return actor.state is State.READY, f"{actor.name} {status.state} (pid {actor.pid}){detail}"

    def rows(self) -> list[dict[str, Any]]:
        """Return a row of `status` for each actor."""
        clock = self._context.clock
        newest = proc_stats.newest_change(ROOT)
        found = []
        for actor in self:
            row = dataclasses.asdict(actor.status())
            life = actor.life
            row |= {"pss_mb": None, "cpu_pct": None, "step_age_s": None, "old_code": False}
            if life is not None:
                age_s = clock.monotonic() - life.started
                row["pss_mb"] = life.pss_mb
                row["cpu_pct"] = self._cpu_pct.get(actor.pid or 0)
                row["old_code"] = newest > clock.now_ms() / 1000 - age_s
                if life.last_step:
                    row["step_age_s"] = round(clock.monotonic() - life.last_step, 1)
            found.append(row)
        return found

    # Configuration

    def check_ports(self, config: Config) -> list[str]:
        """Return a fault for each port of a new configuration that cannot be bound."""
        return ports.taken(self._moved(config))

    def adopt(self, config: Config) -> list[str]:
        """Apply a new configuration; return the names of the actors it changed.

        Raises:
            ConfigError: The strategy's file cannot be used any more; nothing was changed.
        """
        strategy = strategy_section(config)
        moved = self._moved(config)
        self._ports = {name: port for name, port in self._ports.items() if name not in moved}
        specs = self._specs(config, strategy)
        self._config = config
        self._context.settings, self._context.policy = config.supervisor, policy(config)
        changed = []
        for name in set(self._actors) - {spec.name for spec in specs} - self._leaving:
            self._leaving.add(name)
            self._context.tasks.start(self._remove(name), f"removal of {name}")
            changed.append(f"{name} (removed)")
        for spec in specs:
            actor = self._actors.get(spec.name)
            if actor is None:
                self._add(spec).handle(Event.START)
            elif spec.name in self._leaving:  # added again before it has gone
                self._leaving.discard(spec.name)
                actor.reshape(spec)
                actor.handle(Event.START)
            elif actor.spec.section != spec.section:
                actor.reshape(spec)
            else:
                continue
            changed.append(spec.name)
        return changed

    def _moved(self, config: Config) -> dict[str, tuple[str, int]]:
        before = listeners(self._config)
        return {name: at for name, at in listeners(config).items() if before.get(name) != at}

    def _specs(self, config: Config, strategy: StrategySection | None) -> list[ChildSpec]:
        self._ports = ports.choose(listeners(config), self._ports)
        in_use = coins_in_use(config)
        self._kept = kept(config, in_use, [*self._config.symbols, *self._kept])
        self.remarks = list(in_words(config, in_use, self._kept))
        file = config.trader.evidence_file
        evidence = "" if file is None else digest_of(Path(file))
        specs = child_specs(config, self._ports, self._kept, strategy, evidence=evidence)
        return [spec for spec in specs if fnmatch.fnmatch(spec.name, self._only)]

    def _add(self, spec: ChildSpec) -> Child:
        log = ActorLog(
            self._state_dir / "log" / f"{spec.name}.log", self._context.clock, self._journal
        )
        self._actors[spec.name] = Child(spec, self._context, log)
        return self._actors[spec.name]

    async def _remove(self, name: str) -> None:
        actor = self._actors[name]
        self._due.discard(name)
        self._to_restart.pop(name, None)
        actor.handle(Event.STOP)
        await actor.wait_for(frozenset({State.STOPPED}), STOP_PATIENCE_S)
        if name in self._leaving:
            self._leaving.discard(name)
            del self._actors[name]
