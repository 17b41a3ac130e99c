"""Keeps what the dashboard knows up to date with the bus.

Listens to `market:candles:*`, `signals:ta:*`, `signals:scan` and `trader:events`, and reads the
keys behind them, those of the actors, and what account and trader publish. Keys hold the truth:
everything is read again after a reconnect, and slowly all the time.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

from actors.dashboard.document import PageInputs
from shared import codec, schema
from shared.bus import Bus
from shared.clock import Clock
from shared.errors import BadMessage
from shared.health.trading_verdict import looked
from shared.health.verdict import BadMessages, RedisView, judge, known_trouble
from shared.market import Timeframe
from shared.messages.actors import Heartbeat
from shared.messages.signals import LabelChange, ScanResult, TaSignal
from shared.messages.trading import TradeEvent

QUICK_S, SLOW_S = 2.0, 15.0
WINDOWS_AT_ONCE = 5
HISTORY_SHOWN = 200
EVENTS_SHOWN = 50
STAGES = ("fetch", "compute")


class Reader:
    """Reads the bus into a `PageInputs`.

    Args:
        on_due: Called when something should be read at once.
    """

    def __init__(
        self,
        world: PageInputs,
        *,
        bus: Bus,
        clock: Clock,
        log: logging.Logger,
        on_due: Callable[[], None],
    ) -> None:
        self._world = world
        self._bus = bus
        self._clock = clock
        self._log = log
        self._on_due = on_due
        self._symbols = list(world.seen.symbols)
        self._raw_signals: dict[str, bytes] = {}
        self._raw_scan: bytes | None = None
        self._windows_due = dict.fromkeys(self._symbols)
        self._quick_due_s = self._slow_due_s = clock.monotonic()
        self._history_due = self._events_due = True
        self._next_window = 0
        self._logged: set[str] = set()
        self._moved = True
        self._parts = [{"symbol": symbol} for symbol in self._symbols]
        self._quarantine_parts = [
            {"stage": stage, "symbol": symbol} for symbol in self._symbols for stage in STAGES
        ]

    async def listen(self) -> None:
        """Follow the channels, for ever."""
        patterns = (schema.CANDLE_UPDATES.glob(), schema.TA_SIGNALS.glob())
        candles, signals = (pattern.rstrip("*") for pattern in patterns)
        scan, events = schema.SCAN.name(), schema.TRADE_EVENTS.name()
        async with self._bus.subscribe(scan, events, patterns=patterns) as deliveries:
            async for delivery in deliveries:
                if not delivery.channel:
                    self._read_everything_again()
                elif delivery.channel.startswith(candles):
                    self._take_update(delivery.channel, delivery.raw)
                elif delivery.channel.startswith(signals):
                    # Only the newest of each coin is decoded, when it is about to be shown.
                    self._raw_signals[delivery.channel] = delivery.raw
                elif delivery.channel == events:
                    # What it says stands in the log, too, and what it changed in other keys.
                    self._events_due = True
                    self._quick_due_s = self._clock.monotonic()
                    self._on_due()
                else:
                    self._raw_scan = delivery.raw

    def digest(self) -> bool:
        """Decode what came; tell whether anything has moved since the last time."""
        for channel, raw in self._raw_signals.items():
            signal = self._bus.decode(schema.TA_SIGNALS, raw, channel)
            if signal is not None and signal.symbol in self._world.prices:
                self._take_signals([signal])
        self._raw_signals.clear()
        raw_scan, self._raw_scan = self._raw_scan, None
        if raw_scan is not None:
            scan = self._bus.decode(schema.SCAN, raw_scan, schema.SCAN.name())
            if scan is not None:
                self._take_scan(scan)
                self._history_due = True
                self._on_due()
        moved, self._moved = self._moved, False
        return moved

    async def poll(self) -> None:
        """Read the keys that are due.

        Raises:
            BusUnavailable: Redis does not answer; what was read so far is kept.
        """
        now_s = self._clock.monotonic()
        if now_s >= self._slow_due_s:
            await self._read_slowly()
            self._slow_due_s = now_s + SLOW_S
        if now_s >= self._quick_due_s:
            await self._read_quickly()
            self._quick_due_s = now_s + QUICK_S
            # One coin after the other, whether or not it seems to need it.
            self._windows_due[self._symbols[self._next_window]] = None
            self._next_window = (self._next_window + 1) % len(self._symbols)
        if self._history_due:
            await self._read_history()
        if self._events_due:
            await self._read_events()
        while self._windows_due:
            await self._read_windows(list(self._windows_due)[:WINDOWS_AT_ONCE])

    def see_redis(self) -> None:
        """Take note of how Redis is, and judge everything."""
        bus, world = self._bus, self._world
        view = RedisView(
            status=bus.status.value,
            since_ms=bus.status_since_ms,
            reason=bus.reason,
            round_trip_ms=bus.round_trip_ms,
        )
        self._see(redis=view, bad_messages=self._bad_messages())
        now_ms = self._clock.now_ms()
        world.problems = judge(world.seen, now_ms, world.limits).problems

    def _bad_messages(self) -> dict[str, BadMessages]:
        bus, watcher = self._bus, self._world.seen.watcher
        if bus.bad_message_ms is None:
            return {}
        return {watcher: BadMessages(
            count=bus.bad_messages, newest=bus.bad_message, at_ms=bus.bad_message_ms
        )}  # fmt: skip

    def _see(self, **changes: Any) -> None:
        self._world.seen = dataclasses.replace(self._world.seen, **changes)
        self._moved = True

    def _read_everything_again(self) -> None:
        self._windows_due = dict.fromkeys(self._symbols)
        self._quick_due_s = self._slow_due_s = self._clock.monotonic()
        self._history_due = self._events_due = True
        self._on_due()

    # What comes on channels

    def _take_update(self, channel: str, raw: bytes) -> None:
        update = self._bus.decode(schema.CANDLE_UPDATES, raw, channel)
        if update is None or update.timeframe != Timeframe.M5:
            return
        prices = self._world.prices.get(update.symbol)
        if prices is None:
            return
        if not prices.take_update(update):
            self._windows_due[update.symbol] = None
            self._on_due()
        self._moved = True

    def _take_signals(self, signals: list[TaSignal]) -> None:
        self._see(signals={**self._world.seen.signals, **{s.symbol: s for s in signals}})

    def _take_scan(self, scan: ScanResult | None) -> None:
        self._world.scan = scan
        self._world.scores = {} if scan is None else {coin.symbol: coin for coin in scan.coins}
        self._moved = True

    # What is read from keys

    async def _read_quickly(self) -> None:
        bus, seen = self._bus, self._world.seen
        statuses = await bus.fields(schema.ACTORS)
        beats = await bus.get_many(schema.HEARTBEAT, [{"name": name} for name in seen.actors])
        quarantines = await bus.get_many(schema.QUARANTINE, self._quarantine_parts)
        ban = await bus.get(schema.BAN_UNTIL)
        lease = await bus.get(schema.LEASE)
        supervisor = await bus.get(schema.SUPERVISOR)
        new_beats: dict[str, Heartbeat] = {beat.name: beat for beat in beats if beat is not None}
        self._see(
            statuses=statuses,
            heartbeats={**seen.heartbeats, **new_beats},
            quarantines={(q.stage, q.symbol): q for q in quarantines if q is not None},
            ban=ban,
            lease=lease,
            supervisor=supervisor,
            trading=looked(
                seen.trading,
                positions=await bus.get(schema.POSITIONS),
                balance=await bus.get(schema.BALANCE),
                status=await bus.get(schema.TRADER_STATUS),
                now_ms=self._clock.now_ms(),
            ),
        )
        self._look_for_first_scan()

    def _look_for_first_scan(self) -> None:
        seen, now_ms = self._world.seen, self._clock.now_ms()
        if not seen.scanned_once and all(
            symbol in seen.signals or known_trouble(seen, symbol, now_ms) for symbol in seen.symbols
        ):
            self._see(scanned_once=True)

    async def _read_slowly(self) -> None:
        signals = await self._bus.get_many(schema.TA_LATEST, self._parts)
        self._take_signals([signal for signal in signals if signal is not None])
        self._take_scan(await self._bus.get(schema.SCAN_LATEST))
        audit = await self._bus.get(schema.AUDIT)
        self._see(audit=audit or self._world.seen.audit)
        config = await self._bus.get(schema.TRADER_CONFIG)
        self._world.trader_config = config or self._world.trader_config
        self._events_due = True

    async def _read_history(self) -> None:
        self._history_due = False
        self._world.history = await self._newest(schema.HISTORY, HISTORY_SHOWN, LabelChange)
        self._moved = True

    async def _read_events(self) -> None:
        self._events_due = False
        self._world.events = await self._newest(schema.TRADE_LOG, EVENTS_SHOWN, TradeEvent)
        self._moved = True

    async def _newest[T](self, entry: schema.Entry[Any], count: int, kind: type[T]) -> list[T]:
        """Return the newest entries of a stream, newest first; what makes no sense is left out."""
        name = entry.name()
        found = []
        for identity, fields in await self._bus.entries(entry, count):
            try:
                found.append(codec.from_plain(kind, fields, f"{name} {identity}"))
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
                self._world.prices[symbol].take_window(window)
        self._moved = True
        await asyncio.sleep(0)  # each window costs milliseconds: let others have their turn
