"""A whole world in simulated time: the trader as it is, a simulated venue, recorded candles."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

import aiohttp

from actors.base import Context
from actors.exchange_sim.faults import FaultScript
from actors.exchange_sim.venue_wire import wire_of
from actors.trader.actor import Trader
from shared.backtest.replay import Recording
from shared.config.defaults import UNNAMED_VENUE
from shared.config.sections import FaultEntry, IndicatorsSection, TraderSection, VenueSection
from shared.exchanges.sim.adverse_prices import AdversePrices
from shared.exchanges.sim.orders import SimOrder
from shared.exchanges.sim.save_file import VenueFile, VenueState, fresh_state
from shared.exchanges.sim.venue import SimVenue
from shared.journal.journal import Journal
from shared.journal.rows import EquityRow, Intent, OwnPosition
from shared.messages.trading import TradeEvent
from shared.strategy.source import StrategySection
from shared.supervision.status_pipe import StatusPipe
from tests.lockstep.in_process_wire import InProcessSession, Routes
from tests.lockstep.memory_redis import MemoryBus
from tests.lockstep.recorded_market import Publications, RecordedPrices
from tests.lockstep.simulated_time import InlineExecutor, SimulatedClock, SimulatedLoop
from tests.support.execution import all_intents
from tests.support.strategies import record
from tests.support.venue import KEYS, simulated_owner, simulated_url

TABLES = ("intents", "plans", "orders", "fills", "positions", "funding", "events", "equity",
          "commands", "notes")  # fmt: skip
MOST = 1_000_000
DAY_MS = 86_400_000
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # no disk to wait for


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run left behind.

    Attributes:
        intents: Every order the trader decided to send, in their order.
        orders: Of the venue, its own closing orders included, in order of their numbers; the newest
            2,000 of those that ended.
        trades: Positions that ended, in order of their beginning.
        still_open: Those that had not ended.
        wallet: Of the venue's account, in quote currency.
        requests: To the venue, by endpoint.
        digest: SHA-256 over every row of the journal.
    """

    intents: list[Intent]
    orders: list[SimOrder]
    trades: list[OwnPosition]
    still_open: list[OwnPosition]
    events: list[TradeEvent]
    equity: list[EquityRow]
    wallet: Decimal
    requests: Mapping[str, int]
    digest: str


