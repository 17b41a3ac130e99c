"""A trader killed at a given step, and the simulated venue, each in its own process.

They share one time, in shared memory: the trader advances it instead of sleeping, the venue waits
for it. Nothing waits for real time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import shutil
import signal
import struct
import tempfile
import time
import traceback
import urllib.request
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from actors.exchange_sim.faults import FaultScript
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.price_paths import MarketPrices
from actors.exchange_sim.venue_panel import VenuePanel
from actors.exchange_sim.venue_wire import wire_of
from actors.trader.assembly import Trading
from actors.trader.journal_thread import JournalThread
from shared.bus import Bus
from shared.config.defaults import UNNAMED_VENUE
from shared.config.sections import TraderSection
from shared.exchanges.ports import Venue
from shared.exchanges.sim.save_file import VenueFile, fresh_state
from shared.exchanges.sim.venue import SimVenue
from shared.journal.journal import Journal
from tests.support.exchange import served
from tests.support.trading import NO_REDIS, MarketCandles, assemble
from tests.support.venue import KEYS, simulated_client, simulated_owner

DEADLINE_S = 60
POLL_S = 0.001


class SharedTime:
    """Epoch ms shared with every process forked from this one."""

    def __init__(self, now_ms: int) -> None:
        self._memory = mmap.mmap(-1, 8)
        self.set(now_ms)

    def now_ms(self) -> int:
        return int(struct.unpack("q", self._memory[:8])[0])

    def set(self, now_ms: int) -> None:
        self._memory[:8] = struct.pack("q", now_ms)

    def monotonic(self) -> float:
        return self.now_ms() / 1000


class MovingClock(SharedTime):
    """The trader's clock: sleeping advances time."""

    def __init__(self, shared: SharedTime) -> None:
        self._memory = shared._memory

    async def sleep(self, seconds: float) -> None:
        self.set(self.now_ms() + round(1000 * max(0.0, seconds)))
        await asyncio.sleep(0)


class WaitingClock(SharedTime):
    """The venue's clock: sleeping waits for the trader to advance time."""

    def __init__(self, shared: SharedTime) -> None:
        self._memory = shared._memory

    async def sleep(self, seconds: float) -> None:
        until_ms = self.now_ms() + round(1000 * seconds)
        while self.now_ms() < until_ms:  # noqa: ASYNC110  # another process moves it
            await asyncio.sleep(POLL_S)


