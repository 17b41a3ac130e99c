"""What the trader may do: lock file, kill flag, breakers, the operator's word. All remembered.

Reads `trader:kill`; the lock file in `state_dir` is authoritative.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Literal, cast

from actors.trader.journal_thread import JournalThread
from actors.trader.pnl import Pnl
from shared import codec, schema
from shared.bus import Bus
from shared.clock import Clock
from shared.config.defaults import Mode
from shared.config.sections import TraderSection
from shared.journal.journal import Journal
from shared.kill_switch import KillSwitch, Lock
from shared.messages.trading import KillFlag, TraderMode, trade_event
from shared.trading.mode import ModeInputs, is_enabled, mode

Choice = Literal["enabled", "reducing", "disabled"]


class Gates:
    """Everything that keeps the trader from entering, and why.

    Args:
        after_quarantine: Started although it kept dying.
        closed_venue: Why the venue takes no entries until an operator enables; "" when it does.

    Attributes:
        lock: The lock file as last looked at.
        flag: The kill flag as last known; its value holds while Redis is away.
    """

    def __init__(
        self,
        switch: KillSwitch,
        journal: JournalThread,
        pnl: Pnl,
        settings: TraderSection,
        *,
        run_mode: Mode,
        after_quarantine: bool,
        closed_venue: str,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._switch = switch
        self._journal = journal
        self._pnl = pnl
        self._settings = settings
        self._is_enabled = is_enabled(settings, run_mode)
        self._after_quarantine = after_quarantine
        self._closed_venue = closed_venue
        self._clock = clock
        self._log = log
        self._choice: Choice | None = None
        self._telling = asyncio.Lock()
        self._told: tuple[TraderMode, str] | None = None
        self.lock: Lock | None = None
        self.flag: KillFlag | None = None

    async def load(self) -> None:
        """Take up what was last known."""
        self._choice = cast(Choice | None, await self._journal.do(Journal.note, "choice"))
        flag = await self._journal.do(Journal.note, "flag")
        self.flag = None if flag is None else codec.from_plain(KillFlag, flag, "journal: flag")
        self.lock = self._switch.read()

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
            )
        )

    def objection(self) -> str:
        """Return why nothing may be entered at this moment, or ""; looks at the lock file anew."""
        self.lock = self._switch.read()
        now, why = self.mode()
        if now != "enabled":
            return f"{now}: {why}"
        return "; ".join(self._pnl.objections())

    async def look_at_lock(self) -> None:
        """Look at the lock file; journal a change of mode."""
        self.lock = self._switch.read()
        await self.tell()

    async def look_at_flag(self, bus: Bus) -> None:
        """Look at the kill flag; journal a change of it, and of the mode.

        Raises:
            BusUnavailable: Redis does not answer: the last known value holds.
        """
        bad = bus.bad_messages
        flag = await bus.get(schema.TRADER_KILL)
        if bus.bad_messages != bad:  # there, and not readable: in doubt it is set
            reason = "the flag on Redis cannot be read, which counts as set"
            flag = self.flag or KillFlag(reason=reason, who="nobody", at_ms=self._clock.now_ms())
        if flag != self.flag:
            await self._journal.do(Journal.set_note, "flag", flag)
            self.flag = flag
        await self.tell()

    async def tell(self) -> None:
        """Journal the mode where it has changed; once, whoever sees it first."""
        async with self._telling:
            await self._tell()

    async def _tell(self) -> None:
        now = self.mode()
        if now != self._told:
            # a start that finds things as they were is no news
            if self._told is None and await self._journal.do(Journal.note, "mode") == list(now):
                self._told = now
                return
            text = f"mode {now[0]}: {now[1]}"
            event = trade_event(self._clock.now_ms(), "mode", text)
            await self._journal.do(Journal.set_note, "mode", list(now), event)
            self._log.info("%s", text)
            self._told = now

    # What an operator does

    async def choose(self, choice: Choice) -> None:
        """Remember what an operator asked for; enabling also ends what only an operator ends.

        Raises:
            OSError: A lock of an earlier disable cannot be removed.
        """
        self.lock = self._switch.read()  # a kill since the last look is not to be taken away
        if choice != "disabled" and self.lock is not None and self.lock.mode == "disabled":
            self._switch.release()
            self.lock = None
        await self._journal.do(Journal.set_note, "choice", choice)
        self._choice = choice
        if choice == "enabled":
            self._after_quarantine = False
        await self.tell()

    async def set_lock(self, lock: Lock) -> None:
        """Set the lock file, and journal it where that cannot be written."""
        try:
            self.lock = self._switch.set(lock)
        except OSError as error:
            self._log.error("the lock file cannot be written, the journal remembers: %s", error)
            self.flag = KillFlag(reason=lock.reason, who=lock.who, at_ms=lock.at_ms)
            await self._journal.do(Journal.set_note, "flag", self.flag)
        await self.tell()

    async def release(self, bus: Bus) -> None:
        """Take away lock, flag and latches.

        Raises:
            OSError: The lock file cannot be removed.
            BusUnavailable: The flag cannot be: nothing was taken away.
        """
        await bus.delete(schema.TRADER_KILL)
        self._switch.release()
        self.lock = None
        await self._journal.do(Journal.set_note, "flag", None)
        self.flag = None
        await self._pnl.release()
        await self.tell()


def lock_of(
    reason: str, who: str, at_ms: int, *, flatten: bool = False, disable: bool = False
) -> Lock:
    """Return the lock that a command sets."""
    lock = Lock(reason=reason, who=who, at_ms=at_ms, flatten=flatten)
    return dataclasses.replace(lock, mode="disabled") if disable else lock
