"""The indicators actor against a real redis-server: what it publishes, when, and for whom."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from actors.base import Context
from actors.indicators.actor import Indicators
from shared import codec, schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.sections import IndicatorsSection
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import Timeframe
from shared.messages.candles import (
    CandleRow,
    CandleUpdate,
    CandleWindow,
    Listing,
    Listings,
)
from shared.messages.signals import TaSignal
from shared.supervision.status_pipe import StatusPipe
from tests.support.candle_series import walk, window_at
from tests.support.paths import ROOT
from tests.support.private_redis import PrivateRedis
from tests.support.waiting import eventually

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
CLOCK = SystemClock()
M5 = Timeframe.M5


class Market:
    """Writes candle windows as the fetcher does."""

    def __init__(self, bus: Bus, coins: Sequence[str] = COINS) -> None:
        self.bus = bus
        self.now_ms = CLOCK.now_ms()
        self.windows = {(coin, t): self.window(coin, t) for coin in coins for t in Timeframe}

    def window(self, coin: str, timeframe: Timeframe, *, ahead: int = 0) -> CandleWindow:
        """Return a window up to now, or up to some candles further."""
        seed, now_ms = sum(coin.encode()), self.now_ms + ahead * timeframe.ms
        start_ms = timeframe.open_at(self.now_ms) - 1000 * timeframe.ms
        candles = walk(seed, 1001 + ahead, timeframe=timeframe, start_ms=start_ms)
        return window_at(candles, timeframe, now_ms, symbol=coin)

    async def show(self, *coins: str, ttl_ms: int | None = None) -> None:
        """Put the windows of some coins (all of them by default) on the bus."""
        for (coin, timeframe), window in self.windows.items():
            if coin in (coins or COINS):
                entry = schema.CANDLES[timeframe]
                await self.bus.put(entry, window, symbol=coin, ttl_ms=ttl_ms)

    async def close_a_candle(self, coin: str, timeframe: Timeframe = M5, *, ahead: int = 1) -> None:
        """Put a window with newer closed candles, and say so."""
        window = self.window(coin, timeframe, ahead=ahead)
        self.windows[coin, timeframe] = window
        await self.bus.put(schema.CANDLES[timeframe], window, symbol=coin)
        await self.tell(window, closed=True)

    async def tell(self, window: CandleWindow, *, closed: bool) -> None:
        candles = window.closed() if closed else window.candles
        row = CandleRow(
            **{c: getattr(candles, c)[-1].item()
               for c in ("open_time_ms", "open", "high", "low", "close", "volume")},
            closed=closed,
        )  # fmt: skip
        update = CandleUpdate(
            symbol=window.symbol, timeframe=window.timeframe, candles=[row],
            closed_until_ms=window.closed_until_ms, at_ms=self.now_ms, source="sim",
        )  # fmt: skip
        await self.bus.publish(schema.CANDLE_UPDATES, update, symbol=window.symbol)

    def expected(self, coin: str, computed_at_ms: int) -> TaSignal:
        windows = {t: self.windows[coin, t] for t in Timeframe}
        found = ta_signals([CoinWindows(coin, windows)], IndicatorsSection(), computed_at_ms)[coin]
        assert isinstance(found, TaSignal)
        return found


class Running:
    """An actor at work, and what it says on its status pipe."""

    def __init__(self, actor: Indicators, status_fd: int) -> None:
        self.actor = actor
        self._fd = status_fd
        self._heard = ""
        os.set_blocking(status_fd, False)

    def said(self, word: str) -> list[str]:
        """Return the texts of all lines so far that begin with a word."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._fd, 65536):
                self._heard += chunk.decode()
        return [line[1:] for line in self._heard.splitlines() if line.startswith(word)]