class StepKiller:
    """Counts the steps of a process and kills it at step `at`; 0 for never."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(DEADLINE_S)  # the signal may be delivered to another thread first

    def count_requests(self, session_hooks: aiohttp.TraceConfig) -> None:
        """Count three steps per request: before sending, when sent, when answered."""

        async def step(*_: object) -> None:
            self.step()

        session_hooks.on_request_start.append(step)
        session_hooks.on_request_chunk_sent.append(step)
        session_hooks.on_request_end.append(step)

    def count_writes(self, journal: Journal) -> None:
        """Count every statement that writes, before it is executed."""

        def step(statement: str) -> None:
            if not statement.lstrip().startswith(("SELECT", "PRAGMA")):
                self.step()

        journal._db.set_trace_callback(step)


Scenario = Callable[["CrashingTrader"], Awaitable[Any]]


@dataclass
class CrashingTrader:
    """A trader inside its own process."""

    url: str
    client: Venue
    journal_thread: JournalThread
    trading: Trading
    clock: MovingClock
    cycle_ms: int


class CrashRun:
    """One simulated venue in a process, and traders forked from this one with warm caches.

    Args:
        cycle_ms: The close to decide on.
    """

    def __init__(self, coins: Sequence[str], cycle_ms: int, settings: TraderSection) -> None:
        self.coins = list(coins)
        self.cycle_ms = cycle_ms
        self.settings = settings
        self.time = SharedTime(cycle_ms)
        self.market = Market(GeneratedPrices(coins, 7))
        self.candles = MarketCandles(self.market, coins, MovingClock(self.time))
        for coin in coins:
            self.candles.coin(coin, cycle_ms)
        memory = Path("/dev/shm")
        self.home = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.state_dir = self.home / "state"
        self.url = ""
        self.by_hand_deals = 0
        self._venue_pid = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[CrashRun]:
        """Run the venue."""
        out, into = os.pipe()
        self._venue_pid = _fork(lambda: asyncio.run(self._serve(into)))
        os.close(into)
        try:
            with os.fdopen(out) as pipe:
                self.url = pipe.readline().strip()
            yield self
        finally:
            os.kill(self._venue_pid, signal.SIGKILL)
            os.waitpid(self._venue_pid, 0)
            shutil.rmtree(self.home, ignore_errors=True)

    async def _serve(self, into: int) -> None:
        clock = WaitingClock(self.time)
        script = FaultScript(None)
        file = VenueFile(self.home / "venue.json")
        wire = wire_of(UNNAMED_VENUE)(
            SimVenue(MarketPrices(self.market), fresh_state(self.cycle_ms)), file, script, clock,
            keys=KEYS, limited=False,
        )  # fmt: skip
        panel = VenuePanel(wire)

        async def reset(_: web.Request) -> web.Response:
            wire.venue = SimVenue(MarketPrices(self.market), fresh_state(self.cycle_ms))
            panel._venue = wire.venue
            return web.Response()

        app = web.Application()
        app.router.add_post("/anew", reset)
        wire.add_routes(app)
        panel.add_routes(app)
        async with served(app) as url:
            os.write(into, f"{url}\n".encode())
            os.close(into)
            await asyncio.Event().wait()

    def reset(self) -> None:
        """Start over: a fresh account, no journal, the time of the close."""
        self.time.set(self.cycle_ms + 3_000)
        shutil.rmtree(self.state_dir, ignore_errors=True)
        self.state_dir.mkdir(mode=0o700)
        self.ask("/anew", [])

    def ask(self, path: str, body: object = None) -> Any:
        """Call the venue's control panel."""
        raw = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", raw, headers)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as reply:
            content = reply.read()
            return json.loads(content) if content else None

    def run_trader(self, scenario: Scenario, kill_at: int = 0) -> tuple[int | None, Any]:
        """Run a trader in its own process.

        Returns:
            The signal that ended it or None, and what `scenario` returned.

        Raises:
            AssertionError: It failed.
        """
        result = self.home / "result.json"
        result.unlink(missing_ok=True)

        def work() -> None:
            killer = StepKiller(kill_at)
            found = asyncio.run(self._run_scenario(scenario, killer))
            result.write_text(json.dumps({"found": found, "steps": killer.steps}))

        _, status = os.waitpid(_fork(work, self.home / "failure"), 0)
        if os.WIFSIGNALED(status):
            return os.WTERMSIG(status), None
        if os.WEXITSTATUS(status):
            raise AssertionError((self.home / "failure").read_text())
        return None, json.loads(result.read_text())

    async def _run_scenario(self, scenario: Scenario, killer: StepKiller) -> Any:
        clock = MovingClock(self.time)
        journal = Journal(self.state_dir / "trader.db", simulated_owner())
        killer.count_writes(journal)
        journal_thread = JournalThread(journal)
        hooks = aiohttp.TraceConfig()
        killer.count_requests(hooks)
        bus = Bus(NO_REDIS, name="trader", clock=clock)
        async with aiohttp.ClientSession(trace_configs=[hooks]) as session:
            client = simulated_client(self.url, session, clock, 20)
            trading = assemble(
                client, journal_thread, bus, self.candles, clock=clock, symbols=self.coins,
                state_dir=self.state_dir, settings=self.settings,
            )  # fmt: skip
            await trading.load()
            found = await scenario(
                CrashingTrader(self.url, client, journal_thread, trading, clock, self.cycle_ms)
            )
        journal_thread.close()
        await bus.close()
        return found


def _fork(work: Callable[[], None], failure: Path | None = None) -> int:
    with warnings.catch_warnings():
        # threads of earlier tests own no lock that the child needs
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001  # reported to the parent
        if failure is not None:
            failure.write_text(traceback.format_exc())
        else:
            traceback.print_exc()
    finally:
        os._exit(code)
