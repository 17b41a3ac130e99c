"""Binance's kline streams over connections that reconnect by themselves.

The exchange does not repeat what a lost connection missed: the REST client fills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from aiohttp import WSMsgType

from actors.fetcher.attempts import AttemptBudget, pause_s
from actors.fetcher.kline_frames import KlineEvent, StreamReply, parse_frame, stream_name
from actors.fetcher.stream_watch import StreamKey, StreamWatch
from shared.clock import Clock
from shared.errors import BadCandle, BadMessage, shortened
from shared.exchanges.binance.client import BinanceClient
from shared.exchanges.binance.refusals import is_of_address, next_pause_ms
from shared.http_client import LARGEST_FRAME
from shared.market import Timeframe

MOST_STREAMS = 1024
NAMES_PER_MESSAGE = 200
NAMES_BYTES = 6_000  # in a URL, where a Chinese character takes nine: lines end at 8 kB
MESSAGE_PAUSE_S = 0.3  # at most 5 messages a second are allowed, pongs included
MESSAGES_PER_S, MESSAGES_PER_STREAM_S = 500, 50  # usual: one per stream in two seconds
SILENT_S = 10.0
CONNECT_S = 10.0
CHECK_S = 1.0
RENEW_S = 84_600.0  # half an hour before the exchange cuts, at a time we choose
BAN_CHECK_S = 5.0
_CLOSE_S = 0.5

_STREAM_HOSTS = {
    "data-api.binance.vision": "wss://data-stream.binance.vision",
    "testnet.binance.vision": "wss://stream.testnet.binance.vision",
    **dict.fromkeys(
        (
            "api.binance.com",
            "api-gcp.binance.com",
            *(f"api{number}.binance.com" for number in range(1, 5)),
        ),
        "wss://stream.binance.com:9443",
    ),
}


def stream_url(base_url: str) -> str:
    """Return the stream URL for a REST base URL: the same host, if it is not Binance's."""
    parts = urlsplit(base_url)
    if known := _STREAM_HOSTS.get(parts.hostname or ""):
        return known
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"


class KlineStreams:
    """All streams of a watch, on as many connections as needed.

    Args:
        session: For all connections; closed by the caller.
        url: Scheme, host and port, such as wss://data-stream.binance.vision.
        watch: Names the streams and tracks connections and silence.
        client: Tracks bans: while requests are forbidden no attempt is made, open connections
            stay. A refusal with 429, 418, 403 or 451 is passed to it.
        on_event: Called with every valid kline frame, in order of arrival.

    Attributes:
        bad_frames: Invalid frames, skipped.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: str,
        watch: StreamWatch,
        keys: Sequence[StreamKey],
        client: BinanceClient,
        clock: Clock,
        rng: random.Random,
        on_event: Callable[[KlineEvent], None],
        log: logging.Logger,
    ) -> None:
        self.session = session
        self.url = url.rstrip("/")
        self.watch = watch
        self.client = client
        self.clock = clock
        self.rng = rng
        self.on_event = on_event
        self.log = log
        self.bad_frames = 0
        self.budget = AttemptBudget()
        chunks = itertools.batched(keys, MOST_STREAMS)
        self.connections = [_Connection(self, chunk) for chunk in chunks]

    async def run(self) -> None:
        """Keep all connections open."""
        async with asyncio.TaskGroup() as group:
            for connection in self.connections:
                group.create_task(connection.run())

    @property
    def connected(self) -> int:
        """Number of connections that receive data."""
        return sum(c.has_data for c in self.connections)

    @property
    def reconnects(self) -> int:
        """Number of attempts after the first of each connection."""
        return sum(max(0, c.attempts - 1) for c in self.connections)

    @property
    def last_frame_s(self) -> float | None:
        """Oldest of the connections' newest frames, in monotonic time."""
        times = [c.frame_s for c in self.connections if c.frame_s is not None]
        return min(times) if len(times) == len(self.connections) else None

    @property
    def refused(self) -> int | None:
        """HTTP status with which our address is refused, if it is."""
        return next((c.refused for c in self.connections if c.refused), None)

    def troubles(self) -> list[str]:
        """Return why connections are down, one text each."""
        return [c.trouble for c in self.connections if c.trouble]


