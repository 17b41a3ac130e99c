"""Whether there is evidence of what the trader does; read from a file, and compared.

Reads `trader.evidence_file` and, where there is one, the venue's fees. What protects positions
waits for none of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.clock import Clock
from shared.config.sections import IndicatorsSection, TraderSection
from shared.errors import VenueRefused, VenueUnavailable
from shared.evidence.fits import missing, refusal, summary
from shared.evidence.record import EvidenceRecord, record_or_why
from shared.exchanges.ports import Venue
from shared.messages.trading import EvidenceDemand, EvidenceStatus, StrategyIdentity

FEES_EVERY_S = 3600.0
"""Between two readings of the venue's fees."""

READ_S = 5.0
"""How long a disk may take."""


class EvidenceGate:
    """Compares the evidence of the configuration with what the trader does.

    Args:
        strategy: Returns what scores the entries.
        parameters: Those of the strategy, defaults filled in.
        indicators: What the scores and signals are computed with.
        symbols: The coins that may be entered.
    """

    def __init__(
        self,
        venue: Venue,
        settings: TraderSection,
        *,
        demand: EvidenceDemand,
        strategy: Callable[[], StrategyIdentity],
        parameters: Mapping[str, Any],
        indicators: IndicatorsSection,
        symbols: Sequence[str],
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._venue = venue
        self._settings = settings
        self._demand = demand
        self._strategy = strategy
        self._parameters = parameters
        self._indicators = indicators
        self._symbols = list(symbols)
        self._clock = clock
        self._log = log
        self._record: EvidenceRecord | None = None
        self._reading: asyncio.Future[EvidenceRecord | str] | None = None
        self._unread = "it has not been read yet"
        self._is_read = demand == "ignore"
        self._is_required = demand == "require" and not settings.accept_without_evidence
        self._fee: Decimal | None = None
        self._fee_s: float | None = None
        self._no_fee = "not read yet"
        self._compared: tuple[tuple[StrategyIdentity, Decimal | None], list[str]] | None = None

    def trades_with(self, parameters: Mapping[str, Any]) -> None:
        """Compare with other parameters of the strategy: a check has noted their defaults."""
        if parameters != self._parameters:
            self._parameters, self._compared = parameters, None

    async def read(self) -> None:
        """Read the file, once; what keeps it from being read is what is missing."""
        if self._is_read:
            return
        name = self._settings.evidence_file
        if self._reading is None:
            self._reading = asyncio.ensure_future(asyncio.to_thread(record_or_why, name))
        await asyncio.wait([self._reading], timeout=READ_S)
        if not self._reading.done():
            self._unread = f"{name}: the disk does not answer"
            return
        found = self._reading.result()
        self._is_read = True
        self._unread, self._record = (found, None) if isinstance(found, str) else ("", found)
        status = self.status()
        level = logging.WARNING if status.fits is False else logging.INFO
        self._log.log(level, "evidence: %s", status.text)

    async def look(self) -> None:
        """Read the file unless it was, and the venue's fees when that is due."""
        await self.read()
        now_s = self._clock.monotonic()
        is_due = self._fee_s is None or now_s - self._fee_s >= FEES_EVERY_S
        if self._record is None or not is_due:
            return
        before = self._no_fee
        try:
            rules = await self._venue.markets(self._symbols)
        except (VenueUnavailable, VenueRefused) as error:
            self._no_fee = str(error)
        else:
            self._no_fee = "" if rules else "the venue lists none of the coins"
            if rules:
                self._fee = max(rule.taker_fee for rule in rules.values())
                self._fee_s = now_s
        if self._no_fee and self._no_fee != before:
            self._log.warning("evidence: the venue's fees cannot be read: %s", self._no_fee)

    @property
    def _missing(self) -> list[str]:
        if self._record is None:
            return [self._unread] if self._is_read and self._unread else []
        strategy = self._strategy()
        key = strategy, self._fee
        if self._compared is None or self._compared[0] != key:
            found = missing(
                self._record,
                self._settings,
                strategy,
                self._parameters,
                self._indicators,
                taker_fee=self._fee,
            )
            self._compared = key, found
        return self._compared[1]

    @property
    def restraint(self) -> str:
        """Return why nothing may be entered now, or ""."""
        if not self._is_required:
            return ""
        return refusal(self._missing) or self._unknown

    @property
    def _unknown(self) -> str:
        """Return why it is not known yet whether the evidence fits, or ""."""
        if not self._is_read:
            return f"the evidence: {self._unread}"
        if self._record is not None and self._fee is None:
            return f"the fees that the evidence must cover cannot be read: {self._no_fee}"
        return ""

    def status(self) -> EvidenceStatus:
        """Return whether the evidence fits, in words."""
        accepted = self._settings.accept_without_evidence or ""
        if self._demand == "ignore":
            return EvidenceStatus(
                demand="ignore", fits=None, text="not asked for (trader.evidence: ignore)",
                accepted=accepted,
            )  # fmt: skip
        fits: bool | None = True
        if found := self._missing:
            fits, text = False, "; ".join(found)
        elif text := self._unknown:
            fits = None
        elif self._record is not None:
            text = summary(self._record, self._clock.now_ms())
        return EvidenceStatus(demand=self._demand, fits=fits, text=text, accepted=accepted)
