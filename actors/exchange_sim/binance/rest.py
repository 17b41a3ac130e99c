"""Binance's spot REST API over the simulated market, and the simulator's control panel.

`/api/v3/...` answers as Binance does, `/fapi/v1/fundingRate` as its USD-M futures;
`/sim/...` takes faults and returns counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from multidict import MultiMapping

from actors.exchange_sim.binance.klines import kline_rows, symbol_entry
from actors.exchange_sim.binance.limits import LimitRefusal, RequestLimits
from actors.exchange_sim.binance.listing import listed_bars, status_of
from actors.exchange_sim.binance.parameters import (
    INVALID_SYMBOL,
    BadParameter,
    exchange_info_symbols,
    funding_query,
    klines_query,
    no_parameters,
)
from actors.exchange_sim.binance.spoiled_rows import spoiled
from actors.exchange_sim.binance.stream import StreamWire
from actors.exchange_sim.fault_panel import FaultPanel, from_here, refused
from actors.exchange_sim.faults import Concerning, FaultScript
from actors.exchange_sim.hostile_replies import BOMB_MB, REFUSED_ADDRESS, bomb, endless
from actors.exchange_sim.market.bars import CLOSE, LOW, OPEN, TIME
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.minutes import minutes
from shared.clock import Clock
from shared.decimals import whole_of
from shared.errors import UnknownSymbol
from shared.exchanges.sim.rules import FUNDING_MS, usual_funding_rate
from shared.market import StoredTimeframe, Timeframe

WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
BEHIND_S = 300.0
_REMEMBERED = 1000
_PAGE = b"<html><head><title>Sorry</title></head><body>Something is in the way.</body></html>"

_Answer = Callable[[MultiMapping[str], int, int], Awaitable[bytes]]


class BinanceWire:
    """Request handlers over a market, a fault script and the limits.

    Args:
        market: The bars.
        script: The injected faults.
        clock: The exchange's time, before any clock_skew.
    """

    def __init__(
        self,
        market: Market,
        script: FaultScript,
        clock: Clock,
        limits: RequestLimits | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        self.market = market
        self.script = script
        self.limits = limits or RequestLimits()
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._clock = clock
        self._log = log or logging.getLogger(__name__)
        self.stream = StreamWire(market, script, self.limits, clock, log=self._log)
        self._times: dict[str, deque[int]] = {}
        self._turns: Counter[tuple[str, Timeframe]] = Counter()

    def add_routes(self, app: web.Application) -> None:
        for kind, weight, answer in (
            ("ping", 1, self._ping),
            ("time", 1, self._time),
            ("exchangeInfo", 20, self._exchange_info),
            ("klines", 2, self._klines),
        ):
            app.router.add_get(f"/api/v3/{kind}", self._endpoint(kind, weight, answer))
        app.router.add_get(
            "/fapi/v1/fundingRate", self._endpoint("fundingRate", 1, self._funding_rates)
        )
        self.stream.add_routes(app)
        app.router.add_get("/sim/requests", from_here(self._show_requests))
        panel = FaultPanel(
            self.script, self.market.symbols, self._clock, cleared=self.limits.lift, log=self._log
        )
        panel.add_routes(app)

    def _endpoint(
        self, kind: str, weight: int, answer: _Answer
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            now_ms = self._clock.now_ms()
            self.counts[kind] += 1
            self._times.setdefault(kind, deque(maxlen=_REMEMBERED)).append(now_ms)
            response = await self._respond(request, kind, weight, answer, now_ms)
            self.statuses[response.status] += 1
            return response

        return handle

    async def _respond(
        self, request: web.Request, kind: str, weight: int, answer: _Answer, now_ms: int
    ) -> web.StreamResponse:
        symbol, timeframe = _about(request.query) if kind == "klines" else (None, None)
        fault = self._concerning(now_ms, symbol, timeframe)
        for refused_as, reply in REFUSED_ADDRESS.items():
            if fault(refused_as):
                return reply()
        skew = fault("clock_skew")
        shown_ms = now_ms + int(skew.value(0)) if skew else now_ms
        refusal = self.limits.refuse(weight, now_ms) or self._scripted_refusal(now_ms, fault)
        if refusal:
            return self._refused(refusal, now_ms, shown_ms)
        if hang := fault("hang"):
            await self._clock.sleep((hang.until_ms - now_ms) / 1000)
        if fault("endless"):
            return await endless(
                request,
                self._headers(),
                lambda: (
                    self._concerning(self._clock.now_ms(), symbol, timeframe)("endless") is not None
                ),
            )
        broken = self._broken(fault)
        if broken is not None:
            return broken
        try:
            body = await answer(request.query, now_ms, shown_ms)
        except BadParameter as refused:
            return self._json({"code": refused.code, "msg": refused.text}, 400)
        except UnknownSymbol:
            code, text = INVALID_SYMBOL
            return self._json({"code": code, "msg": text}, 400)
        if fault("half_body"):
            return await self._half(request, body)
        return self._bytes(body)

    def _scripted_refusal(self, now_ms: int, concerning: Concerning) -> LimitRefusal | None:
        for kind, order in (("418", self.limits.ban), ("429", self.limits.pause)):
            if fault := concerning(kind):
                remaining_s = (fault.until_ms - now_ms) / 1000
                return order(now_ms, round(fault.value(remaining_s) * 1000))
        return None

    def _refused(self, refusal: LimitRefusal, now_ms: int, shown_ms: int) -> web.Response:
        if refusal.status == 418:
            until_ms = refusal.until_ms + shown_ms - now_ms
            text = (
                f"Way too much request weight used; IP banned until {until_ms}. Please use "
                "WebSocket Streams for live updates to avoid bans."
            )
        else:
            text = (
                f"Too much request weight used; current limit is {self.limits.limit} request "
                "weight per 1 MINUTE. Please use WebSocket Streams for live updates to avoid "
                "polling the API."
            )
        response = self._json({"code": -1003, "msg": text}, refusal.status)
        response.headers["Retry-After"] = str(-((now_ms - refusal.until_ms) // 1000))
        return response

    def _broken(self, concerning: Concerning) -> web.Response | None:
        if fault := concerning("5xx"):
            text = "Internal error; unable to process your request. Please try again."
            return self._json({"code": -1001, "msg": text}, int(fault.value(503)))
        if fault := concerning("html"):
            response = self._bytes(_PAGE, int(fault.value(200)))
            response.content_type = "text/html"
            return response
        if fault := concerning("bomb"):
            return bomb(fault.value(BOMB_MB), self._headers())
        if concerning("wrong_json"):
            return self._json({"unexpected": [1, 2, 3]})
        return None

    async def _half(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._headers())
        response.content_type = "application/json"
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    async def _ping(self, query: MultiMapping[str], _now_ms: int, _shown_ms: int) -> bytes:
        no_parameters(query)
        return b"{}"

    async def _time(self, query: MultiMapping[str], _now_ms: int, shown_ms: int) -> bytes:
        no_parameters(query)
        return b'{"serverTime":%d}' % shown_ms

    async def _exchange_info(self, query: MultiMapping[str], now_ms: int, shown_ms: int) -> bytes:
        named = exchange_info_symbols(query)
        entries = []
        for symbol in self.market.symbols() if named is None else named:
            if self._is_delisted(symbol, now_ms):
                if named is not None:
                    raise BadParameter(*INVALID_SYMBOL)
                continue
            fault = self._concerning(now_ms, symbol)
            status = status_of(symbol, self.market, fault, shown_ms)
            entries.append(symbol_entry(symbol, self.market.scale(symbol, shown_ms), status))
            await asyncio.sleep(0)  # the first access to a coin takes tens of milliseconds
        return orjson.dumps(
            {
                "timezone": "UTC",
                "serverTime": shown_ms,
                "rateLimits": [
                    {
                        "rateLimitType": "REQUEST_WEIGHT",
                        "interval": "MINUTE",
                        "intervalNum": 1,
                        "limit": self.limits.limit,
                    }
                ],
                "exchangeFilters": [],
                "symbols": entries,
            }
        )

    async def _klines(self, query: MultiMapping[str], now_ms: int, shown_ms: int) -> bytes:
        wanted = klines_query(query)
        symbol, timeframe = wanted.symbol, wanted.timeframe
        if self._is_delisted(symbol, now_ms):
            raise BadParameter(*INVALID_SYMBOL)
        if wanted.of_minutes:
            bars = minutes(
                self.market,
                symbol,
                shown_ms,
                start_ms=wanted.start_ms,
                end_ms=wanted.end_ms,
                limit=wanted.limit,
            )
            rows = kline_rows(bars, self.market.scale(symbol, shown_ms), StoredTimeframe.M1)
            return b"[" + b",".join(rows) + b"]"
        fault, skew_ms = self._concerning(now_ms, symbol, timeframe), shown_ms - now_ms
        if (behind := fault("node_behind")) and self._is_turn_of_other_node(symbol, timeframe):
            shown_ms -= round(behind.value(BEHIND_S) * 1000)
        absent = self.script.absent(symbol, timeframe, now_ms, shown_ms)
        bars = listed_bars(self.market, fault, wanted, shown_ms, skew_ms=skew_ms, absent=absent)
        if fault("price_zero"):
            newest_closed = bars[TIME] == timeframe.open_at(shown_ms) - timeframe.ms
            bars = bars.copy()
            bars[LOW, newest_closed] = bars[CLOSE, newest_closed] = 0
        scale = self.market.scale(symbol, shown_ms)
        rows = spoiled(kline_rows(bars, scale, timeframe), fault, wanted, scale, skew_ms)
        return b"[" + b",".join(rows) + b"]"

    def _concerning(
        self, now_ms: int, symbol: str | None, timeframe: Timeframe | None = None
    ) -> Concerning:
        return lambda kind: self.script.active(kind, now_ms, symbol, timeframe=timeframe)

    def _is_turn_of_other_node(self, symbol: str, timeframe: Timeframe) -> bool:
        """Return whether it is: two nodes answer in turn."""
        self._turns[symbol, timeframe] += 1
        return self._turns[symbol, timeframe] % 2 == 0

    async def _funding_rates(self, query: MultiMapping[str], now_ms: int, shown_ms: int) -> bytes:
        wanted = funding_query(query)
        symbol = wanted.symbol
        if self._is_delisted(symbol, now_ms):
            raise BadParameter(*INVALID_SYMBOL)
        until_ms = shown_ms if wanted.end_ms is None else min(shown_ms, wanted.end_ms)
        since_ms = until_ms - wanted.limit * FUNDING_MS + 1
        since_ms = max(
            self.market.first_ms(symbol), since_ms if wanted.start_ms is None else wanted.start_ms
        )
        first = -(-since_ms // FUNDING_MS)
        end = min(until_ms // FUNDING_MS, first + wanted.limit - 1) + 1
        unit = 10 ** self.market.scale(symbol, shown_ms).price_digits
        rows = []
        for at_ms in range(first * FUNDING_MS, end * FUNDING_MS, FUNDING_MS):
            bar = self.market.bars(
                symbol, Timeframe.M5, shown_ms, start_ms=at_ms, end_ms=at_ms, limit=1
            )
            rows.append(
                {
                    "symbol": symbol,
                    "fundingTime": at_ms,
                    "fundingRate": f"{usual_funding_rate(symbol, at_ms):.8f}",
                    "markPrice": f"{bar[OPEN, 0] / unit:.8f}" if bar.shape[1] else "",
                }
            )
            await asyncio.sleep(0)  # old days are generated anew
        return orjson.dumps(rows)

    def _is_delisted(self, symbol: str, now_ms: int) -> bool:
        unknown = symbol not in self.market.symbols()
        return unknown or self.script.active("delisted", now_ms, symbol) is not None

    async def _show_requests(self, request: web.Request) -> web.Response:
        last = whole_of(request.query.get("last", "100"))
        if last is None:
            return refused("last: expected a whole number")
        return web.json_response(
            {
                "counts": dict(self.counts),
                "statuses": {str(status): n for status, n in self.statuses.items()},
                "times_ms": {k: list(times)[-last:] if last > 0 else []
                             for k, times in self._times.items()},
                "used_weight": self.limits.used,
                "stream": dict(self.stream.counts),
            }
        )  # fmt: skip

    def _headers(self) -> dict[str, str]:
        return {WEIGHT_HEADER: str(self.limits.used)}

    def _bytes(self, body: bytes, status: int = 200) -> web.Response:
        return web.Response(
            body=body, status=status, content_type="application/json", headers=self._headers()
        )

    def _json(self, document: Any, status: int = 200) -> web.Response:
        return self._bytes(orjson.dumps(document), status)


def _about(query: MultiMapping[str]) -> tuple[str | None, Timeframe | None]:
    """Return the coin and the timeframe that a klines request names."""
    interval = query.get("interval")
    timeframe = Timeframe(interval) if interval in list(Timeframe) else None
    return query.get("symbol"), timeframe
