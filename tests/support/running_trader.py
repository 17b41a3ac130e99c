"""The running trader actor: real Redis, simulated venue and Binance on one socket, fast time."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from actors.base import Context
from actors.exchange_sim.binance.rest import BinanceWire
from actors.exchange_sim.fault_panel import FaultPanel
from actors.exchange_sim.faults import FaultScript
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.price_paths import MarketPrices
from actors.exchange_sim.venue_panel import VenuePanel
from actors.exchange_sim.venue_wire import wire_of
from actors.trader.actor import Trader
from shared import schema
from shared.bus import Bus
from shared.clock import Clock
from shared.config.defaults import UNNAMED_VENUE
from shared.config.sections import IndicatorsSection, TraderSection, VenueSection
from shared.exchanges.sim.save_file import VenueFile
from shared.exchanges.sim.venue import SimVenue
from shared.messages.trading import TraderCommand, TraderReply, TraderStatus, TraderVerb
from shared.strategy.source import StrategySection
from shared.supervision.status_pipe import StatusPipe
from tests.support.exchange import served
from tests.support.trading import EAGER, MarketCandles
from tests.support.venue import KEYS, VenueUnderTest


@asynccontextmanager
async def exchanges_on(
    symbols: Sequence[str], clock: Clock, directory: Path
) -> AsyncIterator[VenueUnderTest]:
    """Serve the simulated venue and a simulated Binance with the same prices."""
    market = Market(GeneratedPrices(symbols, 7))
    script = FaultScript(None)
    file = VenueFile(directory / "venue.json")
    state = file.load(clock.now_ms())
    venue = SimVenue(MarketPrices(market), state)
    wire = wire_of(UNNAMED_VENUE)(venue, file, script, clock, keys=KEYS, limited=False)
    app = web.Application()
    wire.add_routes(app)
    VenuePanel(wire).add_routes(app)
    FaultPanel(script, lambda: symbols, clock).add_routes(app)
    BinanceWire(market, FaultScript(market), clock).add_routes(app)
    async with served(app) as url, aiohttp.ClientSession() as session:
        yield VenueUnderTest(url, wire, clock, session)


class RunningTrader:
    """A running trader; leaving the context stops it as SIGTERM would."""

    def __init__(
        self,
        at: VenueUnderTest,
        redis_url: str,
        state_dir: Path,
        symbols: Sequence[str],
        *,
        settings: TraderSection = EAGER,
        mode: str = "demo",
        once: bool = False,
        strategy: StrategySection | None = None,
        **context: Any,
    ) -> None:
        clock = at.clock
        self.context = Context(
            name="trader",
            mode=mode,
            source="sim",
            state_dir=state_dir,
            section={
                "trader": asdict(settings),
                "venue": asdict(VenueSection(base_url=f"{at.url}/v2", window_ms=60_000)),
                "binance": {"base_url": at.url, "weight_share": 0.5},
                "symbols": list(symbols),
                "indicators": asdict(IndicatorsSection()),
                "strategy": None if strategy is None else asdict(strategy),
            },
            bus=Bus(redis_url, name="trader", clock=clock, timeout_s=0.5),
            clock=clock,
            log=logging.getLogger("trader"),
            rng=random.Random(1),
            status=StatusPipe(None),
            probation=False,
            quarantined_coins={},
            keys=KEYS,
            once=once,
            **context,
        )
        self.trader = Trader(self.context)
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.trader.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        self.trader.stop()
        try:
            await self.task
        finally:
            await self.context.bus.close()

    def is_ready(self) -> bool:
        """Return whether it is ready; fail at once if it has died."""
        assert self.task is not None
        if self.task.done():
            self.task.result()
        return self.trader._state == "ready"


async def status(bus: Bus) -> TraderStatus | None:
    return await bus.get(schema.TRADER_STATUS)


async def ask(
    bus: Bus, verb: TraderVerb, clock: Any, symbol: str | None = None, name: str = ""
) -> TraderReply:
    """Command the trader, and return its reply."""
    command = TraderCommand(id=name or uuid.uuid4().hex, command=verb, who="ada",
                            at_ms=clock.now_ms(), symbol=symbol)  # fmt: skip
    await bus.append(schema.TRADER_COMMANDS, asdict(command))
    reply = await bus.pop(schema.TRADER_REPLIES, 20, id=command.id)
    assert reply is not None, "no reply"
    return reply


async def put_candles(bus: Bus, candles: MarketCandles, symbols: Sequence[str], at_ms: int) -> None:
    """Put the candles the fetcher would have written by a time."""
    for symbol in symbols:
        windows: Mapping[Any, Any] = candles.coin(symbol, at_ms).windows
        for timeframe, window in windows.items():
            await bus.put(schema.CANDLES[timeframe], window, symbol=symbol)
