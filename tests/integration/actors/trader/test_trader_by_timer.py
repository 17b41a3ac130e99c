"""The trader run by a timer: what a run leaves for others to know, and the commands kept for it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.trader.commands import AT_ONCE, TraderCommands
from actors.trader_api.commands import CommandClient
from actors.trader_api.timer import TraderTimer
from shared import schema
from shared.bus import Bus
from shared.config.sections import TraderSection
from shared.kill_switch import KillSwitch
from shared.messages.trading import TraderCommand, TraderReply, TraderStatus, TraderVerb
from tests.support.fast_clock import FastClock
from tests.support.running_trader import RunningTrader, exchanges_on, status
from tests.support.trading import CYCLE, CYCLE_MS, EAGER
from tests.support.venue import VenueUnderTest

COINS = ("BTCUSDT", "SOLUSDT")
BY_TIMER = dataclasses.replace(EAGER, timer_min=15, entry_score=100)


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[VenueUnderTest]:
    async with exchanges_on(COINS, FastClock(CYCLE + 3_000, 8), tmp_path) as venue:
        yield venue


async def run_once(
    venue: VenueUnderTest, redis_url: str, directory: Path, settings: TraderSection = BY_TIMER
) -> None:
    running = RunningTrader(venue, redis_url, directory, COINS, settings=settings, once=True)
    await running.trader.run()
    await running.context.bus.close()


async def left(bus: Bus) -> TraderStatus:
    found = await status(bus)
    assert found is not None
    return found


async def send(bus: Bus, verb: TraderVerb, at_ms: int) -> str:
    command = TraderCommand(id=uuid.uuid4().hex, command=verb, who="ada", at_ms=at_ms)
    await bus.append(schema.TRADER_COMMANDS, dataclasses.asdict(command))
    return command.id


async def reply_to(bus: Bus, command_id: str) -> TraderReply:
    reply = await bus.pop(schema.TRADER_REPLIES, 5, id=command_id)
    assert reply is not None
    return reply


async def test_a_run_leaves_its_cycle_and_when_the_next_is_due(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await run_once(venue, redis_url, tmp_path)
    found = await left(bus)
    assert found.every_s == 900
    assert found.cycle_ms == CYCLE
    assert found.next_cycle_ms == (CYCLE // 900_000 + 1) * 900_000
    assert found.current_until_ms() == found.next_cycle_ms + 90_000


async def test_a_single_run_by_hand_promises_no_other(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await run_once(venue, redis_url, tmp_path, dataclasses.replace(BY_TIMER, timer_min=None))
    found = await left(bus)
    assert found.every_s is None
    assert found.next_cycle_ms == CYCLE + CYCLE_MS
    assert found.current_until_ms() == found.as_of_ms + 30_000


async def test_a_command_kept_for_the_next_run_is_carried_out_by_it(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await run_once(venue, redis_url, tmp_path)
    assert isinstance(venue.clock, FastClock)
    venue.clock.step_wall(1_600_000)
    now_ms = venue.clock.now_ms()
    kept = await send(bus, "release", now_ms - 900_000)
    forgotten = await send(bus, "enable", now_ms - 1_500_000)
    await run_once(venue, redis_url, tmp_path)
    assert (await reply_to(bus, kept)).outcome == "done"
    late = await reply_to(bus, forgotten)
    assert late.outcome == "failed"
    assert "late: not carried out" in late.text


async def test_many_earlier_commands_do_not_hide_a_new_one(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    polls: list[str] = []
    now_ms = venue.clock.now_ms()
    for _ in range(2 * AT_ONCE):
        await send(bus, "enable", now_ms - 10 * 3_600_000)
    await send(bus, "release", now_ms)
    commands = TraderCommands.__new__(TraderCommands)
    commands._bus, commands._clock, commands._after = bus, venue.clock, "0"
    commands._forgotten_ms, commands._polling = 3_600_000, asyncio.Lock()

    async def carry_out(command: TraderCommand) -> None:
        polls.append(command.command)

    commands.carry_out = carry_out  # type: ignore[method-assign]
    await commands.poll()
    assert polls == ["release"]


async def test_the_api_sets_the_lock_now_and_says_when_the_trader_runs_next(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await run_once(venue, redis_url, tmp_path)
    commands = CommandClient(
        bus, venue.clock, tmp_path, log=logging.getLogger("test"), timer=TraderTimer(900)
    )
    outcome = await commands.carry_out("kill", who="ada", reason="odd prices")
    assert outcome.reply is None
    assert outcome.text.startswith("the lock is set; kept for the trader's next run: it is run by")
    assert "every 15 min, next at " in outcome.text
    lock = KillSwitch(tmp_path).read()
    assert lock is not None
    assert lock.mode == "locked"
    await run_once(venue, redis_url, tmp_path)
    assert (await left(bus)).mode == "locked"
    assert (await reply_to(bus, outcome.id)).outcome == "done"
