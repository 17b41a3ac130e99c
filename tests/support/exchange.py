"""Exchanges on real sockets: the simulator, and recordings replayed word for word."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from actors.exchange_sim.binance.limits import RequestLimits
from actors.exchange_sim.binance.rest import BinanceWire
from actors.exchange_sim.faults import FaultScript
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from shared.clock import Clock
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient

Reply = tuple[int, Mapping[str, str], bytes]


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free port of this machine and yield its base URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Simulator:
    """A simulated exchange under test, with its control panel."""

    def __init__(self, url: str, wire: BinanceWire) -> None:
        self.url = url
        self.wire = wire

    async def plan(self, *entries: Mapping[str, Any]) -> None:
        """Post faults as an operator would."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/sim/faults", json=list(entries)) as response,
        ):
            assert response.status == 200, await response.text()

    async def requests(self) -> dict[str, Any]:
        """Return the counts as an operator would see them."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/sim/requests") as response,
        ):
            counts: dict[str, Any] = await response.json()
            return counts


@asynccontextmanager
async def simulated(
    clock: Clock, symbols: Sequence[str], *, limit: int = 6000
) -> AsyncIterator[Simulator]:
    """Serve a simulated exchange with generated prices."""
    market = Market(GeneratedPrices(symbols, 7))
    wire = BinanceWire(market, FaultScript(market), clock, RequestLimits(limit))
    app = web.Application()
    wire.add_routes(app)
    async with served(app) as url:
        yield Simulator(url, wire)


@asynccontextmanager
async def replaying(replies: Mapping[tuple[str, str], Reply]) -> AsyncIterator[str]:
    """Answer each (endpoint, query string) with its recorded status, headers and body."""

    async def handle(request: web.Request) -> web.Response:
        wanted = (request.match_info["endpoint"], request.rel_url.query_string)
        if wanted not in replies:
            return web.Response(status=599, text=f"no tape for {wanted}")
        status, headers, body = replies[wanted]
        return web.Response(
            status=status, headers=headers, body=body, content_type="application/json"
        )

    app = web.Application()
    app.router.add_get("/api/v3/{endpoint}", handle)
    async with served(app) as url:
        yield url


@asynccontextmanager
async def client_of(
    url: str, clock: Clock, directory: Path, **options: Any
) -> AsyncIterator[BinanceClient]:
    """Yield a client whose ban file is in `directory`."""
    async with aiohttp.ClientSession() as session:
        ban = BanFile(directory / "binance-ban")
        yield BinanceClient(session, base_url=url, clock=clock, ban=ban, **options)
