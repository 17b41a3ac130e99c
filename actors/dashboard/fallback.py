"""Candles straight from the exchange, only while Redis is down, full or refuses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from shared.candles.admission import scale_breaks
from shared.clock import Clock
from shared.errors import PlatformError, RateLimited
from shared.exchanges.binance.client import BinanceClient
from shared.market import Timeframe
from shared.messages.candles import CandleWindow, Source

AFTER_S = 5.0
"""How long Redis must have been away: longer than a restart takes."""

EVERY_S = 30.0
"""Between two requests for one coin, whatever the timeframe."""

SPACING_S = 0.3
"""Between any two requests."""

LONG_FRESH_S = 240.0
ROWS = 1000


class Fallback:
    """Fetches one coin after the other: 5m candles, or another timeframe that was requested.

    Args:
        on_window: Called with each 5m window.
        source: Written into each window.

    Attributes:
        troubles: By symbol, why there is nothing new.
        requests: Sent so far.
    """

    def __init__(
        self,
        client: BinanceClient,
        symbols: Sequence[str],
        *,
        clock: Clock,
        source: Source,
        on_window: Callable[[CandleWindow], None],
        log: logging.Logger,
    ) -> None:
        self._client = client
        self._symbols = list(symbols)
        self._clock = clock
        self._source: Source = source
        self._on_window = on_window
        self._log = log
        self._asked_s: dict[str, float] = {}
        self._wanted: dict[str, Timeframe] = {}
        self._windows: dict[tuple[str, Timeframe], CandleWindow] = {}
        self._work: asyncio.Task[None] | None = None
        self.troubles: dict[str, str] = {}
        self.requests = 0

    @property
    def is_active(self) -> bool:
        return self._work is not None

    def start(self) -> None:
        """Start fetching, unless it already runs."""
        if self._work is None:
            self._log.warning("Redis stays away: candles straight from the exchange")
            self._work = asyncio.create_task(self._ask_in_turn(), name="fallback")

    async def stop(self) -> None:
        """Cancel the pending request and drop all windows."""
        work, self._work = self._work, None
        if work is None:
            return
        was_over = work.done()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        self._windows.clear()
        self._wanted.clear()
        self.troubles.clear()
        self._log.info("Redis is back: no more candles from the exchange%s",
                       " (it had ended)" if was_over else "")  # fmt: skip

    def window(self, symbol: str, timeframe: Timeframe) -> CandleWindow | None:
        """Return the newest candles; without any, request them for the coin's next turn."""
        found = self._windows.get((symbol, timeframe))
        if timeframe is not Timeframe.M5 and (found is None or self._is_old(found)):
            self._wanted[symbol] = timeframe
        return found

    def next_turn_s(self, symbol: str) -> float:
        """Return the seconds until a coin may be fetched again."""
        asked_s = self._asked_s.get(symbol)
        left_s = 0.0 if asked_s is None else asked_s + EVERY_S - self._clock.monotonic()
        return max(1.0, left_s)

    def _is_old(self, window: CandleWindow) -> bool:
        return self._clock.now_ms() - window.fetched_at_ms > LONG_FRESH_S * 1000

    async def _ask_in_turn(self) -> None:
        while True:
            # Turns survive a stop and a start, so that a flapping Redis causes no extra requests.
            symbol = min(self._symbols, key=lambda s: self._asked_s.get(s, float("-inf")))
            due_s = self._asked_s.get(symbol, float("-inf")) + EVERY_S
            pause_s = max(SPACING_S, due_s - self._clock.monotonic())
            await self._clock.sleep(pause_s)
            self._asked_s[symbol] = self._clock.monotonic()
            try:
                await self._ask(symbol, self._wanted.pop(symbol, Timeframe.M5))
            except RateLimited as error:
                self.troubles = dict.fromkeys(self._symbols, "the exchange forbids requests")
                left_s = (error.until_ms - self._clock.now_ms()) / 1000
                await self._clock.sleep(min(EVERY_S, max(1.0, left_s)))
            except PlatformError as error:
                if symbol not in self.troubles:
                    self._log.warning("%s: %s", symbol, error)
                self.troubles[symbol] = str(error)

    async def _ask(self, symbol: str, timeframe: Timeframe) -> None:
        self.requests += 1
        candles = (await self._client.klines(symbol, timeframe, limit=ROWS)).candles
        self.troubles.pop(symbol, None)
        if not len(candles):
            return
        breaks = scale_breaks(candles, timeframe)
        begins_ms = breaks[-1].at_ms if breaks else 0
        window = CandleWindow(
            symbol=symbol,
            timeframe=timeframe,
            candles=candles.since(begins_ms),
            begins_ms=begins_ms,
            closed_until_ms=timeframe.open_at(self._client.now_ms()),
            fetched_at_ms=self._clock.now_ms(),
            source=self._source,
        )
        self._windows[symbol, timeframe] = window
        if timeframe is Timeframe.M5:
            self._on_window(window)
