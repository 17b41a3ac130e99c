"""CoinEx's futures API v2 over the simulated venue, faults included.

A request is carried out and on disk before it is answered. Business errors come with HTTP 200 and
a code; the fault kinds `..._after` carry the request out and then lose the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from actors.exchange_sim.coinex.calls import Call, CallReply, calls
from actors.exchange_sim.coinex.codes import (
    BAD_ARGUMENT,
    BAD_KEY,
    BAD_METHOD,
    BAD_SIGN,
    BUSY,
    EXPIRED,
    NO_BALANCE,
    RATE_LIMIT,
    UNAVAILABLE,
    WireRefused,
    code_of,
)
from actors.exchange_sim.coinex.requests import Buckets, CoinexParameters, check_signature
from actors.exchange_sim.faults import InjectedFault
from actors.exchange_sim.hostile_replies import BOMB_MB, bomb, endless
from actors.exchange_sim.venue_wire import VenueWire
from shared.config.sections import FaultKind
from shared.exchanges.sim.errors import SimRefused

_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
_TIMES = ("_at", "_time", "timestamp")
_ANY_MARKET = ("balance", "order-status")  # documented without `market_type`
_AFTER: tuple[FaultKind, ...] = (
    "venue_timeout_after",
    "venue_cut_after",
    "venue_5xx_after",
    "venue_unavailable_after",
)


class CoinexWire(VenueWire):
    """CoinEx's protocol."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._buckets = Buckets()

    def add_routes(self, app: web.Application) -> None:
        for call in calls():
            app.router.add_route(call.method, f"/v2{call.path}", self._endpoint(call))
        app.router.add_route("*", "/v2/{path:.*}", self._refuse_path)

    def _endpoint(self, call: Call) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.counts[call.endpoint] += 1
            return await _Request(self, call, request, await request.read()).respond()

        return handle

    async def _refuse_path(self, request: web.Request) -> web.Response:
        """Answer what is not simulated as the venue answers: HTTP 200, and a code."""
        code, text = BAD_ARGUMENT[0], f"{request.path}: not simulated"
        if any(request.path == f"/v2{call.path}" for call in calls()):
            code, text = BAD_METHOD
        return self.reply(code, {}, text)

    def reply(
        self,
        code: int,
        data: Any,
        text: str,
        pagination: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Return an answer in CoinEx's envelope, and count its code."""
        self.codes[code] += 1
        document = {"code": code, "data": data, "message": text}
        if pagination is not None:
            document["pagination"] = pagination
        return web.Response(
            body=orjson.dumps(document), content_type="application/json", headers=headers
        )

    def tokens(self, call: Call) -> int | None:
        """Take a token of the call's group; None when there is none left."""
        if call.rate is None or not self.limited:
            return call.rate or 0
        return self._buckets.take(call.group, call.rate, self.clock.monotonic())


Wire = CoinexWire


class _Request:
    """One request and its answer."""

    def __init__(self, wire: CoinexWire, call: Call, request: web.Request, body: bytes) -> None:
        self._wire = wire
        self._call = call
        self._request = request
        self._body = body
        self._symbol = _symbol(call, request, body)
        self._headers: dict[str, str] = {}

    async def respond(self) -> web.StreamResponse:
        if hang := self._fault("venue_hang"):
            await self._wire.wait_out(hang)
        if self._fault("venue_endless"):
            return await endless(
                self._request, {}, lambda: self._fault("venue_endless") is not None
            )
        if (broken := self._broken()) is not None:
            return broken
        skew = self._fault("venue_clock_skew")
        skew_ms = int(skew.value(0)) if skew else 0
        try:
            self._refuse_by_script()
            answer = self._do(skew_ms)
        except (SimRefused, WireRefused) as refused:
            code, text = code_of(refused)
            return self._reply(code, {}, text)
        return await self._deliver(answer, skew_ms)

    def _do(self, skew_ms: int) -> CallReply:
        call, request = self._call, self._request
        now_ms = self._wire.pass_time()
        if call.method == "POST":
            given = CoinexParameters.of_body(self._body)
        else:
            given = CoinexParameters(request.query)
        if call.signed:
            line = call.method + request.raw_path
            check_signature(self._wire.keys, request.headers, line, self._body, now_ms + skew_ms)
            if call.endpoint not in _ANY_MARKET:
                given.futures()
        left = self._wire.tokens(call)
        if call.rate is not None:
            self._headers["X-RateLimit-Limit"] = str(call.rate)
            self._headers["X-RateLimit-Remaining"] = str(left or 0)
        if left is None:
            raise WireRefused(*RATE_LIMIT)
        if call.endpoint == "time":  # the clock runs even while the venue is frozen
            return CallReply({"timestamp": now_ms})
        try:
            return call.do(self._wire.venue, _shifted_back(given, skew_ms))
        finally:
            self._wire.save()

    async def _deliver(self, answer: CallReply, skew_ms: int) -> web.StreamResponse:
        if self._call.method == "POST":
            for kind in _AFTER:
                if fault := self._fault(kind):
                    return await self._fail(kind, fault)
        data = _shifted(answer.data, skew_ms) if skew_ms else answer.data
        response = self._reply(0, data, "OK", answer.pagination)
        if self._fault("venue_half_body"):
            return await self._half(response.body)
        return response

    async def _fail(self, kind: FaultKind, fault: InjectedFault) -> web.StreamResponse:
        """Lose the answer to a request that was carried out."""
        if kind == "venue_5xx_after":
            return self._page(int(fault.value(502)))
        if kind == "venue_unavailable_after":
            code = int(fault.value(4001))
            return self._reply(code, {}, UNAVAILABLE.get(code, "unavailable"))
        if kind == "venue_timeout_after":
            await self._wire.wait_out(fault)
        self._cut()
        return web.Response()

    def _broken(self) -> web.Response | None:
        if fault := self._fault("venue_5xx"):
            return self._page(int(fault.value(502)))
        if fault := self._fault("venue_html"):
            return self._page(int(fault.value(200)))
        if fault := self._fault("venue_bomb"):
            return bomb(fault.value(BOMB_MB), {})
        if self._fault("venue_wrong_json"):
            return web.json_response({"unexpected": [1, 2, 3]})
        return None

    def _refuse_by_script(self) -> None:
        if self._fault("venue_rate_limit"):
            raise WireRefused(*RATE_LIMIT)
        if self._fault("venue_busy"):
            raise WireRefused(*BUSY)
        if fault := self._fault("venue_unavailable"):
            code = int(fault.value(4001))
            raise WireRefused(code, UNAVAILABLE.get(code, "unavailable"))
        if fault := self._fault("venue_refuse"):
            raise WireRefused(int(fault.value(NO_BALANCE[0])), "refused by the script of faults")
        if self._call.signed:
            if fault := self._fault("venue_auth"):
                code = int(fault.value(4005))
                texts = dict((BAD_KEY, BAD_SIGN))
                raise WireRefused(code, texts.get(code, "the account is barred"))
            if self._fault("venue_expired"):
                raise WireRefused(*EXPIRED)

    def _fault(self, kind: FaultKind) -> InjectedFault | None:
        return self._wire.fault(kind, self._symbol, self._call.endpoint)

    def _reply(self, code: int, data: Any, text: str, pagination: Any = None) -> web.Response:
        return self._wire.reply(code, data, text, pagination, self._headers)

    def _page(self, status: int) -> web.Response:
        return web.Response(body=_PAGE, status=status, content_type="text/html")

    async def _half(self, body: Any) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        response.content_length = len(body)
        await response.prepare(self._request)
        await response.write(body[: len(body) // 2])
        self._cut()
        return response

    def _cut(self) -> None:
        if self._request.transport is not None:
            self._request.transport.close()


def _symbol(call: Call, request: web.Request, body: bytes) -> str | None:
    """Return the coin a request names, if any."""
    if call.method == "GET":
        return request.query.get("market")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    market = document.get("market") if isinstance(document, dict) else None
    return market if isinstance(market, str) else None


def _shifted(value: Any, skew_ms: int) -> Any:
    """Return a reply with all its times shifted."""
    if isinstance(value, list):
        return [_shifted(item, skew_ms) for item in value]
    if isinstance(value, dict):
        return {
            name: item + skew_ms if name.endswith(_TIMES) and type(item) is int and item
            else _shifted(item, skew_ms)
            for name, item in value.items()
        }  # fmt: skip
    return value


def _shifted_back(given: CoinexParameters, skew_ms: int) -> CoinexParameters:
    """Return parameters with their times in unskewed time."""
    return given.moved(("start_time", "end_time"), -skew_ms) if skew_ms else given
