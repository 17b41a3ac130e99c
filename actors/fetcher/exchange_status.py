"""What holds for the exchange as a whole: its time, its silence, which coins it lists."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from shared.clock import Clock
from shared.errors import ExchangeUnavailable, PlatformError, RateLimited, UnknownSymbol
from shared.exchanges.ports import CandleSource

SYNC_EVERY_S, SYNC_RETRY_S, SYNC_AGAIN_S = 600.0, 30.0, 5.0
RULES_EVERY_S, RULES_WATCH_S, RULES_AGAIN_S = 3_600.0, 300.0, 60.0
STEPPED_MS = 1_000
TRADING = "TRADING"
_NEVER = float("-inf")


class ExchangeStatus:
    """Keep exchange time, bans and statuses current; no method raises for the exchange's faults.

    Attributes:
        statuses: Symbol -> status as last read; a symbol that is missing is not listed.
            None until read for the first time.
        troubles: What could not be learnt, and why.
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
        self._wall_minus_monotonic_ms = clock.now_ms() - clock.monotonic() * 1000
        self._synced_s = self._sync_due_s = _NEVER
        self._rules_read_s = self._rules_due_s = _NEVER

    def forbid(self, error: RateLimited) -> None:
        """Note until when the exchange wants silence."""
        if error.until_ms > self._forbidden_until_ms:
            self._forbidden_until_ms = error.until_ms
            self._log.warning("%s", error)

    def forbidden_until_ms(self) -> int | None:
        """Return, in our own time, the end of the silence; None when requests are allowed."""
        until_ms = self._forbidden_until_ms
        return until_ms if until_ms > self._clock.now_ms() else None

    def is_sync_due(self) -> bool:
        """Tell whether exchange time should be asked for in passing."""
        return self._clock.monotonic() >= self._sync_due_s

    def is_time_unknown(self) -> bool:
        """Tell whether nothing should be judged by exchange time before it has been asked for.

        So it is at the start, and after our own clock has jumped. What the old clock said
        about a ban is then forgotten here; the client still keeps to it.
        """
        apart_ms = self._clock.now_ms() - self._clock.monotonic() * 1000
        if abs(apart_ms - self._wall_minus_monotonic_ms) > STEPPED_MS:
            self._wall_minus_monotonic_ms = apart_ms
            self._forbidden_until_ms = 0
            self._synced_s = _NEVER
        return self._synced_s == _NEVER

    async def sync_time(self) -> None:
        """Ask for exchange time, unless just done; on failure the known offset stays in use."""
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
        """Tell whether statuses should be read: hourly, more often while one is out of order."""
        return self._clock.monotonic() >= self._rules_due_s

    def read_rules_soon(self) -> None:
        """Have the statuses read as soon as a minute has passed since the last time."""
        self._rules_due_s = min(self._rules_due_s, self._rules_read_s + RULES_AGAIN_S)

    async def read_rules(self) -> None:
        """Read weight limit and statuses."""
        self._rules_read_s = now_s = self._clock.monotonic()
        self._rules_due_s = now_s + RULES_AGAIN_S
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
        """Return symbol -> status. One unknown symbol fails a whole call: halve until found.

        Asking for all symbols of the exchange at once instead would be an answer of many MB.
        """
        try:
            return await self._client.statuses(symbols)
        except UnknownSymbol:
            if len(symbols) == 1:
                return {}
            half = len(symbols) // 2
            return await self._read(symbols[:half]) | await self._read(symbols[half:])
