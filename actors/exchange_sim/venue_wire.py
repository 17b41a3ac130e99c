"""What the wires of all simulated venues have in common: the account behind them and its time."""

from __future__ import annotations

import importlib
import logging
from abc import ABC, abstractmethod
from collections import Counter
from decimal import Decimal
from typing import cast

from aiohttp import web

from actors.exchange_sim.faults import FaultScript, InjectedFault
from shared.clock import Clock
from shared.config.sections import FaultKind
from shared.exchanges.sim.save_file import VenueFile
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue_keys import VenueKeys

_THIN = 0.01


class VenueWire(ABC):
    """Request handlers over a venue, its file and a fault script.

    Args:
        venue: The account and its markets.
        file: Stores the account.
        script: The injected faults; the kinds `venue_...` concern this wire.
        clock: The venue's time, before any venue_clock_skew.
        keys: Of the account; without any, signed requests are refused.
        limited: False disables the rate limits.

    Attributes:
        counts: Requests by endpoint.
        codes: Answers by code.
        unsaved: Why the last change is not on disk; None when it is.
    """

    def __init__(
        self,
        venue: SimVenue,
        file: VenueFile,
        script: FaultScript,
        clock: Clock,
        *,
        keys: VenueKeys | None,
        limited: bool = True,
        log: logging.Logger | None = None,
    ) -> None:
        self.venue = venue
        self.keys = keys
        self.counts: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        self.unsaved: str | None = None
        self.clock = clock
        self.limited = limited
        self._file = file
        self._script = script
        self._log = log or logging.getLogger(__name__)

    @abstractmethod
    def add_routes(self, app: web.Application) -> None:
        """Serve the venue's protocol."""

    def pass_time(self) -> int:
        """Advance the venue to now, save it, and return the time.

        While frozen it does not advance; afterwards its prices jump.
        """
        now_ms = self.clock.now_ms()
        thin = self._script.active("venue_thin", now_ms)
        self.venue.depth = Decimal(str(thin.value(_THIN))) if thin else Decimal(1)
        if fault := self._script.active("venue_frozen", now_ms):
            if not self.venue.frozen:
                self.venue.advance(min(fault.from_ms, now_ms))
                self.venue.frozen = True
        elif self.venue.frozen:
            self.venue.frozen = False
            self.venue.skip(now_ms)
        else:
            self.venue.advance(now_ms)
        self.save()
        return now_ms

    def save(self) -> None:
        """Write changes to disk; a failure is logged once and retried on the next call."""
        if not self.venue.changed:
            return
        try:
            self._file.save(self.venue.state)
        except OSError as error:
            if self.unsaved is None:
                self._log.error(
                    "simulated venue: %s cannot be written (%s); a restart now would lose the "
                    "newest changes. Free disk space or fix permissions; retried every second",
                    self._file.path, error,
                )  # fmt: skip
            self.unsaved = str(error)
            return
        if self.unsaved is not None:
            self._log.info("simulated venue: %s is written again", self._file.path)
        self.unsaved = None
        self.venue.changed = False

    def fault(self, kind: FaultKind, symbol: str | None, endpoint: str) -> InjectedFault | None:
        """Return the active fault of a kind for a request."""
        return self._script.active(kind, self.clock.now_ms(), symbol, endpoint)

    async def wait_out(self, fault: InjectedFault) -> None:
        """Sleep until a fault ends."""
        await self.clock.sleep((fault.until_ms - self.clock.now_ms()) / 1000)


def wire_of(venue: str) -> type[VenueWire]:
    """Return the wire of a venue by its name in the configuration."""
    return cast(type[VenueWire], importlib.import_module(f"actors.exchange_sim.{venue}.rest").Wire)
