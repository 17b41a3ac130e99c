"""The operators' commands, each carried out once.

Reads `trader:commands`, writes `trader:replies:{id}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from actors.trader.continuity import Continuity
from actors.trader.execution import Execution
from actors.trader.gates import Gates
from actors.trader.journal_thread import JournalThread
from shared import codec, schema
from shared.api.verbs import LOCKING, lock_of
from shared.bus import Bus
from shared.clock import Clock
from shared.errors import BadMessage, BusUnavailable, JournalUnavailable, PlatformError
from shared.journal.journal import Journal
from shared.journal.rows import CommandRow
from shared.kill_switch import Lock
from shared.messages.trading import KillFlag, TraderCommand, TraderReply, TraderVerb, trade_event

AT_ONCE = 100
LATE_MS, FORGOTTEN_MS = 60_000, 3_600_000
SAFE: frozenset[TraderVerb] = frozenset({"kill", "disable", "reduce", "flatten"})
"""Carried out even when late; whoever sent one of the others no longer waits for it."""

Fractions = Callable[[str], Awaitable[tuple[Decimal, Decimal]]]


class TraderCommands:
    """Carries out commands.

    A command is journalled when begun and when done. One that a dead process had begun is carried
    out again: commands are idempotent.

    Args:
        fractions: Returns the distances of stop and target for an adopted coin.
        kept_s: How long a command waits for the next run of a timer, and is not late by that.
    """

    def __init__(
        self,
        bus: Bus,
        journal: JournalThread,
        execution: Execution,
        gates: Gates,
        continuity: Continuity,
        *,
        fractions: Fractions,
        kept_s: int = 0,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._execution = execution
        self._gates = gates
        self._continuity = continuity
        self._fractions = fractions
        self._late_ms = LATE_MS + 1000 * kept_s
        self._forgotten_ms = FORGOTTEN_MS + 1000 * kept_s
        self._polling = asyncio.Lock()
        self._clock = clock
        self._log = log
        self._after = "0"
        self._unjournalled: set[str] = set()

    async def resume(self) -> None:
        """Finish the commands that an earlier process had begun, unless they are not of now."""
        for row in await self._journal.do(Journal.begun_commands):
            begun_s = (self._clock.now_ms() - row.at_ms) / 1000
            if self._continuity.doubt:
                await self._end(row, "failed", "not carried out: the journal is in doubt")
            elif begun_s * 1000 > self._forgotten_ms:
                await self._end(row, "failed", f"not carried out: begun {begun_s:.0f} s ago")
            else:
                await self._finish(row)

    async def poll(self) -> None:
        """Carry out the commands that arrived since the last poll.

        Raises:
            BusUnavailable: Redis does not answer.
        """
        async with self._polling:
            # a run of a timer begins at the oldest one, and polls once before its cycle
            while await self._poll() == AT_ONCE:
                pass

    async def _poll(self) -> int:
        try:
            entries = await self._bus.entries_after(schema.TRADER_COMMANDS, self._after, AT_ONCE)
        except BusUnavailable:
            # it may come back with another stream; the journal knows what was done
            self._after = "0"
            raise
        for entry_id, fields in entries:
            where = f"{schema.TRADER_COMMANDS.name()} {entry_id}"
            try:
                command = codec.from_plain(TraderCommand, fields, where)
            except BadMessage as error:
                self._log.warning("bad command: %s", error)
            else:
                if self._clock.now_ms() - command.at_ms < self._forgotten_ms:
                    await self.carry_out(command)
            self._after = entry_id
        return len(entries)

    async def carry_out(self, command: TraderCommand) -> None:
        """Carry out and answer one command, unless that was done before."""
        row = CommandRow(
            id=command.id,
            command=command.command,
            symbol=command.symbol,
            who=command.who,
            at_ms=command.at_ms,
        )
        objection = self._continuity.objection(command)
        try:
            if await self._journal.do(Journal.command, row.id) is not None:
                objection = ""  # the journal itself says whether it was carried out
            row = await self._journal.do(Journal.begin_command, row)
        except JournalUnavailable as error:
            is_new = row.id not in self._unjournalled and not objection
            if command.command in LOCKING and is_new:
                await self._lock_unjournalled(row, error)
            raise
        if row.outcome is not None:
            return
        if objection:
            await self._end(row, "failed", f"not carried out: it {objection}")
        else:
            await self._continuity.saw_command(command)
            await self._finish(row)

    async def _lock_unjournalled(self, row: CommandRow, error: JournalUnavailable) -> None:
        """Set the lock and close what is to be closed; journalled when the journal answers."""
        self._unjournalled.add(row.id)
        note = await self._strengthen_lock(row)
        text = _joined(f"{row.command}: in force; not journalled yet ({error})", note)
        mode, _ = self._gates.mode()
        reply = TraderReply(id=row.id, outcome="done", text=text, mode=mode)
        with contextlib.suppress(BusUnavailable):
            await self._bus.push(schema.TRADER_REPLIES, reply, id=row.id)
        if row.command == "flatten":
            await self._execution.close_all(f"flatten by {row.who}")

    async def _finish(self, row: CommandRow) -> None:
        late_s = (self._clock.now_ms() - row.at_ms) / 1000
        if late_s * 1000 > self._late_ms and row.command not in SAFE:
            done, text = False, f"came {late_s:.0f} s late: not carried out"
        else:
            try:
                done, text = True, await self._verbs[row.command](row)
            except (PlatformError, OSError) as error:
                done, text = False, str(error)
            except _Refused as error:
                done, text = False, str(error)
        await self._end(row, "done" if done else "failed", text)

    async def _end(self, row: CommandRow, outcome: Literal["done", "failed"], text: str) -> None:
        what = " ".join(filter(None, (row.command, row.symbol)))
        row = replace(row, outcome=outcome, text=text)
        event = trade_event(
            self._clock.now_ms(), "command", f"{what} by {row.who}: {text}", row.symbol
        )
        await self._journal.do(Journal.end_command, row, event)
        mode, why = self._gates.mode()
        reply = TraderReply(
            id=row.id,
            outcome=outcome,
            text=f"{text}; mode {mode}: {why}",
            mode=mode,
        )
        with contextlib.suppress(BusUnavailable):  # the next status shows it
            await self._bus.push(schema.TRADER_REPLIES, reply, id=row.id)

    @property
    def _verbs(self) -> Mapping[str, Callable[[CommandRow], Awaitable[str]]]:
        return {
            "enable": self._enable,
            "reduce": self._reduce,
            "disable": self._disable,
            "kill": self._kill,
            "flatten": self._flatten,
            "release": self._release,
            "close": self._close,
            "adopt": self._adopt,
            "accept-journal": self._accept_journal,
        }

    async def _enable(self, _: CommandRow) -> str:
        await self._gates.check_lock()
        lock = self._gates.lock
        if lock is not None and lock.mode == "locked":
            raise _Refused(f"locked by {lock.who}: {lock.reason}; release it first")
        await self._gates.choose("enabled")
        return "enabled"

    async def _reduce(self, _: CommandRow) -> str:
        await self._gates.choose("reducing")
        return "reducing"

    async def _disable(self, row: CommandRow) -> str:
        note = await self._gates.set_lock(_lock_for(row))
        await self._gates.choose("disabled")
        return _joined("disabled", note)

    async def _kill(self, row: CommandRow) -> str:
        return _joined("locked until it is released", await self._lock(row))

    async def _lock(self, row: CommandRow) -> str:
        """Set lock and flag; return what could not be stored, or ""."""
        note = await self._strengthen_lock(row)
        lock = self._gates.lock or _lock_for(row)
        flag = KillFlag(reason=lock.reason, who=lock.who, at_ms=lock.at_ms)
        with contextlib.suppress(BusUnavailable):  # the lock file is enough
            await self._bus.put(schema.TRADER_KILL, flag)
        return note

    async def _strengthen_lock(self, row: CommandRow) -> str:
        """Set the lock unless one as strong is set; return what could not be stored, or ""."""
        with contextlib.suppress(JournalUnavailable):  # the lock itself needs none
            await self._gates.check_lock()
        lock, wanted = self._gates.lock, _lock_for(row)
        if lock is None or (lock.mode != wanted.mode and lock.mode == "disabled"):
            return await self._gates.set_lock(wanted)
        return await self._gates.set_lock(wanted) if wanted.flatten > lock.flatten else ""

    async def _flatten(self, row: CommandRow) -> str:
        note = await self._lock(row)
        found = await self._execution.close_all(f"flatten by {row.who}", at_once=True)
        outcomes = ", ".join(f"{symbol} {what}" for symbol, what in found.items())
        return _joined(f"locked; {outcomes or 'no position of ours'}", note)

    async def _release(self, _: CommandRow) -> str:
        return _joined("released", await self._gates.release(self._bus))

    async def _accept_journal(self, _: CommandRow) -> str:
        text = await self._continuity.accept()
        await self._gates.journal_mode()
        return text

    async def _close(self, row: CommandRow) -> str:
        symbol = _named(row)
        what = await self._execution.close(symbol, f"close by {row.who}")
        if what != "closed" and not what.startswith("being closed"):
            raise _Refused(f"{symbol}: {what}")
        return f"{symbol} {what}"

    async def _adopt(self, row: CommandRow) -> str:
        symbol = _named(row)
        stop, target = await self._fractions(symbol)
        what = await self._execution.adopt(symbol, stop, target)
        if what not in ("adopted", "ours already"):
            raise _Refused(f"{symbol}: {what}")
        return f"{symbol} {what}"


class _Refused(Exception):
    pass


def _lock_for(row: CommandRow) -> Lock:
    return lock_of(row.command, row.who, "", row.at_ms)


def _joined(text: str, note: str) -> str:
    return f"{text}; {note}" if note else text


def _named(row: CommandRow) -> str:
    if row.symbol is None:
        raise _Refused(f"{row.command}: which coin? Name one, such as BTCUSDT")
    return row.symbol
