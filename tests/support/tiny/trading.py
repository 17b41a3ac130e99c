"""Trading at the tiny venue, in one process with it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.price_paths import MarketPrices
from actors.trader.execution import Execution
from actors.trader.journal_thread import JournalThread
from shared.clock import Clock
from shared.config.sections import TraderSection
from shared.exchanges.ports import Venue
from shared.exchanges.sim.save_file import fresh_state
from shared.exchanges.sim.venue import SimVenue
from shared.journal.journal import Journal
from shared.journal.rows import JournalOwner
from shared.trading.plan import EntryPlan
from tests.support.execution import PRICES, SETTINGS, START_MS, JumpingClock, Protecting
from tests.support.manual_clock import ManualClock
from tests.support.tiny.venue import CURRENCY, TinyBook, TinyVenue, Trouble
from tests.support.trading import TradingRun, trading_at
from tests.support.venue import ScriptedPrices

OWNER = JournalOwner(mode="demo", venue="tiny", environment="simulated", currency=CURRENCY)


@dataclasses.dataclass
class TinyRun(TradingRun):
    """A trader at the tiny venue."""

    account: SimVenue


@asynccontextmanager
async def tiny_trader_on(
    directory: Path,
    symbols: Sequence[str],
    start_ms: int,
    *,
    troubles: Iterable[Trouble] = (),
    redis_url: str,
) -> AsyncIterator[TinyRun]:
    """Yield a trader on a generated market."""
    manual = ManualClock(start_ms)
    market = Market(GeneratedPrices(symbols, seed=7))
    account = SimVenue(MarketPrices(market), fresh_state(start_ms))
    venue = TinyVenue(account, JumpingClock(manual), book=TinyBook(troubles))
    async with trading_at(
        venue, directory, owner=OWNER, market=market, manual=manual, symbols=symbols,
        redis_url=redis_url,
    ) as run:  # fmt: skip
        yield TinyRun(**vars(run), account=account)


@dataclasses.dataclass
class TinyExecution(Protecting):
    """An execution at the tiny venue, at prices that a test moves."""

    prices: ScriptedPrices
    account: SimVenue
    clock: ManualClock
    venue: TinyVenue
    journal: Journal
    journal_thread: JournalThread
    venue_clock: Clock
    settings: TraderSection
    execution: Execution

    def started_on(self, venue: Venue) -> Execution:
        """Return the execution of the next process, on the same journal."""
        return execution_of(venue, self.journal_thread, self.venue_clock, self.settings)

    async def enter(self, plan: EntryPlan) -> str:
        """Enter on the last close, on prices of now."""
        now_ms = self.clock.now_ms()
        return await self.execution.enter(plan, now_ms - now_ms % 300_000, now_ms)


@asynccontextmanager
async def tiny_execution(
    directory: Path,
    *troubles: Trouble,
    prices: Mapping[str, str] = PRICES,
    settings: TraderSection = SETTINGS,
) -> AsyncIterator[TinyExecution]:
    """Yield an execution; each of `troubles` is that of one order."""
    manual = ManualClock(START_MS)
    feed = ScriptedPrices(START_MS, prices)
    account = SimVenue(feed, fresh_state(START_MS))
    clock = JumpingClock(manual)
    venue = TinyVenue(account, clock, book=TinyBook(troubles))
    journal = Journal(directory / "trader.db", OWNER)
    thread = JournalThread(journal)
    try:
        execution = execution_of(venue, thread, clock, settings)
        yield TinyExecution(
            feed, account, manual, venue, journal, thread, clock, settings, execution
        )
    finally:
        thread.close()


def execution_of(
    venue: Venue, journal: JournalThread, clock: Clock, settings: TraderSection
) -> Execution:
    return Execution(
        venue, journal, settings, clock=clock, log=logging.getLogger("execution"),
        objection=lambda: "",
    )  # fmt: skip
