"""The scanner against a real redis-server: what it publishes, when, and what it remembers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from actors.base import Context
from actors.scanner import Scanner
from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.codec import from_plain
from shared.config.sections import IndicatorsSection
from shared.indicators.scoring import (
    CANDIDATE_KEPT,
    STRONG,
    STRONG_KEPT,
    BaseScore,
    base_scores_at,
    label_event,
    next_label,
)
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import COLUMNS, Timeframe
from shared.messages.candles import (
    CandleRow,
    CandleUpdate,
    CandleWindow,
    Listing,
    Listings,
)
from shared.messages.signals import CoinScore, Label, LabelChange, ScanResult, TaSignal
from shared.supervision.status_pipe import StatusPipe
from tests.support.candle_series import window_at
from tests.support.private_redis import PrivateRedis
from tests.support.recordings import generated
from tests.support.waiting import eventually

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
M5, H1 = Timeframe.M5, Timeframe.H1
RECORDINGS = {coin: generated(coin, 9000) for coin in COINS}


def windows(coin: str, now_ms: int) -> dict[Timeframe, CandleWindow | None]:
    candles = RECORDINGS[coin].candles
    return {t: window_at(candles[t], t, now_ms, symbol=coin) for t in Timeframe}


@functools.cache
def long_scores(coin: str) -> dict[int, int]:
    """Return the long score of each close, by its time."""
    times = RECORDINGS[coin].closes[6000:8900].tolist()
    asked = [(CoinWindows(coin, windows(coin, now_ms)), now_ms) for now_ms in times]
    found = base_scores_at(asked, 500)
    return {
        now_ms: score.score("long")
        for now_ms, score in zip(times, found, strict=True)
        if isinstance(score, BaseScore) and score.coverage == 1
    }


@dataclasses.dataclass(frozen=True)
class Story:
    """Closes of BTCUSDT: strong, then not quite any more, then over. Units: epoch ms."""

    entered_ms: int
    kept_ms: int
    left_ms: int


@functools.cache
def story() -> Story:
    scores = long_scores("BTCUSDT")
    times = list(scores)
    for place, now_ms in enumerate(times):
        if scores[now_ms] < STRONG:
            continue
        kept = None
        for later_ms in times[place + 1 :]:
            if scores[later_ms] < STRONG_KEPT:
                if kept is not None and scores[later_ms] < CANDIDATE_KEPT:
                    return Story(now_ms, kept, later_ms)
                break
            if scores[later_ms] < STRONG:
                kept = later_ms
    raise AssertionError("no such story in these candles; take another seed")


class Market:
    """Writes candle windows and signals as fetcher and indicators do."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def show(self, now_ms: int, coins: Sequence[str] = COINS) -> None:
        """Put all windows as they stand at a time, without a word."""
        for coin in coins:
            for timeframe, window in windows(coin, now_ms).items():
                assert window is not None
                entry = schema.CANDLES[timeframe]
                await self.bus.put(entry, window, symbol=coin, ttl_ms=600_000)

    async def close(self, coin: str, now_ms: int) -> None:
        """Put a coin's windows as they stand at a time, and say that its candle closed."""
        await self.show(now_ms, [coin])
        window = windows(coin, now_ms)[M5]
        assert window is not None
        await self.tell(window, closed=True)

    async def tell(self, window: CandleWindow, *, closed: bool) -> None:
        candles = window.closed() if closed else window.candles
        row = CandleRow(**{c: getattr(candles, c)[-1].item() for c in COLUMNS}, closed=closed)
        update = CandleUpdate(
            symbol=window.symbol, timeframe=window.timeframe, candles=[row],
            closed_until_ms=window.closed_until_ms, at_ms=window.fetched_at_ms, source="sim",
        )  # fmt: skip
        await self.bus.publish(schema.CANDLE_UPDATES, update, symbol=window.symbol)

    async def sign(self, coin: str, now_ms: int) -> TaSignal:
        """Publish the signal of a coin as it stands at a time."""
        found = ta_signals([CoinWindows(coin, windows(coin, now_ms))], IndicatorsSection(), now_ms)
        signal = found[coin]
        assert isinstance(signal, TaSignal)
        await self.bus.put(schema.TA_LATEST, signal, symbol=coin)
        await self.bus.publish(schema.TA_SIGNALS, signal, symbol=coin)
        return signal


