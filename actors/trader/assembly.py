"""Builds a trader from its parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from actors.trader.account_set_up import AccountSetUp
from actors.trader.candles import CycleCandles
from actors.trader.commands import TraderCommands
from actors.trader.continuity import Continuity
from actors.trader.cycle import Cycle
from actors.trader.events import EventLog
from actors.trader.evidence_gate import EvidenceGate
from actors.trader.execution import Execution
from actors.trader.gates import Gates
from actors.trader.journal_thread import JournalThread
from actors.trader.pnl import Pnl
from shared.bus import Bus, BusStatus
from shared.clock import Clock
from shared.config.defaults import Mode
from shared.config.sections import IndicatorsSection, TraderSection
from shared.config.venue_catalog import Environment
from shared.errors import PlatformError, TransientError
from shared.evidence.fits import demanded
from shared.exchanges.ports import Venue
from shared.kill_switch import KillSwitch
from shared.messages.candles import Source
from shared.strategy.scorer import BaseScorer, Scorer
from shared.trading.amounts import exact

ATR_S = 2.0
"""How long a refused close may wait for the ATR of its coin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraderContext:
    """What a trader is started with.

    Attributes:
        mode: Of the platform.
        source: The source of candles and signals in this mode.
        state_dir: Contains the lock file.
        symbols: The coins that may be entered.
        indicators: What the scores and signals are computed with.
        after_quarantine: Restarted after a crash loop: it may only reduce.
        closed_venue: Why the venue takes no entries until an operator enables; "" when it does.
        environment: Of the venue, in live mode.
        strategy_parameters: Of a strategy of the user; defaults filled in.
        every_s: Between the runs of the timer that runs it; None of one that stays.
    """

    mode: Mode
    source: Source
    state_dir: Path
    symbols: Sequence[str]
    indicators: IndicatorsSection
    after_quarantine: bool = False
    closed_venue: str = ""
    environment: Environment = "live"
    strategy_parameters: Mapping[str, Any] = field(default_factory=dict)
    every_s: int | None = None


class Trading:
    """The parts of a trader, over a venue, a journal, a bus and candles.

    Args:
        scorer: Scores the entries; the built-in strategy unless given.
        unchecked_strategy: Returns why that strategy may not trade, or "".
    """

    def __init__(
        self,
        venue: Venue,
        journal: JournalThread,
        settings: TraderSection,
        context: TraderContext,
        *,
        candles: CycleCandles,
        bus: Bus,
        clock: Clock,
        log: logging.Logger,
        scorer: Scorer | None = None,
        unchecked_strategy: Callable[[], str] = lambda: "",
    ) -> None:
        self.scorer: Scorer = scorer or BaseScorer()
        self._settings = settings
        self._context = context
        self._bus = bus
        self.candles = candles
        self.pnl = Pnl(journal, venue, settings, clock)
        self.continuity = Continuity(venue, journal, context.state_dir, clock, log)
        self.set_up = AccountSetUp(venue, context.symbols, clock, log)
        self.evidence = EvidenceGate(
            venue,
            settings,
            demand=demanded(settings, context.mode, context.environment),
            strategy=lambda: self.scorer.identity,
            parameters=context.strategy_parameters,
            indicators=context.indicators,
            symbols=context.symbols,
            clock=clock,
            log=log,
        )
        self.gates = Gates(
            KillSwitch(context.state_dir),
            journal,
            self.pnl,
            self.continuity,
            settings,
            set_up=self.set_up,
            evidence=self.evidence,
            run_mode=context.mode,
            after_quarantine=context.after_quarantine,
            closed_venue=context.closed_venue,
            unchecked_strategy=unchecked_strategy,
            clock=clock,
            log=log,
        )
        self.execution = Execution(
            venue,
            journal,
            settings,
            clock=clock,
            log=log,
            objection=self.gates.objection,
            on_intent=self.continuity.saw_intent,
            atr=self._atr_1h,
            strategy=lambda: self.scorer.identity,
        )
        self.cycle = Cycle(
            venue,
            journal,
            self.execution,
            candles=candles,
            gates=self.gates,
            continuity=self.continuity,
            set_up=self.set_up,
            evidence=self.evidence,
            pnl=self.pnl,
            bus=bus,
            settings=settings,
            source=context.source,
            history=context.indicators.history,
            scorer=self.scorer,
            clock=clock,
            log=log,
        )
        self.commands = TraderCommands(
            bus,
            journal,
            self.execution,
            self.gates,
            self.continuity,
            fractions=self._fractions,
            kept_s=context.every_s or 0,
            clock=clock,
            log=log,
        )
        self.event_log = EventLog(bus, journal, clock, log)

    async def load(self) -> None:
        """Load the state from the journal.

        Raises:
            JournalUnavailable: It cannot be read now.
        """
        await self.pnl.load()
        await self.gates.load()
        await self.continuity.load()

    async def _atr_1h(self, symbol: str) -> float | None:
        """Return a coin's ATR14 of 1h by the candles on the bus; None if that takes long."""
        if self._bus.status is BusStatus.DOWN:
            return None
        try:
            async with asyncio.timeout(ATR_S):
                return (await self.cycle.coin(symbol)).atr_1h
        except (TimeoutError, PlatformError):
            return None

    async def _fractions(self, symbol: str) -> tuple[Decimal, Decimal]:
        """Return the distances of stop and target for an adopted position, as for an entry."""
        if symbol not in self._context.symbols:
            raise TransientError(f"{symbol} is not among the coins of the configuration")
        coin = await self.cycle.coin(symbol)
        if isinstance(coin.now, Exception) or coin.atr_1h is None:
            raise TransientError(f"{symbol}: no candles to set a stop by; try again")
        rule = await self.execution.protection.rule(symbol)
        stop = max(
            exact(self._settings.stop_atr) * exact(coin.atr_1h) / exact(coin.now.close),
            exact(self._settings.stop_costs) * 2 * rule.taker_fee,
        )
        return stop, exact(self._settings.target_r) * stop
