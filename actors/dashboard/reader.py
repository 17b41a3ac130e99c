"""Keeps the dashboard's `PageInputs` current.

Subscribes to `market:candles:*`, `signals:ta:*`, `signals:scan` and, of an own trader,
`trader:events`, and reads the keys behind them and those of `shared/health/snapshot.py`. Keys are
the truth: all are read again after a reconnect, and periodically.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from actors.dashboard.document import PageInputs
from shared import codec, schema
from shared.bus import Bus
from shared.clock import Clock
from shared.errors import BadMessage
from shared.guests.shapes import event_of_entry
from shared.health.snapshot import SnapshotReader
from shared.market import Timeframe
from shared.messages.signals import LabelChange, ScanResult
from shared.messages.trading import TradeEvent

QUICK_S, SLOW_S = 2.0, 15.0
WINDOWS_AT_ONCE = 5
HISTORY_SHOWN = 200
EVENTS_SHOWN = 50


class Reader:
    """Reads the bus into a `PageInputs`.

    Args:
        snapshot: Reads what `/health` reads; the page shows the same problems.
        on_due: Called when `poll` should run at once.
    """

    def __init__(
        self,
        inputs: PageInputs,
        snapshot: SnapshotReader,
        *,
        bus: Bus,
        clock: Clock,
        log: logging.Logger,
        on_due: Callable[[], None],
    ) -> None:
        self._inputs = inputs
        self._snapshot = snapshot
        self._bus = bus
        self._clock = clock
        self._log = log
        self._on_due = on_due
        self._symbols = list(inputs.snapshot.symbols)
        self._trader = inputs.snapshot.trader_kind
        self._raw_signals: dict[str, bytes] = {}
        self._raw_scan: bytes | None = None
        self._windows_due = dict.fromkeys(self._symbols)
        self._quick_due_s = self._slow_due_s = clock.monotonic()
        self._history_due = self._events_due = True
        self._next_window = 0
        self._logged: set[str] = set()
        self._moved = True

    async def listen(self) -> None:
        """Read the channels for ever."""
        patterns = (schema.CANDLE_UPDATES.glob(), schema.TA_SIGNALS.glob())
        candles, signals = (pattern.rstrip("*") for pattern in patterns)
        scan, events = schema.SCAN.name(), schema.TRADE_EVENTS.name()
        # a guest's events are in the log some moments after they were on the channel
        names = (scan, events) if self._trader == "own" else (scan,)
        async with self._bus.subscribe(*names, patterns=patterns) as deliveries:
            async for delivery in deliveries:
                if not delivery.channel:
                    self._read_everything_again()
                elif delivery.channel.startswith(candles):
                    self._apply_update(delivery.channel, delivery.raw)
                elif delivery.channel.startswith(signals):
                    # Only the newest of each coin is decoded, when it is about to be shown.
                    if delivery.channel.removeprefix(signals) in self._inputs.prices:
                        self._raw_signals[delivery.channel] = delivery.raw
                elif delivery.channel == events:
                    # The event is read from the log, its effects from other keys.
                    self._events_due = True
                    self._quick_due_s = self._clock.monotonic()
                    self._on_due()
                else:
                    self._raw_scan = delivery.raw

    def decode_pending(self) -> bool:
        """Decode pending messages; return whether anything changed since the last call."""
        decoded = [
            self._bus.decode(schema.TA_SIGNALS, raw, channel)
            for channel, raw in self._raw_signals.items()
        ]
        self._raw_signals.clear()
        signals = {s.symbol: s for s in decoded if s and s.symbol in self._inputs.prices}
        if signals:
            self._snapshot.add_signals(signals)
            self._publish_snapshot()
        raw_scan, self._raw_scan = self._raw_scan, None
        if raw_scan is not None:
            scan = self._bus.decode(schema.SCAN, raw_scan, schema.SCAN.name())
            if scan is not None:
                self._apply_scan(scan)
                self._history_due = True
                self._on_due()
        moved, self._moved = self._moved, False
        return moved

    async def poll(self) -> None:
        """Read the keys that are due.

        Raises:
            BusUnavailable: Redis does not answer; what was read before stays.
        """
        now_s = self._clock.monotonic()
        if now_s >= self._slow_due_s:
            await self._read_slowly()
            self._slow_due_s = now_s + SLOW_S
        if now_s >= self._quick_due_s:
            await self._snapshot.read()
            self._publish_snapshot()
            if not self._inputs.assets:
                await self._read_assets()
            self._quick_due_s = now_s + QUICK_S
            self._events_due |= self._trader == "outside"
            # One coin at a time, whether or not an update was missed.
            self._windows_due[self._symbols[self._next_window]] = None
            self._next_window = (self._next_window + 1) % len(self._symbols)
        if self._history_due:
            await self._read_history()
        if self._events_due:
            await self._read_events()
        while self._windows_due:
            await self._read_windows(list(self._windows_due)[:WINDOWS_AT_ONCE])

    def update_redis_status(self) -> None:
        """Update the snapshot's Redis status."""
        self._snapshot.see_redis()
        self._publish_snapshot()

    def _publish_snapshot(self) -> None:
        self._inputs.snapshot = self._snapshot.seen
        self._moved = True

    def _read_everything_again(self) -> None:
        self._windows_due = dict.fromkeys(self._symbols)
        self._quick_due_s = self._slow_due_s = self._clock.monotonic()
        self._history_due = self._events_due = True
        self._on_due()

    def _apply_update(self, channel: str, raw: bytes) -> None:
        update = self._bus.decode(schema.CANDLE_UPDATES, raw, channel)
        if update is None or update.timeframe != Timeframe.M5:
            return
        prices = self._inputs.prices.get(update.symbol)
        if prices is None:
            return
        if not prices.apply_update(update):
            self._windows_due[update.symbol] = None
            self._on_due()
        self._moved = True

    def _apply_scan(self, scan: ScanResult | None) -> None:
        self._inputs.scan = scan
        self._inputs.scores = {} if scan is None else {coin.symbol: coin for coin in scan.coins}
        self._moved = True

    async def _read_slowly(self) -> None:
        self._apply_scan(await self._bus.get(schema.SCAN_LATEST))
        await self._read_assets()
        if self._trader == "own":
            config = await self._bus.get(schema.TRADER_CONFIG)
            self._inputs.trader_config = config or self._inputs.trader_config
        self._events_due = True

    async def _read_assets(self) -> None:
        assets = await self._bus.get(schema.ASSETS)
        if assets is not None:
            self._inputs.assets = assets.pairs
            self._moved = True

    async def _read_history(self) -> None:
        self._history_due = False
        self._inputs.history = await self._newest(schema.HISTORY, HISTORY_SHOWN, _as(LabelChange))
        self._moved = True

    async def _read_events(self) -> None:
        self._events_due = False
        if self._trader == "own":
            self._inputs.events = await self._newest(
                schema.TRADE_LOG, EVENTS_SHOWN, _as(TradeEvent)
            )
        elif self._trader == "outside":
            self._inputs.guest_events = await self._newest(
                schema.GUEST_LOG, EVENTS_SHOWN, event_of_entry
            )
        self._moved = True

    async def _newest[T](
        self, entry: schema.Entry[Any], count: int, read: Callable[[dict[str, Any], str], T]
    ) -> list[T]:
        """Return the newest entries of a stream, newest first; invalid ones are skipped."""
        name = entry.name()
        found = []
        for identity, fields in await self._bus.entries(entry, count):
            try:
                found.append(read(fields, f"{name} {identity}"))
            except BadMessage as error:
                if name not in self._logged:
                    self._log.warning("left out of what is shown of %s: %s", name, error)
                self._logged.add(name)
        return found[::-1]

    async def _read_windows(self, symbols: list[str]) -> None:
        entry = schema.CANDLES[Timeframe.M5]
        windows = await self._bus.get_many(entry, [{"symbol": symbol} for symbol in symbols])
        for symbol, window in zip(symbols, windows, strict=True):
            self._windows_due.pop(symbol, None)
            if window is not None:
                self._inputs.prices[symbol].apply_window(window)
        self._moved = True
        await asyncio.sleep(0)  # each window costs milliseconds: yield


def _as[T](kind: type[T]) -> Callable[[dict[str, Any], str], T]:
    return lambda fields, where: codec.from_plain(kind, fields, where)
