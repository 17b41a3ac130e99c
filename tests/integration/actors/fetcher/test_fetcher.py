"""The fetcher against a real Redis and the simulated exchange, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.exchange_sim.market.events import Halt
from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.codec import decode
from shared.config.sections import FetcherSection
from shared.market import Timeframe
from shared.messages.candles import CandleUpdate, CandleWindow
from tests.support.fast_clock import FastClock
from tests.support.market_data import RunningFetcher, SimulatedExchange, before_close_ms
from tests.support.private_redis import PrivateRedis
from tests.support.waiting import eventually

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "ADAUSDT")
BAD, GOOD = SYMBOLS[1], (SYMBOLS[0], *SYMBOLS[2:])
# Eight passes a second; a request may hang much longer than the others may be late.
QUICK = FetcherSection(
    interval_s=0.125, long_interval_s=1, request_timeout_s=3.6, circuit_failures=3, circuit_s=0.4
)
SELDOM = replace(QUICK, long_interval_s=300)
LATEST_MS = 2_800


async def window(bus: Bus, symbol: str, timeframe: Timeframe = Timeframe.M5) -> CandleWindow | None:
    return await bus.get(schema.CANDLES[timeframe], symbol=symbol)


async def windows(bus: Bus) -> list[CandleWindow | None]:
    return [await window(bus, s, t) for s in SYMBOLS for t in Timeframe]


async def all_on_the_bus(bus: Bus) -> bool:
    return all(w is not None for w in await windows(bus))


async def passes(running: RunningFetcher, count: int) -> None:
    """Wait until so many passes have been made."""
    seen: set[int | None] = {running.detail.get("last_pass_at_ms")}

    def enough() -> bool:
        seen.add(running.detail.get("last_pass_at_ms"))
        return len(seen) > count

    await eventually(enough, 5 + count)


@pytest.fixture
def clock() -> SystemClock:
    """A clock far from any close, around which passes wait and candles move on."""
    return before_close(Timeframe.M5, 180)


def before_close(timeframe: Timeframe, seconds: float) -> SystemClock:
    """A clock that runs on from so many seconds before a candle closes, on the same day always."""
    return SystemClock(before_close_ms(timeframe, seconds) - SystemClock().now_ms())


class TestWindows:
    async def test_every_coin_and_timeframe_is_published_as_the_exchange_tells_it(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path) as running,
        ):
            await eventually(running.is_ready, 20)
            await eventually(lambda: all_on_the_bus(bus), 5)
            assert len(exchange.asked) == len(SYMBOLS) * len(Timeframe)
            assert {q["limit"] for q in exchange.asked} == {"1000"}
            for symbol in SYMBOLS:
                for timeframe in Timeframe:
                    found = await window(bus, symbol, timeframe)
                    assert found is not None
                    closed = found.closed()
                    assert len(closed) == 999
                    assert len(found.candles) == 1000
                    assert found.unfilled_gaps() == []
                    told = exchange.market.bars(symbol, timeframe, clock.now_ms(), limit=1000)
                    scale = 10 ** exchange.market.scale(symbol, clock.now_ms()).price_digits
                    assert closed.open_time_ms.tolist() == told[0][:999].tolist()
                    assert (closed.close * scale).round().tolist() == told[4][:999].tolist()

    async def test_later_passes_ask_for_few_rows_of_5m_only(
        self, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(
                exchange, redis_url, tmp_path, FetcherSection(interval_s=0.2)
            ) as running,
        ):
            await eventually(running.is_ready, 20)
            del exchange.asked[:]
            await passes(running, 6)
        assert {q["interval"] for q in exchange.asked} == {"5m"}
        assert {q["limit"] for q in exchange.asked} <= {"3", "4"}
        assert len(exchange.asked) <= 8 * len(SYMBOLS)

    async def test_at_a_4h_close_all_timeframes_follow_within_seconds(
        self, bus: Bus, redis_url: str, tmp_path: Path
    ) -> None:
        clock = before_close(Timeframe.H4, 3)
        close_ms = Timeframe.H4.open_at(clock.now_ms()) + Timeframe.H4.ms
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path) as running,
            bus.subscribe(*(schema.CANDLE_UPDATES.name(symbol=s) for s in SYMBOLS)) as updates,
        ):
            await anext(updates)
            await eventually(running.is_ready, 20)

            async def all_closed() -> bool:
                found = await windows(bus)
                return all(w is not None and w.closed_until_ms == close_ms for w in found)

            await eventually(all_closed, 15)
            assert clock.now_ms() - close_ms < 4_000
            for found in await windows(bus):
                assert found is not None
                assert len(found.closed()) == 1000
                assert int(found.candles.open_time_ms[-1]) == close_ms
            told: set[tuple[str, str]] = set()
            while len(told) < len(SYMBOLS) * len(Timeframe):
                delivery = await asyncio.wait_for(anext(updates), 5)
                update = decode(CandleUpdate, delivery.raw, delivery.channel)
                if update.closed_until_ms == close_ms:
                    newest_closed = [c for c in update.candles if c.closed][-1]
                    length = Timeframe(update.timeframe).ms
                    assert newest_closed.open_time_ms == close_ms - length
                    assert not update.candles[-1].closed
                    told.add((update.symbol, update.timeframe))

    async def test_a_hole_in_history_is_asked_for_and_marked_as_absent(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            begin = Timeframe.M5.open_at(clock.now_ms()) - 100 * Timeframe.M5.ms
            end = begin + 24 * Timeframe.M5.ms
            exchange.market.add_event(BAD, Halt(begin, begin, end))
            async with RunningFetcher(exchange, redis_url, tmp_path) as running:
                await eventually(running.is_ready, 20)
                found = await window(bus, BAD)
                assert found is not None
                assert found.absent == ((begin + Timeframe.M5.ms, end),)
                assert found.unfilled_gaps() == []
                assert running.detail["gaps"] == {}
        questions = [q for q in exchange.asked if "startTime" in q and q["interval"] == "5m"]
        assert [q["startTime"] for q in questions] == [str(begin)]

    async def test_no_reader_ever_sees_a_missing_key(
        self,
        bus: Bus,
        redis_url: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for timeframe, ttl_s in ((Timeframe.M5, 2), (Timeframe.H1, 4), (Timeframe.H4, 5)):
            entry = replace(schema.CANDLES[timeframe], ttl_s=ttl_s)
            monkeypatch.setitem(schema.CANDLES, timeframe, entry)
        settings = FetcherSection(interval_s=1, long_interval_s=3.2)
        clock = before_close(Timeframe.H4, 4)  # a close of every timeframe in the middle
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, settings) as running,
        ):
            await eventually(running.is_ready, 20)
            until, looks = clock.now_ms() + 7_000, 0
            while clock.now_ms() < until:
                missing = [i for i, w in enumerate(await windows(bus)) if w is None]
                assert missing == [], f"after {looks} looks"
                looks += 1
                await asyncio.sleep(0.02)
            assert looks > 50

    async def test_no_pass_begins_around_a_close(self, redis_url: str, tmp_path: Path) -> None:
        begin_ms = Timeframe.M5.open_at(SystemClock().now_ms())
        clock = FastClock(begin_ms + Timeframe.M5.ms - 31_000, 10)  # the next pass is due at it
        close_ms = begin_ms + Timeframe.M5.ms
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, FetcherSection()) as running,
        ):
            await eventually(running.is_ready, 20)
            first = len(exchange.asked)
            await eventually(lambda: len(exchange.asked) >= first + len(SYMBOLS), 20)
        again_ms = [int(q["at_ms"]) for q in exchange.asked[first:]]
        assert close_ms + 1_500 <= min(again_ms) and max(again_ms) < close_ms + 15_000


class TestRestart:
    async def test_goes_on_from_the_windows_on_the_bus(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            first = RunningFetcher(exchange, redis_url, tmp_path)
            async with first:
                await eventually(first.is_ready, 20)
                await eventually(lambda: all_on_the_bus(bus), 5)
            del exchange.asked[:]
            async with RunningFetcher(exchange, redis_url, tmp_path) as second:
                await eventually(second.is_ready, 20)
                assert second.fetcher.refetches == 0
            assert len(exchange.asked) == len(SYMBOLS) * len(Timeframe)
            assert {q["limit"] for q in exchange.asked} == {"1000"}  # compared whole
            found = await window(bus, BAD)
            assert found is not None
            assert len(found.closed()) >= 999

    async def test_windows_of_another_history_are_fetched_again_whole(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async with SimulatedExchange(SYMBOLS, clock, seed=1) as exchange:
            first = RunningFetcher(exchange, redis_url, tmp_path)
            async with first:
                await eventually(first.is_ready, 20)
                await eventually(lambda: all_on_the_bus(bus), 5)
        async with SimulatedExchange(SYMBOLS, clock, seed=2) as exchange:
            second = RunningFetcher(exchange, redis_url, tmp_path)
            async with second:
                await eventually(second.is_ready, 20)
                assert second.fetcher.refetches == len(SYMBOLS) * len(Timeframe)
                found = await window(bus, BAD)
                told = exchange.market.bars(BAD, Timeframe.M5, clock.now_ms(), limit=1000)
                scale = 10 ** exchange.market.scale(BAD, clock.now_ms()).price_digits
                assert found is not None
                assert (found.closed().close * scale).round().tolist() == told[4][:999].tolist()


class TestOneBadCoin:
    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "5xx"},
            {"kind": "hang"},
            {"kind": "half_body"},
            {"kind": "html"},
            {"kind": "wrong_json"},
            {"kind": "delisted"},
            {"kind": "clock_skew", "value": 3_600_000},
            {"kind": "clock_skew", "value": -3_600_000},
        ],
        ids=lambda fault: "_".join(str(v) for v in fault.values()),
    )
    async def test_is_named_and_the_others_stay_on_time(
        self,
        fault: dict[str, Any],
        bus: Bus,
        redis_url: str,
        clock: SystemClock,
        tmp_path: Path,
    ) -> None:
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            before = await window(bus, BAD)
            await exchange.plan(symbol=BAD, for_s=60, **fault)
            others = [c for c in running.fetcher.coins if c.symbol in GOOD]
            begun_ms, oldest_ms = clock.now_ms(), 0
            while clock.now_ms() < begun_ms + QUICK.request_timeout_s * 1000:
                fetched = [c.series[Timeframe.M5].store.fetched_at_ms or 0 for c in others]
                oldest_ms = max(oldest_ms, clock.now_ms() - min(fetched))
                await asyncio.sleep(0.01)
            assert oldest_ms < LATEST_MS
            await eventually(lambda: list(running.detail["coins"]) == [BAD], 10)
            assert running.detail["coins_ok"] == len(GOOD)
            expected = [BAD] if fault["kind"] == "delisted" else []
            assert list(running.detail["listings"]) == expected

            async def is_quarantined() -> object:
                return await bus.get(schema.QUARANTINE, stage="fetch", symbol=BAD)

            await eventually(is_quarantined, 10)
            held = await window(bus, BAD)
            assert before is not None and held is not None
            assert len(held.closed()) >= len(before.closed())
            assert held.closed_until_ms >= before.closed_until_ms

            await exchange.heal()
            await eventually(lambda: running.detail["coins"] == {}, 10)

            async def is_released() -> bool:
                return await is_quarantined() is None

            await eventually(is_released, 10)

    async def test_coin_listed_again_has_all_its_timeframes_at_once(
        self, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, SELDOM) as running,
        ):
            await eventually(running.is_ready, 20)
            await exchange.plan(kind="delisted", symbol=BAD, for_s=60)
            await eventually(lambda: running.detail["coins"], 10)
            del exchange.asked[:]
            await exchange.heal()
            await eventually(lambda: running.detail["coins"] == {}, 10)

            def asked_for() -> set[str]:
                return {q["interval"] for q in exchange.asked if q["symbol"] == BAD}

            await eventually(lambda: asked_for() == {"5m", "1h", "4h"}, 5)

    async def test_a_coin_unknown_from_the_start_keeps_nobody_waiting(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        async with (
            SimulatedExchange(GOOD, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, QUICK, symbols=SYMBOLS) as running,
        ):
            await eventually(running.is_ready, 20)
            await eventually(lambda: running.detail.get("listings"), 10)
            assert running.detail["listings"] == {BAD: "delisted: not listed at the exchange"}
            assert running.detail["coins_ok"] == len(GOOD)
            assert running.detail["weight_limit"] == 6000

    async def test_a_halted_coin_is_told_apart_from_a_failed_one(
        self, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("actors.fetcher.exchange_status.RULES_AGAIN_S", 0.5)
        monkeypatch.setattr("actors.fetcher.actor.SETTLE_MS", 500)
        clock = before_close(Timeframe.M5, 2)
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            await exchange.plan(kind="halt", symbol=BAD, for_s=8, value=0)
            await eventually(lambda: running.detail["listings"], 10)
            assert re.fullmatch(
                r"halted since .* UTC: status HALT", running.detail["listings"][BAD]
            )
            assert running.detail["coins"] == {}

    async def test_a_late_candle_is_asked_for_again_at_once_and_never_taken_as_absent(
        self, bus: Bus, redis_url: str, tmp_path: Path
    ) -> None:
        clock = before_close(Timeframe.M5, 2)
        close_ms = Timeframe.M5.open_at(clock.now_ms()) + Timeframe.M5.ms
        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            await exchange.plan(kind="late", symbol=BAD, for_s=30, value=4)
            async with RunningFetcher(exchange, redis_url, tmp_path):

                async def has_closed(symbol: str) -> bool:
                    found = await window(bus, symbol)
                    return found is not None and found.closed_until_ms == close_ms

                async def all_but_one_have() -> bool:
                    return all([await has_closed(symbol) for symbol in GOOD])

                await eventually(all_but_one_have, 15)
                assert clock.now_ms() - close_ms < 4_000
                assert not await has_closed(BAD)
                await eventually(lambda: has_closed(BAD), 15)
                assert clock.now_ms() - close_ms < 8_000
                found = await window(bus, BAD)
                assert found is not None
                assert found.absent == ()


class TestWholeExchange:
    async def test_an_outage_of_everything_opens_no_circuit_and_ends_at_once(
        self, redis_url: str, clock: SystemClock, tmp_path: Path
    ) -> None:
        settings = replace(QUICK, circuit_failures=3, circuit_s=600)
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, settings) as running,
        ):
            await eventually(running.is_ready, 20)
            await exchange.plan(kind="5xx", symbol="*", for_s=60)
            await passes(running, 10)
            assert running.detail["coins_ok"] == 0
            assert running.detail["open_circuits"] == []
            await exchange.heal()
            await eventually(lambda: running.detail["coins_ok"] == len(SYMBOLS), 5)

    async def test_clock_set_back_between_two_looks_at_it_leaves_no_window_of_later(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr("actors.base.BEAT_S", 60)  # it is looked at with every beat
        async with SimulatedExchange(SYMBOLS, SystemClock(clock._offset_ms)) as exchange:
            exchange.clock = clock  # the fetcher's; the exchange's own stays right
            async with RunningFetcher(exchange, redis_url, tmp_path, SELDOM) as running:
                await eventually(running.is_ready, 20)
                clock._offset_ms -= 3_600_000

                async def none_is_of_later() -> bool:
                    found = [w.fetched_at_ms for w in await windows(bus) if w is not None]
                    return max(found) <= clock.now_ms()

                await eventually(none_is_of_later, 10)

    async def test_exchange_time_that_jumps_is_followed(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr("actors.fetcher.exchange_status.SYNC_AGAIN_S", 0.2)
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            for skew_ms in (7_200_000, 0):
                if skew_ms:
                    await exchange.plan(kind="clock_skew", symbol="*", for_s=60, value=skew_ms)
                else:
                    await exchange.heal()

                async def follows(skew_ms: int = skew_ms) -> bool:
                    expected = Timeframe.M5.open_at(clock.now_ms() + skew_ms)
                    found = [await window(bus, symbol) for symbol in SYMBOLS]
                    return all(w is not None and w.closed_until_ms == expected for w in found)

                await eventually(follows, 10)
                assert abs(running.fetcher.client.offset_ms - skew_ms) < 1_000
            await eventually(lambda: running.detail["coins"] == {}, 10)

    async def test_after_a_418_nothing_is_sent_until_it_is_over(
        self, bus: Bus, redis_url: str, clock: SystemClock, tmp_path: Path,
        own_redis: Callable[..., PrivateRedis],
    ) -> None:  # fmt: skip
        async with SimulatedExchange(SYMBOLS, clock) as exchange:
            running = RunningFetcher(exchange, redis_url, tmp_path, QUICK)
            await running.__aenter__()
            await eventually(running.is_ready, 20)
            await exchange.plan(kind="418", symbol="*", for_s=4)
            await eventually(lambda: running.detail["banned_until_ms"], 5)
            until_ms = running.detail["banned_until_ms"]
            sent = exchange.requests()

            async def mirror() -> object:
                return await bus.get(schema.BAN_UNTIL)

            await eventually(mirror, 5)
            assert (tmp_path / "binance-ban").exists()
            await eventually(lambda: clock.now_ms() > until_ms - 2_500, 10)
            assert running.is_ready()
            assert exchange.requests() == sent

            await running.kill()
            away = own_redis()
            away.kill()  # the file alone must do
            again = RunningFetcher(exchange, away.url, tmp_path, QUICK)
            async with again:
                await eventually(lambda: clock.now_ms() > until_ms - 500, 10)
                assert exchange.requests() == sent
                assert again.detail["banned_until_ms"] == until_ms
                await eventually(again.is_ready, 20)
                assert exchange.requests() > sent
        await running.fetcher.bus.close()


class TestRedisAway:
    async def test_passes_go_on_and_the_latest_is_published_on_its_return(
        self, own_redis: Callable[..., PrivateRedis], clock: SystemClock, tmp_path: Path
    ) -> None:
        server = own_redis()
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, server.url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            server.kill()
            await passes(running, 8)
            assert running.detail["coins_ok"] == len(SYMBOLS)
            assert running.detail["unsent_windows"] > 0
            server.start()
            bus = Bus(server.url, name="test", clock=clock)

            await eventually(lambda: all_on_the_bus(bus), 6)
            await eventually(lambda: running.detail["unsent_windows"] == 0, 5)
            await bus.close()

    async def test_emptied_redis_is_filled_again_within_one_pass_long_timeframes_too(
        self, own_redis: Callable[..., PrivateRedis], clock: SystemClock, tmp_path: Path
    ) -> None:
        server = own_redis()
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(
                exchange, server.url, tmp_path, FetcherSection(interval_s=0.2)
            ) as running,
        ):
            await eventually(running.is_ready, 20)
            bus = Bus(server.url, name="test", clock=clock)
            await eventually(lambda: all_on_the_bus(bus), 5)
            del exchange.asked[:]
            server.run("FLUSHALL")
            await eventually(lambda: all_on_the_bus(bus), 10)
            await bus.close()
        assert {query["interval"] for query in exchange.asked} == {"5m"}

    async def test_keys_of_its_own_that_went_bad_are_gone_with_the_next_pass(
        self, bus: Bus, redis_url: str, shared_redis: PrivateRedis, clock: SystemClock,
        tmp_path: Path,
    ) -> None:  # fmt: skip
        bad = ("market:ban_until", f"quarantine:fetch:{SYMBOLS[0]}")

        def spoil() -> None:
            shared_redis.run("SET", bad[0], "not JSON")
            shared_redis.run("RPUSH", bad[1], "of another type")

        spoil()
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, redis_url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            for _ in range(2):
                await eventually(lambda: shared_redis.run("EXISTS", *bad) == 0, 5)
                spoil()
        assert bus.bad_messages == 0

    async def test_a_restart_that_nobody_noticed_loses_no_window_for_long(
        self, own_redis: Callable[..., PrivateRedis], clock: SystemClock, tmp_path: Path
    ) -> None:
        server = own_redis()
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, server.url, tmp_path) as running,
        ):
            await eventually(running.is_ready, 20)
            server.kill()
            server.start()  # empty, and the next pass is half a minute away
            bus = Bus(server.url, name="test", clock=clock)

            await eventually(lambda: all_on_the_bus(bus), 10)
            await bus.close()

    async def test_a_full_redis_heals_by_itself(
        self, own_redis: Callable[..., PrivateRedis], clock: SystemClock, tmp_path: Path
    ) -> None:
        server = own_redis()
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, server.url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            server.run("CONFIG", "SET", "maxmemory", "1mb")
            await eventually(lambda: running.detail["unsent_windows"] > 0, 10)
            await passes(running, 4)
            assert running.detail["coins_ok"] == len(SYMBOLS)
            server.run("CONFIG", "SET", "maxmemory", "0")
            await eventually(lambda: running.detail["unsent_windows"] == 0, 10)

    async def test_starts_without_redis(
        self, own_redis: Callable[..., PrivateRedis], clock: SystemClock, tmp_path: Path
    ) -> None:
        server = own_redis()
        server.kill()
        async with (
            SimulatedExchange(SYMBOLS, clock) as exchange,
            RunningFetcher(exchange, server.url, tmp_path, QUICK) as running,
        ):
            await eventually(running.is_ready, 20)
            await eventually(lambda: running.detail.get("coins_ok") == len(SYMBOLS), 5)


async def test_troubles_of_a_coin_are_logged_once(
    redis_url: str, clock: SystemClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("fetcher-log-trial")
    async with (
        SimulatedExchange(SYMBOLS, clock) as exchange,
        RunningFetcher(exchange, redis_url, tmp_path, QUICK, log=log) as running,
    ):
        await eventually(running.is_ready, 20)
        caplog.clear()
        caplog.set_level(logging.INFO, logger=log.name)
        await exchange.plan(kind="5xx", symbol=BAD, for_s=60)
        await passes(running, 20)
        records = [r.getMessage() for r in caplog.records if r.name == log.name]
        told = [text for text in records if text.startswith(f"{BAD} ")]
        assert len(told) == 2, records
        assert "HTTP 503" in told[0]
        assert "left out" in told[1]
        await exchange.heal()
        await eventually(lambda: running.detail["coins"] == {}, 10)
        assert f"{BAD} 5m: answers again" in caplog.text
