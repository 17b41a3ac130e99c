"""From scores to orders: a cycle on each close of 5m candles, and continuous protection.

Reads `cache:candles:*`, `ta:latest:*`, `trader:commands`, `trader:kill` and the lock file; writes
`state:trader:status`, `state:trader:config`, `trader:events`, `trader:events:log`,
`trader:replies:{id}` and `account:refresh`. Without Redis it goes on trading: candles come from
Binance then, and events stay in the journal until they can be published.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import cast

import aiohttp

from actors.base import Actor, Context
from actors.trader.assembly import TraderContext, Trading
from actors.trader.candles import CycleCandles
from actors.trader.continuity import TO_DO
from actors.trader.cycle import CycleReport
from actors.trader.execution import Execution
from actors.trader.journal_thread import JournalThread
from actors.trader.positions import Reconciliation
from actors.trader.reconciler import EXPECTED_ERRORS
from shared import codec, schema
from shared.clock import ClockJump
from shared.config.defaults import Mode
from shared.config.sections import IndicatorsSection, TraderSection, VenueSection
from shared.errors import (
    BusRefused,
    BusUnavailable,
    JournalUnavailable,
    PermanentError,
    PlatformError,
    TransientError,
    VenueRefused,
)
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.exchanges.ports import Venue
from shared.exchanges.venues import closed_to_entries, open_venue, shown_name
from shared.http_client import open_session
from shared.journal.journal import Journal
from shared.journal.rows import JournalOwner
from shared.market import Timeframe
from shared.messages.trading import Refresh, TraderConfig, TraderStatus
from shared.pid_lock import AlreadyLocked, acquire
from shared.strategy.records import effective_parameters, passed_check
from shared.strategy.scorer import Scorer, scorer_of

SHARE = 0.7
"""Of the account's request limits; the rest is for the account actor."""

BINANCE_SHARE = 0.25
"""Of Binance's weight limit at most: needed only while Redis is away, beside the fetcher's."""

PROBE_S = 5.0
"""Between writes that show whether the journal can be written."""

POLL_S, COMMANDS_S, EVENTS_S = 1.0, 0.5, 0.5
LEAST_PAUSE_S = 0.05
IDLE_PROTECT_S = 30.0
"""Between reads of the venue while nothing is open and no order is in doubt."""

STATUS_S = 5.0

DRAIN_S = 15.0
"""How long draining waits for an order in flight, and for the stop loss of what it fills."""


