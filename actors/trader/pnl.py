"""P&L: the breakers' ledger, equity per cycle, use of each limit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import orjson

from actors.trader.execution import AccountSnapshot
from actors.trader.journal_thread import JournalThread
from shared.clock import Clock, utc_text
from shared.config.sections import TraderSection
from shared.exchanges.ports import Venue
from shared.journal.journal import Journal
from shared.journal.rows import EquityRow
from shared.messages.trading import TradeEvent, TraderLimit, trade_event
from shared.trading.amounts import shown
from shared.trading.breakers import (
    DAY_MS,
    HOUR_MS,
    Latch,
    Ledger,
    closed,
    limits,
    objections,
    observed,
)
from shared.trading.breakers import released as released_ledger

NOISE = Decimal("0.002")
"""Balance and positions are read one after the other: while positions are open, a difference below
this share of equity is the market's movement in between, not a transfer."""

SHOWN_CYCLES = 288


class Pnl:
    """Keeps the ledger in the journal, together with which results it has counted.

    Only P&L of our positions counts. Every other change of the account, foreign positions included,
    is a transfer.

    Attributes:
        limits: As of the last `observe`.
        equity: (epoch ms, equity) of the newest cycles, oldest first.
        fees_today: Paid since 00:00 UTC; None before the first `observe`.
        as_of_ms: When all of this was computed; None before the first `observe`.
    """

    def __init__(
        self, journal: JournalThread, venue: Venue, settings: TraderSection, clock: Clock
    ) -> None:
        self._journal = journal
        self._venue = venue
        self._settings = settings
        self._clock = clock
        self._ledger: Ledger | None = None
        self._capital: Decimal | None = None
        self._turn = asyncio.Lock()
        self.limits: list[TraderLimit] = []
        self.equity: list[tuple[int, str]] = []
        self.fees_today: Decimal | None = None
        self.as_of_ms: int | None = None

    async def load(self) -> None:
        """Load the ledger from the journal."""
        note = await self._journal.do(Journal.note, "ledger")
        if note is not None:
            self._ledger = Ledger.decode(orjson.dumps(note["ledger"]), "journal: ledger")
            if note.get("place", self._journal.place) == self._journal.place:
                self._capital = Decimal(note["capital"])
            else:
                # all of its equity there counts as moved here; breakers measure shares of it
                self._ledger = replace(self._ledger, day_pnl=Decimal(0))
        rows = await self._journal.do(Journal.equity, 0, SHOWN_CYCLES)
        self.equity = [(row.cycle_ms, str(row.equity)) for row in rows]

    @property
    def latches(self) -> tuple[Latch, ...]:
        """Return the breakers that tripped and still hold."""
        return () if self._ledger is None else self._ledger.latches

    @property
    def pnl_today(self) -> Decimal | None:
        """Return the P&L since 00:00 UTC; None before the first `observe`."""
        return None if self._ledger is None else self._ledger.day_pnl

    def objections(self) -> list[str]:
        """Return why nothing may be entered, by the ledger."""
        if self._ledger is None:
            return ["the account has not been read yet"]
        return objections(self._ledger, self._settings, self._venue.now_ms())

    async def observe(self, account: AccountSnapshot, cycle_ms: int | None = None) -> None:
        """Update the ledger from the account and the results since the last call.

        Args:
            cycle_ms: The cycle whose equity this is; None between cycles.
        """
        async with self._turn:
            await self._observe(account, cycle_ms)

    async def _observe(self, account: AccountSnapshot, cycle_ms: int | None) -> None:
        now_ms = self._venue.now_ms()  # a pause, and a day, do not end by a wrong clock of ours
        equity = account.balance.equity
        capital = equity - account.pnl
        transferred = Decimal(0)
        if self._capital is not None:
            transferred = capital - self._capital
            if account.reconciled.ours and abs(transferred) <= NOISE * abs(equity):
                transferred, capital = Decimal(0), self._capital
        elif self._ledger is not None:
            transferred = equity - self._ledger.equity
        ended = await self._journal.do(Journal.unjudged)
        before = self._ledger
        ledger = observed(before, equity, transferred, self._settings, now_ms)
        for own in ended:
            ledger = closed(ledger, own.pnl or Decimal(0), self._settings, now_ms)
        since_ms = self._venue.now_ms() - HOUR_MS
        ledger = replace(
            ledger,
            orders_ms=await self._journal.do(Journal.sent_since, since_ms),
            refused_ms=await self._journal.do(Journal.sent_since, since_ms, failed=True),
        )
        await self._save(ledger, capital, [own.own_id for own in ended])
        await self._journal_limits(limits(ledger, account.exposure, self._settings, now_ms))
        self.fees_today = await self._journal.do(Journal.fees_since, now_ms - now_ms % DAY_MS)
        self.as_of_ms = self._clock.now_ms()
        if cycle_ms is not None:
            await self._add_equity(account, cycle_ms)

    async def _add_equity(self, account: AccountSnapshot, cycle_ms: int) -> None:
        row = EquityRow(
            cycle_ms=cycle_ms,
            at_ms=self._clock.now_ms(),
            equity=account.balance.equity,
            available=account.balance.available,
            pnl=account.pnl,
            fees=self.fees_today or Decimal(0),
        )
        await self._journal.do(Journal.add_equity, row)
        earlier = [each for each in self.equity if each[0] < cycle_ms]
        self.equity = [*earlier, (cycle_ms, str(row.equity))][-SHOWN_CYCLES:]

    async def release(self) -> None:
        """Release every breaker and reset its count."""
        async with self._turn:
            if self._ledger is not None:
                await self._save(released_ledger(self._ledger), self._capital, [])

    async def _save(self, ledger: Ledger, capital: Decimal | None, judged: list[int]) -> None:
        known = self.latches
        events = [
            self._event("breaker", _told(latch)) for latch in ledger.latches if latch not in known
        ]
        place = self._journal.place if capital is not None else None
        note = {"ledger": orjson.loads(ledger.encode()), "capital": str(capital), "place": place}
        await self._journal.do(Journal.judge, judged, note, *events)
        # together, after both are written: a transfer missing in one would count as a result
        self._ledger, self._capital = ledger, capital

    async def _journal_limits(self, found: list[TraderLimit]) -> None:
        before = {limit.name: limit.state for limit in self.limits}
        for limit in found:
            if limit.state == "warned" and before.get(limit.name, "ok") == "ok":
                text = (
                    f"{limit.name}: {limit.used} of {limit.limit} {limit.unit}, warned from "
                    f"{shown(Decimal(str(self._settings.warn_pct)))} % on"
                )
                await self._journal.do(Journal.add_events, self._event("warning", text))
        self.limits = found

    def _event(self, kind: str, text: str) -> TradeEvent:
        return trade_event(self._clock.now_ms(), kind, text)


def _told(latch: Latch) -> str:
    end = "it is released" if latch.until_ms is None else utc_text(latch.until_ms)
    return f"{latch.why}: no new entries until {end}"
