"""The trader's execution on the simulated venue, over a real socket, on a manual clock."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from actors.trader.execution import Execution
from actors.trader.journal_thread import JournalThread
from shared.config.sections import TraderSection
from shared.exchanges.ports import Venue
from shared.journal.journal import Journal
from shared.journal.rows import Intent
from shared.messages.trading import TradeEvent, TradeSide
from shared.trading.plan import EntryPlan
from tests.support.manual_clock import ManualClock
from tests.support.venue import (
    ScriptedPrices,
    VenueUnderTest,
    simulated_client,
    simulated_owner,
    venue_on,
)

D = Decimal
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, a funding hour
PRICES = {"BTCUSDT": "60000", "ETHUSDT": "3000", "SOLUSDT": "150"}
SETTINGS = TraderSection(enabled=True)


class JumpingClock:
    """A clock whose sleep does not wait: time jumps to its end."""

    def __init__(self, manual: ManualClock) -> None:
        self._manual = manual

    def now_ms(self) -> int:
        return self._manual.now_ms()

    def monotonic(self) -> float:
        return self._manual.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._manual.advance(max(0.0, seconds))


class Protecting:
    """Time that passes as it does for a trader."""

    clock: ManualClock
    execution: Execution

    async def pass_time(self, seconds: float, every_s: float = 3) -> None:
        """Advance time, protecting regularly as the trader does."""
        passed = 0.0
        while passed < seconds:
            await self.clock.advance(every_s)
            passed += every_s
            await self.execution.protect()


@dataclasses.dataclass
class ExecutionUnderTest(Protecting):
    """An execution, its journal, and the venue it trades at."""

    at: VenueUnderTest
    prices: ScriptedPrices
    clock: ManualClock
    client: Venue
    journal_thread: JournalThread
    execution: Execution
    objections: list[str]

    async def note[T](self, call: Any, *args: Any) -> Any:
        """Call the journal."""
        return await self.journal_thread.do(call, *args)

    async def events(self) -> list[TradeEvent]:
        found: list[TradeEvent] = await self.note(Journal.events, 0, 100_000)
        return found

    async def kinds(self) -> list[str]:
        return [event.kind for event in await self.events()]

    async def enter(self, plan: EntryPlan, cycle_ms: int | None = None, priced_s: float = 0) -> str:
        """Enter, deciding on the last close by default, on prices that are `priced_s` old."""
        now_ms = self.clock.now_ms()
        decided_ms = now_ms - now_ms % 300_000 if cycle_ms is None else cycle_ms
        priced_ms = self.client.now_ms() - round(1000 * priced_s)
        return await self.execution.enter(plan, decided_ms, priced_ms)

    async def orders(self) -> list[dict[str, Any]]:
        """Return every order the venue has ever accepted."""
        books = await self.at.books()
        over: list[dict[str, Any]] = books["over"] + books["orders"]
        return over


def plan(
    symbol: str = "BTCUSDT", side: TradeSide = "long", size: str = "0.01", **changes: Any
) -> EntryPlan:
    """Return an entry that fills at once: its limit is far beyond the best price."""
    price = D(PRICES[symbol])
    sign = 1 if side == "long" else -1
    limit = price * (1 + sign * D("0.01"))
    entry = EntryPlan(
        symbol=symbol,
        side=side,
        size=D(size),
        limit_price=limit.quantize(D("0.1")),
        entry_price=price,
        stop=price * (1 - sign * D("0.01")),
        target=price * (1 + sign * D("0.02")),
        base=90,
        bonus=0,
        stop_fraction=D("0.01"),
        target_fraction=D("0.02"),
        leverage=3,
        reason="base 90, leads by 40",
    )
    return dataclasses.replace(entry, **changes)


def all_intents(journal: Journal) -> list[Intent]:
    return journal._intents("1")


@asynccontextmanager
async def execution_on(
    directory: Path,
    *,
    prices: Mapping[str, str] | None = None,
    settings: TraderSection = SETTINGS,
    start_ms: int = START_MS,
) -> AsyncIterator[ExecutionUnderTest]:
    """Serve a venue with an execution that trades there."""
    manual = ManualClock(start_ms)
    feed = ScriptedPrices(start_ms, prices or PRICES)
    async with (
        venue_on(feed, manual, directory) as at,
        execution_at(at, feed, manual, directory, settings=settings) as execution,
    ):
        yield execution


@asynccontextmanager
async def execution_at(
    at: VenueUnderTest,
    feed: ScriptedPrices,
    manual: ManualClock,
    directory: Path,
    *,
    settings: TraderSection = SETTINGS,
) -> AsyncIterator[ExecutionUnderTest]:
    """Yield an execution that trades at a running venue; a second one uses the same files."""
    clock = JumpingClock(manual)
    objections: list[str] = []
    journal_thread = JournalThread(Journal(directory / "trader.db", simulated_owner()))
    try:
        async with aiohttp.ClientSession() as session:
            client = simulated_client(at.url, session, clock)
            execution = Execution(
                client,
                journal_thread,
                settings,
                clock=clock,
                log=logging.getLogger("execution"),
                objection=lambda: "; ".join(objections),
            )
            yield ExecutionUnderTest(
                at, feed, manual, client, journal_thread, execution, objections
            )
    finally:
        journal_thread.close()
