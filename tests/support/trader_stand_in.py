"""Answers the trader's commands on the bus as a trader does, without trading."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.codec import from_plain
from shared.errors import BusUnavailable
from shared.messages.trading import TraderCommand, TraderMode, TraderReply, TraderVerb

MODES: dict[TraderVerb, TraderMode] = {
    "enable": "enabled", "disable": "disabled", "reduce": "reducing", "kill": "locked",
    "flatten": "locked", "release": "enabled", "close": "enabled", "adopt": "enabled",
    "accept-journal": "enabled",
}  # fmt: skip


class StandIn:
    """A trader that only answers; `refuses`: commands to answer with `failed`, and why."""

    def __init__(self, bus: Bus) -> None:
        self.commands: list[TraderCommand] = []
        self.refuses: dict[TraderVerb, str] = {}
        self._bus = bus
        self._seen: set[str] = set()

    async def answer_for_ever(self) -> None:
        """Poll for commands until cancelled."""
        while True:
            with contextlib.suppress(BusUnavailable):
                await self._answer()
            await asyncio.sleep(0.01)

    def record(self, command: TraderCommand) -> None:
        """Record a command, before it is answered."""
        self.commands.append(command)

    async def _answer(self) -> None:
        for number, fields in await self._bus.entries(schema.TRADER_COMMANDS, 1000):
            if number in self._seen:
                continue
            self._seen.add(number)
            command = from_plain(TraderCommand, fields, number)
            self.record(command)
            why = self.refuses.get(command.command)
            reply = TraderReply(
                id=command.id,
                outcome="done" if why is None else "failed",
                text=why or f"{command.command} done by the stand-in",
                mode=MODES[command.command],
            )
            await self._bus.push(schema.TRADER_REPLIES, reply, id=command.id)


@asynccontextmanager
async def stand_in(url: str, make: Callable[[Bus], StandIn] = StandIn) -> AsyncIterator[StandIn]:
    bus = Bus(url, name="trader", clock=SystemClock())
    trader = make(bus)
    task = asyncio.create_task(trader.answer_for_ever())
    try:
        yield trader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await bus.close()
