"""The simulator's stream wire, held against the recorded frames and the documented rules."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from actors.fetcher.kline_frames import KlineEvent, parse_frame
from shared.clock import SystemClock
from shared.exchanges.binance.kline_rows import parse_klines
from shared.market import Candles, Timeframe
from tests.support.fast_clock import FastClock
from tests.support.manual_clock import ManualClock
from tests.support.market_data import DAY_MS, SimulatedExchange, before_close_ms
from tests.support.waiting import eventually

M5 = Timeframe.M5
SYMBOLS = ("BTCUSDT", "ETHUSDT")
NAMES = [f"{s.lower()}@kline_{t}" for s in SYMBOLS for t in Timeframe]


def before_close(seconds: float, rate: float, timeframe: Timeframe = M5) -> FastClock:
    return FastClock(before_close_ms(timeframe, seconds), rate)


@asynccontextmanager
async def socket(
    exchange: SimulatedExchange, path: str, **options: Any
) -> AsyncIterator[ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(exchange.url.replace("http", "ws") + path, **options)
        try:
            yield socket
        finally:
            await socket.close()


async def texts(socket: ClientWebSocketResponse, count: int) -> list[str]:
    """Return the next so many frames."""
    return [await socket.receive_str(timeout=10) for _ in range(count)]


def shape(value: Any) -> Any:
    """Return what a value is made of: keys and types; a text by what kind of number it is."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, str) and re.fullmatch(r"\d+\.\d{8}", value):
        return "8 decimals"
    return value if isinstance(value, str) and value in ("kline", "5m", "0") else type(value)


async def test_frames_have_the_shape_of_the_recorded_ones(data_dir: Path) -> None:
    path = data_dir / "recorded/binance/ws_raw_BTCUSDT_5m_close_transition_2021-06-21.jsonl"
    tape = [json.loads(line) for line in path.read_text().splitlines()]
    async with (
        SimulatedExchange(SYMBOLS, before_close(10, 10), streams=True) as exchange,
        socket(exchange, "/ws/btcusdt@kline_5m") as raw,
    ):
        frames = [json.loads(text) for text in await texts(raw, 7)]
    assert {k["k"]["x"] for k in frames} == {True, False}
    for frame in frames:
        assert shape(frame) == shape(tape[0])
        assert list(frame["k"]) == list(tape[0]["k"])
    # as recorded: one closing frame, about 0.1 s after the boundary, then the next candle
    closing = [f["k"]["x"] for f in frames].index(True)
    ends = [f["k"]["T"] for f in frames]
    assert sum(f["k"]["x"] for f in frames) == 1
    assert 99 <= frames[closing]["E"] - ends[closing] < 2_000
    assert set(ends[: closing + 1]) == {ends[0]}
    assert set(ends[closing + 1 :]) == {ends[0] + M5.ms}
    recorded = next(f for f in tape if f["k"]["x"])
    assert recorded["E"] - recorded["k"]["T"] == 121


async def test_closing_frames_are_the_candles_rest_tells() -> None:
    async with SimulatedExchange(
        SYMBOLS, before_close(3, 5, Timeframe.H4), streams=True
    ) as exchange:
        closed: dict[tuple[str, Timeframe], Candles] = {}
        async with socket(exchange, f"/stream?streams={'/'.join(NAMES)}") as combined:
            while len(closed) < len(NAMES):
                text = await combined.receive_str(timeout=10)
                assert json.loads(text)["stream"] in NAMES
                event = parse_frame(text)
                assert isinstance(event, KlineEvent)
                if event.is_closed:
                    closed[event.symbol, event.timeframe] = event.row()
        async with aiohttp.ClientSession() as session:
            for (symbol, timeframe), row in closed.items():
                query = {"symbol": symbol, "interval": str(timeframe), "limit": "3"}
                async with session.get(f"{exchange.url}/api/v3/klines", params=query) as answer:
                    rest = parse_klines(await answer.json(), symbol, timeframe).candles
                assert rest[rest.open_time_ms == row.open_time_ms[0]].same_as(row)


