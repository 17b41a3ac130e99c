"""Binance's spot kline streams (websocket) over the simulated market.

`/ws`, `/ws/<name>[/<name>...]` and `/stream?streams=<name>/...`: updates every 2 s, the closing
frame 0.1 s after the boundary, a ping every 20 s, the cut after 24 hours, and the faults whose
names begin with `stream_`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque

from aiohttp import WSCloseCode, WSMsgType, web

from actors.exchange_sim.binance.klines import kline_event
from actors.exchange_sim.binance.limits import RequestLimits
from actors.exchange_sim.binance.listing import listed_bars
from actors.exchange_sim.binance.parameters import KlinesQuery
from actors.exchange_sim.binance.spoiled_rows import MICROSECONDS, in_unit
from actors.exchange_sim.binance.stream_control import MOST_STREAMS, KlineName, answer, kline_name
from actors.exchange_sim.faults import FaultScript, InjectedFault
from actors.exchange_sim.hostile_replies import FRAME_MB, REFUSED_ADDRESS, padded
from actors.exchange_sim.market.bars import CLOSE, HIGH, LOW, TIME, Integers
from actors.exchange_sim.market.market import Market
from shared.clock import Clock
from shared.errors import UnknownSymbol
from shared.market import Timeframe

UPDATE_S = 2.0
CLOSE_DELAY_MS, NEXT_AFTER_MS = 100, 1_000  # after the boundary
PING_S, PONG_WITHIN_S = 20.0, 60.0
LIFE_S = 86_400.0
BEHIND_S = 600.0
POLL_S = 0.1  # for faults and boundaries
SHUTDOWN_NOTICE_S = 10.0
MOST_ATTEMPTS, ATTEMPTS_WITHIN_MS = 300, 300_000
MOST_MESSAGES, MESSAGES_WITHIN_S = 5, 1.0


class StreamWire:
    """Websocket handlers over a market and a fault script.

    Args:
        limits: While banned, no new connection is accepted; open ones stay.
        life_s: Age at which a connection is cut.

    Attributes:
        counts: Attempts to connect and how many were refused, connections lost by reason,
            frames sent.
    """

    def __init__(
        self,
        market: Market,
        script: FaultScript,
        limits: RequestLimits,
        clock: Clock,
        *,
        life_s: float = LIFE_S,
        log: logging.Logger | None = None,
    ) -> None:
        self.market = market
        self.script = script
        self.clock = clock
        self.life_s = life_s
        self.counts: Counter[str] = Counter()
        self.log = log or logging.getLogger(__name__)
        self._limits = limits
        self._attempts: deque[int] = deque()
        self._open: set[StreamConnection] = set()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/ws", self._handle)
        app.router.add_get("/ws/{names:.*}", self._handle)
        app.router.add_get("/stream", self._handle)
        app.on_shutdown.append(self._end)

    @property
    def connections(self) -> int:
        return len(self._open)

    def shown_ms(self) -> int:
        now_ms = self.clock.now_ms()
        skew = self.script.active("clock_skew", now_ms)
        return now_ms + int(skew.value(0)) if skew else now_ms

    def fault(self, kind: str, symbol: str | None = None) -> InjectedFault | None:
        return self.script.active(kind, self.clock.now_ms(), symbol)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal()
        if refusal is not None:
            self.counts["refused"] += 1
            return refusal
        combined = request.path == "/stream"
        listed = request.query.get("streams", "") if combined else request.match_info.get("names")
        names = [name for name in (listed or "").split("/") if name]
        if len(names) > MOST_STREAMS:
            return web.Response(status=400, text=f"more than {MOST_STREAMS} streams")
        socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False)
        await socket.prepare(request)
        connection = StreamConnection(self, request, socket, names, combined=combined)
        self._open.add(connection)
        try:
            await connection.serve()
        finally:
            self._open.discard(connection)
        return socket

    def _refusal(self) -> web.Response | None:
        now_ms = self.clock.now_ms()
        self.counts["attempts"] += 1
        self._attempts.append(now_ms)
        while self._attempts[0] <= now_ms - ATTEMPTS_WITHIN_MS:
            self._attempts.popleft()
        for refused_as, reply in REFUSED_ADDRESS.items():
            if self.fault(refused_as):
                return reply()
        if fault := self.fault("stream_refuse"):
            return web.Response(status=int(fault.value(503)), text="refused")
        if (left_ms := self._limits.banned_for_ms(now_ms)) > 0:
            retry = str(-(-left_ms // 1000))
            return web.Response(status=418, headers={"Retry-After": retry}, text="banned")
        if len(self._attempts) > MOST_ATTEMPTS:
            return web.Response(status=429, headers={"Retry-After": "60"}, text="too many")
        return None

    async def _end(self, _app: web.Application) -> None:
        for connection in list(self._open):
            connection.cut("the simulator ends")


class StreamConnection:
    """One client's socket: its subscriptions and what is sent on it."""

    def __init__(
        self,
        wire: StreamWire,
        request: web.Request,
        socket: web.WebSocketResponse,
        names: list[str],
        *,
        combined: bool,
    ) -> None:
        self._wire = wire
        self._request = request
        self._socket = socket
        self._names: dict[str, None] = dict.fromkeys(names)
        self._properties = {"combined": combined}
        self._opened_s = wire.clock.monotonic()
        self._is_half_open = False  # nothing is read or sent any more
        self._lost = asyncio.Event()
        self._announced_s: float | None = None
        self._unanswered_since_s: float | None = None
        self._last: dict[str, bytes] = {}
        self._reordered: dict[str, bytes] = {}
        self._late: list[tuple[int, str]] = []

    def cut(self, why: str) -> None:
        """Abort the connection, without a closing handshake."""
        self._wire.counts[f"cut: {why}"] += 1
        self._lost.set()
        if self._request.transport is not None:
            self._request.transport.abort()

    async def serve(self) -> None:
        """Send until the client leaves or the connection is cut."""
        work = (self._read(), self._update(), self._close_candles(), self._ping(), self._enforce())
        jobs = [asyncio.create_task(job) for job in (*work, self._until_lost())]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            for ended in await asyncio.gather(*jobs, return_exceptions=True):
                bug = isinstance(ended, Exception) and not isinstance(ended, ConnectionError)
                if bug and not self._lost.is_set():
                    self._wire.log.error("stream connection failed", exc_info=ended)

    async def _until_lost(self) -> None:
        await self._lost.wait()

    async def _read(self) -> None:
        times: deque[float] = deque(maxlen=MOST_MESSAGES + 1)
        while True:
            message = await self._socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
                if self._is_half_open:
                    await self._lost.wait()
                await self._socket.close()
                return
            if message.type is WSMsgType.ERROR:
                return
            if self._is_half_open:
                continue
            now_s = self._wire.clock.monotonic()
            times.append(now_s)
            if len(times) > MOST_MESSAGES and now_s - times[0] < MESSAGES_WITHIN_S:
                self._wire.counts["cut: too many messages"] += 1
                await self._socket.close(code=WSCloseCode.POLICY_VIOLATION)
                return
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._unanswered_since_s = None
            else:
                await self._send(answer(message.data, self._names, self._properties))

    async def _update(self) -> None:
        while True:
            await self._wire.clock.sleep(UPDATE_S)
            for name in list(self._names):
                await self._send_bar(name, None)
                await asyncio.sleep(0)

    async def _close_candles(self) -> None:
        wire = self._wire
        boundary_ms = _next_boundary(wire.shown_ms())
        while True:
            now_ms = wire.shown_ms()
            expected_ms = _next_boundary(now_ms)
            if abs(expected_ms - boundary_ms) > Timeframe.M5.ms:
                boundary_ms = expected_ms  # exchange time has jumped
            left_ms = boundary_ms + CLOSE_DELAY_MS - now_ms
            if left_ms > 0:
                await wire.clock.sleep(min(left_ms / 1000, POLL_S))
                continue
            await self._send_closes(boundary_ms)
            boundary_ms += Timeframe.M5.ms

    async def _send_closes(self, boundary_ms: int) -> None:
        frames = []
        for name in list(self._names):
            parsed = kline_name(name)
            if parsed is None or boundary_ms % parsed.timeframe.ms:
                continue
            if late := self._wire.fault("late", parsed.symbol):
                due_ms = boundary_ms + round(late.value(late.entry.for_s) * 1000)
                self._late.append((due_ms, name))
            elif (frame := self._event(name, boundary_ms)) is not None:
                frames.append(frame)
        for name, symbol, event in frames:  # all are built by now, so they go out together
            await self._deliver(name, symbol, event, is_closed=True)

    async def _ping(self) -> None:
        clock = self._wire.clock
        while True:
            await clock.sleep(PING_S)
            if not self._is_half_open:
                self._unanswered_since_s = self._unanswered_since_s or clock.monotonic()
                await self._socket.ping(str(clock.now_ms()).encode())

    async def _enforce(self) -> None:
        wire = self._wire
        while True:
            now_s = wire.clock.monotonic()
            self._is_half_open = self._is_half_open or wire.fault("stream_half_open") is not None
            if wire.fault("stream_cut"):
                return self.cut("fault")
            if now_s - self._opened_s > wire.life_s:
                return self.cut("24 hours")
            unanswered_s = self._unanswered_since_s
            if unanswered_s is not None and now_s - unanswered_s > PONG_WITHIN_S:
                return self.cut("no pong")
            await self._announce_shutdown(now_s)
            shown_ms = wire.shown_ms()
            for entry in [late for late in self._late if late[0] <= shown_ms]:
                self._late.remove(entry)
                parsed = kline_name(entry[1])
                if parsed is not None:
                    await self._send_bar(entry[1], parsed.timeframe.open_at(shown_ms))
            await wire.clock.sleep(POLL_S)

    async def _announce_shutdown(self, now_s: float) -> None:
        fault = self._wire.fault("stream_shutdown")
        if fault is not None and self._announced_s is None:
            if self._opened_s > now_s - (self._wire.clock.now_ms() - fault.from_ms) / 1000:
                return  # opened since: another server of the exchange
            self._announced_s = now_s + fault.value(SHUTDOWN_NOTICE_S)
            event = b'{"e":"serverShutdown","E":%d}' % self._wire.shown_ms()
            await self._send(self._wrapped("!serverShutdown", event))
        if self._announced_s is not None and now_s >= self._announced_s:
            self.cut("shutdown")

    async def _send_bar(self, name: str, boundary_ms: int | None) -> None:
        """Send a stream's open bar if it moved, or the one that closed at `boundary_ms`."""
        if (frame := self._event(name, boundary_ms)) is not None:
            name, symbol, event = frame
            await self._deliver(name, symbol, event, is_closed=boundary_ms is not None)

    def _event(self, name: str, boundary_ms: int | None) -> tuple[str, str, bytes] | None:
        parsed, wire = kline_name(name), self._wire
        if parsed is None or parsed.symbol not in wire.market.symbols():
            return None
        if any(wire.fault(kind, parsed.symbol) for kind in ("delisted", "pre_trading", "break")):
            return None
        shown_ms = wire.shown_ms()
        if behind := wire.fault("stream_behind", parsed.symbol):
            behind_ms = round(behind.value(BEHIND_S) * 1000)
            shown_ms -= behind_ms
            if boundary_ms is not None:
                boundary_ms = parsed.timeframe.open_at(boundary_ms - behind_ms)
        is_closed = boundary_ms is not None
        open_ms = parsed.timeframe.open_at(shown_ms) if boundary_ms is None else boundary_ms
        open_ms -= parsed.timeframe.ms if is_closed else 0
        if not is_closed and shown_ms - open_ms < NEXT_AFTER_MS:
            return None  # the closing frame of the candle before comes first
        bar = self._bar(parsed, open_ms, shown_ms)
        if bar is None or (not is_closed and self._last.get(name) == bar.tobytes()):
            return None
        self._last[name] = bar.tobytes()
        if is_closed and (wrong := wire.fault("stream_wrong_close", parsed.symbol)):
            bar[CLOSE] += round(wrong.value(1))
            bar[HIGH], bar[LOW] = max(bar[HIGH], bar[CLOSE]), min(bar[LOW], bar[CLOSE])
        event = kline_event(
            bar,
            wire.market.scale(parsed.symbol, shown_ms),
            symbol=parsed.symbol,
            timeframe=parsed.timeframe,
            event_ms=shown_ms,
            is_closed=is_closed,
        )
        if unit := wire.fault("stream_wrong_unit", parsed.symbol):
            event = in_unit(event, int(unit.value(MICROSECONDS)))
        return name, parsed.symbol, event

    def _bar(self, parsed: KlineName, open_ms: int, shown_ms: int) -> Integers | None:
        try:
            wire = self._wire
            bars = listed_bars(
                wire.market,
                lambda kind: wire.fault(kind, parsed.symbol),
                KlinesQuery(parsed.symbol, parsed.timeframe, None, None, 3),
                shown_ms,
                skew_ms=shown_ms - wire.clock.now_ms(),
            )
        except UnknownSymbol:
            return None  # a recorded coin whose file cannot be read
        found = bars[:, bars[TIME] == open_ms]
        return found[:, 0].copy() if found.shape[1] else None

    async def _deliver(self, name: str, symbol: str, event: bytes, *, is_closed: bool) -> None:
        wire = self._wire
        if wire.fault("stream_silent", symbol):
            return
        if is_closed and wire.fault("stream_lost_close", symbol):
            return
        if wire.fault("stream_garbage", symbol):
            event = event[: len(event) // 2]
        if bomb := wire.fault("stream_bomb", symbol):
            event = padded(event, bomb.value(FRAME_MB))
        frames = [self._wrapped(name, event)]
        reordered = self._reordered.pop(name, None)
        if reordered is not None:
            frames.append(reordered)
        elif wire.fault("stream_out_of_order", symbol):
            self._reordered[name] = frames[0]
            return
        if wire.fault("stream_duplicate", symbol):
            frames *= 2
        for frame in frames:
            await self._send(frame)

    def _wrapped(self, name: str, event: bytes) -> bytes:
        if not self._properties["combined"]:
            return event
        return b'{"stream":"%s","data":%s}' % (name.encode(), event)

    async def _send(self, frame: bytes) -> None:
        self._is_half_open = self._is_half_open or self._wire.fault("stream_half_open") is not None
        if not self._is_half_open:
            self._wire.counts["frames"] += 1
            with contextlib.suppress(ConnectionError):  # the reader sees the end too
                await self._socket.send_frame(frame, WSMsgType.TEXT)


def _next_boundary(now_ms: int) -> int:
    return Timeframe.M5.open_at(now_ms) + Timeframe.M5.ms
