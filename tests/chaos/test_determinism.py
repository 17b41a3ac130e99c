"""The same candles give the same signals to the bit: killed halfway, not killed, and replayed."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from shared import codec, schema
from shared.backtest.recording import read_recording
from shared.backtest.replay import Recording, replay
from shared.bus import Bus
from shared.config.sections import IndicatorsSection
from shared.market import COLUMNS, Timeframe
from shared.messages.candles import CandleRow, CandleUpdate, CandleWindow
from shared.messages.signals import TaSignal
from tests.support.candle_series import window_at
from tests.support.paths import ROOT
from tests.support.private_redis import PrivateRedis
from tests.support.recordings import generated

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
CLOSES = 75
M5 = Timeframe.M5

# The actor as the zygote's children run it, but for the clock, which reads a file.
LIFE = """
    import logging, mmap, random, sys
    from pathlib import Path
    from actors.base import Context, run_actor
    from actors.indicators.actor import Indicators
    from shared.bus import Bus
    from shared.clock import SystemClock
    from shared.supervision.status_pipe import StatusPipe

    redis_url, clock_file, *coins = sys.argv[1:]
    with open(clock_file, "rb") as file:
        time = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    class SteeredClock(SystemClock):
        def now_ms(self):
            return int.from_bytes(time[:8], "little")

    clock, log = SteeredClock(), logging.getLogger("indicators-test")
    run_actor(Indicators(Context(
        name="indicators-test", mode="demo", source="sim", state_dir=Path("."),
        section={"group": "test", "symbols": coins, "indicators": {"interval_s": 1000}},
        bus=Bus(redis_url, name="indicators-test", clock=clock, log=log), clock=clock, log=log,
        rng=random.Random(1), status=StatusPipe(None), probation=False, quarantined_coins={},
    )))
"""


class Worker:
    """The process of an indicators actor, and the hands of its clock."""

    def __init__(self, redis_url: str, directory: Path, coins: Sequence[str]) -> None:
        path = directory / "clock"
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._time = mmap.mmap(file.fileno(), 8)
        self._command = [
            sys.executable, "-c", textwrap.dedent(LIFE), redis_url, str(path), *coins
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def set_clock(self, now_ms: int) -> None:
        self._time[:8] = now_ms.to_bytes(8, "little")

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT)

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, "it has ended by itself"
        os.kill(self._process.pid, signal.SIGKILL)
        assert self._process.wait() == -signal.SIGKILL


@pytest.fixture
def worker(redis_url: str, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(redis_url, tmp_path, COINS)
    yield made
    with contextlib.suppress(AssertionError):
        made.kill()


@pytest.fixture(params=["generated", "recorded"])
def market(request: pytest.FixtureRequest) -> dict[str, Recording]:
    if request.param == "generated":
        return {coin: generated(coin) for coin in COINS}
    directory = request.getfixturevalue("data_dir") / "candles"
    return {coin: read_recording(directory, coin) for coin in COINS}


def places(recording: Recording) -> range:
    """Return the last closes but one hour; they cross the close of a 4h candle."""
    end = len(recording.closes) - 12
    return range(end - CLOSES, end)


class Play:
    """One run through the candles: windows and updates go out, signals come in."""

    def __init__(
        self, market: dict[str, Recording], server: PrivateRedis, bus: Bus, worker: Worker
    ) -> None:
        self._market = market
        self._server = server
        self._bus = bus
        self._worker = worker
        self._now_ms = 0
        self._heard: dict[tuple[str, int], set[bytes]] = defaultdict(set)
        self.history: dict[str, list[bytes]] = {coin: [] for coin in market}

    async def run(self, kill_at: int | None) -> None:
        """Close one candle after another; kill the worker at one of them, computing or not."""
        names = [schema.TA_SIGNALS.name(symbol=coin) for coin in self._market]
        async with self._bus.subscribe(*names) as deliveries:
            assert (await anext(deliveries)).channel == ""
            recording = next(iter(self._market.values()))
            for number, now_ms in enumerate(recording.closes[places(recording)].tolist()):
                self._now_ms = now_ms
                self._worker.set_clock(now_ms)
                closed = await self._show(everything=not number)
                if not number:
                    self._worker.start()
                for window in closed:
                    await self._tell(window)
                if number == kill_at:
                    self._worker.kill()
                    self._worker.start()
                async with asyncio.timeout(20):
                    while not self._is_complete():
                        self._hear((await anext(deliveries)).raw)
                await self._record()

    async def _show(self, *, everything: bool) -> list[CandleWindow]:
        """Put the windows of which a candle closes now; return them."""
        windows = [
            # what a fetcher holds that asked the moment the candle closed
            window_at(candles, timeframe, timeframe.open_at(self._now_ms), symbol=coin)
            for coin, recording in self._market.items()
            for timeframe, candles in recording.candles.items()
            if everything or self._now_ms % timeframe.ms == 0
        ]
        for window in windows:
            await self._bus.put(
                schema.CANDLES[window.timeframe], window, symbol=window.symbol, ttl_ms=300_000
            )
        return windows

    async def _tell(self, window: CandleWindow) -> None:
        newest = {name: getattr(window.closed(), name)[-1].item() for name in COLUMNS}
        update = CandleUpdate(
            symbol=window.symbol, timeframe=window.timeframe, source="sim", at_ms=self._now_ms,
            candles=[CandleRow(**newest, closed=True)], closed_until_ms=window.closed_until_ms,
        )  # fmt: skip
        await self._bus.publish(schema.CANDLE_UPDATES, update, symbol=window.symbol)

    def _hear(self, raw: bytes) -> None:
        """Keep a signal. One computed while the windows were being put knows only some."""
        found = codec.decode(TaSignal, raw, "signal heard")
        close_ms = found.closed_until_ms
        if all(found.inputs[t].closed_until_ms == t.open_at(close_ms) for t in Timeframe):
            self._heard[found.symbol, close_ms].add(raw)

    def _is_complete(self) -> bool:
        return all(self._heard.get((coin, self._now_ms)) for coin in self._market)

    async def _record(self) -> None:
        for coin, history in self.history.items():
            latest = self._server.run("GET", schema.TA_LATEST.name(symbol=coin))
            assert isinstance(latest, bytes)
            # However often it was computed at this close, it said the same.
            assert self._heard[coin, self._now_ms] == {latest}
            history.append(latest)


async def test_a_worker_killed_halfway_leaves_no_trace_and_a_replay_agrees(
    market: dict[str, Recording], bus: Bus, worker: Worker, shared_redis: PrivateRedis
) -> None:
    histories = []
    for kill_at in (None, CLOSES // 2):
        shared_redis.run("FLUSHALL")
        play = Play(market, shared_redis, bus, worker)
        await play.run(kill_at)
        worker.kill()
        histories.append(play.history)
    whole, killed = histories
    assert killed == whole

    for coin, recording in market.items():
        blocks = replay(recording, places(recording), IndicatorsSection())
        assert [codec.encode(s) for block in blocks for s in block] == whole[coin]
        assert len(set(whole[coin])) == CLOSES
