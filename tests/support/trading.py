"""A whole trader on the simulated market, cycle by cycle, on a manual clock."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from actors.exchange_sim.market.bars import CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.price_paths import MarketPrices
from actors.trader.assembly import TraderContext, Trading
from actors.trader.candles import TIMEFRAMES, CycleCandles, Gathered
from actors.trader.journal_thread import JournalThread
from shared.bus import Bus
from shared.clock import Clock
from shared.config.sections import IndicatorsSection, TraderSection
from shared.errors import VenueUnavailable
from shared.exchanges.ports import Venue
from shared.indicators.signals import CoinWindows
from shared.journal.journal import Journal
from shared.journal.rows import JournalOwner, OwnPosition
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.trading import TradeEvent
from tests.support.execution import START_MS, JumpingClock
from tests.support.manual_clock import ManualClock
from tests.support.venue import VenueUnderTest, simulated_client, simulated_owner, venue_on

CYCLE_MS = Timeframe.M5.ms
CYCLE = START_MS + 23 * CYCLE_MS  # calls for a long of BTCUSDT, then one of SOLUSDT
LOG = logging.getLogger("trader")
NO_REDIS = "unix:///nonexistent/redis.sock"
KEEP = 1000

EAGER = TraderSection(
    enabled=True, entry_score=55, margin=0, cooldown_min=0, max_positions=5, max_same_side=5,
    cost_share_pct=100, stop_costs=1, stop_atr=0.7, max_hold_h=1.5, max_losses=10_000,
    daily_loss_pct=100, drawdown_pct=100, max_orders_per_hour=10_000, wait_s=1,
)  # fmt: skip
"""Enters often and exits soon."""


class MarketCandles(CycleCandles):
    """Candles read directly from the simulated market."""

    def __init__(self, market: Market, symbols: Sequence[str], clock: Clock) -> None:
        self._market = market
        self._coins = list(symbols)
        self._now = clock

    async def at_close(self, cycle_ms: int, until_ms: int) -> Gathered:
        return Gathered(tuple(self.coin(s, cycle_ms) for s in self._coins), {}, "binance")

    async def newest(self, symbol: str) -> CoinWindows:
        return self.coin(symbol, self._now.now_ms())

    def coin(self, symbol: str, now_ms: int) -> CoinWindows:
        """Return a coin's windows as of a time."""
        return CoinWindows(symbol, {t: self.window(symbol, t, now_ms) for t in TIMEFRAMES})

    def window(self, symbol: str, timeframe: Timeframe, now_ms: int) -> CandleWindow:
        bars = self._market.bars(symbol, timeframe, now_ms, limit=KEEP)
        scale = self._market.scale(symbol, now_ms)
        opened, high, low, close = (
            bars[row] / 10**scale.price_digits for row in (OPEN, HIGH, LOW, CLOSE)
        )
        volume = bars[VOLUME] / 10**scale.volume_digits
        return CandleWindow(
            symbol=symbol,
            timeframe=timeframe,
            candles=Candles.of(bars[TIME], opened, high, low, close, volume),
            closed_until_ms=timeframe.open_at(now_ms),
            fetched_at_ms=now_ms,
            source="sim",
        )


@dataclasses.dataclass
class TradingRun:
    """A trader without its process."""

    clock: ManualClock
    client: Venue
    journal_thread: JournalThread
    trading: Trading
    candles: MarketCandles

    async def one_cycle(self) -> None:
        """Run a cycle, look after the positions twice, and go on to the next close."""
        cycle_ms = self.clock.now_ms()
        await self.trading.cycle.run(cycle_ms)
        for at_s in (3, 60):
            left_s = at_s - (self.clock.now_ms() - cycle_ms) / 1000
            if left_s > 0:
                await self.clock.advance(left_s)
                await self.look()
        await self.clock.advance((cycle_ms + CYCLE_MS - self.clock.now_ms()) / 1000)

    async def look(self) -> bool:
        """Look after the positions; return whether anything is open or in doubt."""
        try:
            reconciled = await self.trading.execution.protect()
        except VenueUnavailable:
            return True
        return bool(
            reconciled.ours
            or reconciled.ending
            or await self.journal_thread.do(Journal.open_intents)
        )

    async def get_out(self) -> None:
        """Close everything.

        Raises:
            AssertionError: Something was open or in doubt after two minutes.
        """
        await self.clock.advance(120)
        await self.look()
        await self.trading.execution.close_all("the end")
        for _ in range(40):
            await self.clock.advance(3)
            if not await self.look():
                return
        raise AssertionError("not out after two minutes")

    async def closed(self) -> list[OwnPosition]:
        """Return all positions that ended."""
        found: list[OwnPosition] = await self.journal_thread.do(Journal.closed, 100_000)
        return found

    async def events(self) -> list[TradeEvent]:
        found: list[TradeEvent] = await self.journal_thread.do(Journal.events, 0, 100_000)
        return found


@dataclasses.dataclass
class TraderUnderTest(TradingRun):
    """A trader at the simulated venue."""

    at: VenueUnderTest


def assemble(
    venue: Venue,
    journal_thread: JournalThread,
    bus: Bus,
    candles: CycleCandles,
    *,
    clock: Clock,
    symbols: Sequence[str],
    state_dir: Path,
    settings: TraderSection = EAGER,
) -> Trading:
    """Return the parts of a trader in demo mode."""
    context = TraderContext(
        mode="demo",
        source="sim",
        state_dir=state_dir,
        symbols=symbols,
        indicators=IndicatorsSection(),
    )
    return Trading(
        venue, journal_thread, settings, context, candles=candles, bus=bus, clock=clock, log=LOG
    )


@asynccontextmanager
async def trader_on(
    directory: Path,
    symbols: Sequence[str],
    start_ms: int,
    *,
    settings: TraderSection = EAGER,
    redis_url: str = NO_REDIS,
    seed: int = 7,
    timeout_s: float = 5,
) -> AsyncIterator[TraderUnderTest]:
    """Yield a trader on a generated market; it waits `timeout_s` of real time for an answer."""
    manual = ManualClock(start_ms)
    market = Market(GeneratedPrices(symbols, seed))
    clock = JumpingClock(manual)
    async with (
        venue_on(MarketPrices(market), manual, directory) as at,
        aiohttp.ClientSession() as session,
        trading_at(
            simulated_client(at.url, session, clock, timeout_s), directory,
            owner=simulated_owner(), market=market, manual=manual, symbols=symbols,
            settings=settings, redis_url=redis_url,
        ) as run,
    ):  # fmt: skip
        yield TraderUnderTest(**vars(run), at=at)


@asynccontextmanager
async def trading_at(
    venue: Venue,
    directory: Path,
    *,
    owner: JournalOwner,
    market: Market,
    manual: ManualClock,
    symbols: Sequence[str],
    settings: TraderSection = EAGER,
    redis_url: str = NO_REDIS,
) -> AsyncIterator[TradingRun]:
    """Yield a trader at a venue, with candles of the market that this trades."""
    clock = JumpingClock(manual)
    candles = MarketCandles(market, symbols, clock)
    journal_thread = JournalThread(Journal(directory / "trader.db", owner))
    bus = Bus(redis_url, name="trader", clock=clock)
    try:
        trading = assemble(
            venue, journal_thread, bus, candles, clock=clock, symbols=symbols,
            state_dir=directory, settings=settings,
        )  # fmt: skip
        await trading.load()
        yield TradingRun(manual, venue, journal_thread, trading, candles)
    finally:
        journal_thread.close()
        await bus.close()
