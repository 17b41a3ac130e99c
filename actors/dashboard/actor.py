"""Serves the web page, read-only.

Serves the page, `/api/state`, `/api/series/{symbol}/{timeframe}` and `/ws`. Reads the bus
(`reader.py`); while Redis is down, full or refuses, candles from Binance (`fallback.py`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import orjson
from aiohttp import web

from actors.base import Actor, Context
from actors.dashboard.clients import Clients
from actors.dashboard.document import PageInputs, document
from actors.dashboard.fallback import AFTER_S, Fallback
from actors.dashboard.headers import page_guard
from actors.dashboard.prices import CoinPrices
from actors.dashboard.reader import Reader
from actors.dashboard.series import series
from actors.dashboard.static_files import Files
from actors.dashboard.versions import DocumentVersions
from shared import codec, schema
from shared.bus import BusStatus
from shared.config.sections import (
    AccountSection,
    DashboardSection,
    FetcherSection,
    IndicatorsSection,
    TraderSection,
)
from shared.errors import BusUnavailable, NoCandles
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.health.snapshot import SnapshotReader
from shared.health.verdict import limits_for
from shared.http_client import open_session
from shared.market import Timeframe
from shared.messages.candles import CandleWindow
from shared.web.chart_library import chart_library
from shared.web.listening import listen

TICK_S = 0.25
POLL_S = 2.0
REDIS_PROBE_S = 1.0
SAME_S = 1.0
WEIGHT_SHARE = 0.05
"""Of the exchange's limit: 300 a minute; 29 coins in turn need 116."""

STATIC = Path(__file__).with_name("static")
LIBRARY = "vendor/lightweight-charts.js"
LIBRARY_FILE = chart_library(Path(__file__).parents[2])


