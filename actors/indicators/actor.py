"""One group of coins: candle windows in, signals out.

Reads `cache:candles:*` with each scan and updates its windows from `market:candles:{symbol}`;
reads `market:listings` while candles are missing; writes `ta:latest:{symbol}`,
`signals:ta:{symbol}` and `quarantine:compute:{symbol}`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from actors.base import AFTER_JUMP_S, Actor, Context
from actors.indicators.window_cache import WindowCache
from shared import codec, schema
from shared.bus import Batch
from shared.clock import ClockJump
from shared.config.sections import IndicatorsSection
from shared.errors import BusUnavailable, NoCandles
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import Timeframe
from shared.messages.actors import Quarantine
from shared.messages.candles import CandleUpdate
from shared.messages.signals import TaSignal

RETRY_MISSING_S = 1.0
"""Pause before coins without candles are read again; their updates usually come sooner."""

GATHER_S, GATHER_TURNS = 0.002, 5
"""Coins whose candles close together are computed together: wait while more keep arriving."""

CLOSING_MS = (500, 1_500)
"""Before and after a close no scan begins, so that it delays no new candle."""

Results = dict[str, TaSignal | Exception]


class CoinPause(NamedTuple):
    """The quarantine of a coin."""

    reason: str
    since_ms: int
    until_ms: int


class Indicators(Actor):
    """Publishes the signals of a group, every scan and as soon as one of its candles closes.

    The signal of a coin without a 5m window expires. A failing coin does not affect the others
    and is quarantined after `coin_failures` in a row. Coins suspected of a death are reported on
    the status pipe first and computed alone.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        section = context.section
        self._settings = codec.from_plain(IndicatorsSection, section["indicators"], "config")
        self._symbols: list[str] = list(section["symbols"])
        poison = section.get("testing", {}).get("poison_coin")
        self._poison: str | None = poison if context.mode == "demo" else None

        now_ms = self.clock.now_ms()
        self._quarantined = {
            symbol: CoinPause("the process died while computing it", now_ms, until_ms)
            for symbol, until_ms in context.quarantined_coins.items()
            if symbol in self._symbols
        }
        self._suspects = set(self._symbols) if context.probation else set()
        self._suspects |= set(self._quarantined)

        self._closed: dict[tuple[str, str], int] = {}
        self._windows = WindowCache()
        self._closings = 0
        self._due: set[str] = set()
        self._all_due = True
        self._next_scan = self.clock.monotonic()
        self._missing: set[str] = set()
        self._untraded: set[str] = set()
        self._failures: dict[str, tuple[int, str]] = {}
        self._computed_at: dict[str, int] = {}
        self.detail |= {
            "group": section["group"],
            "coins": len(self._symbols),
            "last_scan_ms": None,
            "scan_ms": None,
        }
        self._report()

    async def setup(self) -> None:
        """Subscribe to closed candles."""
        self.background(self._listen(), "candle updates")

    async def step(self) -> float:
        """Scan the whole group when a scan is due, else the coins with new candles."""
        started = self.clock.monotonic()
        whole = self._all_due or started >= self._next_scan
        if not whole and self._due:
            await self._gather()
        chosen = [
            symbol
            for symbol in self._symbols
            if whole or symbol in self._due or symbol in self._missing
        ]
        if not chosen:  # woken by a candle that an earlier step has used
            return self._until_next_step_s()
        self._all_due = False
        self._due.clear()
        try:
            await self._scan(chosen, fresh=whole)
        except BusUnavailable:
            self._all_due = True
            raise
        if whole:
            self._next_scan = started + self._until_next_scan_s()
            self.detail["scan_ms"] = round((self.clock.monotonic() - started) * 1000, 2)
            self.detail["last_scan_ms"] = self.clock.now_ms()
        if self._missing:
            await self._read_untraded()
        self._report()
        self._report_readiness()
        return self._until_next_step_s()

    def clock_jumped(self, jump: ClockJump) -> None:
        """Scan soon, once the candles have been fetched anew, and reading all of them."""
        self._windows.clear()
        self._next_scan = self.clock.monotonic() + AFTER_JUMP_S
        self.wake()

    def _until_next_step_s(self) -> float:
        pause = self._next_scan - self.clock.monotonic()
        return max(0.0, min(pause, RETRY_MISSING_S) if self._missing else pause)

    def _until_next_scan_s(self) -> float:
        every_s = self._settings.interval_s
        before_ms, after_ms = CLOSING_MS
        at_ms = self.clock.now_ms() + round(every_s * 1000)
        close_ms = Timeframe.M5.open_at(at_ms + before_ms)
        if every_s * 1000 > before_ms + after_ms and at_ms < close_ms + after_ms:
            return every_s - (at_ms - close_ms + before_ms) / 1000
        return every_s

    async def _gather(self) -> None:
        """Wait briefly while closed candles keep arriving, unless all are there."""
        for _ in range(GATHER_TURNS):
            seen = self._closings
            if self._all_have_closed():
                return
            await self.clock.sleep(GATHER_S)
            if self._closings == seen:
                return

    def _all_have_closed(self) -> bool:
        """Return whether every candle that closes with the newest one has arrived."""
        close_ms = max(self._closed.values())
        closing = [str(t) for t in Timeframe if t.open_at(close_ms) == close_ms]
        return all(
            self._closed.get((symbol, timeframe)) == close_ms
            for symbol in self._symbols
            if symbol not in self._quarantined
            for timeframe in closing
        )

    async def _listen(self) -> None:
        names = [schema.CANDLE_UPDATES.name(symbol=symbol) for symbol in self._symbols]
        async with self.bus.subscribe(*names) as deliveries:
            async for delivery in deliveries:
                if not delivery.channel:
                    self._windows.clear()
                    self._all_due = True
                    self.wake()
                    continue
                update = self.bus.decode(schema.CANDLE_UPDATES, delivery.raw, delivery.channel)
                if update is None or update.symbol not in self._symbols:
                    continue
                self._windows.apply(update)
                if self._has_new_close(update):
                    self._due.add(update.symbol)
                    self._closings += 1
                    self.wake()

    def _has_new_close(self, update: CandleUpdate) -> bool:
        """Return whether the update contains a closed candle newer than those seen so far."""
        opened = [row.open_time_ms for row in update.candles if row.closed]
        if not opened:
            return False
        key = (update.symbol, update.timeframe)
        close_ms = max(opened) + update.timeframe.ms
        if close_ms <= self._closed.get(key, 0):
            return False
        self._closed[key] = close_ms
        return True

    async def _scan(self, symbols: Sequence[str], *, fresh: bool) -> None:
        self._end_quarantines()
        symbols = [symbol for symbol in symbols if symbol not in self._quarantined]
        suspects = [symbol for symbol in symbols if symbol in self._suspects]
        try:
            for symbol in suspects:
                self.computing(symbol)
                # awaited alone: the next one may be the one that kills
                await self._scan_together([symbol], fresh=fresh)
        except BusUnavailable:
            self.computing("")  # no coin is to blame for Redis
            raise
        if suspects:
            self.computing("")
        trusted = [symbol for symbol in symbols if symbol not in suspects]
        await self._scan_together(trusted, fresh=fresh)

    async def _scan_together(self, symbols: Sequence[str], *, fresh: bool) -> None:
        results = self._compute(await self._read(symbols, fresh=fresh))
        self._record(results)
        await self._publish(results)

    async def _read(self, symbols: Sequence[str], *, fresh: bool) -> list[CoinWindows]:
        """Return the windows of some coins, cached or from their keys.

        Args:
            fresh: Read every key, one MGET per timeframe.
        """
        cached = {} if fresh else {s: w for s in symbols if (w := self._windows.get(s)) is not None}
        wanted = [s for s in symbols if s not in cached]
        before = {(s, t): self._windows.changes((s, t)) for s in wanted for t in Timeframe}
        parts = [{"symbol": symbol} for symbol in wanted]
        found = {t: await self.bus.get_many(schema.CANDLES[t], parts) for t in Timeframe}
        read = {s: {t: found[t][i] for t in Timeframe} for i, s in enumerate(wanted)}
        for key, changes in before.items():
            self._windows.put(key, read[key[0]][key[1]], changes)
        return [CoinWindows(s, cached[s] if s in cached else read[s]) for s in symbols]

    def _compute(self, coins: Sequence[CoinWindows]) -> Results:
        if self._poison is not None and any(coin.symbol == self._poison for coin in coins):
            os.kill(os.getpid(), signal.SIGSEGV)
        return ta_signals(coins, self._settings, self.clock.now_ms())

    def _record(self, results: Results) -> None:
        """Record each coin's outcome; quarantine those that keep failing."""
        for symbol, result in results.items():
            if isinstance(result, NoCandles):
                self._missing.add(symbol)
                continue
            self._missing.discard(symbol)
            self._suspects.discard(symbol)  # it was computed without a death
            if isinstance(result, Exception):
                self._failed(symbol, result)
            else:
                self._computed_at[symbol] = result.computed_at_ms
                if self._failures.pop(symbol, None):
                    self.log.info("%s: computed again", symbol)

    def _failed(self, symbol: str, error: Exception) -> None:
        count = self._failures.get(symbol, (0, ""))[0] + 1
        reason = f"{type(error).__name__}: {error}"
        self._failures[symbol] = (count, reason)
        if count == 1:
            self.log.error("%s: not computed", symbol, exc_info=error)
        if count >= self._settings.coin_failures:
            now_ms = self.clock.now_ms()
            until_ms = now_ms + round(self._settings.coin_quarantine_s * 1000)
            self._quarantined[symbol] = CoinPause(
                f"{count} failures in a row, {reason}", now_ms, until_ms
            )
            self._suspects.add(symbol)
            self._missing.discard(symbol)
            del self._failures[symbol]
            self.log.warning(
                "%s: left out for %g s after %d failures in a row",
                symbol, self._settings.coin_quarantine_s, count,
            )  # fmt: skip

    def _end_quarantines(self) -> None:
        """Release the coins whose quarantine is over."""
        now_ms = self.clock.now_ms()
        for symbol in [s for s, pause in self._quarantined.items() if pause.until_ms <= now_ms]:
            del self._quarantined[symbol]
            self.log.info("%s: quarantine over, tried again", symbol)

    async def _publish(self, results: Results) -> None:
        batch = self.bus.batch()
        for symbol, result in results.items():
            if isinstance(result, TaSignal):
                batch.put(schema.TA_LATEST, result, symbol=symbol)
                batch.publish(schema.TA_SIGNALS, result, symbol=symbol)
        for symbol in self._symbols:
            if symbol not in self._quarantined:  # each time: whatever stands there is not ours
                batch.delete(schema.QUARANTINE, stage="compute", symbol=symbol)
        self._put_quarantines(batch)
        await batch.send()

    def _put_quarantines(self, batch: Batch) -> None:
        now_ms = self.clock.now_ms()
        for symbol, pause in self._quarantined.items():
            message = Quarantine(
                symbol=symbol,
                stage="compute",
                reason=pause.reason,
                since_ms=pause.since_ms,
                until_ms=pause.until_ms,
            )
            batch.put(
                schema.QUARANTINE,
                message,
                ttl_ms=pause.until_ms - now_ms,
                stage="compute",
                symbol=symbol,
            )

    async def _read_untraded(self) -> None:
        listings = await self.bus.get(schema.LISTINGS)
        coins = {} if listings is None else listings.coins
        self._untraded = {symbol for symbol, each in coins.items() if not each.is_traded}

    def _report_readiness(self) -> None:
        """Report ready once a coin is published, or none that trades is waiting for candles."""
        waiting = self._missing - self._untraded
        if self._computed_at or not waiting:
            self.ready()
        else:
            self.not_ready(f"waiting for candles of {_listed(waiting)}")

    def _report(self) -> None:
        now_ms = self.clock.now_ms()
        alive = [s for s in self._symbols if s not in self._quarantined and s not in self._missing]
        ages = [now_ms - self._computed_at[s] for s in alive if s in self._computed_at]
        self.detail |= {
            "coins_ok": sum(s not in self._failures and s in self._computed_at for s in alive),
            "failed": {
                symbol: f"{reason} ({count} in a row)" if count > 1 else reason
                for symbol, (count, reason) in self._failures.items()
            },
            "quarantined": {symbol: pause.until_ms for symbol, pause in self._quarantined.items()},
            "no_candles": sorted(self._missing),
            "oldest_signal_age_ms": max(ages, default=None),
        }


def _listed(symbols: Iterable[str], most: int = 5) -> str:
    names = sorted(symbols)
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