class _Connection:
    """One socket at a time, for a fixed set of streams."""

    def __init__(self, streams: KlineStreams, keys: Sequence[StreamKey]) -> None:
        self._streams = streams
        self._keys = keys
        self._names = [stream_name(*key) for key in keys]
        self._attempts_since_data = 0
        self._numbers = itertools.count(1)
        self._opened_s = 0.0
        self._logged_bad = False
        self.attempts = 0
        self.has_data = False
        self.frame_s: float | None = None
        self.trouble = "not connected yet"
        self.refused: int | None = None
        self._refused_ms = 0

    async def run(self) -> None:
        while True:
            await self._wait()
            self.attempts += 1
            try:
                trouble = await self._connect_and_read()
            except aiohttp.WSServerHandshakeError as error:
                trouble = f"refused: HTTP {error.status}"
                is_refused = is_of_address(error.status)
                if is_refused:
                    self.refused, self._refused_ms = error.status, next_pause_ms(self._refused_ms)
                if is_refused or error.status in (429, 418):
                    headers = error.headers
                    retry_after = headers.get("Retry-After", "") if headers is not None else ""
                    self._streams.client.heed(error.status, retry_after)
            except TimeoutError:
                trouble = f"no connection within {CONNECT_S:g} s"
            except (aiohttp.ClientError, OSError) as error:
                trouble = shortened(f"{type(error).__name__}: {error}", 200)
            if self._attempts_since_data == 0 or self.attempts == 1:
                self._streams.log.warning("stream lost: %s: %s", self._streams.url, trouble)
            self.trouble = trouble
            self.has_data = False
            self._streams.watch.disconnected(self._keys)

    async def _wait(self) -> None:
        """Wait until an attempt is due, allowed, and within the budget."""
        streams = self._streams
        self._attempts_since_data += 1
        least_s = pause_s(self._attempts_since_data, streams.rng.random())
        await streams.clock.sleep(max(least_s, self._refused_ms / 1000))
        while True:
            until_ms = streams.client.forbidden_until_ms()
            if until_ms is not None:
                self.trouble = "the exchange forbids requests"
                left_s = (until_ms - streams.clock.now_ms()) / 1000
                await streams.clock.sleep(min(left_s, BAN_CHECK_S))
            elif streams.client.awaits_answer():  # one request asks, for all
                await streams.clock.sleep(BAN_CHECK_S)
            elif (left_s := streams.budget.take(streams.clock.monotonic())) > 0:
                self.trouble = "too many attempts lately"
                await streams.clock.sleep(left_s)
            else:
                return

    async def _connect_and_read(self) -> str:
        """Connect, read until the connection ends, and return why it ended."""
        streams = self._streams
        first = next(parts(self._names))
        rest = self._names[len(first) :]
        async with asyncio.timeout(CONNECT_S):
            socket = await streams.session.ws_connect(
                f"{streams.url}/stream?streams={'/'.join(first)}",
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                max_msg_size=LARGEST_FRAME,
                autoping=False,  # pings count as messages, too
            )
        self._opened_s = streams.clock.monotonic()
        self._logged_bad = False
        streams.watch.connected(self._keys, self._opened_s)
        jobs = [
            asyncio.create_task(self._read(socket)),
            asyncio.create_task(self._maintain(socket, rest)),
        ]
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            # aiohttp's own limit begins anew with every message that still arrives
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with asyncio.timeout(2 * _CLOSE_S):
                    await socket.close()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        most = MESSAGES_PER_S + len(self._names) * MESSAGES_PER_STREAM_S
        counted, since_s = 0, self._opened_s
        async for message in socket:
            counted += 1
            if counted > most:
                now_s = self._streams.clock.monotonic()
                if now_s - since_s < 1:
                    return f"more than {most:,} messages within a second"
                counted, since_s = 0, now_s
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
                continue
            if message.type is WSMsgType.ERROR:
                return f"refused ({shortened(str(message.data), 200)})"
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            try:
                frame = parse_frame(message.data)
            except (BadMessage, BadCandle) as error:
                self._skip(error)
                continue
            if isinstance(frame, KlineEvent):
                self._on_kline(frame)
            elif isinstance(frame, StreamReply):
                if frame.error:
                    self._streams.log.warning("stream request refused: %s", frame.error)
            else:
                return "the server is shutting down"
        fault = socket.exception()
        return f"cut ({fault or f'close code {socket.close_code}'})"

    def _on_kline(self, event: KlineEvent) -> None:
        key = (event.symbol, event.timeframe)
        if key not in self._streams.watch:
            why = f"never asked for {shortened(event.symbol)} {event.timeframe}"
            self._skip(BadMessage("kline stream", "s", why))
            return
        if not self.has_data:
            if self._attempts_since_data > 1 or self.attempts == 1:
                self._streams.log.info("streaming from %s", self._streams.url)
            self._attempts_since_data = 0
            self.has_data, self.trouble = True, ""
            self.refused, self._refused_ms = None, 0
        self.frame_s = self._streams.clock.monotonic()
        self._streams.on_event(event)

    def _skip(self, error: Exception) -> None:
        self._streams.bad_frames += 1
        if not self._logged_bad:
            self._logged_bad = True
            self._streams.log.warning("frame skipped: %s", error)

    async def _maintain(self, socket: aiohttp.ClientWebSocketResponse, rest: list[str]) -> str:
        """Subscribe to the rest, resubscribe silent streams; return why the socket must close."""
        clock = self._streams.clock
        await self._control(socket, rest, "SUBSCRIBE")
        while True:
            await clock.sleep(CHECK_S)
            now_s = clock.monotonic()
            last_s = max(self._opened_s, self.frame_s or 0.0)
            if now_s - last_s >= SILENT_S:
                return f"no frame for {now_s - last_s:.0f} s"
            if now_s - self._opened_s >= RENEW_S and self._is_quiet_time():
                return "renewed before the exchange cuts it"
            again = self._streams.watch.due_for_resubscribe(self._keys, now_s)
            if again:
                names = [stream_name(*key) for key in again]
                self._streams.log.warning(
                    "%d silent streams subscribed to again, such as %s", len(names), names[0]
                )
                await self._control(socket, names, "UNSUBSCRIBE", "SUBSCRIBE")

    async def _control(
        self, socket: aiohttp.ClientWebSocketResponse, names: Sequence[str], *methods: str
    ) -> None:
        for some in parts(names):
            for method in methods:
                message = {"method": method, "params": some, "id": next(self._numbers)}
                await socket.send_str(orjson.dumps(message).decode())
                await self._streams.clock.sleep(MESSAGE_PAUSE_S)

    def _is_quiet_time(self) -> bool:
        """Return whether no candle closes within a minute of now."""
        now_ms = self._streams.client.now_ms()
        return 60_000 < now_ms - Timeframe.M5.open_at(now_ms) < Timeframe.M5.ms - 60_000


def parts(names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the names in as many lists as URLs or control messages are needed."""
    part: list[str] = []
    size = 0
    for name in names:
        length = len(quote(name)) + 1
        if part and (len(part) == NAMES_PER_MESSAGE or size + length > NAMES_BYTES):
            yield part
            part, size = [], 0
        part.append(name)
        size += length
    if part:
        yield part
