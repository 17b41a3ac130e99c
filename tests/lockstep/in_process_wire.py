"""HTTP without a network: requests of a session are answered by handlers in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Self, cast
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web
from yarl import URL

from actors.exchange_sim.venue_wire import VenueWire

type Handler = Callable[[web.Request], Awaitable[web.Response]]


class Routes:
    """Collects the routes of a wire, as an application's router does."""

    def __init__(self, wire: VenueWire) -> None:
        self.handlers: dict[tuple[str, str], Handler] = {}
        wire.add_routes(cast(web.Application, SimpleNamespace(router=self)))

    def add_route(self, method: str, path: str, handler: Handler) -> None:
        self.handlers[method, path] = handler


class InProcessSession:
    """What the product's HTTP clients use of a session.

    Args:
        latency: Waits as long as a request takes each way.
    """

    connector = None

    def __init__(self, routes: Routes, latency: Callable[[], Awaitable[None]]) -> None:
        self._routes = routes
        self._latency = latency

    def request(self, method: str, url: URL, **options: Any) -> _Exchange:
        handler = self._routes.handlers.get((method, url.path))
        if handler is None:
            raise aiohttp.ClientConnectionError(f"{url}: not in this world")
        return _Exchange(handler, url, self._latency, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class _Exchange:
    """A request on its way, then its reply."""

    content_length = None

    def __init__(
        self, handler: Handler, url: URL, latency: Callable[[], Awaitable[None]],
        *, headers: dict[str, str], data: bytes | None = None, **_: Any,
    ) -> None:  # fmt: skip
        self._handler = handler
        self._latency = latency
        self._sent = data or b""
        self._request = SimpleNamespace(
            headers=headers,
            path=url.path,
            raw_path=url.raw_path_qs,
            query=dict(parse_qsl(url.raw_query_string)),
            read=self._read,
            transport=None,
        )

    async def __aenter__(self) -> Self:
        await self._latency()
        reply = await self._handler(cast(web.Request, self._request))
        await self._latency()
        self.status, self.headers, self._body = reply.status, reply.headers, reply.body
        self.content = self
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield cast(bytes, self._body)

    async def _read(self) -> bytes:
        return self._sent
