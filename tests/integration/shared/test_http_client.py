"""Clients of exchanges against servers that send too much, too slowly, or something else."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from shared.clock import SystemClock
from shared.config.sections import VenueSection
from shared.config.venue_catalog import venue_catalog
from shared.errors import ExchangeUnavailable, VenueUnavailable
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.exchanges.venues import open_venue
from shared.http_client import open_session
from shared.market import Timeframe
from tests.support.hostile_server import hostile, replies

TIMEOUT_S = 1.0
MOST_GROWTH_MB = 40
LONGEST_GAP_S = 1.0

Call = Callable[[], Awaitable[object]]


async def binance(session: aiohttp.ClientSession, url: str, directory: Path) -> Call:
    client = BinanceClient(
        session,
        base_url=url,
        clock=SystemClock(),
        ban=BanFile(directory / "ban"),
        timeout_s=TIMEOUT_S,
    )
    return lambda: client.klines("BTCUSDT", Timeframe.M5, limit=500)


def a_venue(name: str) -> Callable[[aiohttp.ClientSession, str, Path], Awaitable[Call]]:
    """Return what opens a venue of the catalog without keys."""

    async def opened(session: aiohttp.ClientSession, url: str, _: Path) -> Call:
        section = VenueSection(
            name=name,
            base_url=url + venue_catalog()[name].path,
            request_timeout_s=TIMEOUT_S,
        )
        log = logging.getLogger(name)
        return open_venue(
            section, session, clock=SystemClock(), keys=None, share=1.0, log=log
        ).tickers

    return opened


@asynccontextmanager
async def beating() -> AsyncIterator[Callable[[], float]]:
    """Yield the longest time for which this loop did not turn."""
    longest_s = 0.0

    async def beat() -> None:
        nonlocal longest_s
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(0.01)
            longest_s = max(longest_s, time.monotonic() - before_s)

    task = asyncio.create_task(beat())
    try:
        yield lambda: longest_s
    finally:
        task.cancel()


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(binance, id="candles of Binance"),
        *(pytest.param(a_venue(name), id=name) for name in venue_catalog()),
    ],
)
@pytest.mark.parametrize("name", replies())
async def test_a_hostile_reply_is_refused_in_time_and_memory(
    name: str,
    client: Callable[[aiohttp.ClientSession, str, Path], Awaitable[Call]],
    tmp_path: Path,
) -> None:
    reply, pattern = replies()[name]
    async with hostile(reply) as url, open_session() as session, beating() as longest_s:
        call = await client(session, url, tmp_path)
        memory = psutil.Process().memory_info
        before, began_s = memory().rss, time.monotonic()
        with pytest.raises((ExchangeUnavailable, VenueUnavailable)) as refused:
            await call()
        assert time.monotonic() - began_s < TIMEOUT_S + LONGEST_GAP_S
        assert memory().rss - before < MOST_GROWTH_MB * 2**20
        assert longest_s() < LONGEST_GAP_S
    text = str(refused.value)
    assert re.search(pattern, text), text
    assert len(text) < 500 and text.isprintable()


async def test_a_connection_is_not_used_again_after_a_refused_reply(tmp_path: Path) -> None:
    reply, _ = replies()["announced 5 GB"]
    async with hostile(reply) as url, open_session() as session:
        call = await binance(session, url, tmp_path)
        for _ in range(2):
            with pytest.raises(ExchangeUnavailable, match="5,000,000,000"):
                await call()
        assert session.connector is not None
        assert not session.connector._conns


async def test_a_websocket_follows_no_redirect() -> None:
    reply, _ = replies()["a redirect"]
    async with hostile(reply) as url, open_session() as session:
        with pytest.raises(aiohttp.ClientError, match="HTTP 302, a redirect, never followed"):
            await session.ws_connect(url.replace("http", "ws"))


async def test_no_cookie_is_kept() -> None:
    async with open_session() as session:
        session.cookie_jar.update_cookies({"a": "b"})
        assert not list(session.cookie_jar)
