"""A simulated exchange on a real socket, and fetchers running against it in this process."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, Self

import aiohttp
import orjson
from aiohttp import web

from actors.base import Context
from actors.exchange_sim.binance.rest import BinanceWire
from actors.exchange_sim.faults import FaultScript
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.fetcher.actor import Fetcher
from shared.bus import Bus
from shared.clock import Clock
from shared.config.sections import FetcherSection
from shared.market import Timeframe
from shared.supervision.status_pipe import StatusPipe

Rewrite = Callable[[Mapping[str, str], list[Any]], Awaitable[list[Any] | None]]


DAY_MS = 1_781_699_820_000
"""12:37 UTC on 17 June 2026. Tests whose clocks begin near it meet the same candles at any hour."""


def before_close_ms(timeframe: Timeframe, seconds: float) -> int:
    """Return a time of that day so many seconds before a candle closes."""
    return timeframe.open_at(DAY_MS) + timeframe.ms - round(seconds * 1000)


def redenominated(symbol: str, *, halt_ms: int, break_ms: int) -> Rewrite:
    """Return an exchange that halts a coin until `break_ms`; from then on it is worth a 100th."""

    async def rewrite(query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
        if query["symbol"] != symbol:
            return rows
        kept = []
        for row in rows:
            if halt_ms <= row[0] and row[6] < break_ms:
                continue
            if row[0] >= break_ms:
                row[1:5] = [f"{float(price) / 100:.8f}" for price in row[1:5]]
            kept.append(row)
        return kept

    return rewrite


class Exchange(Protocol):
    """What a fetcher needs to know of the exchange it asks."""

    url: str
    symbols: Sequence[str]
    clock: Clock


class SimulatedExchange:
    """The simulator's wire behind a port of its own; notes every klines request and its time.

    Args:
        streams: False: every attempt to stream is refused, for good.

    Attributes:
        rewrite: Changes the rows of every answer with klines, given its query; None: HTTP 503.
    """

    def __init__(
        self, symbols: Iterable[str], clock: Clock, seed: int = 7, *, streams: bool = False
    ) -> None:
        self.streams = streams
        self.symbols: Sequence[str] = list(symbols)
        self.clock = clock
        self.market = Market(GeneratedPrices(self.symbols, seed))
        self.wire = BinanceWire(self.market, FaultScript(self.market), clock)
        self.asked: list[Mapping[str, str]] = []
        self.rewrite: Rewrite | None = None
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        @web.middleware
        async def note(request: web.Request, handler: Any) -> web.StreamResponse:
            if request.path.endswith("klines"):
                self.asked.append({**request.query, "at_ms": str(self.clock.now_ms())})
            if request.path == "/stream" and not self.streams:
                return web.Response(status=503)
            response: web.StreamResponse = await handler(request)
            if (
                self.rewrite is None
                or not request.path.endswith("klines")
                or response.status != 200
            ):
                return response
            assert isinstance(response, web.Response) and isinstance(response.body, bytes)
            rows = await self.rewrite(request.query, orjson.loads(response.body))
            if rows is None:
                return web.Response(status=503)
            response.body = orjson.dumps(rows)
            return response

        app = web.Application(middlewares=[note])
        self.wire.add_routes(app)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def plan(self, **fault: Any) -> None:
        """Post one entry to the fault script."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/sim/faults", json=fault) as response,
        ):
            assert response.status == 200, await response.text()

    async def heal(self) -> None:
        """Take all faults back."""
        async with (
            aiohttp.ClientSession() as session,
            session.delete(f"{self.url}/sim/faults") as response,
        ):
            assert response.status == 200

    def requests(self) -> int:
        """Return how many requests of any kind have come so far."""
        return sum(self.wire.counts.values())


class RunningFetcher:
    """A fetcher at work; leaving the context stops it as SIGTERM would, `kill` as SIGKILL."""

    def __init__(
        self,
        exchange: Exchange,
        redis_url: str,
        state_dir: Path,
        settings: FetcherSection | None = None,
        *,
        symbols: Iterable[str] | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        clock = exchange.clock
        context = Context(
            name="fetcher",
            mode="demo",
            source="sim",
            state_dir=state_dir,
            section={
                "fetcher": asdict(settings or FetcherSection()),
                "binance": {"base_url": exchange.url, "weight_share": 0.5},
                "symbols": list(symbols or exchange.symbols),
            },
            bus=Bus(redis_url, name="fetcher", clock=clock),
            clock=clock,
            log=log or logging.getLogger("fetcher"),
            rng=random.Random(1),
            status=StatusPipe(None),
            probation=False,
            quarantined_coins={},
        )
        self.fetcher = Fetcher(context)
        self._task: asyncio.Task[None] | None = None

    @property
    def detail(self) -> dict[str, Any]:
        """Return the fetcher's own figures."""
        return self.fetcher.detail

    def is_ready(self) -> bool:
        """Tell whether it has said so; fail at once if it has died."""
        assert self._task is not None
        if self._task.done():
            self._task.result()
        return self.fetcher._state == "ready"

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.fetcher.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self.fetcher.stop()
        try:
            await self._task
        finally:
            await self.fetcher.bus.close()

    async def kill(self) -> None:
        """End it between two instructions, without letting it finish its step."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
