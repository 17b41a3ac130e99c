"""Coins that do not simply trade, as the fetcher finds and publishes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from actors.fetcher import exchange_status
from shared import schema
from shared.bus import Bus
from shared.clock import Clock, SystemClock
from shared.config.sections import FetcherSection
from shared.market import Timeframe
from shared.messages.candles import Listing
from tests.support.exchange import served
from tests.support.market_data import RunningFetcher
from tests.support.waiting import eventually

GOOD, ODD = "BTCUSDT", "ETHUSDT"
DAY_MS, MINUTE_MS = 86_400_000, 60_000
QUICK = FetcherSection(interval_s=0.3, long_interval_s=0.6, circuit_s=1, stream=False)


@dataclass
class OddExchange:
    """Lists two coins, one of them as told: its status, and between when it has candles."""

    clock: Clock
    url: str = ""
    symbols: Sequence[str] = (GOOD, ODD)
    status: str = "TRADING"
    more: dict[str, Any] = field(default_factory=dict)
    begin_ms: int = 0
    end_ms: int | None = None
    asked: int = 0
    says_rules: bool = True

    async def info(self, _request: web.Request) -> web.Response:
        if not self.says_rules:
            return web.Response(status=503)
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
                 "limit": 6000}  # fmt: skip
        coins = [
            {"symbol": GOOD, "status": "TRADING"},
            {"symbol": ODD, "status": self.status, **self.more},
        ]
        return web.json_response({"rateLimits": [limit], "symbols": coins})

    async def time(self, _request: web.Request) -> web.Response:
        return web.json_response({"serverTime": self.clock.now_ms()})

    async def klines(self, request: web.Request) -> web.Response:
        timeframe, limit = Timeframe(request.query["interval"]), int(request.query["limit"])
        begin_ms, end_ms = 0, self.clock.now_ms()
        if request.query["symbol"] == ODD:
            self.asked += 1
            begin_ms, end_ms = self.begin_ms, self.end_ms or end_ms
        newest = timeframe.open_at(end_ms - 1)
        oldest = max(newest - (limit - 1) * timeframe.ms, timeframe.open_at(begin_ms))
        oldest = max(oldest, timeframe.open_at(int(request.query.get("startTime", 0))))
        times = range(oldest, newest + 1, timeframe.ms)
        return web.Response(body=orjson.dumps([row(ms, timeframe.ms) for ms in times]))


def row(open_ms: int, length_ms: int) -> list[Any]:
    prices = ["1.0", "1.1", "0.9", "1.0"]
    return [open_ms, *prices, "5.0", open_ms + length_ms - 1, "5.0", 3, "1.0", "1.0", "0"]


@asynccontextmanager
async def running(
    redis_url: str, directory: Path, **odd: Any
) -> AsyncIterator[tuple[OddExchange, RunningFetcher]]:
    exchange = OddExchange(SystemClock(), **odd)
    app = web.Application()
    app.router.add_get("/api/v3/exchangeInfo", exchange.info)
    app.router.add_get("/api/v3/time", exchange.time)
    app.router.add_get("/api/v3/klines", exchange.klines)
    async with served(app) as url:
        exchange.url = url
        async with RunningFetcher(exchange, redis_url, directory, QUICK) as fetcher:
            yield exchange, fetcher


async def listed(bus: Bus, matches: Callable[[Listing | None], object]) -> Listing | None:
    """Return how the odd coin is listed once that is so."""

    async def found() -> Any:
        listings = await bus.get(schema.LISTINGS)
        listing = None if listings is None else listings.coins.get(ODD)
        return listings is not None and matches(listing) and (listing,)

    (listing,) = await eventually(found, 15)
    assert listing is None or isinstance(listing, Listing)
    return listing


async def test_announced_coin_is_no_failure_and_trades_with_its_first_candle(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    opens_ms = 4_000_000_000_000
    async with running(
        redis_url, tmp_path, status="PRE_TRADING", more={"onboardDate": opens_ms}, begin_ms=opens_ms
    ) as (exchange, fetcher):
        await eventually(fetcher.is_ready, 20)
        listing = await listed(bus, bool)
        assert listing is not None
        assert listing.text == "announced: trading begins 2096-10-02 07:06 UTC (PRE_TRADING)"
        asked = exchange.asked
        await eventually(lambda: exchange.asked > asked + 3, 10)
        detail = fetcher.detail
        assert (detail["coins"], detail["coins_ok"], detail["open_circuits"]) == ({}, 2, [])
        exchange.begin_ms = Timeframe.M5.open_at(exchange.clock.now_ms())
        exchange.status = "TRADING"
        young = await listed(bus, lambda found: found is not None and found.state == "young")
        assert young is not None
        assert young.since_ms == exchange.begin_ms
        assert young.text.endswith("ago, no closed 5m candle yet")


async def test_no_candle_is_no_failure_until_it_is_known_whether_the_coin_is_announced(
    bus: Bus, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_status, "RULES_FIRST_S", 0.2)
    begin_ms = 4_000_000_000_000
    async with running(
        redis_url, tmp_path, status="PRE_TRADING", begin_ms=begin_ms, says_rules=False
    ) as (exchange, fetcher):
        await eventually(lambda: exchange.asked > 3 * QUICK.circuit_failures)
        assert fetcher.detail["coins"] == {} and fetcher.detail["open_circuits"] == []
        exchange.says_rules = True
        await listed(bus, lambda found: found is not None and found.state == "announced")


async def test_young_coin_is_known_by_an_answer_with_fewer_candles_than_asked_for(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    begin_ms = Timeframe.M5.open_at(SystemClock().now_ms() - 25 * MINUTE_MS)
    async with running(redis_url, tmp_path, begin_ms=begin_ms) as (_, fetcher):
        await eventually(fetcher.is_ready, 20)
        listing = await listed(bus, bool)
        assert listing is not None
        assert (listing.state, listing.since_ms) == ("young", begin_ms)
        assert fetcher.detail["coins"] == {}


async def test_dead_coin_says_since_when_and_an_empty_answer_of_a_traded_one_is_a_failure(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    end_ms = Timeframe.H4.open_at(SystemClock().now_ms() - 139 * DAY_MS)
    async with running(redis_url, tmp_path, status="BREAK", end_ms=end_ms) as (_, fetcher):
        dead = await listed(bus, bool)
        assert dead is not None
        assert (dead.state, dead.since_ms) == ("dead", end_ms)
        assert fetcher.detail["coins"] == {}
    async with running(redis_url, tmp_path, begin_ms=4_000_000_000_000) as (_, fetcher):
        await eventually(lambda: fetcher.detail.get("coins"), 10)
        assert "returned no candles" in fetcher.detail["coins"][ODD]