async def test_control_messages_are_answered_as_documented() -> None:
    clock = SystemClock()
    asked: list[tuple[Any, Any]] = [
        ({"method": "LIST_SUBSCRIPTIONS", "id": 1}, {"result": [], "id": 1}),
        ({"method": "SUBSCRIBE", "params": NAMES[:2], "id": 2}, {"result": None, "id": 2}),
        (
            {"method": "SUBSCRIBE", "params": ["nosuch@kline_5m"], "id": 3},
            {"result": None, "id": 3},
        ),
        ({"method": "UNSUBSCRIBE", "params": NAMES[:1], "id": 4}, {"result": None, "id": 4}),
    ]
    async with SimulatedExchange(SYMBOLS, clock, streams=True) as exchange:
        async with socket(exchange, "/ws") as raw:
            for message, reply in asked:
                await raw.send_json(message)
                assert await raw.receive_json(timeout=5) == reply
        async with socket(exchange, f"/ws/{NAMES[1]}") as raw:
            await raw.send_json({"method": "LIST_SUBSCRIPTIONS", "id": "x"})
            assert await raw.receive_json(timeout=5) == {"result": [NAMES[1]], "id": "x"}
            for bad, code in (
                ("{", 3),
                ('{"method":"NONSENSE","id":1}', 2),
                ('{"method":"SUBSCRIBE","params":"x","id":1}', 2),
            ):
                await raw.send_str(bad)
                assert (await raw.receive_json(timeout=5))["code"] == code
        async with socket(exchange, f"/ws/{NAMES[1]}") as raw:
            await raw.send_json({"method": "SET_PROPERTY", "params": ["combined", True], "id": 1})
            assert await raw.receive_json(timeout=5) == {"result": None, "id": 1}
            assert (await raw.receive_json(timeout=5))["stream"] == NAMES[1]
            await raw.send_json({"method": "SET_PROPERTY", "params": ["combined", 1], "id": 2})
            assert (await raw.receive_json(timeout=5))["code"] == 1
            await raw.send_json({"method": "SET_PROPERTY", "params": ["nothing", 1], "id": 3})
            assert (await raw.receive_json(timeout=5))["code"] == 0


async def test_a_name_nobody_serves_is_silent() -> None:
    async with (
        SimulatedExchange(SYMBOLS, before_close(200, 20), streams=True) as exchange,
        socket(
            exchange, "/stream?streams=nosuch@kline_5m/BTCUSDT@kline_5m/ethusdt@kline_5m"
        ) as both,
    ):
        frames = [json.loads(text) for text in await texts(both, 5)]
    assert {frame["stream"] for frame in frames} == {"ethusdt@kline_5m"}


async def test_pings_come_every_20_s_and_an_unanswered_one_ends_the_connection() -> None:
    clock = ManualClock(M5.open_at(DAY_MS) + 10_000)
    async with (
        SimulatedExchange(SYMBOLS, clock, streams=True) as exchange,
        socket(exchange, "/ws", autoping=False) as deaf,
    ):
        wire = exchange.wire.stream
        await eventually(lambda: wire.connections == 1)

        begun_s = clock.monotonic()
        heard = asyncio.ensure_future(deaf.receive(timeout=20))

        async def hears_a_ping() -> bool:
            await clock.advance(1)
            return heard.done()

        await eventually(hears_a_ping)
        message = heard.result()
        assert message.type is WSMsgType.PING
        assert 20 <= clock.monotonic() - begun_s < 40
        await deaf.pong(message.data)

        async def is_cut() -> bool:
            await clock.advance(1)
            return wire.connections == 0

        await eventually(is_cut, 10)
        assert wire.counts["cut: no pong"] == 1
        assert 60 < clock.monotonic() - begun_s < 130


async def test_a_client_that_talks_too_much_is_cut() -> None:
    async with (
        SimulatedExchange(SYMBOLS, SystemClock(), streams=True) as exchange,
        socket(exchange, "/ws") as chatty,
    ):
        for number in range(6):
            await chatty.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        kinds = [(await chatty.receive(timeout=5)).type for _ in range(6)]
    assert kinds[:5] == [WSMsgType.TEXT] * 5
    assert kinds[5] is WSMsgType.CLOSE


