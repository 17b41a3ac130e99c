"""The dashboard over real sockets, in front of a real Redis that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from actors.base import Context
from actors.dashboard.actor import Dashboard
from actors.dashboard.fallback import EVERY_S, Fallback
from actors.dashboard.headers import HEADERS
from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.market import Timeframe
from shared.messages.candles import Ban, CandleRow, CandleUpdate, CandleWindow
from shared.messages.signals import CoinScore, ScanResult, ScorePart, SideScore
from shared.messages.trading import TradeEvent
from shared.supervision.status_pipe import StatusPipe
from tests.support.candle_series import walk, window_at
from tests.support.exchange import Simulator, simulated
from tests.support.manual_clock import ManualClock
from tests.support.market_data import SimulatedExchange, redenominated
from tests.support.ports import free_port
from tests.support.private_redis import PrivateRedis
from tests.support.running_actor import answering
from tests.support.sightings import heartbeat, put_field, signal, status
from tests.support.trading_sightings import (
    balance,
    position,
    positions,
    trade_event,
    trader_config,
    trader_status,
)
from tests.support.waiting import eventually

GROUPS = {"majors": ["BTCUSDT", "ETHUSDT"], "other": ["SOLUSDT"]}
COINS = [coin for coins in GROUPS.values() for coin in coins]
ACTORS = ["fetcher", "indicators-majors", "scanner", "health", "dashboard"]
CLOCK = SystemClock()
NOWHERE = "http://127.0.0.1:1"


class Page:
    """What a browser makes of the messages; also checks their order."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.data: dict[str, Any] = {}
        self.seq = 0
        self.times: list[float] = []

    async def take(self, within_s: float = 15) -> dict[str, Any]:
        """Wait for the next message and apply it."""
        raw = await self.ws.receive(timeout=within_s)
        assert raw.type is aiohttp.WSMsgType.TEXT, raw
        self.times.append(time.monotonic())
        message: dict[str, Any] = orjson.loads(raw.data)
        assert message["seq"] == self.seq + 1
        self.seq += 1
        if self.seq == 1:
            assert message["type"] == "snapshot"
            self.data = message["data"]
        else:
            assert message["type"] == "patch"
            self.data.update(message["set"])
            self.data["asOf"] = message["asOf"]
            self.data["taSignals"].update(message["ta"])
            self.data["coinData"] = [
                message["coins"].get(c["symbol"], c) for c in self.data["coinData"]
            ]
        return message

    async def until(self, condition: Callable[[dict[str, Any]], Any], within_s: float = 10) -> None:
        """Take messages until the page shows something."""
        deadline = time.monotonic() + within_s
        while not condition(self.data):
            assert time.monotonic() < deadline, str(self.data)[:2000]
            await self.take()

    def coin(self, symbol: str = "BTCUSDT") -> dict[str, Any]:
        return coin(self.data, symbol)


def coin(data: dict[str, Any], symbol: str = "BTCUSDT") -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in data["coinData"] if c["symbol"] == symbol)
    return found


