"""From scores to orders: a cycle on each close of 5m candles, and protection all the time.

Reads `cache:candles:*`, `ta:latest:*`, `trader:commands`, `trader:kill` and the lock file; writes
`state:trader:status`, `state:trader:config`, `trader:events`, `trader:events:log`,
`trader:replies:{id}` and `account:refresh`. Without Redis it trades as with it: candles come from
Binance then, and what it has to say waits in the journal.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import IO, cast

import aiohttp

from actors.base import Actor, Context
from actors.trader.assembly import TraderContext, Trading
from actors.trader.candles import CycleCandles
from actors.trader.cycle import TROUBLES, CycleReport
from actors.trader.execution import Execution
from actors.trader.journal_thread import JournalThread
from actors.trader.positions import Reconciliation
from shared import codec, schema
from shared.config.defaults import Mode
from shared.config.sections import TraderSection, VenueSection
from shared.errors import (
    BusRefused,
    BusUnavailable,
    PermanentError,
    PlatformError,
    TransientError,
    VenueRefused,
)
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.exchanges.ports import Venue
from shared.exchanges.venues import closed_to_entries, open_venue, shown_name
from shared.journal.journal import Journal
from shared.market import Timeframe
from shared.messages.trading import Refresh, TraderConfig, TraderStatus
from shared.pid_lock import AlreadyLocked, acquire

SHARE = 0.7
"""Of the account's request limits; the rest is for the actor that only looks."""

BINANCE_SHARE = 0.25
"""Of Binance's weight limit at most: needed only while Redis is away, beside the fetcher's."""

LOOK_S, COMMANDS_S, EVENTS_S = 1.0, 0.5, 0.5
IDLE_PROTECT_S = 30.0
"""Between looks at the venue while nothing is open and nothing in doubt."""

STATUS_S = 5.0

REST_S = 15.0
"""How long a stop waits for an order under way, and for the stop of what it fills."""


