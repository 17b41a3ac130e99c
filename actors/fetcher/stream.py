"""Streamed klines into stores and bus: closes at once, open candles once a second.

Writes `cache:candles:*` and `market:candles:{symbol}` (through `publisher.py`). The stream only
adds candles: gaps and mismatches are resolved by REST.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import aiohttp

from actors.fetcher.binance_stream import KlineStreams
from actors.fetcher.kline_frames import KlineEvent
from actors.fetcher.publisher import CandlePublisher
from actors.fetcher.stream_watch import FrameOrder, StreamKey, StreamWatch
from shared.candles.store import CandleStore, Change, Fit
from shared.clock import Clock
from shared.exchanges.binance.client import BinanceClient
from shared.market import Candles

GATHER_S, GATHER_TURNS = 0.002, 3  # closes within this are published together
FORMING_S = 1.0
AHEAD_MS = 20_000  # a candle that ends later than this after exchange time is rejected
ASK_FIRST_S, ASK_CAP_S = 2.0, 30.0  # pauses between REST requests for one missed close
SHOWN = 10  # names in the stats, beside the count


class CandleStream:
    """Applies kline events, publishes what is new, and requests what is missing.

    Args:
        client: For exchange time.
        on_missing: Called with the coins whose close is missing, to be fetched from REST.
        on_stats: Called with `stats()` once a second.

    Attributes:
        mismatches: Closes that differed from REST, which won.
    """

    def __init__(
        self,
        stores: Iterable[CandleStore],
        *,
        publisher: CandlePublisher,
        client: BinanceClient,
        clock: Clock,
        log: logging.Logger,
        on_missing: Callable[[set[str]], None],
        on_stats: Callable[[dict[str, Any]], None],
    ) -> None:
        self._stores: dict[StreamKey, CandleStore] = {(s.symbol, s.timeframe): s for s in stores}
        self.watch = StreamWatch(self._stores)
        self.mismatches = 0
        self._streams: KlineStreams | None = None
        self._publisher = publisher
        self._client = client
        self._clock = clock
        self._log = log
        self._on_missing = on_missing
        self._on_stats = on_stats
        self._closes: list[tuple[CandleStore, Change]] = []
        self._have_closes = asyncio.Event()
        self._forming: dict[str, dict[StreamKey, None]] = {}
        self._known_silent: set[StreamKey] = set()
        self._asked: dict[StreamKey, tuple[float, float]] = {}

    def connect(self, session: aiohttp.ClientSession, url: str, rng: random.Random) -> KlineStreams:
        """Return the connections; run them beside the two loops below."""
        self._streams = KlineStreams(
            session,
            url=url,
            watch=self.watch,
            keys=list(self._stores),
            client=self._client,
            clock=self._clock,
            rng=rng,
            on_event=self.on_event,
            log=self._log,
        )
        return self._streams

    def on_event(self, event: KlineEvent) -> None:
        key = (event.symbol, event.timeframe)
        order = self.watch.record(
            key,
            event_ms=event.event_ms,
            open_ms=event.open_ms,
            is_closed=event.is_closed,
            now_s=self._clock.monotonic(),
        )
        store = self._stores[key]
        if order is not FrameOrder.NEW or store.fetched_at_ms is None:
            return
        if event.is_closed:
            self._on_close(store, event)
        elif store.update_forming(
            event.row(), now_ms=self._client.now_ms(), at_ms=self._clock.now_ms()
        ):
            waiting = self._forming.setdefault(event.symbol, {})
            waiting.setdefault(key)

    def _on_close(self, store: CandleStore, event: KlineEvent) -> None:
        row = event.row()
        if event.open_ms + event.timeframe.ms > self._client.now_ms() + AHEAD_MS:
            self._log.warning(
                "streamed close not believed: %s %s at %d ends after exchange time %d",
                event.symbol, event.timeframe, event.open_ms, self._client.now_ms(),
            )  # fmt: skip
            return
        fit = store.fit(row)
        if fit is Fit.NEXT:
            self._closes.append((store, store.append(row, self._clock.now_ms())))
            self._have_closes.set()
        elif fit is Fit.BEYOND:
            self._on_missing({event.symbol})
        elif fit is Fit.DIFFERS:
            self.record_mismatches(store, (event.open_ms,))

    def record_mismatches(self, store: CandleStore, open_times_ms: Iterable[int]) -> None:
        """Count and log streamed closes that differ from REST."""
        for open_ms in open_times_ms:
            self.mismatches += 1
            self._log.warning(
                "%s %s at %d: streamed close differs from REST, which is kept",
                store.symbol, store.timeframe, open_ms,
            )  # fmt: skip

    async def publish_closes(self) -> None:
        """Publish closes as they arrive, in batches."""
        while True:
            await self._have_closes.wait()
            await self._gather()
            self._have_closes.clear()
            closes, self._closes = self._closes, []
            await self._publisher.publish_closes(closes)

    async def _gather(self) -> None:
        """Wait briefly while closes keep arriving, unless all are there."""
        now_ms = self._client.now_ms()
        for _ in range(GATHER_TURNS):
            seen = len(self._closes)
            closing = {store.timeframe for store, _ in self._closes}
            if not any(
                store.is_behind(now_ms)
                for store in self._stores.values()
                if store.timeframe in closing and store.fetched_at_ms is not None
            ):
                return
            await self._clock.sleep(GATHER_S)
            if len(self._closes) == seen:
                return

    async def maintain(self) -> None:
        """Once a second: publish open candles, request missed closes, renew live windows."""
        while True:
            await self._clock.sleep(FORMING_S)
            await self._publisher.publish_forming(self._next_forming())
            self._ask_for_missed()
            self._warn_of_silence()
            self._on_stats(self.stats())
            now_s, now_ms = self._clock.monotonic(), self._client.now_ms()
            await self._publisher.renew(
                (
                    store
                    for key, store in self._stores.items()
                    if store.fetched_at_ms is not None
                    and self.watch.is_live(key, now_s)
                    and not store.is_behind(now_ms)
                ),
                FORMING_S,
            )

    def _next_forming(self) -> list[CandleStore]:
        """Take per coin the open candle that has waited longest to be published."""
        turns = []
        for symbol, waiting in list(self._forming.items()):
            key = next(iter(waiting))
            del waiting[key]
            if not waiting:
                del self._forming[symbol]
            if len(self._stores[key].forming):
                turns.append(self._stores[key])
        return turns

    def _ask_for_missed(self) -> None:
        """Compare missed closes with the stores; request from REST what is missing.

        Only for live streams; the others are covered by the passes.
        """
        now_s, now_ms = self._clock.monotonic(), self._client.now_ms()
        missing = {}
        for key in self.watch.overdue(now_ms):
            store = self._stores[key]
            self.watch.settle(key, store.closed_until_ms, _has_closed(store))
            if store.is_behind(now_ms) and self.watch.is_live(key, now_s):
                missing[key] = self._asked.get(key, (now_s, ASK_FIRST_S))
        due = {key for key, (at_s, _) in missing.items() if at_s <= now_s}
        for key in due:
            pause_s = missing[key][1]
            missing[key] = (now_s + pause_s, min(2 * pause_s, ASK_CAP_S))
        self._asked = missing
        if due:
            self._on_missing({symbol for symbol, _ in due})

    def _warn_of_silence(self) -> None:
        silent = set(self.watch.silent(self._clock.monotonic()))
        if fresh := silent - self._known_silent:
            some = ", ".join(f"{s} {t}" for s, t in list(fresh)[:SHOWN])
            self._log.warning("%d streams are silent: %s", len(fresh), some)
        self._known_silent = silent

    def without_streamed_forming(self, store: CandleStore, change: Change) -> Change:
        """Return a REST change without the open candle if the stream publishes that one."""
        is_live = self.watch.is_live((store.symbol, store.timeframe), self._clock.monotonic())
        return replace(change, forming=Candles.empty()) if is_live else change

    def stats(self) -> dict[str, Any]:
        """Return the stream's part of the heartbeat detail."""
        streams, now_s = self._streams, self._clock.monotonic()
        assert streams is not None, "connect() comes first"
        silent = [f"{symbol} {timeframe}" for symbol, timeframe in self.watch.silent(now_s)]
        last_s = streams.last_frame_s
        return {
            "connected": streams.connected == len(streams.connections),
            "connections": streams.connected,
            "streams": len(self.watch),
            "silent_streams": len(silent),
            "silent": silent[:SHOWN],
            "reconnects": streams.reconnects,
            "last_frame_age_s": None if last_s is None else round(now_s - last_s, 1),
            "missed_closes": self.watch.missed,
            "missed_closes_filled": self.watch.filled,
            "mismatches": self.mismatches,
            "unchecked": sum(len(store.unchecked) for store in self._stores.values()),
            "duplicates": self.watch.duplicates,
            "out_of_order": self.watch.out_of_order,
            "bad_frames": streams.bad_frames,
            "troubles": streams.troubles(),
            "refused": streams.refused,
        }


def _has_closed(store: CandleStore) -> Callable[[int], bool]:
    times = store.closed.open_time_ms
    return lambda open_ms: bool((times == open_ms).any())
