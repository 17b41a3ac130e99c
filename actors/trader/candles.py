"""The candles a cycle decides on: from Redis, or from Binance while Redis is down or refuses.

Reads `cache:candles:*` (5m and 1h, 4h if the strategy needs it) and `market:listings`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared import schema
from shared.bus import Bus, BusStatus
from shared.candles.store import KEEP, CandleStore, OverlapDiffers, WrongTime
from shared.clock import Clock, utc_text
from shared.errors import BusUnavailable, PlatformError, RateLimited
from shared.exchanges.ports import CandleSource
from shared.indicators.signals import CoinWindows
from shared.market import Timeframe
from shared.messages.candles import CandleWindow, Listing, Source

TIMEFRAMES = (Timeframe.M5, Timeframe.H1)
REDIS_POLL_S, BINANCE_POLL_S = 0.5, 1.5
AT_ONCE = 8
AHEAD_MS = 1_000


@dataclass(frozen=True, slots=True)
class Gathered:
    """Candles of coins at one close. `missing`: why the other coins have none."""

    coins: tuple[CoinWindows, ...]
    missing: dict[str, str]
    came_from: Literal["redis", "binance", "none"]


class CycleCandles:
    """Waits for the candles of a close.

    A coin is complete with the 5m candle that closed then and the newest candle of each longer
    timeframe that had closed by then. Candles that closed later are not removed here. Nothing is
    waited for of a coin that does not trade, or that is too young, or its price scale, to have such
    a candle.

    Args:
        binance: Used only while Redis is down, full or refuses.
        source: The source of candles in this mode.

    Attributes:
        timeframes: Those the strategy needs, 5m first.
    """

    timeframes: Sequence[Timeframe] = TIMEFRAMES

    def __init__(
        self,
        bus: Bus,
        binance: CandleSource,
        symbols: Sequence[str],
        *,
        source: Source,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._bus = bus
        self._binance = binance
        self._symbols = list(symbols)
        self._source = source
        self._clock = clock
        self._log = log
        self._stores = {(s, t): CandleStore(s, t) for s in symbols for t in Timeframe}
        self._is_time_known = False
        self._trusted_from_ms: int | None = None
        self._forbidden_until_ms = 0

    def distrust(self, before_ms: int) -> None:
        """Take no candles from Redis that were fetched before a jump of the clock.

        Args:
            before_ms: Wall time from which on they were fetched after it.
        """
        self._trusted_from_ms = before_ms

    async def at_close(self, cycle_ms: int, until_ms: int) -> Gathered:
        """Return the coins whose candles of a close are complete, waiting for them.

        Args:
            cycle_ms: A close of 5m candles.
            until_ms: When to stop waiting, by our clock.
        """
        found: dict[str, CoinWindows] = {}
        came_from: Literal["redis", "binance"] = "redis"
        listings = await self._listings()
        settled = {s: each.text for s, each in listings.items() if not each.is_traded}
        faults = dict(settled)
        until_s = self._clock.monotonic() + (until_ms - self._clock.now_ms()) / 1000
        while True:
            pending = [s for s in self._symbols if s not in found and s not in settled]
            if not pending:
                break
            faults = dict(settled)
            try:
                coins, came_from = await self._from_redis(pending), "redis"
            except BusUnavailable:
                coins, came_from = await self._from_binance(pending, faults), "binance"
            for coin in coins:
                distrusted = self._distrusted(coin)
                if not distrusted and (never := _never_comes(coin, cycle_ms)):
                    young = listings.get(coin.symbol)
                    settled[coin.symbol] = faults[coin.symbol] = young.text if young else never
                elif fault := _missing_candle(coin, cycle_ms) or distrusted:
                    faults.setdefault(coin.symbol, fault)
                else:
                    found[coin.symbol] = coin
            is_late = self._clock.now_ms() >= until_ms or self._clock.monotonic() >= until_s
            if len(found) + len(settled) == len(self._symbols) or is_late:
                break
            await self._clock.sleep(REDIS_POLL_S if came_from == "redis" else BINANCE_POLL_S)
        chosen = tuple(found[symbol] for symbol in self._symbols if symbol in found)
        return Gathered(chosen, faults, came_from if chosen else "none")

    async def _listings(self) -> dict[str, Listing]:
        """Return the coins that do not simply trade; none while Redis is away."""
        try:
            listings = await self._bus.get(schema.LISTINGS)
        except BusUnavailable:
            return {}
        found = {} if listings is None else listings.coins
        return {symbol: found[symbol] for symbol in self._symbols if symbol in found}

    def _distrusted(self, coin: CoinWindows) -> str:
        """Return which candles are older than the last jump of the clock, or ""."""
        if self._trusted_from_ms is None:
            return ""
        for timeframe, window in coin.windows.items():
            # those of before a clock was set back seem to come from the future
            until_ms = self._clock.now_ms() + AHEAD_MS
            if window is not None and not (
                self._trusted_from_ms <= window.fetched_at_ms <= until_ms
            ):
                return f"the {timeframe} candles were fetched before the clock jumped"
        return ""

    async def newest(self, symbol: str) -> CoinWindows:
        """Return the current candles of one coin."""
        try:
            (coin,) = await self._from_redis([symbol])
        except BusUnavailable:
            (coin,) = await self._from_binance([symbol], {})
        return coin

    async def _from_redis(self, symbols: Sequence[str]) -> list[CoinWindows]:
        if self._bus.status in (BusStatus.FULL, BusStatus.REFUSES):
            raise BusUnavailable(f"no new candles on Redis: {self._bus.reason}")
        parts = [{"symbol": symbol} for symbol in symbols]
        wanted = self.timeframes
        windows = {t: await self._bus.get_many(schema.CANDLES[t], parts) for t in wanted}
        return [
            CoinWindows(symbol, {t: windows[t][i] for t in wanted})
            for i, symbol in enumerate(symbols)
        ]

    async def _from_binance(
        self, symbols: Sequence[str], faults: dict[str, str]
    ) -> list[CoinWindows]:
        slots, wanted = asyncio.Semaphore(AT_ONCE), self.timeframes

        async def fetch(symbol: str) -> CoinWindows:
            windows: dict[Timeframe, CandleWindow | None] = dict.fromkeys(wanted)
            async with slots:
                try:
                    await self._sync_time()
                    for timeframe in wanted:
                        store = self._stores.setdefault(
                            (symbol, timeframe), CandleStore(symbol, timeframe)
                        )
                        windows[timeframe] = await self._fetch_window(store)
                except PlatformError as error:
                    faults[symbol] = str(error)
                    if isinstance(error, RateLimited) and error.until_ms > self._forbidden_until_ms:
                        self._forbidden_until_ms = error.until_ms
                        self._log.warning("no candles from Binance: %s", error)
            return CoinWindows(symbol, windows)

        return list(await asyncio.gather(*map(fetch, symbols)))

    async def _sync_time(self) -> None:
        if not self._is_time_known:
            self._is_time_known = True
            try:
                await self._binance.sync_time()
            except PlatformError:
                self._is_time_known = False
                raise

    async def _fetch_window(self, store: CandleStore) -> CandleWindow:
        asked_ms = self._binance.now_ms()
        answer = await self._binance.klines(store.symbol, store.timeframe, limit=KEEP)
        now_ms = self._clock.now_ms()
        try:
            store.accept(answer, asked_ms=asked_ms, fetched_at_ms=now_ms)
        except (OverlapDiffers, WrongTime) as oddity:
            self._log.warning("all its candles are replaced: %s", oddity)
            store.replace(answer, asked_ms=asked_ms, fetched_at_ms=now_ms)
        if store.timeframe is not Timeframe.M5:  # fetched before
            store.follow(self._stores[store.symbol, Timeframe.M5])
        return store.window(self._source)


def _never_comes(coin: CoinWindows, cycle_ms: int) -> str:
    """Return which candle of a close there will never be, as nothing is so old, or ""."""
    for timeframe, window in coin.windows.items():
        due_ms = timeframe.open_at(cycle_ms)
        if window is None or window.closed_until_ms:
            continue
        if window.begins_ms > due_ms - timeframe.ms:
            return f"no closed {timeframe} candle yet since the price scale changed"
        if len(window.candles) and int(window.candles.open_time_ms[0]) >= due_ms:
            return f"no closed {timeframe} candle yet"
    return ""


def _missing_candle(coin: CoinWindows, cycle_ms: int) -> str:
    """Return which candle of a close is missing, or ""."""
    for timeframe, window in coin.windows.items():
        due_ms = timeframe.open_at(cycle_ms)
        if window is None:
            return f"no {timeframe} candles"
        if window.closed_until_ms < due_ms:
            return (
                f"the {timeframe} candle that closed at {utc_text(due_ms)} has not come, the "
                f"newest closed at {utc_text(window.closed_until_ms)}"
            )
    return ""
