"""Bounds how many connections a web server has, so that none can use up its descriptors."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_protocol import RequestHandler

BUSY_S = 30.0


class ConnectionLimit:
    """Closes a connection when there are more than `most`.

    It is the one that has been without a request for longest: one that sends none, sends it slowly,
    or does not read the response. Where all have one, it is one whose request takes more than
    `BUSY_S`, else the new connection. Websockets are neither closed nor counted: whoever serves
    them bounds them.

    Attributes:
        closed: How many were closed.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._idle: dict[RequestHandler, asyncio.Transport] = {}
        self._busy: dict[RequestHandler, tuple[float, asyncio.Transport]] = {}
        self.closed = 0

    def install(self, app: web.Application) -> None:
        """Follow the requests of an application."""
        app.middlewares.insert(0, self._middleware())
        app.on_response_prepare.append(self._on_response)

    def watch(self, server: web.Server) -> None:
        """Bound the connections of a server."""
        made, lost = server.connection_made, server.connection_lost

        def connection_made(handler: RequestHandler, transport: asyncio.Transport) -> None:
            made(handler, transport)
            self._idle[handler] = transport
            if len(self._idle) + len(self._busy) > self._most:
                self._close_one()

        def connection_lost(handler: RequestHandler, exc: BaseException | None = None) -> None:
            self._forget(handler)
            lost(handler, exc)

        server.connection_made = connection_made  # type: ignore[method-assign]
        server.connection_lost = connection_lost  # type: ignore[method-assign]

    def _forget(self, handler: RequestHandler) -> None:
        self._idle.pop(handler, None)
        self._busy.pop(handler, None)

    def _close_one(self) -> None:
        handler, transport = next(iter(self._idle.items()))
        if len(self._idle) == 1:  # the new one
            oldest, (since, its_transport) = next(iter(self._busy.items()))
            if _now_s() - since > BUSY_S:
                handler, transport = oldest, its_transport
        self._forget(handler)
        self.closed += 1
        transport.abort()

    def _middleware(self) -> Middleware:
        @web.middleware
        async def follow(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = request.protocol
            transport = self._idle.pop(connection, None)
            if transport is not None:
                self._busy[connection] = _now_s(), transport
            try:
                return await handler(request)
            finally:
                # the response is still to be sent
                if self._busy.pop(connection, None) is not None and transport is not None:
                    self._idle[connection] = transport

        return follow

    async def _on_response(self, request: web.Request, response: web.StreamResponse) -> None:
        if isinstance(response, web.WebSocketResponse):
            self._forget(request.protocol)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
