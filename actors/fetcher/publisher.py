"""Publishes candle windows and updates.

Reads and writes `cache:candles:*`, writes `market:candles:{symbol}`. A key is written on a
close and otherwise only to renew its TTL; one whose candles are no longer fetched expires.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shared import schema
from shared.bus import Bus, BusStatus
from shared.candles.freshness import is_write_due, must_renew
from shared.candles.store import CandleStore, Change
from shared.clock import JUMP_MS, Clock
from shared.errors import BusUnavailable
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow, Source
from shared.schema import Entry


class _WrittenAt(NamedTuple):
    """When a key was written, or would have been with its whole TTL."""

    monotonic_s: float
    wall_ms: int


class CandlePublisher:
    """Publishes stores as they change, and all of them when Redis comes back.

    Attributes:
        unsent: Stores whose newest window is not on the bus.
    """

    def __init__(
        self, stores: Iterable[CandleStore], *, bus: Bus, clock: Clock, rng: random.Random,
        source: Source,
    ) -> None:  # fmt: skip
        self._stores = list(stores)
        self._by_key = {(s.symbol, s.timeframe): s for s in self._stores}
        self._bus = bus
        self._clock = clock
        self._rng = rng
        self._source = source
        self._put_at: dict[CandleStore, _WrittenAt] = {}
        self._outdated: set[CandleStore] = set()
        self.unsent: set[CandleStore] = set()
        # Writes on several connections may be reordered: an older window must not win.
        self._writing = asyncio.Lock()

    async def restore(self, now_ms: int) -> int:
        """Restore the stores from the bus; return how many windows were usable.

        Raises:
            BusUnavailable: Redis does not answer; no store has changed.
        """
        restored = 0
        for timeframe, entry in schema.CANDLES.items():
            stores = [s for s in self._stores if s.timeframe is timeframe]
            windows = await self._bus.get_many(entry, [{"symbol": s.symbol} for s in stores])
            for store, window in zip(stores, windows, strict=True):
                if window is not None:
                    restored += store.restore(window, self._source, now_ms)
        for store in self._stores:
            if store.timeframe is Timeframe.M5:
                self._follow(store)
        return restored

    async def publish(self, store: CandleStore, change: Change, every_s: float) -> None:
        """Write a change; with Redis down, mark the store as unsent.

        Args:
            every_s: Fetch interval: a key that would expire before the next fetch is renewed.
        """
        async with self._writing:
            if self._bus.status is not BusStatus.UP:
                self.unsent.add(store)
                return
            due = store in self._outdated or self._is_due(store, change, every_s)
            await self._write([(store, change)], [store] if due else [])
            if store not in self.unsent and not self._is_of_before(store):
                self._outdated.discard(store)

    async def publish_followers(self, m5: CandleStore) -> None:
        """Publish the coin's longer windows if a break of the price scale changed them."""
        if changes := self._follow(m5):
            await self.publish_closes(changes)

    def _follow(self, m5: CandleStore) -> list[tuple[CandleStore, Change]]:
        followed, shorter = [], m5
        for timeframe in (Timeframe.H1, Timeframe.H4):
            if (store := self._by_key.get((m5.symbol, timeframe))) is not None:
                followed.append((store, store.follow(shorter)))
                shorter = store
        return [(s, change) for s, change in followed if change and s.fetched_at_ms is not None]

    async def publish_closes(self, changes: Sequence[tuple[CandleStore, Change]]) -> None:
        """Write many stores with a new candle in one round trip."""
        begun = [store for store, change in changes if change.begins]
        changes = [
            *changes,
            *(f for store in begun if store.timeframe is Timeframe.M5 for f in self._follow(store)),
        ]
        async with self._writing:
            if self._bus.status is not BusStatus.UP:
                self.unsent.update(store for store, _ in changes)
                return
            await self._write(changes, [store for store, _ in changes])

    async def publish_forming(self, stores: Sequence[CandleStore]) -> None:
        """Publish the open candles of some stores, without writing keys."""
        async with self._writing:
            if self._bus.status is not BusStatus.UP or not stores:
                return
            batch = self._bus.batch()
            for store in stores:
                update = store.update(Change(Candles.empty(), store.forming), self._source)
                batch.publish(schema.CANDLE_UPDATES, update, symbol=store.symbol)
            with contextlib.suppress(BusUnavailable):  # the next ones come in a second
                await batch.send()

    async def renew(self, stores: Iterable[CandleStore], every_s: float) -> None:
        """Write the keys that would expire before the next call in `every_s`."""
        late = []
        for store in set(stores) - self._outdated:
            ttl_s = _ttl_s(schema.CANDLES[store.timeframe])
            if must_renew(self._age_s(store), every_s, ttl_s):
                late.append((store, Change(Candles.empty(), Candles.empty())))
        if late:
            await self.publish_closes(late)

    def _is_due(self, store: CandleStore, change: Change, every_s: float) -> bool:
        ttl_s = _ttl_s(schema.CANDLES[store.timeframe])
        late = is_write_due(self._age_s(store), every_s, ttl_s)
        return late or len(change.closed) > 0 or change.absent or change.begins

    def _is_of_before(self, store: CandleStore) -> bool:
        """Return whether candles were fetched before a jump of the clock, by their time."""
        return abs(self._clock.now_ms() - (store.fetched_at_ms or 0)) >= JUMP_MS

    def write_anew(self, stores: Iterable[CandleStore]) -> None:
        """Write windows with their next fetch, however young their keys are, and not before."""
        self._outdated.update(stores)

    def is_of_later(self, store: CandleStore) -> bool:
        """Return whether candles say that they were fetched later than now.

        A clock set ahead and back between two looks at it has not jumped.
        """
        return (store.fetched_at_ms or 0) - self._clock.now_ms() >= JUMP_MS

    def _age_s(self, store: CandleStore) -> float:
        """Return the age of a key by the clock that says more: Redis' runs on while we do not."""
        put = self._put_at.get(store)
        if put is None:
            return float("inf")
        by_wall_s = (self._clock.now_ms() - put.wall_ms) / 1000
        return max(self._clock.monotonic() - put.monotonic_s, by_wall_s)

    async def _write(
        self, changes: Sequence[tuple[CandleStore, Change]], whole: Sequence[CandleStore]
    ) -> None:
        """Write whole windows, then publish the changes.

        All keys come before all updates: subscribers start to compute on an update and would
        compete for the CPU with the remaining writes.
        """
        batch = self._bus.batch()
        due = set(whole)
        for store, _ in changes:
            if store in due:
                entry = schema.CANDLES[store.timeframe]
                batch.put(entry, store.window(self._source), symbol=store.symbol)
        for store, change in changes:
            if change:
                update = store.update(change, self._source)
                batch.publish(schema.CANDLE_UPDATES, update, symbol=store.symbol)
        try:
            await batch.send()
        except BusUnavailable:  # the bus logs loss and return
            self.unsent.update(store for store, _ in changes)
            return
        written = _WrittenAt(self._clock.monotonic(), self._clock.now_ms())
        for store in whole:
            self._put_at[store] = written
            self.unsent.discard(store)

    async def watch(self) -> None:
        """Mark all stores as unsent after each reconnect: Redis may be empty."""
        own_channel = schema.CANDLE_UPDATES.name(symbol=self._stores[0].symbol)
        async with self._bus.subscribe(own_channel) as deliveries:
            async for delivery in deliveries:
                if not delivery.channel:
                    self.unsent.update(s for s in self._stores if s.fetched_at_ms is not None)

    async def find_missing(self) -> None:
        """Mark the stores whose key is gone as unsent: Redis was emptied, or a key removed.

        Raises:
            BusUnavailable: Redis does not answer.
        """
        for timeframe, entry in schema.CANDLES.items():
            stores = [s for s in self._stores if s.timeframe is timeframe and s.fetched_at_ms]
            exist = await self._bus.exist(entry, [{"symbol": s.symbol} for s in stores])
            self.unsent.update(s for s, there in zip(stores, exist, strict=True) if not there)

    async def send_unsent(self) -> None:
        """Write unsent windows about once a second."""
        while True:
            await self._clock.sleep(self._rng.uniform(0.5, 1.5))
            try:
                for store in list(self.unsent):
                    async with self._writing:
                        await self._send(store)
            except BusUnavailable:
                continue

    async def _send(self, store: CandleStore) -> None:
        """Write one window with its remaining TTL; skip one that is too old."""
        entry = schema.CANDLES[store.timeframe]
        window = store.window(self._source)
        passed_s = max(0.0, (self._clock.now_ms() - window.fetched_at_ms) / 1000)
        left_s = _ttl_s(entry) - passed_s
        if left_s > 0:
            await self._bus.put(entry, window, ttl_ms=round(left_s * 1000), symbol=store.symbol)
            self._put_at[store] = _WrittenAt(
                self._clock.monotonic() - passed_s, window.fetched_at_ms
            )
        self.unsent.discard(store)


def _ttl_s(entry: Entry[CandleWindow]) -> int:
    assert entry.ttl_s is not None, "candle windows expire"
    return entry.ttl_s
