"""Commands to the trader: set the lock first, then send the command, then wait for the reply.

Writes the lock file, `trader:kill` and `trader:commands`; reads `trader:replies:{id}`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from pathlib import Path

from shared import schema
from shared.api.verbs import ANSWER_S, LOCKING, lock_of
from shared.bus import Bus
from shared.clock import Clock
from shared.errors import BusUnavailable, PlatformError, TransientError
from shared.kill_switch import KillSwitch
from shared.messages.trading import KillFlag, TraderCommand, TraderReply, TraderVerb


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
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        state_dir: Path,
        *,
        log: logging.Logger,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._switch = KillSwitch(state_dir)
        self._log = log
        self._answer_s = answer_s
        self._turn = asyncio.Lock()

    async def carry_out(
        self, verb: TraderVerb, *, who: str, reason: str, symbol: str | None = None
    ) -> Outcome:
        """Carry out a command and return the trader's reply.

        Raises:
            NotSent: Redis does not answer, and the command needs it.
            CommandRefused: The trader or a lock refuses it.
        """
        command = TraderCommand(
            id=uuid.uuid4().hex, command=verb, who=who, at_ms=self._clock.now_ms(), symbol=symbol
        )
        self._log.info("%s asked for by %s", " ".join(filter(None, (verb, symbol))), who)
        async with self._turn:
            if verb in LOCKING:
                locked = await self._lock(command, reason)
            else:
                locked = await self._unlock(command)
        try:
            await self._bus.append(schema.TRADER_COMMANDS, dataclasses.asdict(command))
            reply = await self._bus.pop(schema.TRADER_REPLIES, self._answer_s, id=command.id)
        except BusUnavailable as error:
            if not locked:
                raise NotSent(f"Redis does not answer: {error}; nothing was changed") from None
            text = f"{locked}; Redis does not answer, so the trader reads it from the file"
            return Outcome(id=command.id, reply=None, text=text)
        if reply is None:
            late = f"the trader has not answered within {self._answer_s:g} s; it has the command"
            text = f"{locked}; {late}" if locked else late
            return Outcome(id=command.id, reply=None, text=text)
        if reply.outcome == "failed":
            raise CommandRefused(reply.text)
        return Outcome(id=command.id, reply=reply, text=reply.text)

    async def _lock(self, command: TraderCommand, reason: str) -> str:
        """Set the lock and, if Redis answers, the flag; return what was set, in words."""
        lock = lock_of(command.command, command.who, reason, command.at_ms)
        said = "the lock is set"
        try:
            now = await asyncio.to_thread(self._switch.set, lock)
        except OSError as error:
            # the trader can still get the command, and keeps the lock in memory
            said = ""
            self._log.error("the lock file cannot be written: %s", error)
            now = lock
        if now.mode == "locked":
            flag = KillFlag(reason=now.reason, who=now.who, at_ms=now.at_ms)
            try:
                await self._bus.put(schema.TRADER_KILL, flag)
            except BusUnavailable as error:
                self._log.warning("the kill flag is not on Redis: %s", error)
        return said

    async def _unlock(self, command: TraderCommand) -> str:
        """Remove the lock that the command ends, once the flag is gone; return ""."""
        if command.command not in ("enable", "release"):
            return ""
        await self._refuse_if_locked(command)
        try:
            if command.command == "release":
                await self._bus.delete(schema.TRADER_KILL)
            else:
                await self._bus.ping()
        except BusUnavailable as error:
            raise NotSent(f"Redis does not answer: {error}; nothing was changed") from None
        await self._refuse_if_locked(command)  # others may have set it while Redis was asked
        try:
            await asyncio.to_thread(self._switch.release)
        except OSError as error:
            raise CommandRefused(
                f"the lock file cannot be removed: {error}; remove it by hand"
            ) from None
        return ""

    async def _refuse_if_locked(self, command: TraderCommand) -> None:
        lock = await asyncio.to_thread(self._switch.read)
        if command.command == "enable" and lock is not None and lock.mode == "locked":
            raise CommandRefused(f"locked by {lock.who}: {lock.reason}; release it first")
