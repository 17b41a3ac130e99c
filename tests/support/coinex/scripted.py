"""A CoinEx with scripted answers over real sockets; it checks signatures by itself."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import orjson
from aiohttp import web

from shared.clock import Clock
from shared.exchanges.coinex.client import CoinExClient
from shared.exchanges.coinex.wire import CoinExWire
from shared.exchanges.venue_keys import VenueKeys
from tests.support.exchange import served

ACCESS_ID, SECRET = "an-access-id-of-tests", "a-secret-of-tests"
PUBLIC = {"time", "futures/market", "futures/ticker", "futures/depth", "futures/funding-rate"}


@dataclass(frozen=True)
class Asked:
    """A received request."""

    method: str
    endpoint: str
    target: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def query(self) -> dict[str, str]:
        return {k: v[0] for k, v in parse_qs(self.target.partition("?")[2]).items()}

    @property
    def fields(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """An answer, good or broken.

    Attributes:
        sent: Part of the body that is sent before the connection is cut; None: all, and no cut.
        hangs: No answer until the client disconnects.
        raw: The body is sent without HTTP.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: float | None = None
    hangs: bool = False
    raw: bool = False


HANG = Answer(hangs=True)
CUT = Answer(sent=0)
HTML_502 = Answer(b"<html><h1>502 Bad Gateway</h1></html>", 502, {"Content-Type": "text/html"})
NO_HTTP = Answer(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", raw=True)
Script = Answer | Callable[[Asked], Answer]


def ok(data: Any, **pagination: Any) -> Answer:
    """Return a good reply."""
    document = {"code": 0, "data": data, "message": "OK"}
    if pagination:
        document["pagination"] = pagination
    return Answer(orjson.dumps(document))


def no(code: int, message: str = "no") -> Answer:
    """Return a business error, which comes with HTTP 200."""
    return Answer(orjson.dumps({"code": code, "data": {}, "message": message}))


class ScriptedVenue:
    """Answers each call with what was scripted for it, repeating the last answer.

    Signed calls are refused as the real venue does: 4005 without a known access id, 4017 when
    the timestamp is older than its window, 4006 when the signature is wrong.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[Asked] = []
        self.url = ""
        self._scripts: dict[str, list[Script]] = defaultdict(list)

    def answer(self, endpoint: str, *answers: Script) -> None:
        """Script the answers of an endpoint from now on."""
        self._scripts[endpoint] = list(answers)

    def count(self, endpoint: str) -> int:
        """Return the number of requests to an endpoint."""
        return sum(asked.endpoint == endpoint for asked in self.asked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            request.method,
            request.match_info["endpoint"],
            request.raw_path,
            await request.read(),
            request.headers,
        )
        self.asked.append(asked)
        answer = self._denied(asked) or self._next(asked)
        if answer.hangs:
            await asyncio.Event().wait()
        if answer.sent is None and not answer.raw:
            return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
        assert request.transport is not None
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = max(1, len(answer.body))
        if answer.raw:
            request.transport.write(answer.body)
        elif part := answer.body[: int(len(answer.body) * (answer.sent or 0))]:
            await response.prepare(request)
            await response.write(part)
        request.transport.close()
        return response

    def _next(self, asked: Asked) -> Answer:
        scripts = self._scripts[asked.endpoint]
        if not scripts:
            return Answer(f"no tape for {asked.endpoint}".encode(), 599)
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return script(asked) if callable(script) else script

    def _denied(self, asked: Asked) -> Answer | None:
        if asked.endpoint in PUBLIC:
            return None
        if asked.headers.get("X-COINEX-KEY") != ACCESS_ID:
            return no(4005, "invalid access_id")
        timestamp = asked.headers["X-COINEX-TIMESTAMP"]
        if abs(self.clock.now_ms() - int(timestamp)) > int(asked.headers["X-COINEX-WINDOWTIME"]):
            return no(4017, "signature expired")
        prepared = asked.method + asked.target + asked.body.decode() + timestamp
        sign = hmac.new(SECRET.encode(), prepared.encode(), hashlib.sha256).hexdigest()
        return None if asked.headers["X-COINEX-SIGN"] == sign else no(4006, "signature incorrect")


def paged(rows: Sequence[Any], most: int = 1000) -> Callable[[Asked], Answer]:
    """Return a script that serves a list, which may change, in pages of at most `most` rows."""

    def script(asked: Asked) -> Answer:
        page, limit = int(asked.query.get("page", 1)), int(asked.query.get("limit", 10))
        size = min(limit, most)
        part = rows[(page - 1) * size : page * size]
        return ok(part, has_next=page * size < len(rows))

    return script


@asynccontextmanager
async def scripted_venue(clock: Clock) -> AsyncIterator[ScriptedVenue]:
    """Serve a scripted venue under /v2."""
    venue = ScriptedVenue(clock)
    app = web.Application()
    app.router.add_route("*", "/v2/{endpoint:.+}", venue.handle)
    async with served(app) as url:
        venue.url = f"{url}/v2"
        yield venue


@asynccontextmanager
async def venue_client(
    url: str, clock: Clock, keys: VenueKeys | None = None, **options: Any
) -> AsyncIterator[CoinExClient]:
    async with aiohttp.ClientSession() as session:
        wire = CoinExWire(session, base_url=url, clock=clock, keys=keys, **options)
        yield CoinExClient(wire)
