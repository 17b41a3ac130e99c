"""State of the exchange as a whole: time, bans, listed coins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from shared.clock import Clock, ClockJumps
from shared.errors import ExchangeUnavailable, PlatformError, RateLimited, UnknownSymbol
from shared.exchanges.ports import CandleSource

SYNC_EVERY_S, SYNC_RETRY_S, SYNC_AGAIN_S = 600.0, 30.0, 5.0
RULES_EVERY_S, RULES_WATCH_S, RULES_AGAIN_S = 3_600.0, 300.0, 60.0
RULES_FIRST_S = 10.0  # until they are known, a coin that does not trade yet seems to fail
STEPPED_MS = 1_000
TRADING = "TRADING"
_NEVER = float("-inf")


class ExchangeStatus:
    """Tracks exchange time, bans and statuses; no method raises on errors of the exchange.

    Attributes:
        statuses: Symbol -> status as last read; a missing symbol is not listed. None until
            first read.
        troubles: What could not be read, and why.
    """

    def __init__(
        self, client: CandleSource, *, symbols: Sequence[str], clock: Clock, log: logging.Logger
    ) -> None:
        self.statuses: dict[str, str] | None = None
        self.troubles: dict[str, str] = {}
        self._client = client
        self._symbols = symbols
        self._clock = clock
        self._log = log
        self._forbidden_until_ms = 0
        self._syncing = asyncio.Lock()
        self._jumps = ClockJumps(clock, STEPPED_MS)
        self._synced_s = self._sync_due_s = _NEVER
        self._rules_read_s = self._rules_due_s = _NEVER

    def forbid(self, error: RateLimited) -> None:
        """Record until when the exchange forbids requests."""
        if error.until_ms > self._forbidden_until_ms:
            self._forbidden_until_ms = error.until_ms
            self._log.debug("%s", error)  # whoever was refused has said so

    def forbidden_until_ms(self) -> int | None:
        """Return the end of the ban in local time; None when requests are allowed."""
        until_ms = self._forbidden_until_ms
        return until_ms if until_ms > self._clock.now_ms() else None

    def is_sync_due(self) -> bool:
        """Return whether a routine time sync is due."""
        return self._clock.monotonic() >= self._sync_due_s

    def is_time_unknown(self) -> bool:
        """Return whether exchange time must be synced before it is used.

        True at the start and after the local clock jumped. The ban recorded here by the old clock
        is then dropped; the client still respects it.
        """
        if self._jumps.look() is not None:
            self._forbidden_until_ms = 0
            self._synced_s = _NEVER
        return self._synced_s == _NEVER

    async def sync_time(self) -> None:
        """Sync exchange time, unless just done; on failure keep the known offset."""
        async with self._syncing:
            now_s = self._clock.monotonic()
            if not self.is_time_unknown() and now_s - self._synced_s < SYNC_AGAIN_S:
                return
            self._sync_due_s = now_s + SYNC_RETRY_S
            try:
                await self._client.sync_time()
            except RateLimited as error:
                self.forbid(error)
            except ExchangeUnavailable as error:
                self.troubles["time"] = f"not known: {error}"
            else:
                self.troubles.pop("time", None)
                self._synced_s, self._sync_due_s = now_s, now_s + SYNC_EVERY_S

    def are_rules_due(self) -> bool:
        """Return whether to read statuses: hourly, more often while a coin is not trading."""
        return self._clock.monotonic() >= self._rules_due_s

    def read_rules_soon(self) -> None:
        """Make the next read due a minute after the last one."""
        self._rules_due_s = min(self._rules_due_s, self._rules_read_s + RULES_AGAIN_S)

    async def read_rules(self) -> None:
        self._rules_read_s = now_s = self._clock.monotonic()
        self._rules_due_s = now_s + (RULES_FIRST_S if self.statuses is None else RULES_AGAIN_S)
        try:
            self.statuses = await self._read(self._symbols)
        except RateLimited as error:
            self.forbid(error)
        except PlatformError as error:
            self.troubles["rules"] = f"not known: {error}"
        else:
            self.troubles.pop("rules", None)
            all_trade = all(self.statuses.get(symbol) == TRADING for symbol in self._symbols)
            self._rules_due_s = now_s + (RULES_EVERY_S if all_trade else RULES_WATCH_S)

    async def _read(self, symbols: Sequence[str]) -> dict[str, str]:
        """Return symbol -> status. One unknown symbol fails a whole call: bisect.

        A request for all symbols of the exchange would return many MB.
        """
        try:
            return await self._client.statuses(symbols)
        except UnknownSymbol:
            if len(symbols) == 1:
                return {}
            half = len(symbols) // 2
            return await self._read(symbols[:half]) | await self._read(symbols[half:])
