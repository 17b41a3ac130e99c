"""The dashboard's page, served as the dashboard serves it, from documents a test makes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from actors.dashboard.actor import LIBRARY, LIBRARY_FILE, STATIC
from actors.dashboard.headers import page_guard
from actors.dashboard.static_files import Files
from tests.support import dashboard_document
from tests.support.fast_clock import FastClock
from tests.support.platform_run import wait_for

START_MS = 1_795_170_100_000
"""2026-11-20T10:21:40Z: no candle closes, and no day ends, within a test that begins then."""


class PageServer:
    """Serves the page on a free port, in a thread of its own, until `close`.

    Its time begins at `START_MS`, and passes as this machine's does.

    Args:
        has_library: The chart library is installed.

    Attributes:
        connections: Websockets made so far.
        later_ms: How far its time has jumped ahead.
        change_series: What a test wants different in every series.
    """

    def __init__(self, data: dict[str, Any], *, has_library: bool = True) -> None:
        self._data = data
        self._clock = FastClock(START_MS, rate=1)
        self._open: dict[web.WebSocketResponse, int] = {}
        self.connections = 0
        self.later_ms = 0
        self.change_series: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        elsewhere = LIBRARY_FILE if has_library else LIBRARY_FILE.with_name("not-there.js")
        self._files = Files(STATIC, {LIBRARY: elsewhere})
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port: int = self._run(self._listen)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def document(self) -> dict[str, Any]:
        """What the next snapshot tells."""
        return self._data

    def show(self, data: dict[str, Any]) -> None:
        """Take what the next snapshot tells."""
        self._data = data

    def now_ms(self) -> int:
        """Return the time its page is told."""
        return self._clock.now_ms() + self.later_ms

    def patch(self, **changes: Any) -> None:
        """Send one patch with `set`, `coins` or `ta` to everybody, at once."""
        self._run(lambda: self._patch(changes))

    def flood(self, count: int, at_once: int | None = None) -> None:
        """Send so many patches, as fast as they are taken.

        Args:
            at_once: How many coins each changes, in turn; None: all of them.
        """

        async def flood() -> None:
            every = self._data["coinData"]
            for number in range(count):
                first = number % len(every)
                changed = [*every, *every][first : first + (at_once or len(every))]
                coins = {
                    each["symbol"]: each
                    | {
                        "price": each["price"] * (1 + (number % 100) / 10_000),
                        "priceAtMs": self.now_ms(),
                        "spark": [*each["spark"][1:], each["price"] + number % 7],
                    }
                    for each in changed
                }
                actors = [row | {"beatAtMs": self.now_ms()} for row in self._data["actors"]]
                await self._patch({"coins": coins, "set": {"actors": actors}})
                if number % 10 == 0:
                    await asyncio.sleep(0.02)  # lets the page draw, and not only listen

        asyncio.run_coroutine_threadsafe(flood(), self._loop).result(300)

    def skip(self) -> None:
        """Lose one message on the way."""
        for ws in self._open:
            self._open[ws] += 1

    def cut(self) -> None:
        """Break every connection, as a network does."""

        async def cut() -> None:
            for ws in list(self._open):
                assert ws._req is not None and ws._req.transport is not None
                ws._req.transport.abort()

        self._run(cut)
        wait_for(lambda: not self._open, 5, "connections gone")

    def close(self) -> None:
        """Stop listening."""

        async def close() -> None:
            assert self._runner is not None
            for ws in list(self._open):
                await ws.close()
            await self._runner.cleanup()

        self._run(close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run(self, work: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    async def _listen(self) -> int:
        app = web.Application()
        page_guard([]).install(app)
        app.router.add_get("/ws", self._serve)
        app.router.add_get("/api/series/{symbol}/{timeframe}", self._series)
        app.router.add_get("/{name:.*}", self._files.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _patch(self, changes: dict[str, Any]) -> None:
        for ws in list(self._open):
            self._open[ws] += 1
            head = {"type": "patch", "seq": self._open[ws], "asOf": self.now_ms()}
            await ws.send_str(orjson.dumps(head | changes).decode())

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        self.connections += 1
        data = self._data | {"asOf": self.now_ms()}
        await ws.send_str(orjson.dumps({"type": "snapshot", "seq": 1, "data": data}).decode())
        self._open[ws] = 1
        try:
            async for message in ws:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            del self._open[ws]
        return ws

    async def _series(self, request: web.Request) -> web.Response:
        wanted = request.match_info
        symbol, now_ms = wanted["symbol"], self.now_ms()
        price = next(c["price"] for c in self._data["coinData"] if c["symbol"] == symbol)
        body = dashboard_document.series(symbol, wanted["timeframe"], now_ms, price=price or 100.0)
        if self.change_series is not None:
            body = self.change_series(body)
        return web.json_response(body)