class Site:
    """A running dashboard and a client that asks it."""

    def __init__(self, port: int, session: aiohttp.ClientSession, actor: Dashboard) -> None:
        self.port, self.session, self.actor = port, session, actor
        self.base = f"http://127.0.0.1:{port}"

    async def ask(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.session.get(self.base + path, headers=headers) as response:
            for name, value in HEADERS.items():
                assert response.headers[name] == value, (path, name)
            assert "Access-Control-Allow-Origin" not in response.headers
            raw = await response.read()
            if "json" in response.content_type:
                return response.status, orjson.loads(raw)
            return response.status, raw.decode()

    async def state(self) -> dict[str, Any]:
        body = (await self.ask("/api/state"))[1]
        assert isinstance(body, dict)
        return body

    async def shows(self, condition: Callable[[dict[str, Any]], Any]) -> bool:
        return bool(condition(await self.state()))

    @contextlib.asynccontextmanager
    async def page(self, **headers: str) -> AsyncIterator[Page]:
        async with self.session.ws_connect(self.base + "/ws", headers=headers) as ws:
            page = Page(ws)
            await page.take()
            yield page


def asked_of(exchange: Simulator) -> int:
    """Return how many requests an exchange has had."""
    return sum(exchange.wire.counts.values())


@contextlib.asynccontextmanager
async def site(
    url: str,
    tmp_path: Path,
    *,
    base_url: str = NOWHERE,
    actors: Sequence[str] = ACTORS,
    **settings: Any,
) -> AsyncIterator[Site]:
    port = free_port()
    bus = Bus(url, name="dashboard", clock=CLOCK, timeout_s=0.5)
    context = Context(
        name="dashboard", mode="demo", source="sim", state_dir=tmp_path,
        section={
            "dashboard": {"host": "127.0.0.1", "port": port, **settings},
            "namespace": "", "groups": GROUPS, "actors": list(actors), "fetcher": {},
            "account": {}, "trader": {}, "timer_min": None, "indicators": {},
            "binance": {"base_url": base_url, "weight_share": 0.5},
        },
        bus=bus, clock=CLOCK, log=logging.getLogger("dashboard"), rng=random.Random(1),
        status=StatusPipe(None), probation=False, quarantined_coins={},
    )  # fmt: skip
    actor = Dashboard(context)
    async with answering(actor, f"http://127.0.0.1:{port}/api/state") as session:
        yield Site(port, session, actor)


SERIES = walk(
    5, 1002, start_ms=Timeframe.M5.open_at(CLOCK.now_ms()) - 1000 * Timeframe.M5.ms
)  # 1000 closed, the open one, and the one after it


def window(symbol: str) -> CandleWindow:
    found = window_at(SERIES, Timeframe.M5, int(SERIES.open_time_ms[1000]), symbol=symbol)
    return replace(found, fetched_at_ms=CLOCK.now_ms())


def forming(symbol: str, price: float) -> CandleUpdate:
    row = CandleRow(
        open_time_ms=int(SERIES.open_time_ms[1000]), open=price, high=price, low=price,
        close=price, volume=1.0, closed=False,
    )  # fmt: skip
    return CandleUpdate(
        symbol=symbol, timeframe=Timeframe.M5, candles=[row], at_ms=CLOCK.now_ms(), source="sim",
        closed_until_ms=int(SERIES.open_time_ms[1000]),
    )  # fmt: skip


def scan(score: int) -> ScanResult:
    side = SideScore(score=score, parts=[ScorePart(name="t", points=1.0, max=2.0, text="x")])
    coins = [
        CoinScore(
            symbol=symbol, close=1.0, change_24h_pct=1.5, long=side, short=side, coverage=1.0,
            label_long="watch", label_short="none", long_bonus=10, short_bonus=0,
            closed_until_ms=1, fault="",
        )
        for symbol in COINS
    ]  # fmt: skip
    return ScanResult(at_ms=CLOCK.now_ms(), closed_until_ms=1, coins=coins, source="sim")


async def tell_all_is_well(bus: Bus) -> None:
    now_ms = CLOCK.now_ms()
    for name in ACTORS:
        await put_field(bus, schema.ACTORS, name, status(name, since_ms=now_ms))
        await bus.put(schema.HEARTBEAT, heartbeat(name, now_ms), name=name)
    for symbol in COINS:
        await bus.put(schema.CANDLES[Timeframe.M5], window(symbol), symbol=symbol)
        await bus.put(schema.TA_LATEST, signal(symbol, now_ms), symbol=symbol)
    await bus.put(schema.SCAN_LATEST, scan(45))


def all_live(data: dict[str, Any]) -> bool:
    return all(c["state"] == "live" for c in data["coinData"])


TRADING = [*ACTORS, "account", "trader"]


async def tell_of_trading(bus: Bus) -> None:
    now_ms = CLOCK.now_ms()
    for name in ("account", "trader"):
        await put_field(bus, schema.ACTORS, name, status(name, since_ms=now_ms))
        await bus.put(schema.HEARTBEAT, heartbeat(name, now_ms), name=name)
    held = [position(opened_ms=now_ms), position("ETHUSDT", stop_loss=None, opened_ms=now_ms)]
    await bus.put(schema.POSITIONS, positions(*held, as_of_ms=now_ms))
    await bus.put(schema.BALANCE, balance(now_ms))
    await bus.put(
        schema.TRADER_STATUS, trader_status(now_ms, ours=["BTCUSDT"], foreign=["ETHUSDT"])
    )
    await bus.put(schema.TRADER_CONFIG, trader_config(risk_pct=0.25))


async def tell_event(bus: Bus, event: TradeEvent) -> None:
    await bus.append(schema.TRADE_LOG, dataclasses.asdict(event))
    await bus.publish(schema.TRADE_EVENTS, event)


async def test_account_and_trader_are_shown_as_they_stand_on_the_bus(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    await tell_of_trading(bus)
    for number in range(1, 61):
        await tell_event(bus, trade_event(number))
    async with site(redis_url, tmp_path, actors=TRADING) as here, here.page() as page:
        await page.until(lambda data: data["trader"] and data["trader"]["config"])
        await page.until(lambda data: data["positions"] and data["balance"])
        told = await bus.show(schema.POSITIONS.name())
        assert isinstance(told, dict)
        first, second = page.data["positions"]["positions"]
        added = {"foreign": False, "bare_since_ms": None, "bare_alarm_ms": None}
        assert first == told["positions"][0] | added
        assert (second["foreign"], second["stop_loss"]) == (True, None)
        assert second["bare_alarm_ms"] - second["bare_since_ms"] == 20_000
        assert page.data["balance"]["equity_quote"] == "10050"
        said = await bus.show(schema.TRADER_STATUS.name())
        assert isinstance(said, dict)
        assert page.data["equity"] == said.pop("equity")
        assert page.data["trader"]["status"] == said
        assert page.data["trader"]["config"]["settings"] == {"risk_pct": 0.25}
        await page.until(lambda data: data["tradeEvents"])
        assert [e["event_id"] for e in page.data["tradeEvents"]] == list(range(60, 10, -1))
        assert page.data["tradeEvents"][0] == dataclasses.asdict(
            trade_event(60, page.data["tradeEvents"][0]["at_ms"])
        )


async def test_an_event_of_the_trader_brings_at_once_what_it_changed(
    bus: Bus, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.dashboard.actor.POLL_S", 60.0)  # the next look at all keys
    await tell_all_is_well(bus)
    await tell_of_trading(bus)
    async with site(redis_url, tmp_path, actors=TRADING) as here, here.page() as page:
        await page.until(lambda data: data["positions"] and data["trader"])
        now_ms = CLOCK.now_ms()
        await bus.put(schema.POSITIONS, positions(as_of_ms=now_ms))
        await bus.put(schema.TRADER_STATUS, trader_status(now_ms, mode="locked", reason="kill"))
        await tell_event(bus, trade_event(7, now_ms, kind="closed", pnl_quote="-3"))
        await page.until(lambda data: data["tradeEvents"] and not data["positions"]["positions"])
        assert page.data["trader"]["status"]["mode"] == "locked"
        assert page.data["tradeEvents"][0]["pnl_quote"] == "-3"


async def test_a_damaged_entry_of_the_log_is_left_out_and_said_once(
    bus: Bus, redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await tell_all_is_well(bus)
    await bus.append(schema.TRADE_LOG, {"event_id": "odd"})
    await bus.append(schema.TRADE_LOG, dataclasses.asdict(trade_event(2)))
    async with site(redis_url, tmp_path, actors=TRADING) as here, here.page() as page:
        await page.until(lambda data: data["tradeEvents"])
        assert [event["event_id"] for event in page.data["tradeEvents"]] == [2]
        await tell_event(bus, trade_event(3))
        await page.until(lambda data: len(data["tradeEvents"]) == 2)
    left_out = [r for r in caplog.records if "left out of what is shown" in r.message]
    assert len(left_out) == 1 and "event_id" in left_out[0].message


async def test_what_account_and_trader_said_last_is_kept_while_redis_is_away(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=CLOCK)
    await tell_all_is_well(bus)
    await tell_of_trading(bus)
    async with site(server.url, tmp_path, actors=TRADING) as here, here.page() as page:
        await page.until(lambda data: data["positions"] and data["trader"])
        as_of_ms = page.data["positions"]["as_of_ms"]
        server.kill()
        await page.until(lambda data: data["redis"]["status"] == "down")
        assert page.data["positions"]["as_of_ms"] == as_of_ms
        assert page.data["trader"]["status"]["mode"] == "enabled"
        assert not any("not answering" in text for text in page.data["errors"])
    await bus.close()


async def test_page_shows_what_is_on_the_bus(bus: Bus, redis_url: str, tmp_path: Path) -> None:
    await tell_all_is_well(bus)
    event = {"at_ms": 5, "symbol": "BTCUSDT", "side": "long", "event": "entered",
             "label": "strong", "base": 81, "bonus": 10, "close": 2.5}  # fmt: skip
    await bus.append(schema.HISTORY, {**event, "at_ms": 4})
    await bus.append(schema.HISTORY, event)
    async with site(redis_url, tmp_path) as here, here.page() as page:
        await page.until(all_live)
        await page.until(lambda data: data["signalHistory"] and coin(data)["base"])
        for symbol in COINS:
            told = await bus.show(schema.TA_LATEST.name(symbol=symbol))
            assert page.data["taSignals"][symbol] == told
            shown = page.coin(symbol)
            assert shown["price"] == SERIES.close[1000]
            assert shown["base"]["long"] == 45 and shown["bonus"]["long"] == 10
            assert shown["change24hPct"] == 1.5 and len(shown["spark"]) == 48
        assert page.data["groups"] == GROUPS
        assert [h["atMs"] for h in page.data["signalHistory"]] == [5, 4]
        assert [a["name"] for a in page.data["actors"]] == ACTORS
        assert {a["state"] for a in page.data["actors"]} == {"ready"}
        assert page.data["redis"] == {**page.data["redis"], "status": "up", "fallback": False}
        await page.until(lambda data: coin(data, "SOLUSDT")["group"] == "other")
        same = await here.state()
        assert {k: v for k, v in same.items() if k != "asOf"} == {
            k: v for k, v in page.data.items() if k != "asOf"
        }
        assert 0 <= same["asOf"] - page.data["asOf"] < 20_000


async def test_before_the_first_data_every_coin_is_loading(redis_url: str, tmp_path: Path) -> None:
    async with site(redis_url, tmp_path) as here, here.page() as page:
        for shown in page.data["coinData"]:
            assert shown["state"] == "loading" and shown["price"] is None
            assert shown["base"] is None and shown["bonus"] is None
        assert set(page.data["taSignals"].values()) == {None}
        assert (await here.ask("/api/series/BTCUSDT/5m"))[0] == 503


async def test_changes_on_channels_come_as_patches_of_what_changed(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    async with site(redis_url, tmp_path) as here, here.page() as page:
        await page.until(all_live)
        await bus.publish(schema.CANDLE_UPDATES, forming("ETHUSDT", 777.5), symbol="ETHUSDT")
        await page.until(lambda data: coin(data, "ETHUSDT")["price"] == 777.5)
        newer = signal("SOLUSDT", CLOCK.now_ms())
        await bus.publish(schema.TA_SIGNALS, newer, symbol="SOLUSDT")
        while True:
            message = await page.take()
            if message["ta"]:
                break
        assert list(message["ta"]) == ["SOLUSDT"]
        assert page.coin("SOLUSDT")["computedAtMs"] == newer.computed_at_ms
        await bus.publish(schema.SCAN, scan(77))
        await page.until(lambda data: coin(data)["base"]["long"] == 77)


async def test_fast_bus_is_told_at_most_four_times_a_second_and_loses_nothing_newest(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    async with site(redis_url, tmp_path) as here, here.page() as page:
        await page.until(all_live)
        began = len(page.times)
        started, sent = time.monotonic(), 0
        reading = asyncio.create_task(page.until(lambda data: coin(data)["price"] == 9_999.0, 20))
        while (now := time.monotonic()) < started + 3:
            while sent < 200 * (now - started):
                await bus.publish(
                    schema.CANDLE_UPDATES, forming("BTCUSDT", 1000.0 + sent), symbol="BTCUSDT"
                )
                sent += 1
            await asyncio.sleep(0.005)
        await bus.publish(schema.CANDLE_UPDATES, forming("BTCUSDT", 9_999.0), symbol="BTCUSDT")
        await reading
        assert sent > 400
        took_s = page.times[-1] - page.times[began - 1]
        assert 4 <= len(page.times) - began <= 4 * took_s + 1
        assert max(page.times) < started + 3 + 1.5


class SlowBrowser:
    """A websocket by hand, on a socket with hardly any room, read only when told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> SlowBrowser:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101" in await reader.readline()
        while await reader.readline() != b"\r\n":
            pass
        return cls(reader, writer)

    async def message(self) -> dict[str, Any]:
        first, length = await self._reader.readexactly(2)
        assert first == 0x81  # one whole text
        if length >= 126:
            length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8))
        message: dict[str, Any] = orjson.loads(await self._reader.readexactly(length))
        return message

    async def send(self, raw: bytes) -> None:
        self._writer.write(raw)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


async def publish_large_signals(bus: Bus, words: str) -> None:
    """Publish more than any buffer on the way to a browser holds."""
    for symbol in COINS:
        found = signal(symbol, CLOCK.now_ms())
        bonus = replace(found.composite_score_adjustment, reasoning=[words] * 40_000)
        message = replace(found, composite_score_adjustment=bonus)
        await bus.publish(schema.TA_SIGNALS, message, symbol=symbol)


async def test_browser_that_takes_nothing_is_let_go_and_nobody_else_notices(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    async with site(redis_url, tmp_path, send_timeout_s=0.5) as here:
        slow = await SlowBrowser.connect(here.port)
        await eventually(lambda: here.actor.detail.get("browsers") == 1)

        async def is_let_go() -> bool:
            await publish_large_signals(bus, str(time.monotonic_ns()))
            return bool(here.actor.detail["browsers_dropped"] == 1)

        async with here.page() as page:
            reading = asyncio.create_task(page.until(lambda _: False, 60))
            await eventually(is_let_go, 20, every_s=0.1)
            assert not reading.done()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        await slow.close()


async def test_slow_browser_gets_the_newest_state_in_few_messages(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    async with site(redis_url, tmp_path) as here, here.page() as page:
        slow = await SlowBrowser.connect(here.port)
        assert (await slow.message())["seq"] == 1

        def says(data: dict[str, Any], words: str) -> bool:
            told = data["taSignals"]["SOLUSDT"]
            return bool(told) and told["composite_score_adjustment"]["reasoning"][0] == words

        for number in range(8):
            await publish_large_signals(bus, f"turn {number}")
            await page.until(lambda data, n=number: says(data, f"turn {n}"))  # type: ignore[misc]
        assert page.seq >= 9
        seen = 1
        while True:
            message = await asyncio.wait_for(slow.message(), 10)
            seen += 1
            assert message["seq"] == seen
            if "SOLUSDT" in message["ta"] and says({"taSignals": message["ta"]}, "turn 7"):
                break
        assert seen <= 4  # one that filled the buffers, perhaps one more, and one with all the rest
        await slow.close()


async def test_browser_may_say_what_it_likes_and_pings_are_answered(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    before = await bus.names("*")
    async with site(redis_url, tmp_path) as here, here.page() as page:
        await page.until(all_live)
        for words in ('{"type":"set"}', "shutdown", "{", "x" * 4000):
            await page.ws.send_str(words)
        await page.ws.send_bytes(b"\xff\x00")
        await page.ws.ping()
        await bus.publish(schema.CANDLE_UPDATES, forming("BTCUSDT", 5.5), symbol="BTCUSDT")
        await page.until(lambda data: coin(data)["price"] == 5.5)
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            async with here.session.request(method, here.base + "/api/state") as response:
                assert response.status == 405
    beat = schema.HEARTBEAT.name(name="dashboard")
    assert set(await bus.names("*")) - {beat} == set(before) - {beat}


async def test_page_of_ones_own_gets_one_plain_object_with_each_change(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    async with site(redis_url, tmp_path) as here:
        await eventually(lambda: here.shows(all_live))
        async with here.session.ws_connect(here.base + "/ws?flat=1") as ws:
            first = await ws.receive_json(timeout=10)
            assert set(first) == {
                "coinData", "positions", "signalHistory", "taSignals", "errors"
            }  # fmt: skip
            state = await here.state()
            for name in ("coinData", "positions", "signalHistory", "taSignals"):
                assert first[name] == state[name]
            times = [time.monotonic()]
            for price in range(1, 9):
                await bus.publish(
                    schema.CANDLE_UPDATES, forming("BTCUSDT", float(price)), symbol="BTCUSDT"
                )
                while coin(await ws.receive_json(timeout=10))["price"] != price:
                    pass
                times.append(time.monotonic())
            assert times[-1] - times[0] > 8 * 0.25 - 0.2  # one may be late, the next in time


async def test_browser_that_floods_pings_and_reads_nothing_is_cut_off(
    redis_url: str, tmp_path: Path
) -> None:
    async with site(redis_url, tmp_path) as here:
        flooder = await SlowBrowser.connect(here.port)
        latest_s = 0.0
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(20):
                while True:
                    await flooder.send(b"\x89\x80mask" * 20_000)
                    began = time.monotonic()
                    await asyncio.sleep(0.01)
                    latest_s = max(latest_s, time.monotonic() - began)
        assert latest_s < 2
        await eventually(lambda: here.actor.detail.get("browsers") == 0)
        await flooder.close()


async def test_strangers_are_refused_on_every_path(redis_url: str, tmp_path: Path) -> None:
    async with site(redis_url, tmp_path, allowed_hosts=["host.example"]) as here:
        own = f"127.0.0.1:{here.port}"
        for path in ("/", "/ws", "/api/state", "/api/series/BTCUSDT/5m", "/nothing"):
            assert (await here.ask(path, Host="rebound.example"))[0] == 421
            assert (await here.ask(path, Origin="http://evil.example"))[0] == 403
        assert (await here.ask("/api/state", Host="host.example"))[0] == 200
        assert (await here.ask("/api/state", Host=f"localhost:{here.port}"))[0] == 200
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with here.page(Origin=origin):
                    pass
            assert refused.value.status == 403
        async with here.page(Origin=f"http://{own}") as page:
            assert page.seq == 1


async def test_browsers_beyond_the_limit_are_refused_until_one_leaves(
    redis_url: str, tmp_path: Path
) -> None:
    async with site(redis_url, tmp_path, max_clients=1) as here:
        async with here.page():
            status_code, body = await here.ask("/ws")
            assert status_code == 503 and "max_clients" in body["detail"]

        async def is_let_in() -> bool:
            with contextlib.suppress(aiohttp.WSServerHandshakeError):
                async with here.page():
                    return True
            return False

        await eventually(is_let_in)


async def test_page_is_kept_by_the_browser_until_it_changes(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_text("<!doctype html><title>x</title>")
    (static / "app.js").write_text("export {}")
    monkeypatch.setattr("actors.dashboard.actor.STATIC", static)
    monkeypatch.setattr("actors.dashboard.actor.LIBRARY_FILE", static / "absent.js")
    async with site(redis_url, tmp_path) as here:
        async with here.session.get(here.base + "/") as response:
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            tag = response.headers["ETag"]
        assert (await here.ask("/", **{"If-None-Match": tag}))[0] == 304
        (static / "index.html").write_text("<!doctype html><title>another</title>")
        assert (await here.ask("/", **{"If-None-Match": tag}))[0] == 200
        async with here.session.get(here.base + "/app.js") as response:
            assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        status_code, body = await here.ask("/vendor/lightweight-charts.js")
        assert status_code == 404 and "npm ci" in body["detail"]
        assert (await here.ask("/%2e%2e/binance-ban"))[0] == 404


async def test_series_comes_from_the_window_on_the_bus(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    async with site(redis_url, tmp_path) as here:
        code, body = await here.ask("/api/series/BTCUSDT/5m")
        assert code == 200 and len(body["candles"]) == 501
        assert body["candles"][-1][4] == SERIES.close[1000]
        assert (await here.ask("/api/series/BTCUSDT/1h"))[0] == 503
        assert (await here.ask("/api/series/XUSDT/5m"))[0] == 404
        assert (await here.ask("/api/series/BTCUSDT/2h"))[0] == 404


async def test_closed_candle_that_does_not_follow_is_read_from_the_key(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    async with site(redis_url, tmp_path) as here, here.page() as page:
        await page.until(all_live)
        later = int(SERIES.open_time_ms[1001])
        newer = replace(
            window_at(SERIES, Timeframe.M5, later),
            fetched_at_ms=CLOCK.now_ms() + 1,
            symbol="BTCUSDT",
        )
        row = newer.candles
        closed = CandleRow(
            open_time_ms=int(row.open_time_ms[-2]), open=float(row.open[-2]),
            high=float(row.high[-2]), low=float(row.low[-2]), close=float(row.close[-2]),
            volume=1.0, closed=True,
        )  # fmt: skip
        await bus.put(schema.CANDLES[Timeframe.M5], newer, symbol="BTCUSDT")
        update = replace(
            forming("BTCUSDT", 1.0), candles=[closed], closed_until_ms=later, appends=False,
            at_ms=newer.fetched_at_ms,
        )  # fmt: skip
        await bus.publish(schema.CANDLE_UPDATES, update, symbol="BTCUSDT")
        await page.until(lambda data: coin(data)["closedUntilMs"] == later)
        assert page.coin()["price"] == SERIES.close[1001]


async def test_bad_messages_are_named_and_harm_nothing(
    bus: Bus, redis_url: str, shared_redis: PrivateRedis, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    shared_redis.run("SET", schema.SCAN_LATEST.name(), "{broken")
    shared_redis.run("XADD", schema.HISTORY.name(), "*", "what", '"ever"')
    async with site(redis_url, tmp_path) as here, here.page() as page:
        await page.until(all_live)
        for channel in (schema.TA_SIGNALS, schema.CANDLE_UPDATES):
            shared_redis.run("PUBLISH", channel.name(symbol="BTCUSDT"), "[]")
        shared_redis.run("PUBLISH", schema.SCAN.name(), "7")
        await page.until(lambda d: any("bad messages" in problem for problem in d["errors"]))
        await bus.publish(schema.CANDLE_UPDATES, forming("BTCUSDT", 3.25), symbol="BTCUSDT")
        await page.until(lambda data: coin(data)["price"] == 3.25)
        assert page.data["signalHistory"] == []


def has_another_price(data: dict[str, Any], symbol: str) -> bool:
    return bool(coin(data, symbol)["price"] != SERIES.close[1000])


async def test_without_redis_prices_come_from_the_exchange_until_it_is_back(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=CLOCK)
    await tell_all_is_well(bus)
    async with (
        simulated(CLOCK, COINS) as exchange,
        site(server.url, tmp_path, base_url=exchange.url) as here,
        here.page() as page,
    ):
        await page.until(all_live)
        assert asked_of(exchange) == 0
        server.kill()
        await page.until(lambda data: data["redis"]["status"] == "down")
        down_s = time.monotonic()
        await page.until(lambda data: data["redis"]["fallback"])
        assert time.monotonic() - down_s > 3
        for symbol in COINS:
            await page.until(partial(has_another_price, symbol=symbol))
            shown = page.coin(symbol)
            assert shown["state"] == "unavailable"
            assert shown["base"] is None and shown["bonus"] is None
        assert set(page.data["taSignals"].values()) == {None}
        assert any("redis unreachable" in problem for problem in page.data["errors"])
        code, body = await here.ask("/api/series/BTCUSDT/5m")
        assert code == 200 and len(body["candles"]) == 501
        code, body = await here.ask("/api/series/BTCUSDT/4h")
        assert code == 503 and "try again in" in body["detail"]
        server.start()
        await page.until(lambda data: not data["redis"]["fallback"])
        asked = asked_of(exchange)
        await tell_all_is_well(bus)
        await page.until(all_live, 20)
        assert asked_of(exchange) == asked == len(COINS)
    await bus.close()


async def test_fallback_asks_for_each_coin_once_in_30_s_and_never_while_banned(
    tmp_path: Path,
) -> None:
    clock = ManualClock(CLOCK.now_ms())
    async with (
        simulated(clock, COINS) as exchange,
        aiohttp.ClientSession() as session,
    ):
        ban = BanFile(tmp_path / "binance-ban")
        client = BinanceClient(session, base_url=exchange.url, clock=clock, ban=ban)
        taken: list[str] = []
        fallback = Fallback(
            client, COINS, clock=clock, source="sim", log=logging.getLogger("fallback"),
            on_window=lambda window: taken.append(window.symbol),
        )  # fmt: skip
        fallback.start()

        async def seconds(count: float) -> None:
            for _ in range(round(count / 0.5)):
                before = fallback.requests
                await clock.advance(0.5)
                if fallback.requests != before:
                    await eventually(partial(is_answered, fallback.requests))

        async def is_answered(count: int) -> bool:
            return asked_of(exchange) == count and len(taken) == count

        await seconds(EVERY_S - 1)
        assert sorted(taken) == sorted(COINS)
        await fallback.stop()
        fallback.start()  # a Redis that flaps buys nothing
        await seconds(0.5)
        assert len(taken) == len(COINS)
        await seconds(EVERY_S)
        assert sorted(taken) == sorted(COINS * 2)
        now_ms = clock.now_ms()
        ban.write(Ban(until_ms=now_ms + 120_000, status=418, at_ms=now_ms))
        await clock.advance(100)
        assert asked_of(exchange) == 2 * len(COINS)
        assert "forbids" in fallback.troubles["BTCUSDT"]
        await fallback.stop()


async def test_fallback_serves_a_longer_timeframe_with_the_coins_next_turn(tmp_path: Path) -> None:
    clock = ManualClock(CLOCK.now_ms())
    async with simulated(clock, ["BTCUSDT"]) as exchange, aiohttp.ClientSession() as session:
        client = BinanceClient(
            session, base_url=exchange.url, clock=clock, ban=BanFile(tmp_path / "binance-ban")
        )
        windows: list[CandleWindow] = []
        fallback = Fallback(
            client, ["BTCUSDT"], clock=clock, source="sim", log=logging.getLogger("fallback"),
            on_window=windows.append,
        )  # fmt: skip
        fallback.start()
        await clock.advance(1)
        await eventually(lambda: fallback.window("BTCUSDT", Timeframe.M5))
        assert fallback.window("BTCUSDT", Timeframe.H4) is None
        assert EVERY_S - 2 < fallback.next_turn_s("BTCUSDT") <= EVERY_S
        await clock.advance(EVERY_S)
        found = await eventually(lambda: fallback.window("BTCUSDT", Timeframe.H4))
        assert [window.timeframe for window in windows] == [Timeframe.M5]  # the card's alone
        assert found.timeframe is Timeframe.H4
        assert asked_of(exchange) == fallback.requests == 2
        await fallback.stop()


async def test_fallback_shows_one_price_scale(tmp_path: Path) -> None:
    clock = ManualClock(CLOCK.now_ms())
    break_ms = Timeframe.M5.open_at(clock.now_ms()) - 20 * Timeframe.M5.ms
    async with (
        SimulatedExchange(["BTCUSDT"], clock) as exchange,
        aiohttp.ClientSession() as session,
    ):
        exchange.rewrite = redenominated(
            "BTCUSDT", halt_ms=break_ms - 4 * Timeframe.M5.ms, break_ms=break_ms
        )
        client = BinanceClient(
            session, base_url=exchange.url, clock=clock, ban=BanFile(tmp_path / "binance-ban")
        )
        fallback = Fallback(
            client, ["BTCUSDT"], clock=clock, source="sim", log=logging.getLogger("fallback"),
            on_window=lambda window: None,
        )  # fmt: skip
        fallback.start()
        await clock.advance(1)
        found = await eventually(lambda: fallback.window("BTCUSDT", Timeframe.M5))
        assert found.begins_ms == found.candles.open_time_ms[0] == break_ms
        await fallback.stop()
