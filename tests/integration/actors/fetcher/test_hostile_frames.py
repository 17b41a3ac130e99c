"""A stream that sends too much, too often, or what was not agreed on, is cut off and named."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from pathlib import Path

import psutil
import pytest
from aiohttp import WSMsgType, web

from actors.fetcher.binance_stream import KlineStreams
from actors.fetcher.stream_watch import StreamKey, StreamWatch
from shared.clock import SystemClock
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.http_client import open_session
from shared.market import Timeframe
from tests.support.exchange import served
from tests.support.hostile_server import bomb
from tests.support.waiting import eventually

KEYS: list[StreamKey] = [("BTCUSDT", Timeframe.M5)]
MOST_GROWTH_MB = 40
LONGEST_GAP_S = 1.0

LAST = 0x80
PACKED = 0x40


def frame(payload: bytes, *, packed: bool = False) -> bytes:
    head = bytes((LAST | (PACKED if packed else 0) | WSMsgType.TEXT, 127))
    return head + len(payload).to_bytes(8, "big") + payload


@asynccontextmanager
async def sending(head: bytes, part: bytes) -> AsyncIterator[str]:
    """Accept websockets and send each `head`, then `part` without end."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        transport = request.transport
        assert transport is not None
        transport.write(head)
        for each in repeat(part) if part else ():
            if transport.is_closing():
                break
            if transport.get_write_buffer_size() < 2**20:
                transport.write(each)
            await asyncio.sleep(0)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/stream", handle)
    async with served(app) as url:
        yield url


@pytest.mark.parametrize(
    ("head", "part", "trouble"),
    [
        (frame(b"{" * 9000), b"", "Message size 9000 exceeds limit 8192"),
        (b"\x81\x7f" + (2**62).to_bytes(8, "big"), b"x" * 1000, "exceeds limit 8192"),
        (b"\x01\x01{", b"\x00\x7e\x04\x00" + b" " * 1024, "exceeds limit 8192"),
        (frame(bomb(100, head=b""), packed=True), b"", "non-zero reserved bits"),
        (b"", b"\x81\x00" * 1000, "more than 550 messages within a second"),
        (b"", b"\x89\x00" * 1000, "more than 550 messages within a second"),
        (b"", b"\x8a\x00" * 1000, "more than 550 messages within a second"),
    ],
    ids=[
        "too long", "announced 4 EB", "fragments without end", "compressed bomb", "empty frames",
        "pings", "pongs",
    ],
)  # fmt: skip
async def test_a_hostile_stream_is_cut_off_in_time_and_memory(
    head: bytes, part: bytes, trouble: str, tmp_path: Path
) -> None:
    clock = SystemClock()
    async with sending(head, part) as url, open_session() as session:
        streams = KlineStreams(
            session,
            url=url.replace("http", "ws"),
            watch=StreamWatch(KEYS),
            keys=KEYS,
            client=BinanceClient(session, base_url=url, clock=clock, ban=BanFile(tmp_path / "ban")),
            clock=clock,
            rng=random.Random(7),
            on_event=lambda _: None,
            log=logging.getLogger("hostile"),
        )
        before = psutil.Process().memory_info().rss
        running = asyncio.create_task(streams.run())
        seen: set[str] = set()
        turned_s, longest_s = time.monotonic(), 0.0

        def is_named() -> bool:
            nonlocal turned_s, longest_s
            longest_s = max(longest_s, time.monotonic() - turned_s)
            turned_s = time.monotonic()
            seen.update(streams.troubles())
            return any(trouble in each for each in seen)

        try:
            await eventually(is_named, 10)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert longest_s < LONGEST_GAP_S
        assert psutil.Process().memory_info().rss - before < MOST_GROWTH_MB * 2**20, seen
        assert all(len(each) < 300 and each.isprintable() for each in seen)
