"""What the trader may do, by lock file, kill flag, breakers and operator; persistent.

Reads `trader:kill`; the lock file in `state_dir` is authoritative.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Callable
from typing import Literal, cast

from actors.trader.account_set_up import AccountSetUp
from actors.trader.continuity import Continuity
from actors.trader.evidence_gate import EvidenceGate
from actors.trader.journal_thread import JournalThread
from actors.trader.pnl import Pnl
from shared import codec, schema
from shared.api.verbs import LOCK_S
from shared.bus import Bus
from shared.clock import Clock
from shared.config.defaults import Mode
from shared.config.sections import TraderSection
from shared.errors import BadMessage, JournalUnavailable
from shared.journal.journal import Journal
from shared.kill_switch import KillSwitch, Lock, strengthened
from shared.messages.trading import KillFlag, TraderMode, trade_event
from shared.trading.mode import ModeInputs, is_enabled, mode

Choice = Literal["enabled", "reducing", "disabled"]


class Gates:
    """Everything that keeps the trader from entering, and why.

    Args:
        after_quarantine, closed_venue: See `TraderContext`.
        unchecked_strategy: Returns why the strategy may not trade, or "".

    Attributes:
        lock: The lock file as last read, or the lock whose file cannot be written.
        flag: The kill flag as last read; still valid while Redis is down.
        unprepared: Why no lock file is prepared for a full disk; "" if one is.
    """

    def __init__(
        self,
        switch: KillSwitch,
        journal: JournalThread,
        pnl: Pnl,
        continuity: Continuity,
        settings: TraderSection,
        *,
        set_up: AccountSetUp,
        evidence: EvidenceGate,
        run_mode: Mode,
        after_quarantine: bool,
        closed_venue: str,
        unchecked_strategy: Callable[[], str],
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._switch = switch
        self._journal = journal
        self._pnl = pnl
        self._continuity = continuity
        self._set_up = set_up
        self._evidence = evidence
        self._settings = settings
        self._is_enabled = is_enabled(settings, run_mode)
        self._after_quarantine = after_quarantine
        self._closed_venue = closed_venue
        self._unchecked_strategy = unchecked_strategy
        self._clock = clock
        self._log = log
        self._choice: Choice | None = None
        self._mode_lock = asyncio.Lock()
        self._journalled: tuple[TraderMode, str] | None = None
        self._journalled_flag: KillFlag | None = None
        self._unwritten: Lock | None = None
        self._writing: asyncio.Future[Lock] | None = None
        self.lock: Lock | None = None
        self.flag: KillFlag | None = None
        self.unprepared = ""

    async def load(self) -> None:
        """Load the last known state."""
        self._choice = cast(Choice | None, await self._journal.do(Journal.note, "choice"))
        flag = await self._journal.do(Journal.note, "flag")
        self.flag = None if flag is None else codec.from_plain(KillFlag, flag, "journal: flag")
        self._journalled_flag = self.flag
        lock = await self._journal.do(Journal.note, "lock")
        self._unwritten = None if lock is None else codec.from_plain(Lock, lock, "journal: lock")
        self._read_lock()

    def mode(self) -> tuple[TraderMode, str]:
        """Return what the trader may do, and why in words."""
        return mode(
            ModeInputs(
                lock=self.lock,
                flag=self.flag,
                latches=self._pnl.latches,
                is_enabled=self._is_enabled,
                choice=self._choice,
                after_quarantine=self._after_quarantine,
                closed_venue="" if self._choice == "enabled" else self._closed_venue,
                unfit_account=self._set_up.unfit,
                without_evidence=self._evidence.restraint,
                unchecked_strategy=self._unchecked_strategy(),
                journal_doubt=self._continuity.doubt,
                is_compared=self._continuity.is_compared,
            )
        )

    def objection(self) -> str:
        """Read the lock file, and return why nothing may be entered now, or ""."""
        self._read_lock()
        now, why = self.mode()
        if now != "enabled":
            return f"{now}: {why}"
        trouble = self._journal.trouble or self._set_up.objection()
        return trouble or "; ".join(self._pnl.objections())

    async def check_lock(self) -> None:
        """Read the lock file, write or prepare one where that failed; journal a change of mode."""
        self._read_lock()
        if self._unwritten is not None:
            with contextlib.suppress(OSError):
                self.lock = await self._write(self._unwritten)
                await self._forget_unwritten()
        elif self.lock is None:
            await self._prepare()
        await self.journal_mode()

    def _read_lock(self) -> None:
        self.lock, kept = self._switch.read(), self._unwritten
        if kept is not None:
            self.lock = strengthened(self.lock, kept)

    async def _prepare(self) -> str:
        before, self.unprepared = self.unprepared, await asyncio.to_thread(self._switch.prepare)
        if self.unprepared and self.unprepared != before:
            self._log.warning("%s", self.unprepared)
        return self.unprepared

    async def check_flag(self, bus: Bus) -> None:
        """Read the kill flag; journal a change of it, and of the mode; replace an unreadable one.

        Raises:
            BusUnavailable: Redis does not answer; the last value stays valid.
        """
        is_readable = True
        try:
            flag = await bus.get_strictly(schema.TRADER_KILL)
        except BadMessage:  # counts as set
            is_readable = False
            reason = "the flag on Redis cannot be read, which counts as set"
            flag = self.flag or KillFlag(reason=reason, who="nobody", at_ms=self._clock.now_ms())
        self.flag = flag  # in force even if it cannot be journalled
        if flag != self._journalled_flag:
            await self._journal.do(Journal.set_note, "flag", flag)
            self._journalled_flag = flag
        await self.journal_mode()
        if flag is not None and not is_readable:
            await bus.put(schema.TRADER_KILL, flag)

    async def journal_mode(self) -> None:
        """Journal the mode if it has changed."""
        async with self._mode_lock:  # callers run concurrently
            now, before = self.mode(), self._journalled
            if before is None:  # an unchanged mode after a restart is no event
                noted = await self._journal.do(Journal.note, "mode")
                before = now if noted == list(now) else None
            if now != before:
                text = f"mode {now[0]}: {now[1]}"
                event = trade_event(self._clock.now_ms(), "mode", text)
                await self._journal.do(Journal.set_note, "mode", list(now), event)
                self._log.info("%s", text)
            self._journalled = now

    # Operator commands

    async def choose(self, choice: Choice) -> None:
        """Store an operator's choice; enabling also ends a quarantine's restriction.

        Raises:
            OSError: The lock of an earlier disable cannot be removed.
        """
        self._read_lock()  # a kill in the meantime must not be removed
        if choice != "disabled" and self.lock is not None and self.lock.mode == "disabled":
            self._switch.release()
            self.lock = None
            await self._forget_unwritten()
        await self._journal.do(Journal.set_note, "choice", choice)
        self._choice = choice
        if choice == "enabled":
            self._after_quarantine = False
        await self.journal_mode()

    async def set_lock(self, lock: Lock) -> str:
        """Set the lock; it is in force even if neither file nor journal can be written.

        Returns:
            What could not be stored, in words; "" if all was.
        """
        before = self._unwritten
        self._unwritten = strengthened(before, lock)  # in force while the file is being written
        self._read_lock()
        try:
            self.lock = await self._write(self._unwritten)
        except OSError as error:
            note = await self._keep_unwritten(self._unwritten, error)
            self._log.error("%s", note)
        else:
            self._unwritten, note = None, ""
            if before is not None:
                await self._forget_unwritten()
            if self.lock.is_unstored:
                note = "who asked for it, and why, could not be stored"
        with contextlib.suppress(JournalUnavailable):  # retried every second
            await self.journal_mode()
        return note

    async def _write(self, lock: Lock) -> Lock:
        """Set the lock file.

        Raises:
            OSError: It cannot be written, or the disk does not answer; it may then be set later.
        """
        if self._writing is None or self._writing.done():
            self._writing = asyncio.ensure_future(asyncio.to_thread(self._switch.set, lock))
            self._writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([self._writing], timeout=LOCK_S)
        if not self._writing.done():
            raise TimeoutError(errno.ETIMEDOUT, "the disk does not answer")
        return self._writing.result()

    async def _keep_unwritten(self, lock: Lock, error: OSError) -> str:
        why = f"the lock file cannot be written ({error.strerror or error})"
        try:
            await self._journal.do(Journal.set_note, "lock", lock)
        except JournalUnavailable as unavailable:
            return (
                f"{why}, nor the journal ({unavailable}): this process alone remembers the lock; "
                "do not restart the trader before it is written, which is tried every second"
            )
        return f"{why}: the journal keeps the lock, and writing it is tried every second"

    async def _forget_unwritten(self) -> None:
        self._unwritten = None
        if await self._journal.do(Journal.note, "lock") is not None:
            await self._journal.do(Journal.set_note, "lock", None)

    async def release(self, bus: Bus) -> str:
        """Remove lock, flag and latches; return what cannot be prepared for the next kill, or "".

        Raises:
            OSError: The lock file cannot be removed.
            BusUnavailable: The flag cannot be removed; nothing was.
        """
        await bus.delete(schema.TRADER_KILL)
        self._switch.release()
        self.lock = None
        await self._forget_unwritten()
        await self._journal.do(Journal.set_note, "flag", None)
        self.flag = self._journalled_flag = None
        await self._pnl.release()
        note = await self._prepare()
        await self.journal_mode()
        return note
