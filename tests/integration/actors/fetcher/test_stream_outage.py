"""Ten minutes without a stream: no signal is lost, and every age is told as it is."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from actors.base import Context
from actors.indicators.actor import Indicators
from shared import codec, schema
from shared.bus import Bus
from shared.clock import Clock, SystemClock
from shared.config.sections import FetcherSection, IndicatorsSection
from shared.market import Timeframe
from shared.messages.signals import TaSignal
from shared.supervision.status_pipe import StatusPipe
from tests.support.fast_clock import FastClock
from tests.support.market_data import RunningFetcher, SimulatedExchange
from tests.support.waiting import eventually

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
M5 = Timeframe.M5
RATE = 30
# A tenth of a second of this machine's time is three here, and it has other work to do; what it
# held this process up for comes on top.
SLACK_MS = 12_000
PAUSE_S = 0.05


@dataclass(frozen=True)
class Sample:
    """What a reader of the keys knew at one moment."""

    at_ms: int
    connected: bool
    frame_age_s: float
    signals: dict[str, TaSignal | None]


@contextlib.asynccontextmanager
async def indicators(redis_url: str, clock: Clock, state_dir: Path) -> AsyncIterator[Indicators]:
    context = Context(
        name="indicators-all",
        mode="demo",
        source="sim",
        state_dir=state_dir,
        section={
            "group": "all",
            "symbols": list(SYMBOLS),
            "indicators": asdict(IndicatorsSection()),
            "testing": {},
        },
        bus=Bus(redis_url, name="indicators-all", clock=clock),
        clock=clock,
        log=logging.getLogger("indicators"),
        rng=random.Random(1),
        status=StatusPipe(None),
        probation=False,
        quarantined_coins={},
    )
    actor = Indicators(context)
    running = asyncio.create_task(actor.run())
    try:
        yield actor
    finally:
        actor.stop()
        await running
        await context.bus.close()


@pytest.mark.slow
async def test_no_signal_is_lost_while_the_stream_is_cut_and_every_age_is_true(
    redis_url: str, tmp_path: Path
) -> None:
    true_ms = SystemClock().now_ms()
    clock = FastClock(M5.open_at(true_ms) + M5.ms - 100_000, RATE)
    first_ms = M5.open_at(clock.now_ms()) + M5.ms
    bus = Bus(redis_url, name="test", clock=clock)
    arrived: dict[tuple[str, int], int] = {}
    samples: list[Sample] = []
    held_up_ms = 0.0
    async with (
        SimulatedExchange(SYMBOLS, clock, streams=True) as exchange,
        RunningFetcher(exchange, redis_url, tmp_path, FetcherSection()) as fetcher,
        indicators(redis_url, clock, tmp_path),
        bus.subscribe(*(schema.TA_SIGNALS.name(symbol=s) for s in SYMBOLS)) as signals,
    ):

        async def listen() -> None:
            async for delivery in signals:
                if delivery.channel:
                    signal = codec.decode(TaSignal, delivery.raw, delivery.channel)
                    arrived.setdefault((signal.symbol, signal.closed_until_ms), clock.now_ms())

        async def sample() -> None:
            nonlocal held_up_ms
            while True:
                at_ms = clock.now_ms()
                figures = dict(fetcher.detail["stream"])
                found = await bus.get_many(schema.TA_LATEST, [{"symbol": s} for s in SYMBOLS])
                samples.append(
                    Sample(
                        at_ms,
                        figures["connected"],
                        figures["last_frame_age_s"],
                        dict(zip(SYMBOLS, found, strict=True)),
                    )
                )
                paused_ms = clock.now_ms()
                await asyncio.sleep(PAUSE_S)
                late_ms = clock.now_ms() - paused_ms - 1000 * RATE * PAUSE_S
                held_up_ms = max(held_up_ms, late_ms)

        def has_come(close_ms: int) -> bool:
            return all((symbol, close_ms) in arrived for symbol in SYMBOLS)

        listening = asyncio.create_task(listen())
        await eventually(lambda: fetcher.detail.get("stream", {}).get("connected"), 20)
        await eventually(fetcher.is_ready, 20)
        await eventually(lambda: has_come(first_ms), 10)

        cut_ms = clock.now_ms()
        await exchange.plan(kind="stream_cut", for_s=600)
        await eventually(lambda: not fetcher.detail["stream"]["connected"], 10)
        sampling = asyncio.create_task(sample())
        missed = [first_ms + M5.ms, first_ms + 2 * M5.ms]
        for close_ms in missed:
            await eventually(functools.partial(has_come, close_ms), 20)
        await eventually(lambda: clock.now_ms() > cut_ms + 600_000, 20)
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)

        await eventually(lambda: fetcher.detail["stream"]["connected"], 10)
        await eventually(lambda: has_come(missed[-1] + M5.ms), 20)
        filled = fetcher.detail["stream"]["missed_closes_filled"]
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    await bus.close()

    slack_ms = SLACK_MS + held_up_ms
    for symbol in SYMBOLS:
        late_ms = [arrived[symbol, close_ms] - close_ms for close_ms in missed]
        assert max(late_ms) < 30_000 + held_up_ms, (symbol, late_ms)
    assert filled >= len(SYMBOLS) * len(missed)

    assert len(samples) > 100
    ages = []
    for seen in samples:
        assert not seen.connected
        # the figure is up to a second old, and so is the last frame before the cut
        assert abs(seen.frame_age_s * 1000 - (seen.at_ms - cut_ms)) < slack_ms
        for symbol, signal in seen.signals.items():
            assert signal is not None, f"{symbol}: the key was gone at {seen.at_ms}"
            fetched_ms = signal.inputs["5m"].fetched_at_ms
            assert fetched_ms is not None
            assert fetched_ms <= signal.computed_at_ms <= clock.now_ms()
            ages.append(seen.at_ms - fetched_ms)
            due_ms = M5.open_at(seen.at_ms - 30_000 - round(held_up_ms))
            assert signal.closed_until_ms >= due_ms, "a close more than 30 s late"
            assert signal.closed_until_ms <= seen.at_ms + 1_000
    # asked every 30 s, computed up to 30 s later and renewed after another 30 s
    assert max(ages) < 90_000 + slack_ms
    assert max(ages) > 10_000, "ages must grow between two answers"