class Running:
    """A scanner at work, and what it says on its status pipe."""

    def __init__(self, actor: Scanner, status_fd: int) -> None:
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


def scanner(
    url: str,
    now_ms: int,
    *,
    status_fd: int | None = None,
    interval_s: float = 1000,
    probation: bool = False,
    quarantined_coins: dict[str, int] | None = None,
) -> Scanner:
    """Return a scanner whose clock stands at `now_ms`, and a second later at first sight."""
    clock = SystemClock(now_ms + 1000 - SystemClock().now_ms())
    log = logging.getLogger("scanner-test")
    context = Context(
        name="scanner",
        mode="demo",
        source="sim",
        state_dir=Path(),
        section={"symbols": list(COINS), "scanner": {"interval_s": interval_s}, "history": 500},
        bus=Bus(url, name="scanner-test", clock=clock, timeout_s=0.5, log=log),
        clock=clock,
        log=log,
        rng=random.Random(1),
        status=StatusPipe(status_fd),
        probation=probation,
        quarantined_coins=quarantined_coins or {},
    )
    return Scanner(context)


Start = Callable[..., contextlib.AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(redis_url: str) -> Start:
    """Run a scanner for as long as the block lasts; it must end without an error."""

    @contextlib.asynccontextmanager
    async def start(now_ms: int, *, url: str = redis_url, **options: Any) -> AsyncIterator[Running]:
        read_fd, write_fd = os.pipe()
        actor = scanner(url, now_ms, status_fd=write_fd, **options)
        work = asyncio.create_task(actor.run())
        try:
            yield Running(actor, read_fd)
        finally:
            actor.stop()
            await asyncio.wait_for(work, 5)
            await actor.bus.close()
            os.close(read_fd)
            os.close(write_fd)

    return start


@pytest.fixture
async def market(bus: Bus) -> Market:
    return Market(bus)


async def latest(bus: Bus) -> dict[str, CoinScore]:
    result = await bus.get(schema.SCAN_LATEST)
    return {} if result is None else {coin.symbol: coin for coin in result.coins}


async def scored_at(bus: Bus, coin: str, closed_until_ms: int) -> CoinScore:
    """Wait until a coin's score is that of a candle."""

    async def found() -> CoinScore | None:
        score = (await latest(bus)).get(coin)
        return score if score and score.closed_until_ms == closed_until_ms else None

    score: CoinScore = await eventually(found)
    return score


async def history(bus: Bus, coin: str = "BTCUSDT", side: str = "long") -> list[tuple[str, ...]]:
    """Return the events of one side, oldest first."""
    entries = await bus.entries(schema.HISTORY, 100)
    changes = [from_plain(LabelChange, fields, place) for place, fields in entries]
    return [(c.event, c.label) for c in changes if (c.symbol, c.side) == (coin, side)]


def expected(coin: str, now_ms: int) -> BaseScore:
    (found,) = base_scores_at([(CoinWindows(coin, windows(coin, now_ms)), now_ms)], 500)
    assert isinstance(found, BaseScore)
    return found


# What it publishes, and when.


async def test_every_coin_is_published_on_key_and_channel(
    bus: Bus, shared_redis: PrivateRedis, market: Market, start: Start
) -> None:
    now_ms = story().entered_ms
    await market.show(now_ms)
    async with bus.subscribe(schema.SCAN.name()) as deliveries:
        assert (await anext(deliveries)).channel == ""
        async with start(now_ms) as running:
            delivery = await asyncio.wait_for(anext(deliveries), 5)
            heard = bus.decode(schema.SCAN, delivery.raw, delivery.channel)
            assert isinstance(heard, ScanResult)
            assert [coin.symbol for coin in heard.coins] == list(COINS)
            assert heard.closed_until_ms == now_ms and heard.source == "sim"
            found = await latest(bus)
            assert list(found.values()) == heard.coins
            for coin in COINS:
                score, base = found[coin], expected(coin, now_ms)
                assert (score.long, score.short) == (base.side("long"), base.side("short"))
                assert (score.coverage, score.fault) == (1.0, "")
                assert (score.close, score.closed_until_ms) == (base.close, now_ms)
                assert score.change_24h_pct == base.change_24h_pct is not None
                assert (score.long_bonus, score.short_bonus) == (None, None)
            assert found["BTCUSDT"].label_long == "strong"
            assert await eventually(lambda: running.said("R"))
            await eventually(lambda: running.actor.detail["coins_complete"] == 3)
            assert "BTCUSDT long" in running.actor.detail["strong"]
    left_ms = shared_redis.run("PTTL", schema.SCAN_LATEST.name())
    assert isinstance(left_ms, int) and 60_000 < left_ms <= 120_000


async def test_it_is_rewritten_every_interval(bus: Bus, market: Market, start: Start) -> None:
    now_ms = story().entered_ms
    await market.show(now_ms)
    async with start(now_ms, interval_s=0.1):
        await scored_at(bus, "BTCUSDT", now_ms)
        first = await bus.get(schema.SCAN_LATEST)
        assert first is not None

        async def renewed() -> bool:
            now = await bus.get(schema.SCAN_LATEST)
            return now is not None and now.at_ms >= first.at_ms + 300

        await eventually(renewed)


async def test_a_closed_candle_is_scored_at_once_and_an_open_one_not(
    bus: Bus, market: Market, start: Start
) -> None:
    now_ms = story().entered_ms
    await market.show(now_ms)
    async with start(now_ms) as running:
        await scored_at(bus, "BTCUSDT", now_ms)
        await eventually(lambda: len(running.said("S")) >= 2)  # scanned again once subscribed
        before = await bus.get(schema.SCAN_LATEST)
        forming = windows("SOLUSDT", now_ms + 60_000)[M5]
        assert forming is not None
        await market.tell(forming, closed=False)
        await market.close("ETHUSDT", now_ms + M5.ms)
        eth = await scored_at(bus, "ETHUSDT", now_ms + M5.ms)
        assert eth.long == expected("ETHUSDT", now_ms + M5.ms).side("long")
        after = await bus.get(schema.SCAN_LATEST)
        assert before is not None and after is not None
        assert after.closed_until_ms == now_ms + M5.ms
        assert [c for c in after.coins if c.symbol != "ETHUSDT"] == [
            c for c in before.coins if c.symbol != "ETHUSDT"
        ]
        assert len(running.said("S")) == 3


async def test_the_bonus_stands_beside_the_score_and_only_of_the_same_candle(
    bus: Bus, market: Market, start: Start
) -> None:
    now_ms = story().entered_ms
    await market.show(now_ms)
    btc = await market.sign("BTCUSDT", now_ms)
    await market.sign("ETHUSDT", now_ms - M5.ms)
    async with start(now_ms) as running:
        score = await scored_at(bus, "BTCUSDT", now_ms)
        given = btc.composite_score_adjustment
        assert (score.long_bonus, score.short_bonus) == (given.long_bonus, given.short_bonus)
        assert score.long == expected("BTCUSDT", now_ms).side("long")
        eth = (await latest(bus))["ETHUSDT"]
        assert (eth.long_bonus, eth.short_bonus) == (None, None)

        # The signal of its candle comes a moment later.
        await eventually(lambda: len(running.said("S")) >= 2)
        given = (await market.sign("ETHUSDT", now_ms)).composite_score_adjustment

        async def there() -> bool:
            eth = (await latest(bus))["ETHUSDT"]
            return (eth.long_bonus, eth.short_bonus) == (given.long_bonus, given.short_bonus)

        await eventually(there)


# One coin's trouble.


async def test_a_failing_coin_carries_its_fault_alone(
    bus: Bus, market: Market, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    now_ms = story().entered_ms
    await market.show(now_ms)
    wrong = windows("ETHUSDT", now_ms)[M5]
    assert wrong is not None
    await bus.put(schema.CANDLES[M5], wrong, symbol="SOLUSDT")
    async with start(now_ms, interval_s=0.1) as running:
        assert (await scored_at(bus, "BTCUSDT", now_ms)).fault == ""
        sol = (await latest(bus))["SOLUSDT"]
        assert "the window given is that of ETHUSDT 5m" in sol.fault
        assert (sol.close, sol.coverage, sol.label_long) == (None, 0.0, "none")
        await eventually(lambda: len(running.said("S")) >= 4)
        assert len([r for r in caplog.records if "SOLUSDT: not scored" in r.message]) == 1
        await market.show(now_ms, ["SOLUSDT"])
        assert (await scored_at(bus, "SOLUSDT", now_ms)).fault == ""


async def test_a_coin_that_does_not_trade_is_not_scored_and_says_why(
    bus: Bus, market: Market, start: Start
) -> None:
    now_ms = story().entered_ms
    await market.show(now_ms)
    dead = Listing(state="dead", text="dead since 2023-06-28: status BREAK", since_ms=1)
    await bus.put(schema.LISTINGS, Listings(coins={"ETHUSDT": dead}, at_ms=1))
    async with start(now_ms):
        assert (await scored_at(bus, "BTCUSDT", now_ms)).fault == ""
        found = await latest(bus)
    assert (found["ETHUSDT"].fault, found["ETHUSDT"].coverage) == (dead.text, 0.0)
    assert found["ETHUSDT"].change_24h_pct is None
    await bus.delete(schema.LISTINGS)


async def test_a_coin_without_candles_is_told_and_taken_up_when_they_come(
    bus: Bus, market: Market, start: Start
) -> None:
    now_ms = story().entered_ms
    async with start(now_ms) as running:
        await eventually(lambda: running.said("N"))
        assert running.said("N")[0] == "waiting for candles" and not running.said("R")
        await market.show(now_ms, ["BTCUSDT"])
        await scored_at(bus, "BTCUSDT", now_ms)
        await eventually(lambda: running.said("R"))
        eth = (await latest(bus))["ETHUSDT"]
        assert eth.fault.startswith("NoCandles: ETHUSDT 5m")
        assert eth.closed_until_ms is None


async def test_a_convicted_coin_is_left_out_until_its_time_is_up(
    bus: Bus, market: Market, start: Start
) -> None:
    now_ms = story().entered_ms
    await market.show(now_ms)
    until_ms = now_ms + 2500
    async with start(
        now_ms, interval_s=0.1, probation=True, quarantined_coins={"ETHUSDT": until_ms}
    ) as running:
        await scored_at(bus, "BTCUSDT", now_ms)
        assert running.said("C") == ["BTCUSDT", "SOLUSDT", ""]
        assert (await latest(bus))["ETHUSDT"].fault.startswith("left out until ")
        assert (await scored_at(bus, "ETHUSDT", now_ms)).fault == ""


# The history.


async def test_labels_enter_the_history_once_and_survive_a_restart(
    bus: Bus, market: Market, start: Start
) -> None:
    told = story()
    await market.show(told.entered_ms)
    async with start(told.entered_ms, interval_s=0.1) as running:
        await scored_at(bus, "BTCUSDT", told.entered_ms)
        await eventually(lambda: len(running.said("S")) >= 4)
        assert await history(bus) == [("entered", "strong")]

    await market.show(told.kept_ms)
    async with start(told.kept_ms, interval_s=0.1) as running:
        kept = await scored_at(bus, "BTCUSDT", told.kept_ms)
        assert kept.long.score < STRONG and kept.label_long == "strong"
        await eventually(lambda: len(running.said("S")) >= 4)
        assert await history(bus) == [("entered", "strong")]

        await market.close("BTCUSDT", told.left_ms)
        left = await scored_at(bus, "BTCUSDT", told.left_ms)
        assert left.label_long in ("none", "watch")
        assert await history(bus) == [("entered", "strong"), ("left", "strong")]

    entries = await bus.entries(schema.HISTORY, 100)
    (_, last) = [e for e in entries if (e[1]["symbol"], e[1]["side"]) == ("BTCUSDT", "long")][-1]
    assert last == {
        "at_ms": told.left_ms, "symbol": "BTCUSDT", "side": "long", "event": "left",
        "label": "strong", "base": left.long.score, "bonus": None, "close": left.close,
    }  # fmt: skip

    async with start(told.left_ms, interval_s=0.1) as running:
        await eventually(lambda: len(running.said("S")) >= 4)
        assert len(await history(bus)) == 2


async def test_an_incomplete_score_shows_no_label_and_forgets_none(
    bus: Bus, market: Market, start: Start
) -> None:
    told = story()
    await market.show(told.entered_ms)
    async with start(told.entered_ms) as running:
        await scored_at(bus, "BTCUSDT", told.entered_ms)
        await eventually(lambda: len(running.said("S")) >= 2)
        await market.show(told.left_ms, ["BTCUSDT"])
        await bus.delete(schema.CANDLES[H1], symbol="BTCUSDT")
        window = windows("BTCUSDT", told.left_ms)[M5]
        assert window is not None
        await market.tell(window, closed=True)
        left = await scored_at(bus, "BTCUSDT", told.left_ms)
        assert left.coverage == 0.81 and left.label_long == "none"
        assert await history(bus) == [("entered", "strong")]
        # Complete again, it is judged as what it still was.
        await market.show(told.left_ms, ["BTCUSDT"])
        window = windows("BTCUSDT", told.left_ms)[H1]
        assert window is not None
        await market.tell(window, closed=True)

        async def over() -> bool:
            return await history(bus) == [("entered", "strong"), ("left", "strong")]

        await eventually(over)
        assert (await latest(bus))["BTCUSDT"].coverage == 1


async def test_killed_at_any_moment_it_writes_each_event_once(
    bus: Bus, redis_url: str, market: Market, start: Start
) -> None:
    told, rng = story(), random.Random(3)
    times = list(long_scores("BTCUSDT"))
    first, last = times.index(told.entered_ms) - 2, times.index(told.left_ms) + 8
    label: Label = "none"
    expected: list[tuple[str, str]] = []
    for now_ms in times[first:last]:
        after = next_label(label, long_scores("BTCUSDT")[now_ms])
        event = label_event(label, after)
        expected += [event] if event else []
        label = after

        await market.show(now_ms)
        for _ in range(3):
            actor = scanner(redis_url, now_ms)
            work = asyncio.create_task(actor.run())
            for _ in range(rng.randrange(400)):  # turns of the loop until it dies
                await asyncio.sleep(0)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await actor.bus.close()
        async with start(now_ms):
            await scored_at(bus, "BTCUSDT", now_ms)
        assert await history(bus) == expected
    assert ("left", "strong") in expected


async def test_an_outage_neither_doubles_nor_loses_an_event(
    own_redis: Callable[..., PrivateRedis], start: Start
) -> None:
    told = story()
    server = own_redis()
    bus = Bus(server.url, name="test", clock=SystemClock())
    market = Market(bus)
    await market.show(told.entered_ms)
    try:
        async with start(told.entered_ms, url=server.url, interval_s=0.1) as running:
            await scored_at(bus, "BTCUSDT", told.entered_ms)
            await market.show(told.left_ms, ["BTCUSDT"])
            server.freeze()
            try:
                await eventually(lambda: "retrying" in running.actor.detail)
            finally:
                server.thaw()
            await scored_at(bus, "BTCUSDT", told.left_ms)
            steps = len(running.said("S"))
            await eventually(lambda: len(running.said("S")) > steps + 3)
            assert await history(bus) == [("entered", "strong"), ("left", "strong")]
    finally:
        await bus.close()


async def test_rubbish_in_the_history_is_left_out_and_told_once(
    bus: Bus, market: Market, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    told = story()
    await market.show(told.kept_ms)
    change = LabelChange(
        at_ms=told.entered_ms, symbol="BTCUSDT", side="long", event="entered", label="strong",
        base=STRONG, bonus=20, close=1.0,
    )  # fmt: skip
    await bus.append(schema.HISTORY, dataclasses.asdict(change))
    await bus.append(schema.HISTORY, {"symbol": "BTCUSDT", "event": 7})
    async with start(told.kept_ms, interval_s=0.1) as running:
        kept = await scored_at(bus, "BTCUSDT", told.kept_ms)
        assert kept.label_long == "strong"
        await eventually(lambda: len(running.said("S")) >= 3)
    assert len([r for r in caplog.records if "left out of the history" in r.message]) == 1
