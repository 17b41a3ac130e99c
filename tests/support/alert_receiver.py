"""A webhook that people's messages arrive at, and that can refuse, hang and come back."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.support.ports import free_port


class Receiver:
    """What arrived, by the last part of the path.

    Paths in `refusing` answer 503; in `hanging` only once `over` is set, their messages arrive at
    once; in `odd` as their function makes it.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.arrived: dict[str, list[dict[str, Any]]] = {}
        self.asked: Counter[str] = Counter()
        self.refusing: set[str] = set()
        self.hanging: set[str] = set()
        self.odd: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {}
        self.over = asyncio.Event()

    def url(self, name: str) -> str:
        return f"json://127.0.0.1:{self.port}/{name}"

    def bodies(self, name: str) -> list[str]:
        return [message["message"] for message in self.arrived.get(name, [])]

    async def take(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.asked[name] += 1
        if name in self.odd:
            return await self.odd[name](request)
        if name in self.refusing:
            return web.Response(status=503)
        self.arrived.setdefault(name, []).append(await request.json())
        if name in self.hanging:
            await self.over.wait()
        return web.Response()


@contextlib.asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of loopback."""
    here = Receiver(free_port())
    app = web.Application()
    app.router.add_route("*", "/{name}", here.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", here.port, ssl_context=tls).start()
    try:
        yield here
    finally:
        here.over.set()
        await runner.cleanup()
