"""A server full of connections that ask for nothing still answers who asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from shared.web.listening import MOST_CONNECTIONS, listen
from tests.support.waiting import eventually

BEGUN = b"GET /quick HTTP/1.1\r\nHost: localhost\r\n"


class Site:
    """A listening application: `/quick`, `/slow` until `go_on`, and a websocket."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asked = 0
        self.port = 0
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def open(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/quick", self._quick)
        app.router.add_get("/slow", self._slow)
        app.router.add_get("/ws", self._websocket)
        runner = await listen(app, section="test", host="127.0.0.1", port=0)
        self.port = runner.addresses[0][1]
        return runner

    async def _quick(self, _: web.Request) -> web.Response:
        return web.Response(text="here")

    async def _slow(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.go_on.wait()
        return web.Response(text="at last")

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        return ws

    async def connect(self, count: int, say: bytes = b"") -> None:
        """Open connections that say something, or nothing, and stay."""
        for _ in range(count):
            stream = await asyncio.open_connection("127.0.0.1", self.port)
            self._streams.append(stream)
            if say:
                stream[1].write(say)

    def closed(self) -> int:
        """Return how many of them the server has closed."""
        return sum(bool(reader.at_eof() or reader.exception()) for reader, _ in self._streams)

    async def close(self) -> None:
        for _, writer in self._streams:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    runner = await made.open()
    yield made
    await made.close()
    await runner.cleanup()


async def ask(session: aiohttp.ClientSession, site: Site, path: str = "quick") -> str:
    async with session.get(f"http://127.0.0.1:{site.port}/{path}") as response:
        return await response.text()


@pytest.mark.parametrize("said", [b"", BEGUN], ids=["nothing", "half a request"])
async def test_connections_without_a_request_give_way_to_one_with(site: Site, said: bytes) -> None:
    await site.connect(MOST_CONNECTIONS + 50, said)
    await eventually(lambda: site.closed() == 50)
    async with aiohttp.ClientSession() as session:
        assert await ask(session, site) == "here"
    await eventually(lambda: site.closed() == 51)


async def test_a_request_in_work_and_a_websocket_are_not_cut_off(site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        slow = asyncio.create_task(ask(session, site, "slow"))
        await eventually(lambda: site.asked == 1)
        async with session.ws_connect(f"http://127.0.0.1:{site.port}/ws") as ws:
            await site.connect(2 * MOST_CONNECTIONS)
            await eventually(lambda: site.closed() == MOST_CONNECTIONS + 1)
            await ws.send_str("still there")
            assert await ws.receive_str() == "still there"
        site.go_on.set()
        assert await slow == "at last"


async def test_where_every_connection_has_a_request_the_new_one_is_closed(site: Site) -> None:
    request = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"
    await site.connect(MOST_CONNECTIONS, request)
    await eventually(lambda: site.asked == MOST_CONNECTIONS)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await ask(session, site)
        site.go_on.set()
        assert site.closed() == 0
        await eventually(lambda: _answers(session, site))


async def _answers(session: aiohttp.ClientSession, site: Site) -> bool:
    try:
        return await ask(session, site) == "here"
    except aiohttp.ClientError:
        return False
