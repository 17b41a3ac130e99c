"""Coins whose names are not five Latin letters and USDT, from the exchange to the page."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from actors.base import Context
from actors.dashboard.actor import Dashboard
from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.sections import FetcherSection
from shared.market import Timeframe
from shared.supervision.status_pipe import StatusPipe
from tests.support.market_data import RunningFetcher, SimulatedExchange
from tests.support.ports import free_port
from tests.support.running_actor import answering
from tests.support.waiting import eventually

ASSETS = {
    "BTCUSDT": ("BTC", "USDT"),
    "币安人生USDT": ("币安人生", "USDT"),
    "WBTC": ("W", "BTC"),
    "BTCU": ("BTC", "U"),
    "1000SATSUSDC": ("1000SATS", "USDC"),
}
CLOCK = SystemClock()


@contextlib.asynccontextmanager
async def dashboard(
    redis_url: str, state_dir: Path
) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    port = free_port()
    context = Context(
        name="dashboard", mode="demo", source="sim", state_dir=state_dir,
        section={
            "dashboard": {"host": "127.0.0.1", "port": port}, "namespace": "",
            "groups": {"all": list(ASSETS)}, "actors": ["fetcher", "dashboard"], "fetcher": {},
            "account": {}, "trader": {}, "indicators": {}, "timer_min": None,
            "binance": {"base_url": "http://127.0.0.1:1", "weight_share": 0.5},
        },
        bus=Bus(redis_url, name="dashboard", clock=CLOCK), clock=CLOCK,
        log=logging.getLogger("dashboard"), rng=random.Random(1), status=StatusPipe(None),
        probation=False, quarantined_coins={},
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    async with answering(Dashboard(context), f"{base}/api/state") as session:
        yield session, base


async def test_any_symbol_goes_from_rest_and_stream_over_the_bus_to_the_page(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    async with (
        SimulatedExchange(ASSETS, CLOCK, streams=True) as exchange,
        RunningFetcher(exchange, redis_url, tmp_path, FetcherSection(interval_s=0.5)) as running,
        dashboard(redis_url, tmp_path) as (session, base),
    ):
        await eventually(running.is_ready, 20)

        def all_stream() -> bool:
            stream: dict[str, Any] = running.detail.get("stream", {})
            return stream.get("connected") is True and stream["silent_streams"] == 0

        await eventually(all_stream, 20)
        assert running.detail["stream"]["bad_frames"] == 0
        assert running.detail["coins"] == {}
        for symbol in ASSETS:
            for timeframe in Timeframe:
                found = await bus.get(schema.CANDLES[timeframe], symbol=symbol)
                assert found is not None and found.symbol == symbol
                async with session.get(f"{base}/api/series/{quote(symbol)}/{timeframe}") as answer:
                    assert answer.status == 200
                    assert (await answer.json())["symbol"] == symbol

        async def shown() -> dict[str, tuple[str, str]]:
            async with session.get(f"{base}/api/state") as answer:
                coins = (await answer.json())["coinData"]
            return {c["symbol"]: (c["baseAsset"], c["quoteAsset"]) for c in coins if c["price"]}

        async def all_shown() -> bool:
            return await shown() == ASSETS

        await eventually(all_shown, 20)
