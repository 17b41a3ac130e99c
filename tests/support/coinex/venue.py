"""The simulated venue under test, spoken to as a client of CoinEx does."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from yarl import URL

from shared.clock import Clock
from shared.exchanges.sim.prices import PriceFeed
from tests.support.venue import ACCESS_ID, SECRET, VenueUnderTest, venue_on

FUTURES = {"market_type": "FUTURES"}


class CoinexUnderTest(VenueUnderTest):
    """A venue on a socket, and calls of a client."""

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
        async with self.session.request(method, url, data=body or None, headers=whole) as reply:
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


def good(reply: Mapping[str, Any]) -> Any:
    """Return the data of a reply that must be good."""
    assert (reply["code"], reply["message"]) == (0, "OK"), reply
    return reply["data"]


@asynccontextmanager
async def coinex_on(
    feed: PriceFeed, clock: Clock, directory: Path, *, limited: bool = False
) -> AsyncIterator[CoinexUnderTest]:
    """Serve a venue that stores its account in `directory`."""
    async with venue_on(feed, clock, directory, limited=limited) as venue:
        yield CoinexUnderTest(venue.url, venue.wire, venue.clock, venue.session)
