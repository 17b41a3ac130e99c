"""One supervised actor: its process, its reports, its deaths."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.clock import Clock, utc_text
from shared.config.sections import SupervisorSection
from shared.messages.actors import ActorStatus, DeathNote
from shared.supervision import lifecycle, process, restart
from shared.supervision.actor_log import ActorLog, last_words
from shared.supervision.lifecycle import Event, State
from shared.supervision.restart import Exit, Policy, Tally
from shared.supervision.specs import ChildSpec, policy_of
from shared.supervision.status_pipe import StatusKind, StatusLine, parse
from shared.supervision.tasks import Tasks
from shared.supervision.zygote_client import Zygote, ZygoteLost

DEATHS_KEPT = 20
LONGEST_LOG_LINE, LONGEST_STATUS_LINE = 16_384, 1024
_ALIVE = frozenset({State.STARTING, State.READY, State.STALLED})


@dataclass(slots=True, kw_only=True)
class ChildContext:
    """What all supervised actors share.

    Attributes:
        launch: Returns the launch message of an actor.
        common_cause: Returns the current outside problem ("" for none).
        on_transition: Called with every transition: actor, event, details.
    """

    zygote: Zygote
    tasks: Tasks
    settings: SupervisorSection
    policy: Policy
    clock: Clock
    rng: random.Random
    log: logging.Logger
    launch: Callable[[Child], Mapping[str, Any]]
    common_cause: Callable[[], str]
    on_transition: Callable[[str, str, Mapping[str, Any]], None]


@dataclass(slots=True)
class Life:
    """One process of the actor, from spawn to exit. Times are monotonic seconds."""

    started: float
    forked: asyncio.Event = field(default_factory=asyncio.Event)
    forking: asyncio.Future[process.Process] | None = None
    forking_cancelled: bool = False
    child: process.Process | None = None
    silent_s: float = 0.0
    has_beaten: bool = False
    last_step: float = 0.0
    ready_at: float | None = None
    ready_at_ms: int | None = None
    doing: str = "starting"
    not_ready: str = ""
    computing: str = ""
    over_memory: int = 0
    pss_mb: float | None = None
    ending: asyncio.Task[None] | None = None
    hung: bool = False


@dataclass(slots=True)
class Coins:
    """Coins this actor may not compute, and coins under suspicion."""

    convicted: dict[str, int] = field(default_factory=dict)
    suspicions: dict[str, int] = field(default_factory=dict)

    def quarantined(self, now_ms: int) -> dict[str, int]:
        """Return the convicted coins not released yet, with the epoch ms of their release."""
        self.convicted = {c: until for c, until in self.convicted.items() if until > now_ms}
        return dict(self.convicted)


class Child:
    """Keeps one actor alive. Its state changes through `handle` only."""

    def __init__(self, spec: ChildSpec, context: ChildContext, log: ActorLog) -> None:
        self.spec = spec
        self.name = spec.name
        self.context = context
        self.output = log
        self.state = State.STOPPED
        self.since_ms = context.clock.now_ms()
        self.reason = ""
        self.restarts = 0
        self.recycled = 0
        self.deaths: deque[DeathNote] = deque(maxlen=DEATHS_KEPT)
        self.coins = Coins()
        self.life: Life | None = None
        self.due: float | None = None
        self.next_on_probation = False
        self.changed = asyncio.Event()
        self._reducing: tuple[float, str] | None = None
        self._tally = Tally()
        self._exit = Exit()

    def handle(self, event: Event) -> None:
        """Take the action that the lifecycle table has for `event` in the current state."""
        action = lifecycle.next_action(self.state, event)
        if action is lifecycle.Action.IMPOSSIBLE:
            self.context.log.error("%s: %s while %s cannot be", self.name, event, self.state)
        elif action is not lifecycle.Action.NOTHING:
            getattr(self, f"_{action.name.lower()}")(event)
            self.changed.set()
            self.changed = asyncio.Event()

    def release(self) -> None:
        """Clear quarantine and convicted coins; the coins are tried again, on probation.

        An actor in mode reducing is restarted in its normal mode. One stopped by an operator stays
        stopped.
        """
        coins_freed = bool(self.coins.quarantined(self.context.clock.now_ms()))
        self.coins = Coins()
        was_reducing = self._end_reducing()
        if was_reducing and not self.state.is_unwanted:
            self.handle(Event.RESTART)
        if coins_freed and self.state.has_process and not self.state.is_unwanted:
            self.handle(Event.RESTART)
            self.next_on_probation = True
        self.handle(Event.RELEASE)

    def reshape(self, spec: ChildSpec) -> None:
        """Switch to a changed spec, clearing quarantine and mode reducing."""
        self.spec = spec
        self._end_reducing()
        if not self.state.is_unwanted:
            quarantined = self.state is State.QUARANTINED
            self.handle(Event.RELEASE if quarantined else Event.RESTART)

    def _end_reducing(self) -> bool:
        """End mode reducing; return whether it was on."""
        was_reducing = self.reducing_until_ms is not None
        if was_reducing:
            self._reducing, self._tally = None, Tally()
        return was_reducing

    def tick(self, elapsed_s: float) -> None:
        """Check silence, budgets and what is due; called in every turn of the supervisor."""
        now = self.context.clock.monotonic()
        if self.due is not None and now >= self.due:
            self.handle(Event.DUE)
        life, settings = self.life, self.context.settings
        if life is None or life.child is None or self.state not in _ALIVE:
            return
        life.silent_s += min(elapsed_s, 1.0)
        patience = settings.hung_s if life.has_beaten else settings.start_s
        if life.silent_s >= patience:
            self.handle(Event.HUNG)
        elif life.ready_at is not None and now - life.last_step > self.spec.step_budget_s:
            self.handle(Event.LATE)
            if settings.restart_stalled:
                self.handle(Event.RESTART)

    def set_memory(self, pss_mb: float) -> None:
        """Record the process's memory; too much twice in a row replaces it."""
        if self.life is not None:
            self.life.pss_mb = pss_mb
            over = pss_mb > self.context.settings.max_pss_mb
            self.life.over_memory = self.life.over_memory + 1 if over else 0
            if self.life.over_memory >= 2:
                self.handle(Event.OVERSIZE)

    @property
    def stop_s(self) -> float:
        """Seconds from SIGTERM to SIGKILL."""
        own = self.spec.treatment.stop_s
        return self.context.settings.stop_s if own is None else own

    @property
    def reducing_until_ms(self) -> int | None:
        """Epoch ms until which it may only reduce; None when it may do everything."""
        clock = self.context.clock
        left_s = self._reducing[0] - clock.monotonic() if self._reducing else 0.0
        if left_s <= 0:
            self._reducing = None
            return None
        return clock.now_ms() + round(left_s * 1000)

    def kill(self) -> None:
        """SIGKILL the process group, whatever is going on."""
        if self.life is not None and self.life.child is not None:
            self.life.child.kill_group()

    async def wait_for(self, wanted: frozenset[State], within_s: float) -> bool:
        """Wait until the state is one of `wanted`; False when it is not in time."""
        try:
            async with asyncio.timeout(within_s):
                while self.state not in wanted:
                    await self.changed.wait()
        except TimeoutError:
            return False
        return True

    def status(self) -> ActorStatus:
        """Return the status to publish."""
        life, clock = self.life, self.context.clock
        beat_age = None
        if life is not None and life.has_beaten:
            beat_age = round(life.silent_s, 1)
        backoff_until = None
        if self.due is not None:
            backoff_until = clock.now_ms() + round((self.due - clock.monotonic()) * 1000)
        until_ms, reason = self.reducing_until_ms, self.reason
        if until_ms is not None and self._reducing is not None:
            mode = f"in mode reducing until {utc_text(until_ms)}: {self._reducing[1]}"
            reason = f"{reason}; {mode}" if reason else mode
        return ActorStatus(
            name=self.name,
            state=self.state.shown,  # type: ignore[arg-type]
            pid=self.pid,
            since_ms=self.since_ms,
            restarts=self.restarts,
            recycled=self.recycled,
            deaths=list(self.deaths),
            backoff_until_ms=backoff_until,
            reason=reason,
            ready_since_ms=life.ready_at_ms if life else None,
            beat_age_s=beat_age,
            doing=(life.not_ready or life.doing) if life else "",
            port=self.spec.port,
            quarantined_coins=self.coins.quarantined(clock.now_ms()),
        )

    @property
    def pid(self) -> int | None:
        """Process id, while there is a process."""
        return self.life.child.pid if self.life and self.life.child else None

    # The actions of the lifecycle table; each sets the next state.

    def _enter(self, state: State, reason: str, **details: Any) -> None:
        self.state = state
        self.since_ms = self.context.clock.now_ms()
        self.reason = reason
        self.due = None
        self.context.on_transition(self.name, state.shown, {"reason": reason, **details})

    def _spawn(self, event: Event) -> None:
        if event is Event.RELEASE:
            self._tally = Tally()
        if event is Event.GONE:
            self.restarts += 1
        self._enter(State.STARTING, "")
        self.output.last_lines.clear()
        self.life = Life(self.context.clock.monotonic())
        self.context.tasks.start(self._run(self.life), self.name)

    def _end(self, event: Event) -> None:
        self._enter(State.STOPPING, f"{event} asked for")
        self._finish(process.end, self.stop_s)

    def _replace(self, event: Event) -> None:
        oversize = event is Event.OVERSIZE
        if oversize:
            self.recycled += 1
        limit = self.context.settings.max_pss_mb
        self._enter(
            State.REPLACING, f"memory above {limit:g} MB" if oversize else f"{event} asked for"
        )
        self.next_on_probation = False
        self._finish(process.end, self.stop_s)

    def _abort(self, event: Event) -> None:
        assert self.life is not None
        self.life.hung = True
        self._enter(State.ABORTING, f"no beat for {self.life.silent_s:.0f} s")
        self._finish(process.abort)

    def _up(self, event: Event) -> None:
        assert self.life is not None
        life, clock = self.life, self.context.clock
        if life.ready_at is None:
            life.ready_at, life.ready_at_ms = clock.monotonic(), clock.now_ms()
        life.not_ready = ""
        life.doing = "" if life.doing == "starting" else life.doing
        took_ms = round((clock.monotonic() - life.started) * 1000)
        self._enter(State.READY, "", pid=self.pid, took_ms=took_ms)

    def _stall(self, event: Event) -> None:
        self._enter(State.STALLED, f"no finished step for {self.spec.step_budget_s:g} s")

    def _down(self, event: Event) -> None:
        self.life = None
        self._enter(State.STOPPED, "stopped by request")

    def _record(self, event: Event) -> None:
        assert self.life is not None
        life, context, exit_ = self.life, self.context, self._exit
        now = context.clock.monotonic()
        policy = policy_of(self.spec, context.policy)
        if life.ready_at is not None and now - life.ready_at >= policy.healthy_s:
            self._tally = Tally()
        decision = restart.after_death(exit_, self._tally, policy, now, context.rng.random())
        self._tally = decision.tally
        if decision.reducing and decision.until is not None:
            self._reducing = (decision.until, decision.reason)
        note = DeathNote(
            at_ms=context.clock.now_ms(),
            cause=exit_.text(),
            last_words=last_words(self.output.last_lines) if exit_.code else "",
            uptime_s=round(now - life.started, 3),
            doing=f"computing {life.computing}" if life.computing else life.doing,
            counted=not exit_.common_cause,
        )
        self.deaths.append(note)
        context.on_transition(
            self.name,
            "death",
            {
                "cause": note.cause,
                "last_words": note.last_words,
                "uptime_s": note.uptime_s,
                "doing": note.doing,
                "last_output": list(self.output.last_lines),
            },
        )
        self._judge_coin(life, exit_)
        self.next_on_probation = not exit_.common_cause
        if decision.reducing:
            context.on_transition(self.name, "may only reduce", {"reason": decision.reason})
        if decision.quarantine:
            self.life = None
            self._enter(State.QUARANTINED, decision.reason)
            self.due = decision.until
        elif decision.delay_s == 0:
            self._spawn(Event.GONE)
        else:
            self.life = None
            self.restarts += 1
            self._enter(State.BACKOFF, f"{decision.reason}; again in {decision.delay_s:.2f} s")
            self.due = now + decision.delay_s

    def _judge_coin(self, life: Life, exit_: Exit) -> None:
        coin = life.computing
        if not coin:
            return
        verdict = restart.judge_coin(exit_, self.coins.suspicions.get(coin, 0))
        self.coins.suspicions[coin] = verdict.suspicions
        if verdict.convicted:
            del self.coins.suspicions[coin]
            until = self.context.clock.now_ms() + round(
                self.context.settings.coin_quarantine_s * 1000
            )
            self.coins.convicted[coin] = until
            self.context.on_transition(
                self.name,
                "coin quarantined",
                {"coin": coin, "until_ms": until, "cause": exit_.text()},
            )

    # The process.

    async def _run(self, life: Life) -> None:
        try:
            await self._run_process(life)
        except (ZygoteLost, OSError) as error:  # OSError: out of descriptors
            self._exit = Exit(common_cause=str(error))
        except asyncio.CancelledError:
            if not life.forking_cancelled:
                raise
            self._exit = Exit(common_cause="it was to end before it had been started")
        finally:
            life.forked.set()
        if life.ending is not None:
            life.ending.cancel()
        self.handle(Event.GONE)

    async def _run_process(self, life: Life) -> None:
        """Fork the process and wait until it ends."""
        with contextlib.ExitStack() as readers, contextlib.ExitStack() as their_ends:

            def pipe(on_line: Callable[[bytes], None], longest: int) -> int:
                read_end, write_end = os.pipe()
                their_ends.callback(os.close, write_end)
                readers.callback(process.LineReader(read_end, on_line, longest).drain)
                return write_end

            log = pipe(self.output.append, LONGEST_LOG_LINE)
            report = pipe(self._on_line, LONGEST_STATUS_LINE)
            launch = self.context.launch(self)
            life.forking = asyncio.ensure_future(self.context.zygote.spawn(launch, log, report))
            life.child = await life.forking
            their_ends.close()
            life.forked.set()
            await life.child.gone.wait()
            status = await life.child.exit_status()
            self._exit = self._as_exit(status, hung=life.hung)

    def _as_exit(self, status: int | None, *, hung: bool) -> Exit:
        cause = self.context.common_cause()
        if status is None:
            return Exit(common_cause="it died with the zygote")
        if os.WIFSIGNALED(status):
            return Exit(signal=os.WTERMSIG(status), hung=hung, common_cause=cause)
        return Exit(code=os.WEXITSTATUS(status), hung=hung, common_cause=cause)

    def _finish(self, how: Callable[..., Any], *arguments: Any) -> None:
        life = self.life
        assert life is not None

        async def finish() -> None:
            if life.child is None and life.forking is not None:
                life.forking_cancelled = life.forking.cancel()
            await life.forked.wait()
            if life.child is not None:
                await how(life.child, *arguments)

        if life.ending is None:
            life.ending = self.context.tasks.start(finish(), f"end of {self.name}")

    def _on_line(self, raw: bytes) -> None:
        line, life = parse(raw), self.life
        if line is None or life is None:
            self.context.log.warning("%s wrote %r to its status pipe", self.name, raw[:60])
            return
        if line.kind is StatusKind.BEAT:
            life.silent_s = 0.0
            life.has_beaten = True
        else:
            self._on_report(line, life)

    def _on_report(self, line: StatusLine, life: Life) -> None:
        match line.kind:
            case StatusKind.READY:
                life.last_step = self.context.clock.monotonic()
                self.handle(Event.READY)
            case StatusKind.NOT_READY:
                life.not_ready = line.text
            case StatusKind.STEP:
                life.last_step = self.context.clock.monotonic()
                life.computing = ""
                self.next_on_probation = False
                self.handle(Event.STEP)
            case StatusKind.DOING:
                life.doing = line.text
            case StatusKind.COIN:
                life.computing = line.text