async def test_more_than_1024_streams_are_refused() -> None:
    names = [f"x{number}usdt@kline_5m" for number in range(1025)]
    async with (
        SimulatedExchange(SYMBOLS, SystemClock(), streams=True) as exchange,
        socket(exchange, "/ws") as raw,
    ):
        await raw.send_json({"method": "SUBSCRIBE", "params": names, "id": 1})
        assert (await raw.receive_json(timeout=5))["code"] == 2
        await raw.send_json({"method": "SUBSCRIBE", "params": names[:1024], "id": 2})
        assert await raw.receive_json(timeout=5) == {"result": None, "id": 2}


async def test_more_than_300_attempts_in_five_minutes_are_refused() -> None:
    clock = ManualClock(M5.open_at(DAY_MS))
    async with SimulatedExchange(SYMBOLS, clock, streams=True) as exchange:
        await exchange.plan(kind="stream_refuse", for_s=1, value=503)
        async with aiohttp.ClientSession() as session:

            async def attempt() -> int:
                async with session.get(f"{exchange.url}/stream") as answer:
                    return answer.status

            assert {await attempt() for _ in range(300)} == {503}
            await clock.advance(2)
            assert await attempt() == 429
            await clock.advance(300)
            assert await attempt() not in (429, 503)


async def test_the_control_panel_shows_the_stream() -> None:
    async with (
        SimulatedExchange(SYMBOLS, SystemClock(), streams=True) as exchange,
        socket(exchange, "/ws"),
        aiohttp.ClientSession() as session,
        session.get(f"{exchange.url}/sim/requests") as answer,
    ):
        assert (await answer.json())["stream"] == {"attempts": 1}


@pytest.mark.parametrize("kind", ["stream_cut", "stream_shutdown"])
async def test_a_planned_end_comes(kind: str) -> None:
    async with (
        SimulatedExchange(SYMBOLS, before_close(200, 20), streams=True) as exchange,
        socket(exchange, f"/stream?streams={NAMES[0]}") as both,
    ):
        await texts(both, 1)
        await exchange.plan(kind=kind, for_s=60, value=6)
        seen = []
        async for message in both:
            seen.append(json.loads(message.data))
        shutdowns = [f for f in seen if f["stream"] == "!serverShutdown"]
        assert len(shutdowns) == (kind == "stream_shutdown")
        await eventually(lambda: exchange.wire.stream.connections == 0)


async def test_a_stream_may_be_behind_or_in_another_unit() -> None:
    clock = before_close(30, 20)
    async with SimulatedExchange(SYMBOLS, clock, streams=True) as exchange:
        await exchange.plan(kind="stream_behind", symbol="BTCUSDT", for_s=3600)
        await exchange.plan(kind="stream_wrong_unit", symbol="ETHUSDT", for_s=3600)
        begun_ms = clock.now_ms()
        frames: dict[bool, dict[str, Any]] = {}
        async with socket(exchange, f"/ws/{NAMES[0]}") as behind:
            while len(frames) < 2:
                frame = await behind.receive_json(timeout=10)
                frames[frame["k"]["x"]] = frame
        open_ms = M5.open_at(begun_ms)
        assert frames[True]["k"]["t"] == open_ms - 2 * M5.ms
        assert frames[True]["k"]["T"] == open_ms - M5.ms - 1
        assert frames[False]["k"]["t"] in (open_ms - 2 * M5.ms, open_ms - M5.ms)
        async with socket(exchange, f"/ws/{NAMES[3]}") as other:
            frame = await other.receive_json(timeout=10)
        assert frame["k"]["t"] % (M5.ms * 1000) == 0
        assert frame["k"]["T"] == frame["k"]["t"] + M5.ms * 1000 - 1
        assert abs(frame["E"] // 1000 - clock.now_ms()) < 60_000
