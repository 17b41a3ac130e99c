"""Commands to the trader: set the lock first, then send the command, then wait for the reply.

Writes the lock file, `trader:kill` and `trader:commands`; reads `trader:replies:{id}` and
`state:trader:status`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from pathlib import Path

from actors.trader_api.timer import TraderTimer
from shared import schema
from shared.api.verbs import ANSWER_S, LOCK_S, LOCKING, lock_of
from shared.bus import Bus
from shared.clock import Clock
from shared.errors import BusUnavailable, PlatformError, TransientError
from shared.kill_switch import KillSwitch, Lock, not_locked
from shared.messages.trading import KillFlag, TraderCommand, TraderReply, TraderVerb

LOCK_SET = "the lock is set"


class CommandRefused(PlatformError):
    """The trader or a lock refuses the command."""


class NotSent(TransientError):
    """The command was not sent, and nothing was changed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of a command. `reply` is None if the trader has not answered (yet)."""

    id: str
    reply: TraderReply | None
    text: str


class CommandClient:
    """Sends commands, one change of the lock file at a time.

    Args:
        state_dir: Directory of the lock file.
        answer_s: How long to wait for the trader's reply.
        timer: Runs the trader, if none stays; a command is kept for its next run.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        state_dir: Path,
        *,
        log: logging.Logger,
        answer_s: float = ANSWER_S,
        timer: TraderTimer | None = None,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._switch = KillSwitch(state_dir)
        self._log = log
        self._answer_s = answer_s
        self._timer = timer
        self._turn = asyncio.Lock()

    async def carry_out(
        self, verb: TraderVerb, *, who: str, reason: str, symbol: str | None = None
    ) -> Outcome:
        """Carry out a command and return the trader's reply.

        Raises:
            NotSent: Redis does not serve, and the command needs it.
            CommandRefused: The trader or a lock refuses it.
        """
        command = TraderCommand(
            id=uuid.uuid4().hex, command=verb, who=who, at_ms=self._clock.now_ms(), symbol=symbol
        )
        self._log.info("%s asked for by %s", " ".join(filter(None, (verb, symbol))), who)
        async with self._turn:
            if verb in LOCKING:
                locked, note = await self._lock(command, reason)
            else:
                locked, note = False, await self._unlock(command)
        try:
            await self._bus.append(schema.TRADER_COMMANDS, dataclasses.asdict(command))
            reply = await self._reply(command.id)
        except BusUnavailable as error:
            if not locked:
                changed = f"{note}; " if note else ""
                raise NotSent(f"{changed}{error}; nothing was changed") from None
            text = f"{note}; the trader reads it from the file, because {error}"
            return Outcome(id=command.id, reply=None, text=text)
        if reply is None:
            late = self._not_yet()
            return Outcome(id=command.id, reply=None, text=f"{note}; {late}" if note else late)
        if reply.outcome == "failed":
            raise CommandRefused(reply.text)
        text = reply.text
        if note and note != LOCK_SET and verb in LOCKING:
            text = f"{text}; {note}"
        return Outcome(id=command.id, reply=reply, text=text)

    async def _reply(self, command_id: str) -> TraderReply | None:
        """Return the trader's reply; None if none comes, or nobody runs to give one."""
        if self._timer is not None:
            status = await self._bus.get(schema.TRADER_STATUS)
            if not self._timer.may_run_now(status, self._clock.now_ms()):
                return None
        return await self._bus.pop(schema.TRADER_REPLIES, self._answer_s, id=command_id)

    def _not_yet(self) -> str:
        if self._timer is None:
            return f"the trader has not answered within {self._answer_s:g} s; it has the command"
        return f"kept for the trader's next run: {self._timer.words(self._clock.now_ms())}"

    async def _lock(self, command: TraderCommand, reason: str) -> tuple[bool, str]:
        """Set the lock and, if Redis answers, the flag; return whether it is set, in words too."""
        lock = lock_of(command.command, command.who, reason, command.at_ms)
        setting = asyncio.ensure_future(asyncio.to_thread(self._switch.set, lock))
        await asyncio.wait([setting], timeout=LOCK_S)
        locked, note = True, LOCK_SET
        try:
            now = setting.result()
        except asyncio.InvalidStateError:
            now, note = lock, "the lock is being written, and the disk does not answer"
            locked = self._switch.read() is not None
            setting.add_done_callback(self._log_late)
        except OSError as error:
            # the trader can still get the command, and keeps the lock in memory
            now, locked, note = lock, False, not_locked(self._switch.path, error)
            self._log.error("%s", note)
        else:
            if now.is_unstored:
                note = "the lock is set; nothing could be written, so its reason is not stored"
        if now.mode == "locked":
            flag = KillFlag(reason=lock.reason, who=lock.who, at_ms=lock.at_ms)
            if not now.is_unstored:
                flag = KillFlag(reason=now.reason, who=now.who, at_ms=now.at_ms)
            try:
                await self._bus.put(schema.TRADER_KILL, flag)
            except BusUnavailable as error:
                self._log.warning("the kill flag is not on Redis: %s", error)
        return locked, note

    def _log_late(self, setting: asyncio.Future[Lock]) -> None:
        if not setting.cancelled() and (error := setting.exception()) is not None:
            self._log.error("the lock could not be set: %s", error)

    async def _unlock(self, command: TraderCommand) -> str:
        """Remove the lock that the command ends, once the flag is gone.

        Returns:
            Why no lock file could be prepared for the next kill, or "".
        """
        if command.command not in ("enable", "release"):
            return ""
        await self._refuse_if_locked(command)
        try:
            if command.command == "release":
                await self._bus.delete(schema.TRADER_KILL)
            else:
                await self._bus.ping()
        except BusUnavailable as error:
            raise NotSent(f"{error}; nothing was changed") from None
        await self._refuse_if_locked(command)  # others may have set it while Redis was asked
        try:
            await asyncio.to_thread(self._switch.release)
        except OSError as error:
            raise CommandRefused(
                f"the lock file cannot be removed: {error}; remove it by hand"
            ) from None
        return await asyncio.to_thread(self._switch.prepare)

    async def _refuse_if_locked(self, command: TraderCommand) -> None:
        lock = await asyncio.to_thread(self._switch.read)
        if command.command == "enable" and lock is not None and lock.mode == "locked":
            raise CommandRefused(f"locked by {lock.who}: {lock.reason}; release it first")
