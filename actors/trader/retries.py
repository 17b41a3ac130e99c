"""Remembers what the venue refuses, also across restarts, so that it is not asked in a loop."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal

from actors.trader.journal_thread import JournalThread
from actors.trader.positions import MatchedPosition
from actors.trader.refusals import BAND_ATRS, RefusalRun, Situation, in_words, refused, wait_s
from shared import codec
from shared.errors import BadMessage, JournalUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import OpenPosition
from shared.journal.journal import Journal
from shared.trading.amounts import EXACT, exact

NOTE = "refusals"
FAILED = ("refused", "not_taken")
OF_POSITIONS = ("close", "stop", "target")

Atr = Callable[[str], Awaitable[float | None]]


async def no_atr(_: str) -> float | None:
    return None


class Retries:
    """Keeps a `RefusalRun` per request, under a key such as `close 12`: what, and of which one.

    Args:
        atr: Returns a coin's ATR14 of 1h; None if unknown: half of the stop distance counts then.
    """

    def __init__(
        self, venue: Venue, journal: JournalThread, *, atr: Atr, log: logging.Logger
    ) -> None:
        self._venue = venue
        self._journal = journal
        self._atr = atr
        self._log = log
        self._known: dict[str, RefusalRun] | None = None

    async def run(self, key: str) -> RefusalRun | None:
        """Return the refusals of a request so far; None if it was not refused last."""
        return (await self._runs()).get(key)

    async def wait_s(self, key: str, now: Situation) -> float:
        """Return the seconds until a request may be sent (again); 0: now."""
        return wait_s(await self.run(key), now, self._venue.now_ms())

    async def refused(
        self,
        key: str,
        why: str,
        now: Situation,
        *,
        band: Decimal | None = None,
        client_id: str = "",
    ) -> bool:
        """Count a refusal; return whether it is the first of its run, to be reported."""
        known, now_ms = await self._runs(), self._venue.now_ms()
        what, _, _ = key.partition(" ")
        run = refused(known.get(key), what, why, now, now_ms=now_ms, band=band, client_id=client_id)
        known[key] = run
        await self._save()
        if run.count == 1:
            self._log.warning("%s: %s", run.symbol, in_words(run, now_ms))
        return run.count == 1

    async def accepted(self, key: str) -> None:
        """Forget a request's refusals."""
        if (await self._runs()).pop(key, None) is not None:
            await self._save()

    async def keep(self, own_ids: Collection[int]) -> None:
        """Forget the refusals of all other positions."""
        known = await self._runs()
        kept = {f"{what} {own_id}" for what in OF_POSITIONS for own_id in own_ids}
        gone = [key for key, run in known.items() if run.what in OF_POSITIONS and key not in kept]
        for key in gone:
            del known[key]
        if gone:
            await self._save()

    def in_words(self, symbol: str) -> str:
        """Return what the venue refuses in a coin now, or ""."""
        now_ms = self._venue.now_ms()
        runs = [run for run in (self._known or {}).values() if run.symbol == symbol]
        return "; ".join(in_words(run, now_ms) for run in runs)

    def unmanaged(self) -> list[str]:
        """Return the coins whose position the venue does not let us close, or give a stop."""
        runs = (self._known or {}).values()
        return sorted({run.symbol for run in runs if run.what in ("close", "stop")})

    async def _runs(self) -> dict[str, RefusalRun]:
        if self._known is None:
            try:
                note = await self._journal.do(Journal.note, NOTE)
                self._known = codec.from_plain(dict[str, RefusalRun], note or {}, "refusals")
            except (JournalUnavailable, BadMessage) as error:
                self._log.error("what the venue refused before is not known: %s", error)
                self._known = {}
        return self._known

    async def _save(self) -> None:
        plain = {key: dataclasses.asdict(run) for key, run in (self._known or {}).items()}
        try:
            await self._journal.do(Journal.set_note, NOTE, plain)
        except JournalUnavailable as error:
            self._log.error("a refusal is not journalled: %s", error)

    async def band(self, matched: MatchedPosition) -> Decimal:
        """Return how far the mark may move before a refused request is sent again at once."""
        atr = await self._atr(matched.own.symbol)
        if atr is not None:
            return BAND_ATRS * exact(atr)
        return BAND_ATRS * matched.own.stop_fraction * matched.at_venue.entry_price


def situation(position: OpenPosition) -> Situation:
    """Return the situation of a position as read from the venue."""
    # size × mark = size × entry price + unrealized P&L of a long
    moved = EXACT.divide(position.unrealized_pnl, position.size)
    sign = 1 if position.side == "long" else -1
    return Situation(
        symbol=position.symbol,
        size=str(position.size),
        has_stop=position.stop_loss is not None,
        mark=position.entry_price + sign * moved,
    )
