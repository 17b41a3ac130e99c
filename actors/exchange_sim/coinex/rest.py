"""CoinEx's futures API v2 over the simulated venue, faults included.

A request is carried out and on disk before it is answered. Business errors come with HTTP 200 and
a code; the fault kinds `..._after` carry the request out and then lose the answer.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from actors.exchange_sim.coinex.calls import Call, CallReply, calls
from actors.exchange_sim.coinex.requests import Buckets, Parameters, check_signature
from actors.exchange_sim.faults import FaultScript, InjectedFault
from actors.exchange_sim.hostile_replies import BOMB_MB, bomb, endless
from shared.clock import Clock
from shared.config.sections import FaultKind
from shared.exchanges.sim.errors import (
    BAD_ARGUMENT,
    BAD_KEY,
    BAD_METHOD,
    BAD_SIGN,
    BUSY,
    EXPIRED,
    NO_BALANCE,
    RATE_LIMIT,
    UNAVAILABLE,
    SimRefused,
)
from shared.exchanges.sim.save_file import VenueFile
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue_keys import VenueKeys

_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
_THIN = 0.01
_TIMES = ("_at", "_time", "timestamp")
_ANY_MARKET = ("balance", "order-status")  # documented without `market_type`
_AFTER: tuple[FaultKind, ...] = (
    "venue_timeout_after",
    "venue_cut_after",
    "venue_5xx_after",
    "venue_unavailable_after",
)


class CoinexWire:
    """Request handlers over a venue, its file and a fault script.

    Args:
        venue: The account and its markets.
        file: Stores the account.
        script: The injected faults; the kinds `venue_...` concern this wire.
        clock: The venue's time, before any venue_clock_skew.
        keys: Of the account; without any, signed requests are refused.
        limited: False disables the rate limits.

    Attributes:
        counts: Requests by endpoint.
        codes: Answers by code.
        unsaved: Why the last change is not on disk; None when it is.
    """

    def __init__(
        self,
        venue: SimVenue,
        file: VenueFile,
        script: FaultScript,
        clock: Clock,
        *,
        keys: VenueKeys | None,
        limited: bool = True,
        log: logging.Logger | None = None,
    ) -> None:
        self.venue = venue
        self.keys = keys
        self.counts: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        self.unsaved: str | None = None
        self._file = file
        self._script = script
        self._clock = clock
        self._limited = limited
        self._log = log or logging.getLogger(__name__)
        self._buckets = Buckets()

    def add_routes(self, app: web.Application) -> None:
        for call in calls():
            app.router.add_route(call.method, f"/v2{call.path}", self._endpoint(call))
        app.router.add_route("*", "/v2/{path:.*}", self._refuse_path)

    def pass_time(self) -> int:
        """Advance the venue to now, save it, and return the time.

        While frozen it does not advance; afterwards its prices jump.
        """
        now_ms = self._clock.now_ms()
        thin = self._script.active("venue_thin", now_ms)
        self.venue.depth = Decimal(str(thin.value(_THIN))) if thin else Decimal(1)
        if fault := self._script.active("venue_frozen", now_ms):
            if not self.venue.frozen:
                self.venue.advance(min(fault.from_ms, now_ms))
                self.venue.frozen = True
        elif self.venue.frozen:
            self.venue.frozen = False
            self.venue.skip(now_ms)
        else:
            self.venue.advance(now_ms)
        self.save()
        return now_ms

    def save(self) -> None:
        """Write changes to disk; a failure is logged once and retried on the next call."""
        if not self.venue.changed:
            return
        try:
            self._file.save(self.venue.state)
        except OSError as error:
            if self.unsaved is None:
                self._log.error(
                    "simulated venue: %s cannot be written (%s); a restart now would lose the "
                    "newest changes. Free disk space or fix permissions; retried every second",
                    self._file.path, error,
                )  # fmt: skip
            self.unsaved = str(error)
            return
        if self.unsaved is not None:
            self._log.info("simulated venue: %s is written again", self._file.path)
        self.unsaved = None
        self.venue.changed = False

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

    def fault(self, kind: FaultKind, symbol: str | None, endpoint: str) -> InjectedFault | None:
        """Return the active fault of a kind for a request."""
        return self._script.active(kind, self._clock.now_ms(), symbol, endpoint)

    async def wait_out(self, fault: InjectedFault) -> None:
        """Sleep until a fault ends."""
        await self._clock.sleep((fault.until_ms - self._clock.now_ms()) / 1000)

    def tokens(self, call: Call) -> int | None:
        """Take a token of the call's group; None when there is none left."""
        if call.rate is None or not self._limited:
            return call.rate or 0
        return self._buckets.take(call.group, call.rate, self._clock.monotonic())


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
        except SimRefused as refused:
            return self._reply(refused.code, {}, refused.text)
        return await self._deliver(answer, skew_ms)

    def _do(self, skew_ms: int) -> CallReply:
        call, request = self._call, self._request
        now_ms = self._wire.pass_time()
        if call.method == "POST":
            given = Parameters.of_body(self._body)
        else:
            given = Parameters(request.query)
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
            raise SimRefused(*RATE_LIMIT)
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
            raise SimRefused(*RATE_LIMIT)
        if self._fault("venue_busy"):
            raise SimRefused(*BUSY)
        if fault := self._fault("venue_unavailable"):
            code = int(fault.value(4001))
            raise SimRefused(code, UNAVAILABLE.get(code, "unavailable"))
        if fault := self._fault("venue_refuse"):
            raise SimRefused(int(fault.value(NO_BALANCE[0])), "refused by the script of faults")
        if self._call.signed:
            if fault := self._fault("venue_auth"):
                code = int(fault.value(4005))
                texts = dict((BAD_KEY, BAD_SIGN))
                raise SimRefused(code, texts.get(code, "the account is barred"))
            if self._fault("venue_expired"):
                raise SimRefused(*EXPIRED)

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


def _shifted_back(given: Parameters, skew_ms: int) -> Parameters:
    """Return parameters with their times in unskewed time."""
    return given.moved(("start_time", "end_time"), -skew_ms) if skew_ms else given