class Dashboard(Actor):
    """Serves the page and pushes updates to it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        section = context.section
        self._settings = codec.from_plain(
            DashboardSection, section["dashboard"], "config: dashboard"
        )
        self._indicators = codec.from_plain(
            IndicatorsSection, section["indicators"], "config: indicators"
        )
        fetcher = codec.from_plain(FetcherSection, section["fetcher"], "config: fetcher")
        account = codec.from_plain(AccountSection, section["account"], "config: account")
        trader = codec.from_plain(TraderSection, section["trader"], "config: trader")
        groups = {group: list(symbols) for group, symbols in section["groups"].items()}
        symbols = [symbol for group in groups.values() for symbol in group]
        snapshot = SnapshotReader(
            self.bus,
            self.clock,
            mode=context.mode,
            symbols=symbols,
            actors=section["actors"],
            state_dir=context.state_dir,
            trader=trader.kind,
            timer_min=section["timer_min"],
        )
        self._inputs = PageInputs(
            snapshot=snapshot.seen,
            source=context.source,
            namespace=section["namespace"],
            groups=groups,
            limits=limits_for(fetcher, account, trader),
            prices={symbol: CoinPrices() for symbol in symbols},
        )
        self._reader = Reader(
            self._inputs, snapshot, bus=self.bus, clock=self.clock, log=self.log, on_due=self.wake
        )
        self._versions = DocumentVersions()
        self._clients = Clients(
            self._versions,
            clock=self.clock,
            max_clients=self._settings.max_clients,
            send_timeout_s=self._settings.send_timeout_s,
            log=self.log,
        )
        self._files = Files(STATIC, {LIBRARY: LIBRARY_FILE})
        self._series: dict[tuple[str, Timeframe], tuple[float, bytes]] = {}
        self._client: BinanceClient
        self._fallback: Fallback
        self._rendered_s = float("-inf")

    async def setup(self) -> None:
        """Start listening, and subscribe to the bus.

        Raises:
            TransientError: The port is taken.
        """
        session = await self.resources.enter_async_context(open_session())
        self._client = BinanceClient(
            session,
            base_url=self.context.section["binance"]["base_url"],
            clock=self.clock,
            ban=BanFile(self.context.state_dir / "binance-ban"),
            weight_share=WEIGHT_SHARE,
            log=self.log,
        )
        self._fallback = Fallback(
            self._client,
            self._inputs.snapshot.symbols,
            clock=self.clock,
            source=self.context.source,
            on_window=lambda window: self._inputs.prices[window.symbol].apply_window(window),
            log=self.log,
        )
        self.resources.push_async_callback(self._fallback.stop)
        self._render()
        await self._listen()
        self.background(self._reader.listen(), "bus")
        self.background(self._keep_rendering(), "draw")

    async def _listen(self) -> None:
        settings = self._settings
        app = web.Application()
        page_guard([*settings.allowed_hosts, settings.host]).install(app)
        app.router.add_get("/ws", self._clients.serve)
        app.router.add_get("/api/state", self._serve_state)
        app.router.add_get("/api/series/{symbol}/{timeframe}", self._serve_series)
        app.router.add_get("/{name:.*}", self._files.serve)
        runner = await listen(app, section="dashboard", host=settings.host, port=settings.port)
        self.resources.push_async_callback(runner.cleanup)
        self.resources.push_async_callback(self._clients.close)  # before it waits for them
        self.detail["port"] = runner.addresses[0][1]

    async def step(self) -> float:
        """Read the keys that are due; without a working Redis, start the fallback in time."""
        with contextlib.suppress(BusUnavailable):  # logged by the bus, first on the page
            await self.bus.ping()
            await self._choose_source()  # stops the fallback before the reads below
            await self._reader.poll()
        await self._choose_source()
        self._reader.update_redis_status()
        self._report()
        self.ready()
        return POLL_S if self.bus.status is not BusStatus.DOWN else REDIS_PROBE_S

    async def _choose_source(self) -> None:
        away_s = (self.clock.now_ms() - self.bus.status_since_ms) / 1000
        if self.bus.status is BusStatus.UP:
            await self._fallback.stop()
        elif away_s >= AFTER_S:
            self._fallback.start()
        self._inputs.fallback = self._fallback.is_active
        self._inputs.fallback_troubles = dict(self._fallback.troubles)
        self._inputs.banned_until_ms = self._client.forbidden_until_ms()

    def _report(self) -> None:
        count = len(self._clients)
        self.doing(f"{count} browser{'' if count == 1 else 's'} connected")
        self.detail |= {
            "browsers": count,
            "browsers_refused": self._clients.refused,
            "browsers_dropped": self._clients.dropped,
            "messages_sent": self._clients.sent,
            "fallback": self._fallback.is_active,
            "fallback_requests": self._fallback.requests,
        }

    async def _keep_rendering(self) -> None:
        while True:
            await self.clock.sleep(TICK_S)
            moved = self._reader.decode_pending()
            # Ages change verdicts without new messages.
            if moved or self.clock.monotonic() - self._rendered_s >= SAME_S:
                self._render()

    def _render(self) -> None:
        self._rendered_s = self.clock.monotonic()
        if self._versions.update(document(self._inputs, self.clock.now_ms())):
            self._clients.notify()

    async def _serve_state(self, _: web.Request) -> web.Response:
        return _json(self._versions.data(self.clock.now_ms()))

    async def _serve_series(self, request: web.Request) -> web.Response:
        symbol, name = request.match_info["symbol"], request.match_info["timeframe"]
        if symbol not in self._inputs.prices or name not in list(Timeframe):
            raise web.HTTPNotFound(text=f"no such coin and timeframe: {symbol[:20]} {name[:10]}")
        timeframe, now_s = Timeframe(name), self.clock.monotonic()
        self._series = {k: v for k, v in self._series.items() if now_s - v[0] < SAME_S}
        if (symbol, timeframe) not in self._series:
            window = await self._window(symbol, timeframe)
            try:
                body = orjson.dumps(series(window, self._indicators))
            except NoCandles as error:
                raise _not_yet(str(error), POLL_S) from None
            self._series[symbol, timeframe] = (now_s, body)
        return _json(self._series[symbol, timeframe][1])

    async def _window(self, symbol: str, timeframe: Timeframe) -> CandleWindow:
        if self._fallback.is_active:
            window = self._fallback.window(symbol, timeframe)
            wait_s = self._fallback.next_turn_s(symbol)
            where = "Redis does not answer, and the exchange has not been asked for them yet"
        else:
            wait_s, where, window = POLL_S, "the bus has none", None
            try:
                window = await self.bus.get(schema.CANDLES[timeframe], symbol=symbol)
            except BusUnavailable as error:
                where = str(error)
        if window is None:
            raise _not_yet(f"no {timeframe} candles of {symbol}: {where}", wait_s)
        return window


def _not_yet(why: str, wait_s: float) -> web.HTTPException:
    return web.HTTPServiceUnavailable(
        text=f"{why}; try again in {wait_s:.0f} s", headers={"Retry-After": f"{wait_s:.0f}"}
    )


def _json(body: bytes) -> web.Response:
    response = web.Response(
        body=body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
    response.enable_compression()
    return response