class Trader(Actor):
    """Trades, and protects open positions.

    The section has `trader`, `venue`, `binance`, `indicators` and `symbols`; the context has the
    keys.
    A step protects positions when due; the cycle, commands, gates and publishing run beside it, so
    that none of them waits for another.

    Args:
        session: Opens the HTTP session for venue and Binance; called once a loop runs.
        executor: See `JournalThread`.
    """

    def __init__(
        self,
        context: Context,
        *,
        session: Callable[[], aiohttp.ClientSession] = open_session,
        executor: Executor | None = None,
    ) -> None:
        super().__init__(context)
        self._open_session, self._executor = session, executor
        section = context.section
        self._settings = codec.from_plain(TraderSection, section["trader"], "config: trader")
        self._venue_settings = codec.from_plain(VenueSection, section["venue"], "config: venue")
        self._indicators = codec.from_plain(
            IndicatorsSection, section["indicators"], "config: indicators"
        )
        self._symbols: list[str] = list(section["symbols"])
        self._journal: JournalThread
        self._scorer: Scorer
        self._passed = passed_check(section.get("strategy"), context.state_dir)
        timer_min = self._settings.timer_min
        self._every_s = 60 * timer_min if context.once and timer_min is not None else None
        self._venue: Venue
        self._trading: Trading
        self._execution: Execution | None = None
        self._report: CycleReport | None = None
        self._begun_ms: int | None = None
        self._last_trade_ms: int | None = None
        self._is_cycling = self._is_resumed = False
        self._trouble = "the venue has not been read yet"
        self._next_protect_s = float("-inf")
        self._published: TraderStatus | None = None
        self._published_s = float("-inf")
        self._started_ms, self._started_s = self.clock.now_ms(), self.clock.monotonic()

    async def setup(self) -> None:
        """Lock and load the journal, and start the background work.

        Raises:
            PermanentError: Another trader runs on this state_dir.
            JournalUnavailable: The journal cannot be used; somebody may put it right.
        """
        self._execution = None  # an earlier attempt's has a journal that is closed
        state_dir, mode = self.context.state_dir, cast(Mode, self.context.mode)
        try:
            self.resources.enter_context(acquire(state_dir / "trader.pid"))
        except AlreadyLocked as taken:
            raise PermanentError(
                f"another trader ({taken.holder}) runs on {state_dir}: two would send every order "
                "twice; stop that one, or give this one another state_dir"
            ) from None
        except OSError as error:
            raise JournalUnavailable(
                f"{error.filename}: cannot be locked ({error.strerror}), and without that nothing "
                "may be traded; correct its owner and mode"
            ) from error
        session = await self.resources.enter_async_context(self._open_session())
        self._venue = open_venue(
            self._venue_settings,
            session,
            clock=self.clock,
            keys=self.context.keys,
            share=SHARE,
            log=self.log,
        )
        self._journal = journal = await self._open_journal(state_dir / "trader.db")
        self.resources.callback(journal.close)
        self._scorer = scorer_of(self.context, self.resources, self._symbols)
        await self._look_at_check()
        parameters = await asyncio.to_thread(
            effective_parameters, self.context.section.get("strategy"), state_dir
        )
        reducing_ms = self.context.reducing_until_ms
        self._trading = Trading(
            self._venue,
            journal,
            self._settings,
            TraderContext(
                mode=mode,
                source=self.context.source,
                state_dir=state_dir,
                symbols=self._symbols,
                indicators=self._indicators,
                after_quarantine=reducing_ms is not None and reducing_ms > self.clock.now_ms(),
                closed_venue=closed_to_entries(self._venue_settings, mode),
                environment=self._venue_settings.environment,
                strategy_parameters=parameters,
                every_s=self._every_s,
            ),
            candles=self._candles(session),
            bus=self.bus,
            clock=self.clock,
            log=self.log,
            scorer=self._scorer,
            unchecked_strategy=self._unchecked_strategy,
        )
        await self._trading.load()
        self._execution = self._trading.execution
        self._start_background()

    async def _open_journal(self, path: Path) -> JournalThread:
        """Open the journal; publish why it cannot be opened.

        Raises:
            JournalUnavailable: It cannot be used as it is; tried again until it can.
            PermanentError: The same, for a single run.
        """
        venue, mode = self._venue_settings, self.context.mode
        owner = JournalOwner(
            mode=mode,
            venue=venue.name,
            environment=venue.environment if mode == "live" else "simulated",
            currency=venue.currency,
        )
        try:
            journal = await asyncio.to_thread(Journal, path, owner)
        except (PermanentError, JournalUnavailable) as error:
            if self.context.once:
                raise
            await self._publish_unusable(str(error))
            raise JournalUnavailable(str(error)) from error
        return JournalThread(journal, self._executor)

    async def _publish_unusable(self, why: str) -> None:
        now_ms = self.clock.now_ms()
        self.doing(f"locked: {why}")
        self.detail |= {"mode": "locked", "reason": why}
        status = TraderStatus(
            as_of_ms=now_ms, mode="locked",
            reason=f"nothing is entered or managed, stops at the venue work ({why})",
            venue=shown_name(self._venue_settings, self.context.mode),
            cycle_ms=None, next_cycle_ms=Timeframe.M5.open_at(now_ms) + Timeframe.M5.ms,
            candles_from="none", trouble="", last_trade_ms=None,
            use_ta_signals=self._settings.use_ta_signals, ours=[], foreign=[], unprotected=[],
            limits=[], skipped={}, pnl_today_quote=None, fees_today_quote=None, equity=[],
            journal=why,
        )  # fmt: skip
        with contextlib.suppress(BusUnavailable):
            await self.bus.put(schema.TRADER_STATUS, status)

    def _candles(self, session: aiohttp.ClientSession) -> CycleCandles:
        binance = self.context.section["binance"]
        client = BinanceClient(
            session,
            base_url=binance["base_url"],
            clock=self.clock,
            ban=BanFile(self.context.state_dir / "binance-ban"),
            weight_share=min(BINANCE_SHARE, binance["weight_share"]),
            log=self.log,
        )
        return CycleCandles(
            self.bus,
            client,
            self._symbols,
            source=self.context.source,
            clock=self.clock,
            log=self.log,
        )

    def _unchecked_strategy(self) -> str:
        return "" if self._passed is None else self._passed.objection

    async def _look_at_check(self) -> None:
        if self._passed is not None:
            await asyncio.to_thread(self._passed.look)

    async def _watch_check(self) -> None:
        await self._look_at_check()
        if self._passed is not None:
            self._trading.evidence.trades_with(self._passed.parameters)

    async def _warm_strategy(self) -> None:
        if not self._unchecked_strategy():
            await self._scorer.warm()

    def _start_background(self) -> None:
        self.background(self._trading.evidence.look(), "evidence")
        for name, work, pause_s in (
            ("lock", self._check_lock, POLL_S),
            ("flag", lambda: self._trading.gates.check_flag(self.bus), POLL_S),
            ("commands", self._trading.commands.poll, COMMANDS_S),
            ("events", self._trading.event_log.publish, EVENTS_S),
            ("status", self._publish_status, POLL_S),
            ("journal", self._probe_journal, PROBE_S),
            ("check", self._watch_check, POLL_S),
            ("strategy", self._warm_strategy, POLL_S),
        ):
            self.background(self._repeat(work, pause_s), name)

    async def _probe_journal(self) -> None:
        await self._journal.do(Journal.probe, self.clock.now_ms())

    async def _repeat(self, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        failed = ""
        while True:
            try:
                await work()
                failed = ""
            except (TransientError, VenueRefused) as error:
                is_known = isinstance(error, BusUnavailable) and not isinstance(error, BusRefused)
                if str(error) != failed and not is_known:  # the bus logs its own outages
                    self.log.warning("will be retried: %s", error)
                failed = str(error)
            await self.clock.sleep(pause_s)

    async def drain(self) -> None:
        """Wait for an order in flight, and protect what it fills."""
        if self._execution is None:
            return
        draining = asyncio.create_task(self._execution.drain(), name="drain")
        limit = asyncio.ensure_future(self.clock.sleep(DRAIN_S))
        try:
            await asyncio.wait([draining, limit], return_when=asyncio.FIRST_COMPLETED)
            if draining.done():
                draining.result()
            else:
                self.log.error("stopped before the venue answered: the next start reconciles")
        except EXPECTED_ERRORS as error:
            self.log.error("stopped with positions that could not be protected: %s", error)
        finally:
            limit.cancel()
            draining.cancel()

    def clock_jumped(self, jump: ClockJump) -> None:
        """Read all anew before anything is decided; protect at once."""
        if self._execution is not None:
            self._trading.candles.distrust(jump.since_ms)
        if self._begun_ms is not None and self._begun_ms > self.clock.now_ms():
            self._begun_ms = None  # set back: the closes until then are due (again)
        self._next_protect_s = float("-inf")
        self.wake()

    async def step(self) -> float:
        """Protect positions and start a cycle, each when due."""
        self.look_at_clock()
        if self.context.once:
            await self._once()
            return 0.0
        if self.clock.monotonic() >= self._next_protect_s:
            await self._protect()
        due_ms = self._due_ms()
        if due_ms is not None and not self._is_cycling and not self._trouble:
            self._begun_ms, self._is_cycling = due_ms, True
            soon_s = self.clock.monotonic() + self._settings.protect_s
            self._next_protect_s = min(self._next_protect_s, soon_s)
            self.background(self._run_cycle(due_ms), "cycle")
        self._update_detail()
        pause_s = min(self._next_protect_s - self.clock.monotonic(), self._until_due_s())
        return min(POLL_S, max(LEAST_PAUSE_S, pause_s))

    async def _once(self) -> None:
        """Protect, run the cycle of the last close, and wait until all positions have a stop.

        Raises:
            PlatformError: Some could not be protected or closed in time; names them.
        """
        await self._trading.continuity.compare(await self._trading.execution.protect())
        await self._trading.commands.resume()
        with contextlib.suppress(BusUnavailable):  # what it locks is in the lock file, too
            await self._trading.commands.poll()
        self._trouble = ""
        self.ready()
        now_ms = self.clock.now_ms()
        await self._run_cycle(Timeframe.M5.open_at(now_ms))
        until_ms = self._venue.now_ms() + round(2000 * self._settings.unprotected_s) + 60_000
        reconciled = await self._trading.execution.protect()
        while _is_unsettled(reconciled) and self._venue.now_ms() < until_ms:
            await self.clock.sleep(self._settings.protect_s)
            reconciled = await self._trading.execution.protect()
        try:
            await self._publish_status()
            await self._trading.event_log.publish()
        except BusUnavailable as error:
            self.log.warning("events are in the journal only: %s", error)
        if unprotected := [h.own.symbol for h in reconciled.ours if h.at_venue.stop_loss is None]:
            raise PlatformError(
                f"{', '.join(unprotected)}: left without a stop, and not closed either "
                f"({self._trading.execution.protection.failures}); look at the venue now"
            )

    async def _protect(self) -> None:
        was_trouble = self._trouble
        try:
            reconciled = await self._trading.execution.protect()
            await self._trading.continuity.compare(reconciled)
            if not self._is_resumed:
                await self._trading.commands.resume()
                self._is_resumed = True
            is_open = bool(reconciled.ours or reconciled.ending or self._is_cycling)
            watched = is_open or await self._is_in_doubt()
        except EXPECTED_ERRORS as error:
            self._trouble = str(error)
            if self._trouble != was_trouble:
                self.log.warning("positions cannot be read: %s", error)
            self.not_ready(self._trouble)
            pause_s = min(POLL_S, self._settings.protect_s)
        else:
            self._trouble = ""
            self.ready()
            pause_s = self._settings.protect_s if watched else IDLE_PROTECT_S
        self._next_protect_s = self.clock.monotonic() + pause_s

    async def _is_in_doubt(self) -> bool:
        return bool(await self._journal.do(Journal.open_intents))

    async def _check_lock(self) -> None:
        try:
            await self._trading.gates.check_lock()
        finally:  # also when the change cannot be journalled
            await self._flatten_if_requested()

    async def _flatten_if_requested(self) -> None:
        lock, reconciled = self._trading.gates.lock, self._trading.execution.reconciled
        if lock is None or not lock.flatten or reconciled is None:
            return
        protection = self._trading.execution.protection
        if not all(protection.is_closing(matched.own) for matched in reconciled.ours):
            await self._trading.execution.close_all(f"flatten by {lock.who}")
            self._next_protect_s = float("-inf")
            self.wake()

    # Cycles

    def _due_ms(self) -> int | None:
        """Return the close to decide on now; None if that was done or it is too late."""
        now_ms = self.clock.now_ms()
        close_ms = Timeframe.M5.open_at(now_ms - round(1000 * self._settings.delay_s))
        late_ms = now_ms - close_ms - round(1000 * self._settings.delay_s)
        is_new = self._begun_ms is None or close_ms > self._begun_ms
        return close_ms if is_new and late_ms <= 1000 * self._settings.wait_s else None

    def _until_due_s(self) -> float:
        """Return the seconds until the next close is to be decided on."""
        due_ms = self.clock.now_ms() - round(1000 * self._settings.delay_s)
        return (Timeframe.M5.open_at(due_ms) + Timeframe.M5.ms - due_ms) / 1000

    async def _run_cycle(self, cycle_ms: int) -> None:
        try:
            self._report = await self._trading.cycle.run(cycle_ms)
        finally:
            self._is_cycling = False
        self._next_protect_s = float("-inf")
        self.wake()
        try:
            await self.bus.publish(schema.ACCOUNT_REFRESH, Refresh(at_ms=self.clock.now_ms()))
        except BusUnavailable:
            self.log.debug("no refresh requested: Redis does not answer")

    # Status

    def _update_detail(self) -> None:
        mode, why = self._trading.gates.mode()
        reconciled = self._trading.execution.reconciled
        self.doing(self._trouble or f"{mode}: {why}")
        self.detail |= {
            "mode": mode,
            "reason": why,
            "trouble": self._trouble,
            "cycle_ms": None if self._report is None else self._report.cycle_ms,
            "positions": 0 if reconciled is None else len(reconciled.ours),
            "strategy_trouble": self._scorer.trouble or self._unchecked_strategy(),
            "not_looked_after": self._trading.execution.protection.failures,
        }

    async def _publish_status(self) -> None:
        status = await self._status()
        content = dataclasses.replace(status, as_of_ms=0, uptime_s=None, looked_ms=None)
        now_s = self.clock.monotonic()
        if content == self._published and now_s < self._published_s + STATUS_S:
            return
        batch = self.bus.batch()
        batch.put(schema.TRADER_STATUS, status)
        batch.put(
            schema.TRADER_CONFIG,
            TraderConfig(
                as_of_ms=status.as_of_ms,
                venue=status.venue,
                settings={
                    **dataclasses.asdict(self._settings),
                    "symbols": self._symbols,
                    "mode": self.context.mode,
                },
            ),
        )
        await batch.send()
        self._published, self._published_s = content, now_s

    async def _status(self) -> TraderStatus:
        with contextlib.suppress(JournalUnavailable):
            self._last_trade_ms = await self._journal.do(Journal.last_trade_ms)
        mode, why = self._trading.gates.mode()
        report, reconciled, now_ms = (
            self._report,
            self._trading.execution.reconciled,
            self.clock.now_ms(),
        )
        ours = () if reconciled is None else reconciled.ours
        foreign = () if reconciled is None else reconciled.foreign
        pnl, fees = self._trading.pnl.pnl_today, self._trading.pnl.fees_today
        journal = self._trading.continuity.doubt or self._journal.trouble
        if self._trading.continuity.doubt:
            journal = f"{journal}; {TO_DO}"
        troubles = [
            self._trouble, "" if report is None else report.trouble, self._trading.gates.unprepared
        ]  # fmt: skip
        troubles += [
            f"{s}: {why}" for s, why in sorted(self._trading.execution.protection.failures.items())
        ]
        return TraderStatus(
            as_of_ms=now_ms,
            mode=mode,
            reason=why,
            venue=shown_name(self._venue_settings, self.context.mode),
            cycle_ms=None if report is None else report.cycle_ms,
            next_cycle_ms=self._next_cycle_ms(now_ms),
            candles_from="none" if report is None else report.candles_from,
            trouble="; ".join(t for t in dict.fromkeys(troubles) if t and t != journal),
            last_trade_ms=self._last_trade_ms,
            use_ta_signals=self._settings.use_ta_signals,
            ours=[matched.own.symbol for matched in ours],
            foreign=[each.at_venue.symbol for each in foreign],
            looked_ms=self._trading.execution.reconciled_ms,
            unprotected=[h.own.symbol for h in ours if h.at_venue.stop_loss is None],
            limits=self._trading.pnl.limits,
            skipped={} if report is None else report.skipped,
            pnl_today_quote=None if pnl is None else str(pnl),
            fees_today_quote=None if fees is None else str(fees),
            pnl_as_of_ms=self._trading.pnl.as_of_ms,
            equity=self._trading.pnl.equity,
            started_ms=self._started_ms,
            uptime_s=round(self.clock.monotonic() - self._started_s, 1),
            journal=journal,
            evidence=self._trading.evidence.status(),
            strategy=self._scorer.identity,
            every_s=self._every_s,
        )

    def _next_cycle_ms(self, now_ms: int) -> int:
        pause_ms = Timeframe.M5.ms if self._every_s is None else 1000 * self._every_s
        return (now_ms // pause_ms + 1) * pause_ms


def _is_unsettled(reconciled: Reconciliation) -> bool:
    """Return whether a position of ours has no stop, is being closed, or has not ended yet."""
    pending = any(h.own.closing or h.at_venue.stop_loss is None for h in reconciled.ours)
    return pending or bool(reconciled.ending)
