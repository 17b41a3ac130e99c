"""One timeframe that fails costs the coin no other, and older candles are compared as well."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock, utc_text
from shared.codec import decode
from shared.config.sections import FetcherSection
from shared.market import Timeframe
from shared.messages.candles import CandleUpdate, CandleWindow
from tests.integration.actors.fetcher.test_fetcher import before_close, passes
from tests.support.market_data import Rewrite, RunningFetcher, SimulatedExchange, redenominated
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


def raised(price: float) -> str:
    """Return another price than any of a candle whose high this is."""
    return f"{price * 1.002:.8f}"


class TestOlderCandles:
    """The exchange changes the close of a candle far behind the overlap."""

    BACK = 30

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("actors.fetcher.verification.APART_MS", 200)

    async def changed(self, query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
        if is_about(query, "1h") and len(rows) > self.BACK:
            row = rows[-self.BACK]
            row[4] = row[2] = raised(float(row[2]))
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
            expected = float(raised(before.candles.high[-self.BACK]))
            assert after.candles.close[-self.BACK] == expected

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


def spoilt(back: int) -> Rewrite:
    """Return an exchange whose 1h row of so many bars ago has no close."""

    async def rewrite(query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
        if is_about(query, "1h") and len(rows) > back:
            rows[-back][4] = "0.00000000"
        return rows

    return rewrite


class TestBadRow:
    async def test_costs_its_bars_alone_and_not_one_request_more(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        log = logging.getLogger("fetcher-rows-trial")
        caplog.set_level(logging.INFO, logger=log.name)
        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            exchange.rewrite = spoilt(back=6)
            async with RunningFetcher(exchange, redis_url, tmp_path, QUICK, log=log) as running:
                await eventually(running.is_ready, 20)
                await passes(running, 16)
                (name,) = running.detail["bad_rows"]
                assert name == f"{BAD} 1h"
                assert (
                    "cannot be a candle: price not finite and above 0"
                    in (running.detail["bad_rows"][name])
                )
                assert running.detail["coins"] == {}
                found = await window(bus, BAD, Timeframe.H1)
                assert len(found.closed()) == 998
                assert len(found.unfilled_gaps()) == 1

                del exchange.asked[:]
                await passes(running, 16)
                counts = Counter((q["symbol"], q["interval"]) for q in exchange.asked)
                for interval in ("5m", "1h", "4h"):
                    of_others = [counts[symbol, interval] for symbol in SYMBOLS if symbol != BAD]
                    assert counts[BAD, interval] <= max(of_others) + 1
                assert caplog.text.count("cannot be a candle") == 1

                exchange.rewrite = None
                await eventually(lambda: not running.detail["bad_rows"], 10)
                assert len((await window(bus, BAD, Timeframe.H1)).closed()) == 999

    async def test_equal_rows_are_counted_and_unequal_ones_named(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async def doubled(query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
            if query["symbol"] != SYMBOLS[0] and query["interval"] == "1h" and len(rows) > 20:
                rows.insert(-20, list(rows[-20]))
                del rows[0]
                if query["symbol"] == BAD:
                    rows[-20][5] = "1.00000000"
            return rows

        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            exchange.rewrite = doubled
            async with RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running:
                await eventually(running.is_ready, 20)
                await eventually(lambda: running.detail.get("harmless_rows"), 5)
                assert list(running.detail["duplicate_rows"]) == [f"{SYMBOLS[2]} 1h"]
                assert list(running.detail["harmless_rows"]) == [f"{BAD} 1h"]
                assert "rows of one time differ" in running.detail["harmless_rows"][f"{BAD} 1h"]
                assert running.detail["bad_rows"] == running.detail["coins"] == {}

    async def test_another_unit_of_time_fails_the_timeframe_by_its_name(
        self, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async def in_us(query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
            if is_about(query, "4h"):
                for row in rows:
                    row[0], row[6] = row[0] * 1000, row[6] * 1000
            return rows

        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            exchange.rewrite = in_us
            async with RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running:
                await eventually(running.is_ready, 20)
                await eventually(lambda: running.detail.get("coins"), 5)
                text = running.detail["coins"][BAD]
                assert text.startswith("4h: times in microseconds, expected milliseconds: row 1 ")


class TestBreakOfThePriceScale:
    async def test_begins_all_timeframes_anew_and_is_said_once(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        log = logging.getLogger("fetcher-break-trial")
        caplog.set_level(logging.INFO, logger=log.name)
        now_ms = clock.now_ms()
        halt_ms = Timeframe.H1.open_at(now_ms) - 6 * Timeframe.H1.ms
        break_ms = halt_ms + 4 * Timeframe.H1.ms + 35 * 60_000

        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            exchange.rewrite = redenominated(BAD, halt_ms=halt_ms, break_ms=break_ms)
            async with RunningFetcher(exchange, redis_url, tmp_path, QUICK, log=log) as running:
                await eventually(running.is_ready, 20)
                await eventually(lambda: running.detail.get("scale_breaks"), 5)
                assert list(running.detail["scale_breaks"]) == [BAD]
                text = running.detail["scale_breaks"][BAD]
                assert text.startswith("its price scale changed ")
                assert f":1 at {utc_text(break_ms)}; history begins anew there" in text
                for timeframe in Timeframe:

                    async def has_begun(t: Timeframe = timeframe) -> bool:
                        found = await window(bus, BAD, t)
                        times = found.candles.open_time_ms
                        return bool(found.begins_ms == break_ms and (times >= break_ms).all())

                    await eventually(has_begun, 5)
                await passes(running, 8)
                assert caplog.text.count("its price scale changed") == 1


class TestNodeBehind:
    @pytest.fixture
    def every_other(self) -> Rewrite:
        """Of the 5m answers of one coin, every second one lacks the newest rows."""
        turns = Counter[str]()

        async def rewrite(query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
            turns["all"] += is_about(query, "5m")
            return rows[:-2] if is_about(query, "5m") and turns["all"] % 2 else rows

        return rewrite

    async def test_changes_no_candle_fails_no_coin_and_is_not_asked_twice(
        self, redis_url: str, clock: SystemClock, tmp_path: Path, every_other: Rewrite
    ) -> None:
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            store = running.fetcher.coins[1].series[Timeframe.M5].store
            until_ms = store.closed_until_ms
            exchange.rewrite = every_other
            del exchange.asked[:]
            for _ in range(4):
                await passes(running, 4)
                assert store.closed_until_ms >= until_ms
                assert running.detail["coins"] == {}
            counts = Counter(q["symbol"] for q in exchange.asked if q["interval"] == "5m")
            assert counts[BAD] <= counts[SYMBOLS[0]] + 1
            assert running.fetcher.refetches == 0

    async def test_that_stays_behind_is_a_failure_by_its_name(
        self, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async def behind(query: Mapping[str, str], rows: list[Any]) -> list[Any] | None:
            return rows[:-2] if is_about(query, "5m") else rows

        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            exchange.rewrite = behind
            await eventually(lambda: running.detail["coins"], 10)
            assert "had been seen before" in running.detail["coins"][BAD]