class World:
    """Recorded candles, the simulated venue at their prices, and the trader that trades there.

    Nothing in it is random but what the seed draws, and nothing waits: the same arguments give the
    same journal, row for row.

    Args:
        recordings: By coin, the coins that may be entered.
        settings: Of the trader.
        begin_ms, end_ms: When the trader starts and is stopped, in epoch ms.
        seed: Of latencies and of the trader's jitter.
        path: See `simulator.path`.
        latency_s: The least and the longest time a request, and its reply, takes.
        faults: Of the venue; their times count from `begin_ms`.
        strategy: Of the user, which has passed its check; None: the built-in one scores.

    Raises:
        ValueError: There is no coin, or no time between begin and end.

    Attributes:
        venue, bus, trader: For `at`; bus and trader are there once it runs.
    """

    def __init__(
        self,
        recordings: Mapping[str, Recording],
        settings: TraderSection,
        begin_ms: int,
        end_ms: int,
        seed: int = 0,
        *,
        indicators: IndicatorsSection | None = None,
        path: Literal["adverse", "by_body"] = "adverse",
        latency_s: tuple[float, float] = (0.0, 0.0),
        faults: Sequence[FaultEntry] = (),
        strategy: StrategySection | None = None,
    ) -> None:
        if not recordings:
            raise ValueError("recordings: found none, expected those of one coin or more")
        if begin_ms >= end_ms:
            raise ValueError(f"end_ms: found {end_ms}, expected more than begin_ms, {begin_ms}")
        self._begin_ms, self._end_ms = begin_ms, end_ms
        self._strategy = strategy
        self._latency_s = latency_s
        self._rng = random.Random(seed)
        self._loop = SimulatedLoop()
        self.clock = SimulatedClock(self._loop, begin_ms)
        indicators = indicators or IndicatorsSection()
        self._published = Publications(recordings, indicators, self.clock)
        self._venue_state = fresh_state(begin_ms)
        prices = RecordedPrices(recordings)
        feed = AdversePrices(prices, self._venue_state.side) if path == "adverse" else prices
        self.venue = SimVenue(feed, self._venue_state)
        script = FaultScript(None)
        script.add(list(faults), begin_ms)
        file = _NoFile(Path("venue.json"))
        self._wire = wire_of(UNNAMED_VENUE)(self.venue, file, script, self.clock, keys=KEYS)
        self._section = {
            "trader": asdict(settings),
            "venue": asdict(VenueSection(base_url=simulated_url("http://venue"))),
            "binance": {"base_url": "http://binance", "weight_share": 0.5},
            "symbols": list(recordings),
            "strategy": None if strategy is None else asdict(strategy),
            "indicators": asdict(indicators),
        }
        self._planned: list[tuple[int, Callable[[World], object]]] = []
        self.bus: MemoryBus
        self.trader: Trader

    def at(self, at_ms: int, act: Callable[[World], object]) -> None:
        """Have something done at a time, after the venue's time has passed until then."""
        self._planned.append((at_ms, act))

    def release_daily(self) -> None:
        """Have tripped breakers released each day at 00:00 UTC."""
        for at_ms in range(DAY_MS * (self._begin_ms // DAY_MS + 1), self._end_ms, DAY_MS):
            self.at(at_ms, lambda there: there.bus.command("release"))

    def run(self) -> Outcome:
        """Run the trader until the end, and return what became of it.

        Raises:
            Exception: Whatever ended the trader early.
        """
        with TemporaryDirectory(prefix="lockstep-", dir=IN_MEMORY) as directory:
            path = Path(directory) / "trader.db"
            # its identity is part of the ids of its orders
            Journal(path, simulated_owner(), identity="10c857e9").close()
            if self._strategy is not None:
                record(path.parent, self._strategy.file, **self._strategy.parameters)
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._live(path.parent))
            return self._outcome(path)

    async def _live(self, state_dir: Path) -> None:
        self.bus = MemoryBus(self.clock, self._published)
        session = InProcessSession(Routes(self._wire), self._wait)
        self.trader = trader = Trader(
            self._context(state_dir),
            session=lambda: cast(aiohttp.ClientSession, session),
            executor=InlineExecutor(),
        )
        for at_ms, act in self._planned:
            trader.background(self._do(at_ms, act), "planned")
        self._loop.call_at((self._end_ms - self._begin_ms) / 1000, trader.stop)
        await trader.run()

    async def _do(self, at_ms: int, act: Callable[[World], object]) -> None:
        await self.clock.sleep((at_ms - self._begin_ms) / 1000)
        self.venue.advance(at_ms)
        act(self)

    def _context(self, state_dir: Path) -> Context:
        return Context(
            name="trader",
            mode="demo",
            source="sim",
            state_dir=state_dir,
            section=self._section,
            bus=self.bus,
            clock=self.clock,
            log=logging.getLogger("lockstep"),
            rng=self._rng,
            status=StatusPipe(None),
            probation=False,
            quarantined_coins={},
            keys=KEYS,
            usage=_NoUsage(),
        )

    async def _wait(self) -> None:
        if self._latency_s[1]:
            await self.clock.sleep(self._rng.uniform(*self._latency_s))

    def _outcome(self, path: Path) -> Outcome:
        orders = self._venue_state.orders
        with closing(Journal.read_only(path)) as journal:
            return Outcome(
                intents=all_intents(journal),
                orders=sorted([*orders.over, *orders.pending], key=lambda each: each.order_id),
                trades=journal.closed(MOST)[::-1],
                still_open=journal.own_positions(),
                events=journal.events(0, MOST),
                equity=journal.equity(0, MOST),
                wallet=self._venue_state.account.wallet,
                requests=dict(self._wire.counts),
                digest=_digest(journal),
            )


def _digest(journal: Journal) -> str:
    digest = hashlib.sha256()
    for table in TABLES:
        for row in journal._rows(f"SELECT * FROM {table} ORDER BY rowid"):
            digest.update(repr(row).encode())
    return digest.hexdigest()


class _NoFile(VenueFile):
    """Keeps the venue's account nowhere: it ends with the world."""

    def save(self, state: VenueState) -> None:
        pass


class _NoUsage:
    """A process that uses nothing: what it uses is no part of simulated time."""

    def pss_mb(self, pid: int) -> float | None:
        return 0.0

    def rss_mb(self, pid: int) -> float:
        return 0.0

    def cpu_s(self, pid: int) -> float | None:
        return 0.0
