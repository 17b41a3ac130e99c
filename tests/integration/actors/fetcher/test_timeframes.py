"""One timeframe that fails costs the coin no other, and older candles are compared as well."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.codec import decode
from shared.config.sections import FetcherSection
from shared.market import Timeframe
from shared.messages.candles import CandleUpdate, CandleWindow
from tests.integration.actors.fetcher.test_fetcher import before_close, passes
from tests.support.market_data import RunningFetcher, SimulatedExchange
from tests.support.waiting import eventually

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
BAD = SYMBOLS[1]
QUICK = FetcherSection(
    interval_s=0.125, long_interval_s=0.5, request_timeout_s=3.6, circuit_failures=3, circuit_s=0.4
)


@pytest.fixture
def clock() -> SystemClock:
    return before_close(Timeframe.M5, 180)


def is_about(query: Mapping[str, str], interval: str) -> bool:
    return (query["symbol"], query["interval"]) == (BAD, interval)


async def window(bus: Bus, symbol: str, timeframe: Timeframe) -> CandleWindow:
    found = await bus.get(schema.CANDLES[timeframe], symbol=symbol)
    assert found is not None
    return found


class TestOneBadTimeframe:
    async def test_is_named_and_the_others_go_on(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async def no_4h(query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
            return None if is_about(query, "4h") else rows

        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            exchange.rewrite = no_4h
            async with RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running:
                await eventually(running.is_ready, 20)
                await eventually(lambda: running.detail.get("open_circuits"), 10)
                assert running.detail["open_circuits"] == [f"{BAD} 4h"]
                assert running.detail["coins"][BAD].startswith("4h: ")
                assert "HTTP 503" in running.detail["coins"][BAD]
                for timeframe in (Timeframe.M5, Timeframe.H1):
                    before = (await window(bus, BAD, timeframe)).fetched_at_ms

                    async def is_renewed(t: Timeframe = timeframe, ms: int = before) -> bool:
                        return (await window(bus, BAD, t)).fetched_at_ms > ms

                    await eventually(is_renewed, 5)
                assert await bus.get(schema.QUARANTINE, stage="fetch", symbol=BAD) is None

                exchange.rewrite = None
                await eventually(lambda: running.detail["coins"] == {}, 10)
                assert len((await window(bus, BAD, Timeframe.H4)).closed()) == 999

    async def test_that_hangs_keeps_no_other_waiting(
        self, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async def hanging_1h(query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
            if query["interval"] == "1h":  # of every coin
                await asyncio.sleep(60)
            return rows

        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            exchange.rewrite = hanging_1h
            del exchange.asked[:]
            await eventually(lambda: any(q["interval"] == "1h" for q in exchange.asked), 5)
            del exchange.asked[:]
            await passes(running, 8)
            counts = Counter((q["symbol"], q["interval"]) for q in exchange.asked)
            assert all(counts[symbol, "5m"] >= 7 for symbol in SYMBOLS)
            assert all(counts[symbol, "4h"] >= 1 for symbol in SYMBOLS)


class TestOlderCandles:
    """The exchange changes the close of a candle far behind the overlap."""

    BACK = 30

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("actors.fetcher.verification.APART_MS", 200)

    async def changed(self, query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
        if is_about(query, "1h") and len(rows) > self.BACK:
            rows[-self.BACK][4] = rows[-self.BACK][2]
        return rows

    async def test_a_change_made_while_it_was_down_is_found_and_told(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            async with RunningFetcher(exchange, redis_url, tmp_path, QUICK) as first:
                await eventually(first.is_ready, 20)
            before = await window(bus, BAD, Timeframe.H1)
            exchange.rewrite = self.changed
            old_ms = int(before.candles.open_time_ms[-self.BACK])
            async with bus.subscribe(schema.CANDLE_UPDATES.name(symbol=BAD)) as updates:
                await anext(updates)
                async with RunningFetcher(exchange, redis_url, tmp_path, QUICK) as second:
                    await eventually(lambda: second.detail.get("changed"), 20)
                    assert list(second.detail["changed"]) == [f"{BAD} 1h"]
                    assert second.fetcher.refetches == 0
                while True:
                    delivery = await asyncio.wait_for(anext(updates), 5)
                    update = decode(CandleUpdate, delivery.raw, delivery.channel)
                    if update.candles and update.candles[0].open_time_ms == old_ms:
                        break
                assert not update.appends
            after = await window(bus, BAD, Timeframe.H1)
            assert after.candles.close[-self.BACK] == before.candles.high[-self.BACK]

    async def test_one_made_while_it_runs_is_found_without_one_request_more(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr("actors.fetcher.verification.EVERY_MS", 1_000)
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            exchange.rewrite = self.changed
            del exchange.asked[:]
            began_ms = clock.now_ms()
            await eventually(lambda: running.detail["changed"], 20)
            await passes(running, 16)
            took_s = (clock.now_ms() - began_ms) / 1000
            counts = Counter((q["symbol"], q["interval"]) for q in exchange.asked)
            for symbol in SYMBOLS:
                assert counts[symbol, "5m"] <= took_s / QUICK.interval_s + 2
                assert counts[symbol, "1h"] <= took_s / (QUICK.long_interval_s / 2) + 2
            whole = {(q["symbol"], q["interval"]) for q in exchange.asked if q["limit"] == "1000"}
            assert len(whole) == len(SYMBOLS) * len(Timeframe)
            assert {q["limit"] for q in exchange.asked} >= {"3", "1000"}
