"""Streamed closes, and all that can go wrong with a stream: noticed, told, healed by REST.

Time runs 10 times as fast for exchange and fetcher alike, or faster where it may.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared import codec, schema
from shared.bus import Bus
from shared.candles.store import CandleStore
from shared.clock import Clock, SystemClock
from shared.config.sections import FetcherSection
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.market import Timeframe
from shared.messages.candles import CandleUpdate, CandleWindow
from tests.support.fast_clock import FastClock
from tests.support.market_data import RunningFetcher, SimulatedExchange
from tests.support.waiting import eventually

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
BAD, GOOD = SYMBOLS[1], (SYMBOLS[0], SYMBOLS[2])
M5 = Timeframe.M5


def close_of(timeframe: Timeframe) -> int:
    """Return a time at which candles close: of 5m alone, or of all up to `timeframe`."""
    now_ms = SystemClock().now_ms()
    if timeframe is M5:
        return Timeframe.H1.open_at(now_ms) + 7 * M5.ms
    return timeframe.open_at(now_ms) + timeframe.ms


def fast(seconds: float, timeframe: Timeframe = M5, *, rate: float = 10) -> FastClock:
    """A fast clock that shows a time so many of its seconds before a candle closes."""
    return FastClock(close_of(timeframe) - round(seconds * 1000), rate)


@dataclass
class Trial:
    """A fetcher that streams from a simulated exchange, and all it has told."""

    exchange: SimulatedExchange
    running: RunningFetcher
    bus: Bus
    clock: Clock
    close_ms: int
    told: list[tuple[int, CandleUpdate]] = field(default_factory=list)

    @property
    def stream(self) -> dict[str, Any]:
        figures: dict[str, Any] = self.running.detail.get("stream", {})
        return figures

    @property
    def counts(self) -> dict[str, int]:
        return self.exchange.wire.stream.counts

    def closes(self, symbol: str, timeframe: Timeframe = M5) -> list[tuple[int, CandleUpdate]]:
        """Return the updates with a candle that closed at `close_ms`, and when they came."""
        open_ms = self.close_ms - timeframe.ms
        return [
            (at_ms, update)
            for at_ms, update in self.told
            if update.symbol == symbol
            and update.timeframe == timeframe
            and any(row.closed and row.open_time_ms == open_ms for row in update.candles)
        ]

    def first_windows(self) -> int:
        """Return of how many windows closed candles were published."""
        closed = (u for _, u in self.told if any(row.closed for row in u.candles))
        return len({(update.symbol, update.timeframe) for update in closed})

    async def window(self, symbol: str, timeframe: Timeframe = M5) -> CandleWindow:
        window = await self.bus.get(schema.CANDLES[timeframe], symbol=symbol)
        assert window is not None
        return window

    async def from_rest(self, symbol: str, directory: Path) -> CandleWindow:
        """Return the window somebody would publish who asks REST alone, now."""
        store = CandleStore(symbol, M5)
        async with aiohttp.ClientSession() as session:
            ban = BanFile(directory / "no-ban")
            client = BinanceClient(session, base_url=self.exchange.url, clock=self.clock, ban=ban)
            rows = await client.klines(symbol, M5, limit=1000)
        store.accept(rows, asked_ms=self.clock.now_ms(), fetched_at_ms=self.clock.now_ms())
        return store.window("sim")

    async def confirmed(self) -> None:
        """Wait until the close is held of all coins, and REST has confirmed it."""
        stores = [coin.series[M5].store for coin in self.running.fetcher.coins]
        await eventually(lambda: all(s.closed_until_ms >= self.close_ms for s in stores), 10)
        await eventually(lambda: not any(s.unchecked for s in stores), 10)
        await eventually(lambda: all(self.closes(c.symbol) for c in self.running.fetcher.coins), 5)

    async def past(self, seconds: float) -> None:
        """Wait until so many seconds after the close."""
        await eventually(lambda: self.clock.now_ms() >= self.close_ms + seconds * 1000, 60)


@asynccontextmanager
async def trial(
    redis_url: str,
    directory: Path,
    clock: Clock,
    settings: FetcherSection | None = None,
    *,
    listed: tuple[str, ...] = SYMBOLS,
    before: Callable[[SimulatedExchange], None] = lambda _: None,
) -> AsyncIterator[Trial]:
    bus = Bus(redis_url, name="trial", clock=clock)
    close_ms = M5.open_at(clock.now_ms()) + M5.ms
    async with SimulatedExchange(listed, clock, streams=True) as exchange:
        before(exchange)
        running = RunningFetcher(exchange, redis_url, directory, settings, symbols=SYMBOLS)
        names = [schema.CANDLE_UPDATES.name(symbol=s) for s in SYMBOLS]
        async with bus.subscribe(*names) as updates:
            await anext(updates)
            async with running:
                this = Trial(exchange, running, bus, clock, close_ms)

                async def listen() -> None:
                    async for delivery in updates:
                        update = codec.decode(CandleUpdate, delivery.raw, delivery.channel)
                        this.told.append((clock.now_ms(), update))

                listening = asyncio.create_task(listen())
                try:
                    await eventually(running.is_ready, 20)
                    await eventually(lambda: this.stream, 10)
                    yield this
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
    await bus.close()


async def streaming(this: Trial) -> None:
    """Wait until the stream brings data."""
    await eventually(lambda: this.stream["connected"], 10)


def on_the_wire(window: CandleWindow) -> bytes:
    """Return the bytes of its newest 999 closed candles, which is what one answer brings."""
    return replace(window, fetched_at_ms=0, candles=window.closed().tail(999)).encode()


class TestCloses:
    async def test_are_published_at_once_and_are_what_rest_tells(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        clock = SystemClock(close_of(M5) - SystemClock().now_ms() - 4_000)
        async with trial(redis_url, tmp_path, clock) as this:
            await streaming(this)
            await eventually(lambda: all(this.closes(s) for s in SYMBOLS), 10)
            windows = [await this.window(s) for s in SYMBOLS]
            asked = len(this.exchange.asked)
            for symbol, window in zip(SYMBOLS, windows, strict=True):
                at_ms, update = this.closes(symbol)[0]
                assert at_ms - this.close_ms < 1_000
                assert update.appends
                assert window.closed_until_ms == update.closed_until_ms == this.close_ms
                rest = await this.from_rest(symbol, tmp_path)
                assert on_the_wire(window) == on_the_wire(rest)
            await this.confirmed()
            assert len(this.exchange.asked) >= asked + len(SYMBOLS)  # the pass asked all the same
            assert this.stream["mismatches"] == this.stream["missed_closes"] == 0
            assert all(len(this.closes(s)) == 1 for s in SYMBOLS)

    async def test_of_all_timeframes_come_at_once(self, redis_url: str, tmp_path: Path) -> None:
        async with trial(redis_url, tmp_path, fast(15, Timeframe.H4)) as this:
            await streaming(this)
            await eventually(lambda: all(this.closes(s, t) for s in SYMBOLS for t in Timeframe), 10)
            await this.past(6)
            assert all(len(this.closes(s, t)) == 1 for s in SYMBOLS for t in Timeframe)
            await this.confirmed()
            assert this.stream["mismatches"] == 0

    async def test_open_candles_come_at_most_once_a_second_per_coin(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(200, rate=20)) as this:
            await streaming(this)
            await eventually(lambda: this.first_windows() == len(SYMBOLS) * len(Timeframe), 10)
            del this.told[:]
            begun_ms = this.clock.now_ms()
            await eventually(lambda: this.clock.now_ms() > begun_ms + 60_000, 20)
            seconds = (this.clock.now_ms() - begun_ms) / 1000
            for symbol in SYMBOLS:
                forming = [u for _, u in this.told if u.symbol == symbol]
                assert all(not row.closed for u in forming for row in u.candles)
                assert 10 < len(forming) <= seconds + 1
                assert {u.timeframe for u in forming} == set(Timeframe)

    async def test_none_is_streamed_when_switched_off(self, redis_url: str, tmp_path: Path) -> None:
        off = FetcherSection(stream=False)
        async with SimulatedExchange(SYMBOLS, fast(15), streams=True) as exchange:
            async with RunningFetcher(exchange, redis_url, tmp_path, off) as running:
                await eventually(running.is_ready, 20)
                stores = [coin.series[M5].store for coin in running.fetcher.coins]
                until_ms = M5.open_at(exchange.clock.now_ms()) + M5.ms
                await eventually(lambda: all(s.closed_until_ms >= until_ms for s in stores), 20)
                assert "stream" not in running.detail
            assert exchange.wire.stream.counts["attempts"] == 0


class TestMissing:
    async def test_a_close_that_never_comes_is_filled_by_rest(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(15)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_lost_close", symbol=BAD, for_s=60)
            await this.confirmed()
            await eventually(lambda: this.stream["missed_closes_filled"] == 1, 10)
            assert this.stream["missed_closes"] == 1
            assert [len(this.closes(s)) for s in SYMBOLS] == [1, 1, 1]

    async def test_a_close_missed_by_stream_and_rest_is_asked_for_before_the_next_pass(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        slow = FetcherSection(interval_s=48)
        async with trial(redis_url, tmp_path, fast(15), slow) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_lost_close", symbol=BAD, for_s=60)
            after_s = (this.close_ms - this.clock.now_ms()) / 1000 + 0.5
            await this.exchange.plan(kind="5xx", symbol=BAD, after_s=after_s, for_s=2.2)
            await eventually(lambda: this.closes(BAD), 10)
            assert 2_700 < this.closes(BAD)[0][0] - this.close_ms < 30_000

    async def test_a_coin_that_falls_silent_is_told_by_stream_and_the_others_go_on(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(45)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_silent", symbol=BAD, for_s=120)
            await eventually(lambda: this.stream["silent_streams"] == len(Timeframe), 10)
            assert set(this.stream["silent"]) == {f"{BAD} {t}" for t in Timeframe}
            await this.confirmed()
            await eventually(lambda: this.stream["missed_closes_filled"] == 1, 10)
            await this.exchange.heal()
            await eventually(lambda: this.stream["silent_streams"] == 0, 10)
            assert this.stream["reconnects"] == 0

    async def test_a_stream_nobody_serves_is_told_and_changes_nothing_for_the_others(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(45), listed=GOOD) as this:
            await eventually(lambda: this.stream["silent_streams"] == len(Timeframe), 10)
            assert {name.split()[0] for name in this.stream["silent"]} == {BAD}
            await eventually(lambda: all(this.closes(s) for s in GOOD), 10)
            assert this.stream["missed_closes"] == 0
            assert this.stream["reconnects"] == 0


class TestWrong:
    async def test_a_close_rest_tells_otherwise_is_corrected_and_counted(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(15)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_wrong_close", symbol=BAD, for_s=60, value=7)
            await eventually(lambda: len(this.closes(BAD)) == 2, 10)
            await this.confirmed()
            await eventually(lambda: this.stream["mismatches"] == 1, 10)
            (_, streamed), (_, told) = this.closes(BAD)
            assert (streamed.appends, told.appends) == (True, False)
            rest = await this.from_rest(BAD, tmp_path)
            newest = rest.closed().close[-1]
            assert streamed.candles[0].close != newest
            assert [r.close for r in told.candles if r.closed][-1] == newest
            held = await this.window(BAD)
            assert held.closed().tail(900).same_as(rest.closed().tail(900))
            assert this.running.fetcher.refetches == 0
            assert all(len(this.closes(s)) == 1 for s in GOOD)

    async def test_duplicates_are_counted_and_change_nothing(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(15)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_duplicate", for_s=60)
            await this.confirmed()
            await this.past(6)
            assert [len(this.closes(s)) for s in SYMBOLS] == [1, 1, 1]
            assert this.stream["duplicates"] > len(SYMBOLS)
            assert this.stream["mismatches"] == 0

    async def test_frames_out_of_order_change_nothing(self, redis_url: str, tmp_path: Path) -> None:
        async with trial(redis_url, tmp_path, fast(15)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_out_of_order", for_s=60)
            await this.confirmed()
            await this.past(10)
            assert this.stream["out_of_order"] > len(SYMBOLS)
            assert this.stream["mismatches"] == 0
            for symbol in SYMBOLS:
                rest = await this.from_rest(symbol, tmp_path)
                window = await this.window(symbol)
                assert window.closed().tail(900).same_as(rest.closed().tail(900))
                times = [u.candles[-1].open_time_ms for _, u in this.told if u.symbol == symbol
                         and u.timeframe == M5]  # fmt: skip
                assert times == sorted(times)

    async def test_garbage_is_counted_and_a_stream_of_it_is_left(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(40)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_garbage", for_s=80)
            await eventually(lambda: this.stream["bad_frames"] > 5, 10)
            await eventually(lambda: this.stream["reconnects"] > 0, 10)
            await this.confirmed()
            await this.exchange.heal()
            await streaming(this)

    async def test_a_frame_too_large_ends_the_connection_and_rest_brings_the_close(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(40)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_bomb", symbol=BAD, for_s=80)
            await eventually(lambda: any("8192" in t for t in this.stream["troubles"]), 10)
            await this.confirmed()
            await this.exchange.heal()
            await streaming(this)


class TestLost:
    @pytest.mark.parametrize("kind", ["stream_silent", "stream_half_open"])
    async def test_a_socket_without_frames_for_ten_seconds_is_left_for_another(
        self, kind: str, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(250, rate=20)) as this:
            await streaming(this)
            await this.exchange.plan(kind=kind, for_s=11)
            begun_ms = this.clock.now_ms()
            await eventually(lambda: not this.stream["connected"], 10)
            assert this.clock.now_ms() - begun_ms < 20_000
            await eventually(lambda: this.stream["troubles"], 10)
            assert "no frame" in this.stream["troubles"][0]
            await streaming(this)
            assert this.stream["last_frame_age_s"] < 5
            assert this.stream["reconnects"] >= 1

    async def test_an_announced_shutdown_is_left_at_once(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(250, rate=20)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_shutdown", for_s=60, value=50)
            await eventually(lambda: this.stream["reconnects"] == 1, 10)
            await streaming(this)
            assert this.counts["cut: shutdown"] == 0
            assert this.counts["attempts"] == 2

    async def test_the_daily_cut_is_survived(self, redis_url: str, tmp_path: Path) -> None:
        def short(exchange: SimulatedExchange) -> None:
            exchange.wire.stream.life_s = 40.0

        async with trial(redis_url, tmp_path, fast(60), before=short) as this:
            await streaming(this)
            await eventually(lambda: this.stream["reconnects"] >= 2, 10)
            await streaming(this)
            await this.confirmed()
            assert this.counts["cut: 24 hours"] >= 2
            assert this.stream["mismatches"] == 0

    async def test_it_is_renewed_by_itself_before_the_daily_cut(
        self, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("actors.fetcher.binance_stream.RENEW_S", 20.0)
        async with trial(redis_url, tmp_path, fast(100)) as this:
            await streaming(this)
            await eventually(lambda: this.stream["reconnects"] == 1, 10)
            assert this.clock.now_ms() < this.close_ms - 60_000 + 5_000
            assert this.counts["attempts"] == 2
            await this.past(20)
            assert this.counts["attempts"] == 2  # never within a minute of a close

    @pytest.mark.parametrize("kind", ["stream_cut", "stream_refuse"])
    async def test_attempts_become_rare_however_the_exchange_refuses(
        self, kind: str, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(290, rate=40)) as this:
            await streaming(this)
            await this.exchange.plan(kind=kind, for_s=200)
            await this.exchange.plan(kind="stream_cut", for_s=1)
            await eventually(lambda: not this.stream["connected"], 10)
            begun_ms, attempts = this.clock.now_ms(), this.counts["attempts"]
            await eventually(lambda: this.clock.now_ms() > begun_ms + 150_000, 20)
            # 0, 0.5, 1, 2, 4, 8, 16 s, then 15 to 30 s: never more than 7 + 150 / 15
            assert 5 <= this.counts["attempts"] - attempts <= 20
            assert this.running.detail["coins_ok"] == len(SYMBOLS)
            await this.exchange.heal()
            await eventually(lambda: this.stream["connected"], 10)

    async def test_more_streams_than_fit_are_spread_over_connections(
        self, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("actors.fetcher.binance_stream.MOST_STREAMS", 4)
        monkeypatch.setattr("actors.fetcher.binance_stream.NAMES_PER_MESSAGE", 1)
        async with trial(redis_url, tmp_path, fast(60)) as this:
            await eventually(lambda: this.stream["connections"] == 3, 10)
            await eventually(lambda: all(this.closes(s) for s in SYMBOLS), 10)
            assert this.counts["attempts"] == 3
            assert this.stream["missed_closes"] == 0
            await eventually(lambda: this.stream["silent_streams"] == 0, 10)


class TestForbidden:
    async def test_during_a_ban_the_socket_stays_and_keeps_the_windows_fresh(
        self, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = replace(schema.CANDLES[M5], ttl_s=3)  # of real time: a minute on the fast clock
        monkeypatch.setitem(schema.CANDLES, M5, entry)
        settings = FetcherSection(interval_s=2)
        async with trial(redis_url, tmp_path, fast(40, rate=20), settings) as this:
            await streaming(this)
            await this.exchange.plan(kind="418", for_s=200)
            await eventually(lambda: this.running.detail["banned_until_ms"], 10)
            sent, attempts = this.exchange.requests(), this.counts["attempts"]
            await eventually(lambda: all(this.closes(s) for s in SYMBOLS), 10)
            await this.past(60)
            assert this.exchange.requests() == sent
            assert this.counts["attempts"] == attempts
            for symbol in SYMBOLS:
                window = await this.window(symbol)
                assert window.closed_until_ms == this.close_ms
                assert this.clock.now_ms() - window.fetched_at_ms < 60_000
            assert this.stream["unchecked"] == len(SYMBOLS)

    async def test_no_connection_is_tried_during_a_ban(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(250, rate=20)) as this:
            await streaming(this)
            await this.exchange.plan(kind="418", for_s=60)
            await eventually(lambda: this.running.detail["banned_until_ms"], 10)
            until_ms = this.running.detail["banned_until_ms"]
            attempts = this.counts["attempts"]
            await this.exchange.plan(kind="stream_cut", for_s=5)
            await eventually(lambda: this.stream["troubles"], 10)
            await eventually(lambda: this.clock.now_ms() > until_ms - 5_000, 10)
            assert this.counts["attempts"] == attempts
            await streaming(this)
            assert this.clock.now_ms() >= until_ms

    async def test_a_handshake_refused_as_an_address_is_not_repeated_for_a_growing_while(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(290, rate=40)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_refuse", for_s=200, value=403)
            await this.exchange.plan(kind="stream_cut", for_s=1)
            await eventually(lambda: this.stream["refused"] == 403, 10)
            begun_ms, attempts = this.clock.now_ms(), this.counts["attempts"]
            await eventually(lambda: this.clock.now_ms() > begun_ms + 150_000, 20)
            assert this.counts["attempts"] - attempts <= 1  # after 60 s, then after 120 s
            assert this.running.detail["coins_ok"] == len(SYMBOLS)  # requests are answered
            assert this.running.detail["banned_until_ms"] is None
            await this.exchange.heal()
            await streaming(this)
            assert this.stream["refused"] is None

    async def test_a_handshake_refused_with_418_silences_rest_too(
        self, redis_url: str, tmp_path: Path
    ) -> None:
        async with trial(redis_url, tmp_path, fast(250, rate=20)) as this:
            await streaming(this)
            await this.exchange.plan(kind="stream_refuse", for_s=100, value=418)
            await this.exchange.plan(kind="stream_cut", for_s=1)
            await eventually((tmp_path / "binance-ban").exists, 10)
            await eventually(lambda: this.running.detail["banned_until_ms"], 10)
            sent, attempts = this.exchange.requests(), this.counts["attempts"]
            begun_ms = this.clock.now_ms()
            await eventually(lambda: this.clock.now_ms() > begun_ms + 60_000, 10)
            assert this.exchange.requests() == sent
            assert this.counts["attempts"] == attempts


async def test_a_close_while_redis_is_away_is_published_on_its_return(
    own_redis: Callable[..., Any], tmp_path: Path
) -> None:
    server = own_redis()
    clock = fast(40)
    async with trial(server.url, tmp_path, clock) as this:
        await streaming(this)
        server.kill()
        await this.past(2)
        server.start()
        bus = Bus(server.url, name="late", clock=clock)

        async def is_there() -> bool:
            found = await bus.get(schema.CANDLES[M5], symbol=BAD)
            return found is not None and found.closed_until_ms == this.close_ms

        await eventually(is_there, 10)
        await bus.close()
