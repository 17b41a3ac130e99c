"""When the publisher writes a key, by wall clock and by monotonic time."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from actors.fetcher.publisher import CandlePublisher
from shared import schema
from shared.bus import Bus
from shared.candles.admission import Admitted
from shared.candles.store import CandleStore, Change
from shared.market import Candles, Timeframe
from tests.support.candle_series import walk
from tests.support.manual_clock import ManualClock

H4 = Timeframe.H4
EVERY_S = 240.0
NOTHING = Change(Candles.empty(), Candles.empty())
HOUR_MS = 3_600_000


@dataclass
class Site:
    """A publisher of one window, whose candles never change."""

    clock: ManualClock
    store: CandleStore
    publisher: CandlePublisher
    bus: Bus
    rows: Candles

    async def fetch(self) -> None:
        now_ms = self.clock.now_ms()
        self.store.accept(Admitted(self.rows), asked_ms=now_ms, fetched_at_ms=now_ms)
        await self.publisher.publish(self.store, NOTHING, EVERY_S)

    async def fetched_ms(self) -> int | None:
        """Return what the key says; None if it is gone."""
        window = await self.bus.get(schema.CANDLES[H4], symbol="BTCUSDT")
        return None if window is None else window.fetched_at_ms

    async def lose(self) -> None:
        await self.bus.delete(schema.CANDLES[H4], symbol="BTCUSDT")


@pytest.fixture
async def site(redis_url: str, bus: Bus) -> Site:
    clock = ManualClock()
    rows = walk(1, 400, timeframe=H4, start_ms=H4.open_at(clock.now_ms()) - 399 * H4.ms)
    store = CandleStore("BTCUSDT", H4)
    publisher = CandlePublisher([store], bus=bus, clock=clock, rng=random.Random(1), source="sim")
    await bus.delete(schema.CANDLES[H4], symbol="BTCUSDT")  # the bus is up
    site = Site(clock, store, publisher, bus, rows)
    await site.fetch()
    return site


async def test_unchanged_window_is_not_written_again_at_once(site: Site) -> None:
    first_ms = site.clock.now_ms()
    await site.clock.advance(30)
    await site.fetch()
    assert await site.fetched_ms() == first_ms


async def test_key_that_has_expired_during_a_suspend_is_written_with_the_next_fetch(
    site: Site,
) -> None:
    await site.lose()
    site.clock.step_wall(HOUR_MS)
    await site.clock.advance(1)
    await site.fetch()
    assert await site.fetched_ms() == site.clock.now_ms()


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS])
async def test_after_a_jump_a_window_of_before_is_neither_renewed_nor_the_last(
    site: Site, by_ms: int
) -> None:
    first_ms = site.clock.now_ms()
    site.clock.step_wall(by_ms)
    site.publisher.write_anew([site.store])
    await site.publisher.renew([site.store], 1.0)
    await site.publisher.publish(site.store, NOTHING, EVERY_S)  # fetched before the jump
    assert await site.fetched_ms() == first_ms
    await site.clock.advance(1)
    await site.fetch()
    assert await site.fetched_ms() == site.clock.now_ms()
