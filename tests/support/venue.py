"""The simulated venue under test, on a real socket, and a client for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from actors.exchange_sim.coinex.rest import CoinexWire
from actors.exchange_sim.fault_panel import FaultPanel
from actors.exchange_sim.faults import FaultScript
from actors.exchange_sim.venue_panel import VenuePanel
from shared.clock import Clock
from shared.exchanges.sim.prices import Corner, Day, PriceFeed, between
from shared.exchanges.sim.save_file import VenueFile
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue_keys import VenueKeys
from tests.support.exchange import served
from tests.support.manual_clock import ManualClock

FUTURES = {"market_type": "FUTURES"}
ACCESS_ID, SECRET = "an-access-id-of-the-simulator", "a-secret-of-the-simulator"
KEYS = VenueKeys(ACCESS_ID, SECRET)


class ScriptedPrices:
    """Prices moved by a test: in a straight line with `go`, at once with `jump`."""

    def __init__(self, start_ms: int, prices: Mapping[str, str]) -> None:
        self._corners = {m: [Corner(start_ms, Decimal(p))] for m, p in prices.items()}

    def go(self, symbol: str, at_ms: int, price: str) -> None:
        self._corners[symbol].append(Corner(at_ms, Decimal(price)))

    def jump(self, symbol: str, at_ms: int, price: str) -> None:
        self.go(symbol, at_ms, str(self._corners[symbol][-1].price))
        self.go(symbol, at_ms, price)

    def symbols(self) -> Sequence[str]:
        return tuple(self._corners)

    def digits(self, symbol: str, at_ms: int) -> int:
        return 2

    def price(self, symbol: str, at_ms: int) -> Decimal | None:
        return self.path(symbol, at_ms, at_ms)[-1].price

    def path(self, symbol: str, from_ms: int, until_ms: int) -> Sequence[Corner]:
        return between(self._corners[symbol], from_ms, until_ms, 2)

    def day(self, symbol: str, at_ms: int) -> Day | None:
        return None

    def moved_ms(self, symbol: str, at_ms: int) -> int | None:
        return at_ms

    def forget(self, before_ms: int) -> None:
        pass


class VenueUnderTest:
    """A venue on a socket, and calls of a client and of an operator."""

    def __init__(
        self, url: str, wire: CoinexWire, clock: Clock, session: aiohttp.ClientSession
    ) -> None:
        self.url = url
        self.wire = wire
        self.clock = clock
        self._session = session

    async def raw(
        self, method: str, path: str, body: bytes = b"", *, key: str = ACCESS_ID,
        secret: str = SECRET, stamp_ms: int | None = None, **headers: str,
    ) -> tuple[int, bytes]:  # fmt: skip
        """Send one signed request and return status and body."""
        stamp = str(self.clock.now_ms() if stamp_ms is None else stamp_ms)
        prepared = f"{method}/v2{path}".encode() + body + stamp.encode()
        sign = hmac.new(secret.encode(), prepared, hashlib.sha256).hexdigest()
        whole = {
            "X-COINEX-KEY": key, "X-COINEX-SIGN": sign, "X-COINEX-TIMESTAMP": stamp,
            "Content-Type": "application/json", **headers,
        }  # fmt: skip
        url = URL(f"{self.url}/v2{path}", encoded=True)  # sent as signed
        async with self._session.request(method, url, data=body or None, headers=whole) as reply:
            return reply.status, await reply.read()

    async def reply(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        """Send a request and return the whole envelope."""
        if method == "GET":
            query = "&".join(f"{name}={value}" for name, value in given.items())
            status, body = await self.raw("GET", f"{path}?{query}" if query else path)
        else:
            status, body = await self.raw("POST", path, json.dumps(given).encode())
        assert status == 200, (status, body)
        envelope: dict[str, Any] = json.loads(body)
        return envelope

    async def get(self, path: str, **query: Any) -> Any:
        return good(await self.reply("GET", path, **query))

    async def post(self, path: str, **given: Any) -> Any:
        return good(await self.reply("POST", f"/futures/{path}", **FUTURES, **given))

    async def code(self, path: str, **given: Any) -> int:
        reply = await self.reply("POST", f"/futures/{path}", **FUTURES, **given)
        code: int = reply["code"]
        return code

    async def listed(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return the first page of a list of the account."""
        rows: list[dict[str, Any]] = await self.get(f"/futures/{path}", **FUTURES, **query)
        return rows

    async def buy(self, amount: str, market: str = "BTCUSDT", **more: Any) -> Any:
        return await self.post("order", market=market, side="buy", type="market",
                               amount=amount, **more)  # fmt: skip

    async def sell(self, amount: str, market: str = "BTCUSDT", **more: Any) -> Any:
        return await self.post("order", market=market, side="sell", type="market",
                               amount=amount, **more)  # fmt: skip

    async def balance(self) -> dict[str, Decimal]:
        """Return the balance in the settlement currency, with the equity."""
        (row,) = await self.get("/assets/futures/balance")
        found = {name: Decimal(row[name]) for name in row if name != "ccy"}
        parts = ("available", "frozen", "margin", "unrealized_pnl")
        return found | {"equity": sum((found[part] for part in parts), Decimal(0))}

    async def books(self) -> dict[str, Any]:
        """Return the account as the operator sees it."""
        async with self._session.get(f"{self.url}/sim/venue") as reply:
            assert reply.status == 200, await reply.text()
            books: dict[str, Any] = await reply.json()
            return books

    async def by_hand(self, name: str, **given: Any) -> tuple[int, dict[str, Any]]:
        """Do something as the operator."""
        async with self._session.post(f"{self.url}/sim/venue/{name}", json=given) as reply:
            return reply.status, await reply.json()

    async def plan(self, *entries: Mapping[str, Any]) -> None:
        """Post faults as an operator would."""
        async with self._session.post(f"{self.url}/sim/faults", json=list(entries)) as reply:
            assert reply.status == 200, await reply.text()

    async def advance(self, seconds: float) -> None:
        """Advance a manual clock, or wait."""
        if isinstance(self.clock, ManualClock):
            await self.clock.advance(seconds)
        else:
            await asyncio.sleep(seconds)


def good(reply: Mapping[str, Any]) -> Any:
    """Return the data of a reply that must be good."""
    assert (reply["code"], reply["message"]) == (0, "OK"), reply
    return reply["data"]


@asynccontextmanager
async def venue_on(
    feed: PriceFeed, clock: Clock, directory: Path, *, limited: bool = False
) -> AsyncIterator[VenueUnderTest]:
    """Serve a venue that stores its account in `directory`."""
    script = FaultScript(None)
    file = VenueFile(directory / "venue.json")
    state = file.load(clock.now_ms())
    wire = CoinexWire(SimVenue(feed, state), file, script, clock, keys=KEYS, limited=limited)
    app = web.Application()
    wire.add_routes(app)
    VenuePanel(wire).add_routes(app)
    FaultPanel(script, feed.symbols, clock).add_routes(app)
    async with served(app) as url, aiohttp.ClientSession() as session:
        yield VenueUnderTest(url, wire, clock, session)
