"""Faults of listings and candles, as they look on the simulated exchange's wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from shared.market import Timeframe
from tests.support.exchange import Simulator, simulated
from tests.support.manual_clock import ManualClock

NOW = 1_735_000_000_000 - 1_735_000_000_000 % Timeframe.H4.ms + 3_723_000
M5, H1, H4 = Timeframe.M5, Timeframe.H1, Timeframe.H4
OPEN_TIME, OPEN, HIGH, LOW, CLOSE, VOLUME, CLOSE_TIME = range(7)


@dataclass
class Wire:
    """Raw answers of a simulated exchange of two coins."""

    clock: ManualClock
    simulator: Simulator
    session: aiohttp.ClientSession

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        url = f"{self.simulator.url}/api/v3/{path}"
        async with self.session.get(url, params=query) as response:
            is_json = response.content_type == "application/json"
            return response.status, await (response.json() if is_json else response.text())

    async def klines(
        self, timeframe: Timeframe = M5, limit: int = 20, symbol: str = "BTCUSDT", **query: str
    ) -> list[list[Any]]:
        status, rows = await self.get(
            "klines", symbol=symbol, interval=str(timeframe), limit=str(limit), **query
        )
        assert status == 200
        found: list[list[Any]] = rows
        return found

    async def statuses(self) -> dict[str, str]:
        _, document = await self.get("exchangeInfo")
        return {each["symbol"]: each["status"] for each in document["symbols"]}

    async def handshake(self, path: str = "/ws/btcusdt@kline_5m") -> int:
        """Return the status of an attempt to stream."""
        try:
            async with self.session.ws_connect(self.simulator.url + path):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    clock = ManualClock(NOW)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(simulated(clock, ["BTCUSDT", "ETHUSDT"]))
        yield Wire(clock, simulator, await stack.enter_async_context(aiohttp.ClientSession()))


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [("forbidden", 403, "Request blocked"), ("restricted", 451, "restricted location")],
)
async def test_refused_address_is_refused_everywhere_and_costs_no_weight(
    wire: Wire, kind: str, status: int, text: str
) -> None:
    await wire.simulator.plan({"kind": kind, "for_s": 60})
    for path in ("ping", "time", "exchangeInfo", "klines"):
        found, body = await wire.get(path)
        assert found == status
        assert text in str(body)
    assert await wire.handshake() == status
    assert (await wire.simulator.requests())["used_weight"] == 0
    await wire.clock.advance(60)
    assert (await wire.get("ping"))[0] == 200
    assert await wire.handshake() == 101


async def test_pre_trading_coin_is_listed_and_has_no_candles(wire: Wire) -> None:
    await wire.simulator.plan({"kind": "pre_trading", "symbol": "BTCUSDT"})
    assert await wire.statuses() == {"BTCUSDT": "PRE_TRADING", "ETHUSDT": "TRADING"}
    assert await wire.klines() == []
    assert len(await wire.klines(symbol="ETHUSDT")) == 20


async def test_broken_coin_has_candles_until_trading_ended(wire: Wire) -> None:
    whole = {t: await wire.klines(t, startTime=str(NOW - 12 * 86_400_000)) for t in Timeframe}
    await wire.simulator.plan({"kind": "break", "symbol": "BTCUSDT", "value": 10})
    assert (await wire.statuses())["BTCUSDT"] == "BREAK"
    ended = H4.open_at(NOW - 10 * 86_400_000)
    for timeframe in Timeframe:
        rows = await wire.klines(timeframe)
        assert rows[-1][OPEN_TIME] == ended - timeframe.ms
        assert len(rows) == 20
        for row in await wire.klines(timeframe, startTime=str(NOW - 12 * 86_400_000)):
            assert row in whole[timeframe]


async def test_young_coin_has_candles_since_its_listing(wire: Wire) -> None:
    whole = await wire.klines()
    await wire.simulator.plan({"kind": "young", "symbol": "BTCUSDT"})
    fives = await wire.klines()
    assert fives == whole[-6:]  # 25 min and the open one
    (hour_before, hour) = await wire.klines(H1)
    (four,) = await wire.klines(H4)
    assert hour_before[OPEN_TIME] == four[OPEN_TIME] == H4.open_at(NOW)
    assert hour_before[OPEN] == four[OPEN] == fives[0][OPEN]
    assert four[CLOSE] == hour[CLOSE] == fives[-1][CLOSE]
    assert float(four[VOLUME]) == pytest.approx(sum(float(row[VOLUME]) for row in fives))


async def test_answer_without_rows_and_answer_in_reverse(wire: Wire) -> None:
    whole = await wire.klines()
    await wire.simulator.plan({"kind": "rows_reversed", "for_s": 10})
    assert await wire.klines() == whole[::-1]
    await wire.simulator.plan({"kind": "no_rows", "timeframe": "4h"})
    assert await wire.klines(H4) == []
    await wire.clock.advance(10)
    assert len(await wire.klines()) == 20


async def test_row_that_was_the_newest_closed_one_comes_twice(wire: Wire) -> None:
    whole = await wire.klines()
    await wire.simulator.plan({"kind": "duplicate_row", "for_s": 600})
    assert await wire.klines() == [*whole[1:-1], whole[-2], whole[-1]]
    from_start = await wire.klines(startTime=str(whole[0][OPEN_TIME]))
    assert from_start == [*whole[:-1], whole[-2]]
    await wire.clock.advance(300)
    later = await wire.klines()
    assert later.count(whole[-2]) == 2
    assert len(later) == 20
    await wire.clock.advance(300)
    assert len({row[OPEN_TIME] for row in await wire.klines()}) == 20


async def test_second_of_two_rows_may_differ_by_some_digits(wire: Wire) -> None:
    await wire.simulator.plan({"kind": "duplicate_row", "value": -3, "timeframe": "1h"})
    assert len(await wire.klines()) == 20
    *_, first, second, _ = await wire.klines(H1)
    assert first[OPEN_TIME] == second[OPEN_TIME]
    assert float(second[CLOSE]) == pytest.approx(float(first[CLOSE]) - 0.03)
    assert float(second[LOW]) <= float(second[CLOSE]) <= float(second[HIGH])


BAD: dict[int, Callable[[list[Any]], bool]] = {
    1: lambda row: float(row[LOW]) == 0 == float(row[CLOSE]),
    2: lambda row: float(row[LOW]) < 0,
    3: lambda row: float(row[HIGH]) < float(row[LOW]),
    4: lambda row: row[OPEN_TIME] % 1000 == 0 and row[OPEN_TIME] % M5.ms == 1000,
    5: lambda row: row[CLOSE] == "n/a",
    6: lambda row: len(row[HIGH]) == 400,
}


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("timeframe", [M5, H4])
async def test_bad_row_stays_bad_and_alone(wire: Wire, value: int, timeframe: Timeframe) -> None:
    whole = await wire.klines(timeframe)
    await wire.simulator.plan(
        {"kind": "bad_row", "value": value, "timeframe": str(timeframe), "for_s": 3600}
    )
    for _ in range(2):
        rows = await wire.klines(timeframe, startTime=str(whole[0][OPEN_TIME]))
        assert BAD[value](rows[18])
        assert rows[:18] == whole[:18]
        assert not any(BAD[value](row) for row in rows[19:])
        await wire.clock.advance(301)


@pytest.mark.parametrize("per_s", [1, 1_000_000, 1_000_000_000])
async def test_times_of_rows_may_be_in_another_unit(wire: Wire, per_s: int) -> None:
    whole = await wire.klines()
    await wire.simulator.plan({"kind": "wrong_unit", "value": per_s})
    rows = await wire.klines()
    assert [row[OPEN_TIME] for row in rows] == [row[OPEN_TIME] * per_s // 1000 for row in whole]
    assert rows[0][CLOSE_TIME] == rows[1][OPEN_TIME] - 1
    assert [row[OPEN:CLOSE_TIME] for row in rows] == [row[OPEN:CLOSE_TIME] for row in whole]
    status, body = await wire.get("time")
    assert (status, body) == (200, {"serverTime": wire.clock.now_ms()})


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "bad_row", "value": 0},
        {"kind": "bad_row", "value": 1.5},
        {"kind": "venue_5xx", "timeframe": "5m"},
        {"kind": "bad_row", "timeframe": "1d"},
        {"kind": "bad_row", "after_s": -1},
        {"kind": "wick", "timeframe": "1h"},
        {"kind": "redenomination", "value": 0},
    ],
)
async def test_entry_out_of_range_is_refused(wire: Wire, entry: dict[str, Any]) -> None:
    async with wire.session.post(f"{wire.simulator.url}/sim/faults", json=entry) as response:
        assert response.status == 400


async def test_every_other_answer_comes_from_a_node_that_is_behind(wire: Wire) -> None:
    await wire.simulator.plan({"kind": "node_behind", "symbol": "BTCUSDT", "value": 900})
    newest = [(await wire.klines())[-1][OPEN_TIME] for _ in range(4)]
    assert newest == [M5.open_at(NOW), M5.open_at(NOW) - 3 * M5.ms] * 2
    assert (await wire.klines(symbol="ETHUSDT"))[-1][OPEN_TIME] == M5.open_at(NOW)


async def test_history_may_be_changed_before_the_start(wire: Wire) -> None:
    before = await wire.klines(limit=200)
    entries: list[dict[str, Any]] = [
        {"kind": "redenomination", "after_s": -36_000, "for_s": 3600, "value": 0.1},
        {"kind": "wick", "after_s": -3000},
    ]
    await wire.simulator.plan(*({"symbol": "BTCUSDT", **entry} for entry in entries))
    rows = await wire.klines(limit=200)
    begins = M5.open_at(NOW - 32_400_000 - 1) + M5.ms
    assert float(rows[-2][CLOSE]) == pytest.approx(float(before[-2][CLOSE]) / 10)
    assert begins in [row[OPEN_TIME] for row in rows]
    assert begins - M5.ms not in [row[OPEN_TIME] for row in rows]
    flat = [row for row in rows if float(row[VOLUME]) == 0]
    assert len(flat) == 6
    (wick,) = [row for row in rows if float(row[LOW]) < float(row[CLOSE]) / 100]
    assert wick[OPEN_TIME] == M5.open_at(NOW - 3_000_000 - 1) + M5.ms
    assert await wire.statuses() == {"BTCUSDT": "TRADING", "ETHUSDT": "TRADING"}


async def test_closed_candle_changes_when_the_exchange_corrects_it(wire: Wire) -> None:
    before = await wire.klines(limit=50)
    await wire.simulator.plan({"kind": "deep_correction", "symbol": "BTCUSDT", "for_s": 1})
    await wire.clock.advance(2)
    after = await wire.klines(limit=50)
    (changed,) = [number for number in range(49) if before[number] != after[number]]
    assert changed == 49 - 30
    assert float(after[changed][HIGH]) == pytest.approx(float(before[changed][HIGH]) * 1.01)
