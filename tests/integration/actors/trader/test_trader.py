"""The trader actor: what it does at a start, on command, and when others are away."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.sections import TraderSection
from shared.errors import BusUnavailable, PermanentError, PlatformError
from shared.journal.journal import Journal
from shared.kill_switch import KillSwitch, Lock
from shared.messages.trading import KillFlag, TraderCommand
from tests.support.fast_clock import FastClock
from tests.support.private_redis import PrivateRedis
from tests.support.running_trader import RunningTrader, ask, exchanges_on, put_candles, status
from tests.support.trading import CYCLE, CYCLE_MS, EAGER, NO_REDIS, MarketCandles
from tests.support.venue import VenueUnderTest, simulated_owner
from tests.support.waiting import eventually

COINS = ("BTCUSDT", "SOLUSDT")
PATIENT = dataclasses.replace(EAGER, wait_s=75)
QUIET = dataclasses.replace(PATIENT, entry_score=100)
RATE = 8


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[VenueUnderTest]:
    clock = FastClock(CYCLE + 3_000, RATE)
    async with exchanges_on(COINS, clock, tmp_path) as venue:
        yield venue


def trader(
    venue: VenueUnderTest, redis_url: str, directory: Path, settings: TraderSection = PATIENT,
    **more: Any,
) -> RunningTrader:  # fmt: skip
    return RunningTrader(venue, redis_url, directory, COINS, settings=settings, **more)


async def ready(running: RunningTrader) -> None:
    await eventually(running.is_ready, within_s=30)


async def open_positions(venue: VenueUnderTest, count: int) -> list[dict[str, Any]]:
    async def found() -> list[dict[str, Any]] | None:
        positions: list[dict[str, Any]] = (await venue.books())["positions"]
        stopped = all(p["stops"] for p in positions)
        return positions if len(positions) == count and stopped else None

    positions: list[dict[str, Any]] = await eventually(found, within_s=60)
    return positions


async def flat(venue: VenueUnderTest) -> None:
    async def is_flat() -> bool:
        return not (await venue.books())["positions"]

    await eventually(is_flat, within_s=30)


async def mode(bus: Bus, wanted: str) -> str:
    async def found() -> str | None:
        told = await status(bus)
        return told.reason if told is not None and told.mode == wanted else None

    reason: str = await eventually(found, within_s=20)
    return reason


async def test_cycle_enters_protects_and_tells_everybody(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    candles = MarketCandles(venue.wire.venue.feed._market, COINS, venue.clock)  # type: ignore[attr-defined]
    await put_candles(bus, candles, COINS, CYCLE)
    async with bus.subscribe(schema.ACCOUNT_REFRESH.name()) as refreshes:
        assert not (await anext(aiter(refreshes))).channel  # listening from here on
        async with trader(venue, redis_url, tmp_path) as running:
            await ready(running)
            assert (await anext(aiter(refreshes))).channel
            await check_first_cycle(venue, bus)
    journal = Journal.read_only(tmp_path / "trader.db")
    assert journal.equity()[0].cycle_ms == CYCLE
    journal.close()


async def test_clock_that_is_set_back_keeps_no_cycle_from_being_run(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    candles = MarketCandles(venue.wire.venue.feed._market, COINS, venue.clock)  # type: ignore[attr-defined]
    await put_candles(bus, candles, COINS, CYCLE)

    async def decided_on(cycle_ms: int) -> bool:
        now = await status(bus)
        return now is not None and now.cycle_ms == cycle_ms

    async with trader(venue, redis_url, tmp_path, QUIET) as running:
        await ready(running)
        await eventually(lambda: decided_on(CYCLE), within_s=20)
        clock: Any = venue.clock
        clock.step_wall(-12 * CYCLE_MS)
        await put_candles(bus, candles, COINS, clock.now_ms() + 2_000)
        await eventually(lambda: decided_on(CYCLE - 12 * CYCLE_MS), within_s=30)


async def check_first_cycle(venue: VenueUnderTest, bus: Bus) -> None:
    positions = await open_positions(venue, 2)
    assert {position["market"] for position in positions} == set(COINS)

    async def told() -> Any:
        now = await status(bus)
        return now if now is not None and now.cycle_ms == CYCLE else None

    now = await eventually(told, within_s=20)
    assert now.candles_from == "redis"
    assert sorted(now.ours) == sorted(COINS)
    assert (now.trouble, now.unprotected, now.foreign) == ("", [], [])
    assert {limit.name for limit in now.limits} >= {"daily loss", "drawdown"}
    config = await bus.get(schema.TRADER_CONFIG)
    assert config is not None
    assert config.settings["entry_score"] == EAGER.entry_score


async def test_without_redis_the_trader_trades_and_tells_it_all_later(
    venue: VenueUnderTest, own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    redis = own_redis()
    redis.kill()
    async with trader(venue, redis.url, tmp_path) as running:
        await ready(running)
        await open_positions(venue, 2)
        redis.start()
        bus = Bus(redis.url, name="test", clock=SystemClock())

        async def caught_up() -> Any:
            try:
                entries = await bus.entries(schema.TRADE_LOG, 10_000)
            except BusUnavailable:
                return None
            return entries if any(f["kind"] == "target" for _, f in entries) else None

        entries = await eventually(caught_up, within_s=20)
        numbers = [int(place.partition("-")[2]) for place, _ in entries]
        assert numbers == [*range(1, len(numbers) + 1)]
        assert [fields["event_id"] for _, fields in entries] == numbers
        await bus.close()


async def test_lock_file_that_says_flatten_closes_everything_without_redis(
    venue: VenueUnderTest, tmp_path: Path
) -> None:
    async with trader(venue, NO_REDIS, tmp_path) as running:
        await ready(running)
        await open_positions(venue, 2)
        lock = Lock(reason="get out", who="ada", at_ms=1, flatten=True)
        KillSwitch(tmp_path).set(lock)
        await flat(venue)
        assert running.trader._trading.gates.mode()[0] == "locked"


@pytest.mark.parametrize("way", ["lock file", "command"])
async def test_flatten_closes_everything_also_without_a_journal(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path, way: str
) -> None:
    async with trader(venue, redis_url if way == "command" else NO_REDIS, tmp_path) as running:
        candles = MarketCandles(venue.wire.venue.feed._market, COINS, venue.clock)  # type: ignore[attr-defined]
        await put_candles(bus, candles, COINS, CYCLE)
        await ready(running)
        await open_positions(venue, 2)
        assert running.trader._journal is not None
        await running.trader._journal.do(Journal._rows, "PRAGMA query_only=1")
        if way == "command":
            command = TraderCommand(id="f", command="flatten", who="ada",
                                    at_ms=venue.clock.now_ms(), symbol=None)  # fmt: skip
            await bus.append(schema.TRADER_COMMANDS, dataclasses.asdict(command))
        else:
            KillSwitch(tmp_path).set(Lock(reason="get out", who="ada", at_ms=1, flatten=True))
        await flat(venue)


async def test_lock_file_that_cannot_be_read_keeps_everything_out(
    venue: VenueUnderTest, tmp_path: Path
) -> None:
    KillSwitch(tmp_path).path.write_text("{")
    async with trader(venue, NO_REDIS, tmp_path) as running:
        await ready(running)

        def cycled() -> bool:
            return running.trader._report is not None

        await eventually(cycled, within_s=30)
        assert running.trader._trading.gates.mode()[0] == "locked"
        assert (await venue.books())["over"] == []


async def test_commands_do_what_they_say_and_are_answered(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    clock = venue.clock
    await venue.by_hand("position", market="SOLUSDT", side="long", amount="2")
    async with trader(venue, redis_url, tmp_path, QUIET) as running:
        await ready(running)
        for verb, wanted in (
            ("reduce", "reducing"), ("disable", "disabled"), ("enable", "enabled"),
            ("kill", "locked"),
        ):  # fmt: skip
            reply = await ask(bus, verb, clock)  # type: ignore[arg-type]
            assert (reply.outcome, reply.mode) == ("done", wanted), reply.text
        assert await bus.get(schema.TRADER_KILL) is not None
        reply = await ask(bus, "enable", clock)
        assert reply.outcome == "failed"
        assert "release it first" in reply.text
        assert (await ask(bus, "release", clock)).mode == "enabled"
        assert KillSwitch(tmp_path).read() is None
        assert await bus.get(schema.TRADER_KILL) is None

        reply = await ask(bus, "close", clock, "SOLUSDT")
        assert (reply.outcome, "foreign" in reply.text) == ("failed", True)
        candles = MarketCandles(venue.wire.venue.feed._market, COINS, clock)  # type: ignore[attr-defined]
        await put_candles(bus, candles, COINS, clock.now_ms())
        reply = await ask(bus, "adopt", clock, "SOLUSDT")
        assert reply.outcome == "done", reply.text
        await open_positions(venue, 1)
        reply = await ask(bus, "close", clock, "SOLUSDT")
        assert reply.outcome == "done", reply.text
        await flat(venue)
        reply = await ask(bus, "flatten", clock)
        assert (reply.outcome, reply.mode) == ("done", "locked")


async def test_command_is_carried_out_once_also_by_the_next_trader(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    async with trader(venue, redis_url, tmp_path, QUIET) as running:
        await ready(running)
        await ask(bus, "disable", venue.clock, name="one")
        await ask(bus, "enable", venue.clock, name="two")
    async with trader(venue, redis_url, tmp_path, QUIET) as running:
        await ready(running)
        await ask(bus, "kill", venue.clock)
    journal = Journal.read_only(tmp_path / "trader.db")
    done = [e.text for e in journal.events(0, 1000) if e.kind == "command"]
    journal.close()
    assert [text.split()[0] for text in done] == ["disable", "enable", "kill"]


async def test_operators_choice_and_the_flag_survive_a_restart_without_redis(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    async with trader(venue, redis_url, tmp_path, QUIET) as running:
        await ready(running)
        await ask(bus, "reduce", venue.clock)
        await bus.put(schema.TRADER_KILL, KillFlag(reason="odd", who="bob", at_ms=1))
        await mode(bus, "locked")
    async with trader(venue, NO_REDIS, tmp_path, QUIET) as running:
        await ready(running)
        now, why = running.trader._trading.gates.mode()
        assert now == "locked"
        assert "bob: odd" in why
        assert "an operator asked for it" in why


async def test_second_trader_on_one_state_dir_refuses_to_start(
    venue: VenueUnderTest, tmp_path: Path
) -> None:
    async with trader(venue, NO_REDIS, tmp_path, QUIET) as running:
        await ready(running)
        second = trader(venue, NO_REDIS, tmp_path, QUIET)
        with pytest.raises(PermanentError, match=f"another trader .*pid {os.getpid()}"):
            await second.trader.run()
        await second.context.bus.close()


async def test_lock_that_cannot_be_taken_is_named_and_tried_again(
    venue: VenueUnderTest, tmp_path: Path
) -> None:
    (tmp_path / "trader.pid").mkdir()
    async with trader(venue, NO_REDIS, tmp_path, QUIET) as running:
        await eventually(lambda: "trader.pid: cannot be locked" in why(running), within_s=30)
        (tmp_path / "trader.pid").rmdir()
        await ready(running)


def why(running: RunningTrader) -> str:
    return str(running.trader.detail.get("retrying", ""))


async def test_live_mode_starts_without_entries_until_an_operator_enables(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    settings = dataclasses.replace(QUIET, accept_without_evidence="a test of the adapter")
    async with trader(venue, redis_url, tmp_path, settings, mode="live") as running:
        await ready(running)
        assert "ended futures trading" in await mode(bus, "reducing")
        assert (await ask(bus, "enable", venue.clock)).mode == "enabled"
    async with trader(venue, redis_url, tmp_path, settings, mode="live") as running:
        await ready(running)
        await mode(bus, "enabled")


async def test_started_after_a_quarantine_it_only_reduces(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    until_ms = venue.clock.now_ms() + 3_600_000
    running = trader(venue, redis_url, tmp_path, reducing_until_ms=until_ms)
    async with running:
        await ready(running)
        assert "died too often" in await mode(bus, "reducing")
        assert (await ask(bus, "enable", venue.clock)).mode == "enabled"


async def test_once_runs_one_cycle_and_leaves_nothing_without_a_stop(
    venue: VenueUnderTest, tmp_path: Path
) -> None:
    running = trader(venue, NO_REDIS, tmp_path, once=True)
    await running.trader.run()
    await running.context.bus.close()
    positions = (await venue.books())["positions"]
    assert {position["market"] for position in positions} == set(COINS)
    assert all(position["stops"] for position in positions)


async def test_once_fails_loudly_when_a_position_stays_without_a_stop(tmp_path: Path) -> None:
    clock = FastClock(CYCLE + 3_000, 5 * RATE)  # it goes on trying for a minute and a half
    async with exchanges_on(COINS, clock, tmp_path) as venue:
        for kind, endpoint in (
            ("venue_5xx", "set-position-stop-loss"),
            ("venue_rate_limit", "close-position"),
        ):
            await venue.plan({"kind": kind, "for_s": 100_000, "endpoint": endpoint})
        running = trader(venue, NO_REDIS, tmp_path, once=True)
        with pytest.raises(PlatformError, match="left without a stop, and not closed either"):
            await running.trader.run()
        await running.context.bus.close()


async def test_trader_stopped_in_the_middle_of_an_entry_protects_it_and_enters_no_more(
    venue: VenueUnderTest, tmp_path: Path
) -> None:
    matched = venue.wire.venue.account.positions
    async with trader(venue, NO_REDIS, tmp_path), asyncio.timeout(30):
        # until the venue has filled it, and its answer is not read yet
        while not matched:  # noqa: ASYNC110
            await asyncio.sleep(0)
    (position,) = (await venue.books())["positions"]
    assert position["stops"]
    journal = Journal.read_only(tmp_path / "trader.db")
    assert [own.symbol for own in journal.own_positions()] == [position["market"]]
    journal.close()


async def test_frozen_venue_is_entered_by_nobody(venue: VenueUnderTest, tmp_path: Path) -> None:
    await venue.plan({"kind": "venue_frozen", "for_s": 100_000})
    async with trader(venue, NO_REDIS, tmp_path) as running:
        await ready(running)

        def skipped() -> Any:
            report = running.trader._report
            return report is not None and (report.skipped or report.trouble)

        await eventually(skipped, within_s=30)
        assert (await venue.books())["over"] == []


def spoil(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


def renew(path: Path) -> None:
    Journal(path, simulated_owner()).close()
    with contextlib.closing(sqlite3.connect(path)) as journal:
        journal.execute("PRAGMA user_version=99")


def remove(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


UNUSABLE = [(spoil, "nothing is traded without it"), (renew, "a journal of version 99")]


@pytest.mark.parametrize("unusable", UNUSABLE)
async def test_journal_that_cannot_be_used_locks_the_trader_until_it_can(
    venue: VenueUnderTest,
    bus: Bus,
    redis_url: str,
    tmp_path: Path,
    unusable: tuple[Callable[[Path], None], str],
) -> None:
    make, words = unusable
    make(tmp_path / "trader.db")
    async with trader(venue, redis_url, tmp_path, QUIET) as running:
        assert words in await mode(bus, "locked")
        told = await status(bus)
        assert told is not None
        assert words in told.journal
        remove(tmp_path / "trader.db")
        await ready(running)
        await mode(bus, "enabled")


async def test_trader_whose_journal_goes_from_bad_to_worse_ends_when_it_is_asked_to(
    venue: VenueUnderTest, tmp_path: Path
) -> None:
    path = tmp_path / "trader.db"
    Journal(path, simulated_owner()).close()
    with contextlib.closing(sqlite3.connect(path)) as journal:
        journal.execute("DROP TABLE equity")
    async with trader(venue, NO_REDIS, tmp_path) as running:

        def retries(why: str) -> Callable[[], bool]:
            return lambda: why in running.trader.detail.get("retrying", "")

        await eventually(retries("no such table"), within_s=20)
        remove(path)
        spoil(path)
        await eventually(retries("damaged"), within_s=20)


async def test_event_log_of_another_journal_stays_before_the_own_one(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        async with trader(venue, redis_url, tmp_path / name, QUIET) as running:
            await ready(running)
            await ask(bus, "reduce", venue.clock)
            journal = Journal.read_only(tmp_path / name / "trader.db")
            written = [event.text for event in journal.events(0, 1000)]
            journal.close()

            async def told(written: list[str] = written) -> bool:
                entries = await bus.entries(schema.TRADE_LOG, len(written))
                return [fields["text"] for _, fields in entries] == written

            await eventually(told, within_s=10)


async def test_event_log_of_a_journal_put_back_goes_on_behind_the_later_one(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    for place, (name, who) in enumerate((("first", "a"), ("second", "b"), ("first", "c"))):
        async with trader(venue, redis_url, tmp_path / name, QUIET) as running:
            await ready(running)
            command = TraderCommand(
                id=str(place), command="reduce", who=who, at_ms=venue.clock.now_ms()
            )
            await bus.append(schema.TRADER_COMMANDS, dataclasses.asdict(command))

            async def told(who: str = who) -> bool:
                entries = await bus.entries(schema.TRADE_LOG, 1000)
                texts = [fields["text"] for _, fields in entries if fields["kind"] == "command"]
                return bool(texts) and texts[-1].startswith(f"reduce by {who}")

            await eventually(told, within_s=20)
            assert running.context.bus.bad_messages == 0