Start = Callable[..., contextlib.AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Start:
    """Run an actor for as long as the block lasts; it must end without an error."""

    @contextlib.asynccontextmanager
    async def start(
        *,
        url: str = redis_url,
        probation: bool = False,
        quarantined_coins: dict[str, int] | None = None,
        **settings: Any,
    ) -> AsyncIterator[Running]:
        read_fd, write_fd = os.pipe()
        log = logging.getLogger("indicators-test")
        bus = Bus(url, name="indicators-test", clock=CLOCK, timeout_s=0.5, log=log)
        section = {
            "group": "test",
            "symbols": list(COINS),
            "indicators": {"interval_s": 1000, **settings},
            "testing": {"poison_coin": None},
        }
        context = Context(
            name="indicators-test", mode="demo", source="sim", state_dir=tmp_path,
            section=section, bus=bus, clock=CLOCK, log=log, rng=random.Random(1),
            status=StatusPipe(write_fd), probation=probation,
            quarantined_coins=quarantined_coins or {},
        )  # fmt: skip
        actor = Indicators(context)
        work = asyncio.create_task(actor.run())
        try:
            yield Running(actor, read_fd)
        finally:
            actor.stop()
            await asyncio.wait_for(work, 5)
            await bus.close()
            os.close(read_fd)
            os.close(write_fd)

    return start


@pytest.fixture
async def market(bus: Bus) -> Market:
    return Market(bus)


async def latest(bus: Bus, coin: str) -> TaSignal | None:
    return await bus.get(schema.TA_LATEST, symbol=coin)


async def published(bus: Bus, coin: str) -> TaSignal:
    async def found() -> TaSignal | None:
        return await latest(bus, coin)

    there: TaSignal | None = await eventually(found)
    assert there is not None
    return there


async def test_every_coin_is_published_on_key_and_channel(
    bus: Bus, market: Market, start: Start
) -> None:
    await market.show()
    async with bus.subscribe(*(schema.TA_SIGNALS.name(symbol=c) for c in COINS)) as deliveries:
        assert (await anext(deliveries)).channel == ""
        async with start() as running:
            heard: dict[str, TaSignal] = {}
            while len(heard) < len(COINS):
                delivery = await asyncio.wait_for(anext(deliveries), 5)
                heard[delivery.channel] = codec.decode(TaSignal, delivery.raw, delivery.channel)
            for coin in COINS:
                on_key = await published(bus, coin)
                assert on_key == market.expected(coin, on_key.computed_at_ms)
                on_channel = heard[schema.TA_SIGNALS.name(symbol=coin)]
                assert (
                    dataclasses.replace(on_channel, computed_at_ms=on_key.computed_at_ms) == on_key
                )
            assert await eventually(lambda: running.said("R"))
            detail = running.actor.detail
            assert (detail["coins"], detail["coins_ok"], detail["no_candles"]) == (3, 3, [])
            assert detail["failed"] == {} and detail["quarantined"] == {}
            assert detail["scan_ms"] > 0 and detail["oldest_signal_age_ms"] < 5_000


async def test_a_signal_expires_when_it_is_not_renewed(
    shared_redis: PrivateRedis, bus: Bus, market: Market, start: Start
) -> None:
    await market.show()
    async with start():
        await published(bus, "BTCUSDT")
    left_ms = shared_redis.run("PTTL", schema.TA_LATEST.name(symbol="BTCUSDT"))
    assert isinstance(left_ms, int) and 60_000 < left_ms <= 120_000


async def test_each_scan_renews_the_signals(bus: Bus, market: Market, start: Start) -> None:
    await market.show()
    async with start(interval_s=0.05):
        first = await published(bus, "SOLUSDT")

        async def renewed() -> bool:
            now = await latest(bus, "SOLUSDT")
            return now is not None and now.computed_at_ms >= first.computed_at_ms + 150

        await eventually(renewed)


@pytest.mark.parametrize("timeframe", Timeframe)
async def test_a_closed_candle_wakes_its_coin_alone(
    bus: Bus, market: Market, start: Start, timeframe: Timeframe
) -> None:
    await market.show()
    async with start() as running:
        await eventually(lambda: len(running.said("S")) >= 2)  # scanned again once subscribed
        before = {coin: await published(bus, coin) for coin in COINS}
        await market.close_a_candle("ETHUSDT", timeframe)

        async def seen() -> TaSignal | None:
            now = await latest(bus, "ETHUSDT")
            return now if now != before["ETHUSDT"] else None

        after = await eventually(seen)
        assert after is not None
        assert after == market.expected("ETHUSDT", after.computed_at_ms)
        moved = int(after.inputs[timeframe].closed_until_ms or 0)
        assert moved == (before["ETHUSDT"].inputs[timeframe].closed_until_ms or 0) + timeframe.ms
        assert await latest(bus, "BTCUSDT") == before["BTCUSDT"]
        assert await latest(bus, "SOLUSDT") == before["SOLUSDT"]


async def test_open_candles_and_repeated_news_wake_nobody(
    bus: Bus, market: Market, start: Start
) -> None:
    await market.show()
    async with start() as running:
        await eventually(lambda: len(running.said("S")) >= 2)
        before = await published(bus, "BTCUSDT")
        await market.tell(market.windows["BTCUSDT", M5], closed=False)
        await bus._run([("PUBLISH", schema.CANDLE_UPDATES.name(symbol="BTCUSDT"), b"rubbish")])
        # Messages arrive in order, so once this one has worked the others have been seen.
        await market.close_a_candle("ETHUSDT")
        await eventually(lambda: len(running.said("S")) >= 3)
        await market.tell(market.windows["ETHUSDT", M5], closed=True)
        await market.close_a_candle("SOLUSDT")
        await eventually(lambda: len(running.said("S")) >= 4)
        assert await latest(bus, "BTCUSDT") == before
        assert running.actor.bus.bad_messages == 1
        sol, eth = await published(bus, "SOLUSDT"), await published(bus, "ETHUSDT")
        assert sol.computed_at_ms >= eth.computed_at_ms


async def test_a_coin_whose_candles_are_gone_is_not_renewed_and_named(
    bus: Bus, market: Market, start: Start
) -> None:
    await market.show("BTCUSDT", "ETHUSDT")
    async with start(interval_s=0.05) as running:
        await published(bus, "ETHUSDT")
        await eventually(lambda: running.actor.detail["no_candles"] == ["SOLUSDT"])
        assert await latest(bus, "SOLUSDT") is None

        await bus.delete(schema.CANDLES[M5], symbol="ETHUSDT")
        await eventually(lambda: running.actor.detail["no_candles"] == ["ETHUSDT", "SOLUSDT"])
        last = await published(bus, "ETHUSDT")
        steps = len(running.said("S"))
        await eventually(lambda: len(running.said("S")) > steps + 3)
        assert await latest(bus, "ETHUSDT") == last
        assert (await published(bus, "BTCUSDT")).computed_at_ms > last.computed_at_ms


async def test_it_is_not_ready_before_the_first_signal_and_says_what_it_waits_for(
    bus: Bus, market: Market, start: Start
) -> None:
    async with start() as running:
        await eventually(lambda: running.said("N"))
        assert running.said("N")[0] == "waiting for candles of BTCUSDT, ETHUSDT, SOLUSDT"
        assert not running.said("R")
        await market.show("SOLUSDT")  # without a word on the channel
        await eventually(lambda: running.said("R"))
        assert await published(bus, "SOLUSDT")


async def test_it_does_not_wait_for_coins_that_do_not_trade(
    bus: Bus, market: Market, start: Start
) -> None:
    announced = Listing(state="announced", text="announced: trading has not begun", since_ms=None)
    two = ("BTCUSDT", "ETHUSDT")
    await bus.put(schema.LISTINGS, Listings(coins=dict.fromkeys(two, announced), at_ms=1))
    async with start() as running:
        await eventually(lambda: running.said("N"))
        assert running.said("N")[0] == "waiting for candles of SOLUSDT"
        coins = dict.fromkeys((*two, "SOLUSDT"), announced)
        await bus.put(schema.LISTINGS, Listings(coins=coins, at_ms=2))
        await eventually(lambda: running.said("R"))
    await bus.delete(schema.LISTINGS)


async def test_a_failing_coin_stays_alone_and_is_left_out_for_a_while(
    bus: Bus,
    shared_redis: PrivateRedis,
    market: Market,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await market.show()
    await bus.put(schema.CANDLES[M5], market.windows["ETHUSDT", M5], symbol="BTCUSDT")
    async with start(interval_s=0.05, coin_failures=5, coin_quarantine_s=3) as running:
        detail = running.actor.detail
        await eventually(lambda: "BTCUSDT" in detail["failed"])
        assert "the window given is that of ETHUSDT 5m" in detail["failed"]["BTCUSDT"]
        await eventually(lambda: "BTCUSDT" in detail["quarantined"])
        assert detail["failed"] == {}
        note = await bus.get(schema.QUARANTINE, stage="compute", symbol="BTCUSDT")
        assert note is not None and note.reason.startswith("5 failures in a row, ValueError")
        assert note.until_ms - note.since_ms == 3000
        name = schema.QUARANTINE.name(stage="compute", symbol="BTCUSDT")
        left_ms = shared_redis.run("PTTL", name)
        assert isinstance(left_ms, int) and 0 < left_ms <= 3000
        assert len([r for r in caplog.records if "BTCUSDT: not computed" in r.message]) == 1
        assert await published(bus, "ETHUSDT") and await latest(bus, "BTCUSDT") is None

        await market.show("BTCUSDT")
        assert (await published(bus, "BTCUSDT")).symbol == "BTCUSDT"
        assert await bus.get(schema.QUARANTINE, stage="compute", symbol="BTCUSDT") is None
        assert running.said("C") == ["BTCUSDT", ""]  # named before it was tried again


async def test_on_probation_each_coin_is_named_before_it_is_touched(
    bus: Bus, market: Market, start: Start
) -> None:
    await market.show()
    async with start(probation=True, interval_s=0.05) as running:
        await eventually(lambda: len(running.said("S")) >= 4)
        assert running.said("C") == [*COINS, ""]
        for coin in COINS:
            found = await published(bus, coin)
            assert found == market.expected(coin, found.computed_at_ms)


async def test_off_probation_no_coin_is_named(redis_url: str, market: Market, start: Start) -> None:
    await market.show()
    async with start() as running:
        await eventually(lambda: running.said("S"))
        assert running.said("C") == []


async def test_a_convicted_coin_is_left_out_until_its_time_is_up(
    bus: Bus, market: Market, start: Start
) -> None:
    await market.show()
    until_ms = CLOCK.now_ms() + 2000
    async with start(
        interval_s=0.05, probation=True, quarantined_coins={"ETHUSDT": until_ms}
    ) as running:
        await eventually(lambda: running.said("R"))
        assert running.said("C") == ["BTCUSDT", "SOLUSDT", ""]
        note = await bus.get(schema.QUARANTINE, stage="compute", symbol="ETHUSDT")
        assert note is not None and note.until_ms == until_ms
        assert running.actor.detail["quarantined"] == {"ETHUSDT": until_ms}
        assert await latest(bus, "ETHUSDT") is None

        back = await published(bus, "ETHUSDT")
        assert back.computed_at_ms >= until_ms
        named = ["BTCUSDT", "SOLUSDT", "", "ETHUSDT", ""]  # the last one after the publish
        await eventually(lambda: running.said("C") == named)
        assert await bus.get(schema.QUARANTINE, stage="compute", symbol="ETHUSDT") is None


async def test_a_released_coins_note_is_taken_down_by_the_next_life(
    bus: Bus, market: Market, start: Start
) -> None:
    await market.show()
    async with start(quarantined_coins={"BTCUSDT": CLOCK.now_ms() + 60_000}) as running:
        await eventually(lambda: running.said("R"))
        assert await bus.get(schema.QUARANTINE, stage="compute", symbol="BTCUSDT")
    async with start():
        await published(bus, "BTCUSDT")
        assert await bus.get(schema.QUARANTINE, stage="compute", symbol="BTCUSDT") is None


async def test_a_restarted_actor_publishes_the_same_bits(
    bus: Bus, market: Market, start: Start
) -> None:
    await market.show()
    lives = []
    for probation in (False, True):
        await bus.delete(schema.TA_LATEST, symbol="BTCUSDT")
        async with start(probation=probation):
            lives.append(await published(bus, "BTCUSDT"))
    first, second = (codec.encode(dataclasses.replace(s, computed_at_ms=0)) for s in lives)
    assert first == second


async def test_redis_may_go_away_and_come_back_empty(
    own_redis: Callable[..., PrivateRedis], start: Start
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=CLOCK)
    try:
        market = Market(bus)
        await market.show()
        async with start(url=server.url, interval_s=0.1) as running:
            await published(bus, "BTCUSDT")
            server.kill()
            await eventually(lambda: "retrying" in running.actor.detail)
            server.start()
            await market.show()
            assert await published(bus, "BTCUSDT")
            await eventually(lambda: "retrying" not in running.actor.detail)
            # Listening works again as well.
            before = await published(bus, "ETHUSDT")
            await market.close_a_candle("ETHUSDT")
            after = await eventually(lambda: _changed(bus, before))
            assert after is not None and after.closed_until_ms == before.closed_until_ms + M5.ms
    finally:
        await bus.close()


async def _changed(bus: Bus, before: TaSignal) -> TaSignal | None:
    now = await latest(bus, before.symbol)
    return now if now is not None and now.closed_until_ms != before.closed_until_ms else None


LIFE = """
    import sys
    from actors.__main__ import live
    redis_url, poison, mode, probation, status_fd = sys.argv[1:]
    section = {
        "group": "test", "symbols": ["BTCUSDT", "ETHUSDT", "SOLUSDT"],
        "indicators": {"interval_s": 1000}, "testing": {"poison_coin": poison},
    }
    launch = {
        "name": "indicators-test", "code": "actors.indicators.actor:Indicators", "mode": mode,
        "source": "sim", "state_dir": ".", "section": section, "redis_url": redis_url,
        "namespace": "", "probation": probation == "yes", "quarantined_coins": {},
    }
    sys.exit(live(launch, int(status_fd)))
"""


@contextlib.contextmanager
def process(url: str, poison: str, *, mode: str = "demo", probation: bool = False) -> Any:
    read_fd, write_fd = os.pipe()
    root = ROOT
    arguments = [url, poison, mode, "yes" if probation else "no", str(write_fd)]
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LIFE), *arguments], cwd=root, pass_fds=[write_fd],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write_fd)
    try:
        yield child, read_fd
    finally:
        child.kill()
        child.wait()
        os.close(read_fd)


@pytest.mark.parametrize("probation", [False, True])
async def test_the_poison_coin_kills_the_process_and_probation_names_it(
    bus: Bus, redis_url: str, market: Market, probation: bool
) -> None:
    await market.show()
    with process(redis_url, "ETHUSDT", probation=probation) as (child, status_fd):
        await eventually(lambda: child.poll() is not None, within_s=20)
        assert child.returncode == -signal.SIGSEGV
        heard = os.read(status_fd, 65536).decode().splitlines()
        assert [line for line in heard if line[0] == "C"] == (
            ["CBTCUSDT", "CETHUSDT"] if probation else []
        )
        # what was computed before it is out already
        assert (await latest(bus, "BTCUSDT") is not None) == probation
        assert not any(line[0] == "S" for line in heard)


async def test_the_poison_works_in_demo_mode_only(bus: Bus, redis_url: str, market: Market) -> None:
    await market.show()
    with process(redis_url, "ETHUSDT", mode="paper") as (child, _):

        async def there() -> TaSignal | None:
            return await latest(bus, "ETHUSDT")

        assert await eventually(there, within_s=20)
        assert child.poll() is None