class Trader(Actor):
    """Trades, and looks after what is open.

    The section holds `trader`, `venue`, `binance`, `symbols` and `history`; keys come with the
    context. A step is a look at positions when one is due; the cycle, commands, gates and
    everything published run beside it, so that none of them waits for another.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        section = context.section
        self._settings = codec.from_plain(TraderSection, section["trader"], "config: trader")
        self._venue_settings = codec.from_plain(VenueSection, section["venue"], "config: venue")
        self._symbols: list[str] = list(section["symbols"])
        self._pid_lock: IO[str] | None = None
        self._journal: JournalThread | None = None
        self._session: aiohttp.ClientSession | None = None
        self._venue: Venue
        self._trading: Trading
        self._execution: Execution | None = None
        self._report: CycleReport | None = None
        self._begun_ms: int | None = None
        self._is_cycling = self._is_resumed = False
        self._trouble = "the venue has not been looked at yet"
        self._protect_s = float("-inf")
        self._told: tuple[object, ...] = ()
        self._told_s = float("-inf")

    async def setup(self) -> None:
        """Take the journal, remember what was, and begin to watch.

        Raises:
            PermanentError: Another trader runs on this state_dir, or the journal cannot be used.
            JournalUnavailable: It cannot be used just now.
        """
        await self.teardown()
        state_dir, mode = self.context.state_dir, cast(Mode, self.context.mode)
        try:
            self._pid_lock = acquire(state_dir / "trader.pid")
        except AlreadyLocked as taken:
            raise PermanentError(
                f"another trader ({taken.holder}) runs on {state_dir}: two would send every order "
                "twice; stop that one, or give this one another state_dir"
            ) from None
        self._journal = journal = JournalThread(Journal(state_dir / "trader.db", mode))
        self._session = session = aiohttp.ClientSession()
        self._venue = open_venue(
            self._venue_settings,
            session,
            clock=self.clock,
            keys=self.context.keys,
            share=SHARE,
            log=self.log,
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
                history=self.context.section["history"],
                after_quarantine=reducing_ms is not None and reducing_ms > self.clock.now_ms(),
                closed_venue=closed_to_entries(mode),
            ),
            candles=self._candles(session),
            bus=self.bus,
            clock=self.clock,
            log=self.log,
        )
        self._execution = self._trading.execution
        await self._trading.load()
        self._watch()

    def _candles(self, session: aiohttp.ClientSession) -> CycleCandles:
        binance = self.context.section["binance"]
        client = BinanceClient(
            session,
            base_url=binance["base_url"],
            clock=self.clock,
            ban=BanFile(self.context.state_dir / "binance-ban"),
            weight_share=min(BINANCE_SHARE, binance["weight_share"]),
        )
        return CycleCandles(
            self.bus,
            client,
            self._symbols,
            source=self.context.source,
            clock=self.clock,
            log=self.log,
        )

    def _watch(self) -> None:
        for name, work, pause_s in (
            ("lock", self._look_at_lock, LOOK_S),
            ("flag", lambda: self._trading.gates.look_at_flag(self.bus), LOOK_S),
            ("commands", self._trading.operator.look, COMMANDS_S),
            ("events", self._trading.event_log.publish, EVENTS_S),
            ("status", self._tell_status, LOOK_S),
        ):
            self.background(self._repeat(work, pause_s), name)

    async def _repeat(self, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        failed = ""
        while True:
            try:
                await work()
                failed = ""
            except (TransientError, VenueRefused) as error:
                is_known = isinstance(error, BusUnavailable) and not isinstance(error, BusRefused)
                if str(error) != failed and not is_known:  # the bus logs loss and return itself
                    self.log.warning("will be tried again: %s", error)
                failed = str(error)
            await self.clock.sleep(pause_s)

    async def drain(self) -> None:
        """Let an order under way be answered, and what it fills be protected."""
        if self._execution is None:
            return
        rest = asyncio.create_task(self._execution.rest(), name="rest")
        limit = asyncio.ensure_future(self.clock.sleep(REST_S))
        try:
            await asyncio.wait([rest, limit], return_when=asyncio.FIRST_COMPLETED)
            if rest.done():
                rest.result()
            else:
                self.log.error("stopped while the venue has not answered: the next start looks")
        except TROUBLES as error:
            self.log.error("stopped, and not all could be looked after: %s", error)
        finally:
            limit.cancel()
            rest.cancel()

    async def teardown(self) -> None:
        """Close the venue and the journal, and let another trader start."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._pid_lock is not None:
            self._pid_lock.close()
            self._pid_lock = None

    async def step(self) -> float:
        """Look after what is open when that is due, and begin a cycle when one is."""
        if self.context.once:
            await self._once()
            return 0.0
        if self.clock.monotonic() >= self._protect_s:
            await self._protect()
        due_ms = self._due_ms()
        if due_ms is not None and not self._is_cycling and not self._trouble:
            self._begun_ms, self._is_cycling = due_ms, True
            soon_s = self.clock.monotonic() + self._settings.protect_s
            self._protect_s = min(self._protect_s, soon_s)
            self.background(self._run_cycle(due_ms), "cycle")
        self._say()
        return min(LOOK_S, max(0.05, self._protect_s - self.clock.monotonic()))

    async def _once(self) -> None:
        """Protect, run the cycle of the last close, and leave nothing without a stop.

        Raises:
            PlatformError: Something could not be protected or closed in time; says what.
        """
        await self._trading.execution.protect()
        await self._trading.operator.resume()
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
            await self._tell_status()
            await self._trading.event_log.publish()
        except BusUnavailable as error:
            self.log.warning("what happened stands in the journal only: %s", error)
        if bare := [h.own.symbol for h in reconciled.ours if h.at_venue.stop_loss is None]:
            raise PlatformError(
                f"{', '.join(bare)}: left without a stop, and not closed either "
                f"({self._trading.execution.protection.troubles}); look at the venue now"
            )

    async def _protect(self) -> None:
        was_trouble = self._trouble
        try:
            reconciled = await self._trading.execution.protect()
            if not self._is_resumed:
                await self._trading.operator.resume()
                self._is_resumed = True
        except TROUBLES as error:
            self._trouble = str(error)
            if self._trouble != was_trouble:
                self.log.warning("positions cannot be looked at: %s", error)
            self.not_ready(self._trouble)
            pause_s = min(LOOK_S, self._settings.protect_s)
        else:
            self._trouble = ""
            self.ready()
            is_open = bool(reconciled.ours or reconciled.ending or self._is_cycling)
            watched = is_open or await self._is_in_doubt()
            pause_s = self._settings.protect_s if watched else IDLE_PROTECT_S
        self._protect_s = self.clock.monotonic() + pause_s

    async def _is_in_doubt(self) -> bool:
        assert self._journal is not None
        return bool(await self._journal.do(Journal.open_intents))

    async def _look_at_lock(self) -> None:
        try:
            await self._trading.gates.look_at_lock()
        finally:  # also where the journal cannot remember the change
            await self._flatten_if_told()

    async def _flatten_if_told(self) -> None:
        lock, reconciled = self._trading.gates.lock, self._trading.execution.reconciled
        if lock is None or not lock.flatten or reconciled is None:
            return
        if any(not matched.own.closing for matched in reconciled.ours):
            await self._trading.execution.close_all(f"flatten by {lock.who}")
            self._protect_s = float("-inf")
            self.wake()

    # Cycles

    def _due_ms(self) -> int | None:
        """Return the close to decide on now; None when it was, or its time is over."""
        now_ms = self.clock.now_ms()
        close_ms = Timeframe.M5.open_at(now_ms - round(1000 * self._settings.delay_s))
        late_ms = now_ms - close_ms - round(1000 * self._settings.delay_s)
        is_new = self._begun_ms is None or close_ms > self._begun_ms
        return close_ms if is_new and late_ms <= 1000 * self._settings.wait_s else None

    async def _run_cycle(self, cycle_ms: int) -> None:
        try:
            self._report = await self._trading.cycle.run(cycle_ms)
        finally:
            self._is_cycling = False
        self._protect_s = float("-inf")
        self.wake()
        try:
            await self.bus.publish(schema.ACCOUNT_REFRESH, Refresh(at_ms=self.clock.now_ms()))
        except BusUnavailable:
            self.log.debug("nobody to ask for a refresh: Redis does not answer")

    # What the trader says of itself

    def _say(self) -> None:
        mode, why = self._trading.gates.mode()
        reconciled = self._trading.execution.reconciled
        self.doing(self._trouble or f"{mode}: {why}")
        self.detail |= {
            "mode": mode,
            "reason": why,
            "trouble": self._trouble,
            "cycle_ms": None if self._report is None else self._report.cycle_ms,
            "positions": 0 if reconciled is None else len(reconciled.ours),
            "not_looked_after": self._trading.execution.protection.troubles,
        }

    async def _tell_status(self) -> None:
        status = await self._status()
        told = dataclasses.astuple(dataclasses.replace(status, as_of_ms=0))
        now_s = self.clock.monotonic()
        if told == self._told and now_s < self._told_s + STATUS_S:
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
        self._told, self._told_s = told, now_s

    async def _status(self) -> TraderStatus:
        assert self._journal is not None
        mode, why = self._trading.gates.mode()
        report, reconciled, now_ms = (
            self._report,
            self._trading.execution.reconciled,
            self.clock.now_ms(),
        )
        ours = () if reconciled is None else reconciled.ours
        foreign = () if reconciled is None else reconciled.foreign
        pnl, fees = self._trading.pnl.pnl_today, self._trading.pnl.fees_today
        troubles = [self._trouble, "" if report is None else report.trouble]
        troubles += [
            f"{s}: {why}" for s, why in sorted(self._trading.execution.protection.troubles.items())
        ]
        return TraderStatus(
            as_of_ms=now_ms,
            mode=mode,
            reason=why,
            venue=shown_name(self._venue, self.context.mode),
            cycle_ms=None if report is None else report.cycle_ms,
            next_cycle_ms=Timeframe.M5.open_at(now_ms) + Timeframe.M5.ms,
            candles_from="none" if report is None else report.candles_from,
            trouble="; ".join(dict.fromkeys(filter(None, troubles))),
            last_trade_ms=await self._journal.do(Journal.last_trade_ms),
            use_ta_signals=self._settings.use_ta_signals,
            ours=[matched.own.symbol for matched in ours],
            foreign=[each.at_venue.symbol for each in foreign],
            unprotected=[h.own.symbol for h in ours if h.at_venue.stop_loss is None],
            limits=self._trading.pnl.limits,
            skipped={} if report is None else report.skipped,
            pnl_today_quote=None if pnl is None else str(pnl),
            fees_today_quote=None if fees is None else str(fees),
            equity=self._trading.pnl.equity,
        )


def _is_unsettled(reconciled: Reconciliation) -> bool:
    """Tell whether a position of ours has no stop, is being closed, or has not ended yet."""
    bare = any(h.own.closing or h.at_venue.stop_loss is None for h in reconciled.ours)
    return bare or bool(reconciled.ending)
