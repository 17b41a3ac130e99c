"""Whether the account is set up so that entries are safe; read from the venue, never changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from shared.clock import Clock
from shared.errors import VenueRefused, VenueUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import AccountCheck

EVERY_S = 3600.0
"""Between two readings; a set-up that is not fit is read again in each cycle."""


class AccountSetUp:
    """Reads the account's set-up before the first entry, and again every hour.

    Attributes:
        checks: As last read; empty before.
    """

    def __init__(
        self, venue: Venue, symbols: Sequence[str], clock: Clock, log: logging.Logger
    ) -> None:
        self._venue = venue
        self._symbols = symbols
        self._clock = clock
        self._log = log
        self._read_s: float | None = None
        self._failed = ""
        self.checks: tuple[AccountCheck, ...] = ()

    @property
    def unfit(self) -> str:
        """Return what has to be put right at the venue, or ""."""
        return "; ".join(f"{c.name}: {c.text}" for c in self.checks if c.is_fit is False)

    def objection(self) -> str:
        """Return why nothing may be entered, or ""."""
        if self._failed:
            return f"the account's set-up cannot be read: {self._failed}"
        if self._read_s is None:
            return "the account's set-up has not been read yet"
        return self.unfit

    async def look(self) -> None:
        """Read the set-up if that is due; what fails is an objection, and read again."""
        now_s = self._clock.monotonic()
        if self._read_s is not None and not self.unfit and now_s - self._read_s < EVERY_S:
            return
        try:
            checks = tuple(await self._venue.account_checks(self._symbols))
        except (VenueUnavailable, VenueRefused) as error:
            self._failed = str(error)
            return
        self._failed, self._read_s = "", now_s
        for check in checks:
            if check not in self.checks:
                level = logging.INFO if check.is_fit else logging.WARNING
                self._log.log(level, "account, %s: %s", check.name, check.text)
        self.checks = checks
