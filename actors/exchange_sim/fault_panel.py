"""The simulator's control panel under `/sim`: adds and lists faults, for this machine only."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import orjson
from aiohttp import web

from actors.exchange_sim.faults import FaultScript, parse_entries
from shared.clock import Clock
from shared.errors import BadMessage

_LOOPBACK = ("127.0.0.1", "::1")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FaultPanel:
    """`GET`, `POST` and `DELETE /sim/faults`.

    Args:
        symbols: Returns the coins that exist.
        cleared: Called after all faults were removed.
    """

    def __init__(
        self,
        script: FaultScript,
        symbols: Callable[[], Sequence[str]],
        clock: Clock,
        *,
        cleared: Callable[[], None] = lambda: None,
        log: logging.Logger | None = None,
    ) -> None:
        self._script = script
        self._symbols = symbols
        self._clock = clock
        self._cleared = cleared
        self._log = log or logging.getLogger(__name__)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/sim/faults", from_here(self._show))
        app.router.add_post("/sim/faults", from_here(self._add))
        app.router.add_delete("/sim/faults", from_here(self._clear))

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response(self._script.listed(self._clock.now_ms()))

    async def _add(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return refused("expected content type application/json")
        try:
            document = orjson.loads(await request.read())
            entries = parse_entries(
                document, self._symbols(), "POST /sim/faults", self._script.kinds
            )
        except orjson.JSONDecodeError as error:
            return refused(f"the body is not JSON: {error}")
        except BadMessage as error:
            return refused(str(error))
        now_ms = self._clock.now_ms()
        self._script.add(entries, now_ms)
        self._log.info("faults planned: %s", entries)
        return web.json_response(self._script.listed(now_ms))

    async def _clear(self, _request: web.Request) -> web.Response:
        self._script.clear()
        self._cleared()
        return web.json_response([])


def from_here(handler: Handler) -> Handler:
    """Return a handler that refuses other machines."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.remote not in _LOOPBACK:
            return refused("/sim is served to this machine only", 403)
        return await handler(request)

    return handle


def refused(text: str, status: int = 400) -> web.Response:
    return web.json_response({"error": text}, status=status)
