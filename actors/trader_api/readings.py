"""What the trader's API serves: current state from Redis, history from the journal.

Reads `state:positions`, `state:balance`, `state:trader:*`, and the trader's journal, which is
available without Redis.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

from actors.trader_api.answers import (
    EquitiesAnswer,
    EquityAnswer,
    EventsAnswer,
    LockAnswer,
    PlanAnswer,
    StatusAnswer,
    TradeAnswer,
    TradesAnswer,
)
from actors.trader_api.timer import TraderTimer
from shared import schema
from shared.bus import Bus
from shared.clock import Clock
from shared.errors import BusUnavailable, TransientError
from shared.journal.journal import Journal
from shared.journal.rows import OwnPosition, Plan
from shared.kill_switch import KillSwitch
from shared.messages.trading import TraderStatus
from shared.schema import Entry

ANSWERING_MS = 30_000


class NotPublished(TransientError):
    """The requested value is not published yet."""


class Readings:
    """Reads the trader's state; `state_dir` has its lock file and journal, `timer` may run it."""

    def __init__(
        self, bus: Bus, clock: Clock, state_dir: Path, timer: TraderTimer | None = None
    ) -> None:
        self._timer = timer
        self._bus = bus
        self._clock = clock
        self._switch = KillSwitch(state_dir)
        self._journal = state_dir / "trader.db"

    def _current_until_ms(self, status: TraderStatus) -> int:
        # whatever a timer left, one that stays renews it
        by_timer = self._timer is not None
        return status.current_until_ms() if by_timer else status.as_of_ms + ANSWERING_MS

    async def status(self) -> StatusAnswer:
        """Return the trader's status; without Redis only the lock file."""
        now_ms = self._clock.now_ms()
        lock = await self.lock()
        try:
            status = await self._bus.get(schema.TRADER_STATUS)
        except BusUnavailable as error:
            status, why = None, str(error)
        else:
            why = "" if status is not None else "no trader has said how it is"
        age_ms = None if status is None else max(0, now_ms - status.as_of_ms)
        answering = status is not None and now_ms <= self._current_until_ms(status)
        if age_ms is not None and not answering:
            why = f"the trader last said how it is {age_ms / 1000:.0f} s ago"
        if why and self._timer is not None:
            why = f"{why}; {self._timer.words(now_ms)}"
        return StatusAnswer(
            at_ms=now_ms,
            answering=answering,
            age_s=None if age_ms is None else age_ms / 1000,
            why=why,
            redis=str(self._bus.status),
            lock=lock,
            status=status,
        )

    async def lock(self) -> LockAnswer | None:
        lock = await asyncio.to_thread(self._switch.read)
        return None if lock is None else LockAnswer(**dataclasses.asdict(lock))

    async def published[T](self, entry: Entry[T], who: str) -> T:
        """Return the value that actor `who` keeps published.

        Raises:
            BusUnavailable: Redis does not answer.
            NotPublished: It is not there.
        """
        found = await self._bus.get(entry)
        if found is None:
            raise NotPublished(f"{who} has not published it yet")
        return found

    async def trades(self, *, limit: int, before_id: int | None) -> TradesAnswer:
        """Return positions of ours.

        Raises:
            JournalUnavailable: The journal cannot be read now.
            PermanentError: It is damaged.
        """

        def read(journal: Journal) -> TradesAnswer:
            closed = [_trade(each) for each in journal.closed(limit, before_id)]
            return TradesAnswer(
                open=[_trade(each) for each in journal.own_positions()],
                closed=closed,
                next_before_id=closed[-1].trade_id if len(closed) == limit else None,
            )

        return await self._read(read, TradesAnswer(open=[], closed=[], next_before_id=None))

    async def events(self, *, limit: int, before_id: int | None) -> EventsAnswer:
        """Return events; raises as `trades`."""

        def read(journal: Journal) -> EventsAnswer:
            events = journal.newest_events(limit, before_id)
            return EventsAnswer(
                events=events, next_before_id=events[-1].event_id if len(events) == limit else None
            )

        return await self._read(read, EventsAnswer(events=[], next_before_id=None))

    async def equity(self, *, limit: int, since_ms: int) -> EquitiesAnswer:
        """Return the account after the newest cycles; raises as `trades`."""

        def read(journal: Journal) -> EquitiesAnswer:
            return EquitiesAnswer(
                cycles=[
                    EquityAnswer(
                        cycle_ms=row.cycle_ms,
                        at_ms=row.at_ms,
                        equity_quote=_text(row.equity),
                        available_quote=_text(row.available),
                        pnl_quote=_text(row.pnl),
                        fees_quote=_text(row.fees),
                    )
                    for row in journal.equity(since_ms, limit)
                ]
            )

        return await self._read(read, EquitiesAnswer(cycles=[]))

    async def known_symbols(self, configured: Mapping[str, object]) -> set[str]:
        """Return the coins a command may name: configured, or with a position, ours or foreign.

        A coin removed from the configuration can still be closed.
        """
        found = set(configured)
        try:
            positions = await self._bus.get(schema.POSITIONS)
        except BusUnavailable:
            positions = None  # the command itself reports that
        if positions is not None:
            found |= {each.symbol for each in positions.positions}
        none: set[str] = set()
        return found | await self._read(lambda j: {p.symbol for p in j.own_positions()}, none)

    async def _read[T](self, read: Callable[[Journal], T], none_yet: T) -> T:
        """Return what `read` returns of the journal; `none_yet` if there is none."""

        def work() -> T:
            try:
                journal = Journal.read_only(self._journal)
            except FileNotFoundError:
                return none_yet
            try:
                return read(journal)
            finally:
                journal.close()

        return await asyncio.to_thread(work)


def _text(value: Decimal) -> str:
    return f"{value:f}"


def _trade(own: OwnPosition) -> TradeAnswer:
    return TradeAnswer(
        trade_id=own.own_id,
        symbol=own.symbol,
        side=own.side,
        venue=own.venue,
        environment=own.environment,
        opened_ms=own.opened_ms,
        closed_ms=own.closed_ms,
        plan=None if own.plan is None else _plan(own.plan),
        stop=_maybe(own.stop),
        target=_maybe(own.target),
        size_base=_text(own.size if own.closed_ms is None else Decimal(0)),
        entered_base=_text(own.entered[0]),
        entry_price=_maybe(own.entry_price),
        left_base=_text(own.left[0]),
        exit_price=_maybe(own.exit_price),
        fees_quote=_text(own.fees),
        funding_quote=_text(own.funding),
        slippage_quote=_text(own.slippage),
        pnl_quote=_maybe(own.pnl),
        risk_quote=_text(own.risk),
        r=_maybe(own.r),
        ended_by=own.ended_by,
        why=own.why,
        how=own.how,
    )


def _plan(plan: Plan) -> PlanAnswer:
    return PlanAnswer(
        strategy=plan.strategy,
        strategy_version=plan.strategy_version,
        strategy_hash=plan.strategy_hash,
        base=plan.base,
        bonus=plan.bonus,
        entry_price=_text(plan.entry_price),
        stop=_text(plan.stop),
        target=_text(plan.target),
        risk_quote=_text(plan.risk),
    )


def _maybe(value: Decimal | None) -> str | None:
    return None if value is None else _text(value)
