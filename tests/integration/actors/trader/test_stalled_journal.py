"""A journal that is locked or stalled: protection goes on from memory, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.trader.journal_thread import JournalThread
from shared.errors import JournalUnavailable
from shared.journal.journal import Journal
from shared.kill_switch import KillSwitch, Lock
from shared.messages.trading import TraderCommand
from tests.support.execution import (
    ExecutionUnderTest,
    all_intents,
    execution_at,
    execution_on,
    plan,
)
from tests.support.full_disk import create_no_lock_files
from tests.support.trading import CYCLE, trader_on
from tests.support.venue import remove_trigger, simulated_owner
from tests.support.waiting import eventually

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ExecutionUnderTest]:
    async with execution_on(tmp_path) as execution:
        yield execution


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.trader.journal_thread.ANSWER_S", 0.3)


@asynccontextmanager
async def stalled(thread: JournalThread) -> AsyncIterator[None]:
    """Keep the journal's thread in a call, as a disk does that does not sync."""
    go_on = threading.Event()
    with pytest.raises(JournalUnavailable, match="has not answered"):
        await thread.do(lambda _: go_on.wait(60))
    try:
        yield
    finally:
        go_on.set()

        def is_over() -> bool:
            return not thread.trouble

        await eventually(is_over, within_s=10)


@asynccontextmanager
async def locked(thread: JournalThread) -> AsyncIterator[None]:
    """Hold the write lock, as another program does."""
    await thread.do(Journal._rows, "PRAGMA busy_timeout=10")
    path = thread._journal.path
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_later_calls_fail_at_once_while_one_hangs(tmp_path: Path) -> None:
    thread = JournalThread(Journal(tmp_path / "trader.db", simulated_owner()))
    async with stalled(thread):
        with pytest.raises(JournalUnavailable, match=r"trader\.db: has not answered for"):
            await thread.do(Journal.set_note, "x", 1)
        assert "stalled disk" in thread.trouble
    assert await thread.do(Journal.note, "x") is None
    thread.close()


async def test_trouble_lasts_until_the_journal_was_written_again(tmp_path: Path) -> None:
    thread = JournalThread(Journal(tmp_path / "trader.db", simulated_owner()))
    async with locked(thread):
        with pytest.raises(JournalUnavailable):
            await thread.do(Journal.probe, 1)
        await thread.do(Journal.note, "x")  # reading works
        assert "trader.db: database is locked" in thread.trouble
    await thread.do(Journal.probe, 2)
    assert thread.trouble == ""
    (tmp_path / "trader.db").rename(tmp_path / "moved.db")
    await thread.do(Journal.probe, 3)
    assert "moved away or replaced" in thread.trouble
    (tmp_path / "moved.db").rename(tmp_path / "trader.db")
    await thread.do(Journal.probe, 4)
    assert thread.trouble == ""
    thread.close()


@pytest.mark.parametrize("fault", [stalled, locked])
async def test_stop_is_set_again_from_memory(here: ExecutionUnderTest, fault: object) -> None:
    await here.enter(plan())
    async with fault(here.journal_thread):  # type: ignore[operator]
        await remove_trigger(here.at.url, "BTCUSDT", "stop")
        await here.clock.advance(3)
        with contextlib.suppress(JournalUnavailable):  # a locked one can still be read
            await here.execution.protect()
        (position,) = await here.client.positions()
        assert position.stop_loss is not None
    await here.execution.protect()


@pytest.mark.parametrize("fault", [stalled, locked])
async def test_position_left_without_a_stop_is_closed_from_memory(
    here: ExecutionUnderTest, fault: object
) -> None:
    await here.enter(plan())
    async with fault(here.journal_thread):  # type: ignore[operator]
        await here.at.plan(
            {"kind": "venue_5xx", "for_s": 600, "endpoint": "set-position-stop-loss"}
        )
        await remove_trigger(here.at.url, "BTCUSDT", "stop")
        for _ in range(7):
            await here.clock.advance(3)
            with contextlib.suppress(JournalUnavailable):
                await here.execution.protect()
        assert await here.client.positions() == []
    await here.clock.advance(20)
    await here.execution.protect()
    (ended,) = await here.note(Journal.closed, 10)
    assert (ended.symbol, await here.note(Journal.own_positions)) == ("BTCUSDT", [])
    sent = await here.note(all_intents)
    assert [(each.purpose, each.state) for each in sent] == [("entry", "taken"), ("close", "taken")]
    assert len(await here.orders()) == 2


@pytest.mark.parametrize("fault", [stalled, locked])
async def test_everything_is_closed_from_memory_and_journalled_afterwards(
    here: ExecutionUnderTest, fault: object
) -> None:
    await here.enter(plan())
    await here.enter(plan("SOLUSDT", size="1"))
    async with fault(here.journal_thread):  # type: ignore[operator]
        with pytest.raises(JournalUnavailable):
            await here.execution.close_all("flatten by a test")
        assert await here.client.positions() == []
        with pytest.raises(JournalUnavailable):
            await here.execution.protect()
    await here.clock.advance(20)
    await here.execution.protect()
    assert await here.note(Journal.own_positions) == []
    assert {each.state for each in await here.note(all_intents)} == {"taken"}
    assert len(await here.orders()) == 4


async def test_trader_killed_before_it_could_journal_a_close_neither_loses_nor_repeats_it(
    here: ExecutionUnderTest, tmp_path: Path
) -> None:
    await here.enter(plan())
    async with stalled(here.journal_thread):
        with pytest.raises(JournalUnavailable):
            await here.execution.close_all("flatten by a test")
    # what it remembers is lost with it: another one goes on with the same file
    async with execution_at(here.at, here.prices, here.clock, tmp_path) as after:
        await after.pass_time(70)
        assert await after.note(Journal.own_positions) == []
        (ended,) = await after.note(Journal.closed, 10)
        assert ended.left[0] == ended.entered[0]
        assert len(await after.orders()) == 2


async def test_entry_is_not_sent_while_the_journal_is_stalled(here: ExecutionUnderTest) -> None:
    async with stalled(here.journal_thread):
        with pytest.raises(JournalUnavailable):
            await here.enter(plan())
    assert await here.orders() == []


async def test_kill_holds_where_neither_lock_nor_journal_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trader_on(tmp_path, COINS, 1_767_225_600_000) as trader:
        gates, commands = trader.trading.gates, trader.trading.commands
        kill = TraderCommand(id="c1", command="kill", who="ada", at_ms=trader.clock.now_ms())
        with monkeypatch.context() as patched:
            create_no_lock_files(patched, errno.EROFS)
            async with stalled(trader.journal_thread):
                with pytest.raises(JournalUnavailable):
                    await commands.carry_out(kill)
                with pytest.raises(JournalUnavailable):
                    await gates.check_lock()
                assert gates.objection().startswith("locked: ")
                assert "killed by ada" in gates.mode()[1]
        assert KillSwitch(tmp_path).read() is None
        await gates.check_lock()
        await commands.carry_out(kill)
        lock = KillSwitch(tmp_path).read()
        assert lock is not None
        assert (lock.who, lock.mode) == ("ada", "locked")


async def test_lock_that_only_the_journal_took_survives_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_no_lock_files(monkeypatch, errno.EROFS)
    async with trader_on(tmp_path, COINS, 1_767_225_600_000) as trader:
        now_ms = trader.clock.now_ms()
        kill = TraderCommand(id="c1", command="flatten", who="ada", at_ms=now_ms)
        await trader.trading.commands.carry_out(kill)
        row = await trader.journal_thread.do(Journal.command, "c1")
        assert row is not None
        assert "the lock file cannot be written (Read-only file system" in row.text
        assert "the journal keeps the lock" in row.text
    async with trader_on(tmp_path, COINS, 1_767_225_600_000) as trader:
        lock = trader.trading.gates.lock
        assert lock is not None
        assert (lock.who, lock.flatten) == ("ada", True)


async def test_flatten_closes_while_neither_journal_nor_lock_file_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    set_lock = KillSwitch.set

    def hang(self: KillSwitch, lock: Lock) -> Lock:
        go_on.wait(60)
        return set_lock(self, lock)

    monkeypatch.setattr("actors.trader.gates.LOCK_S", 0.2)
    monkeypatch.setattr(KillSwitch, "set", hang)
    async with trader_on(tmp_path, COINS, CYCLE + 3_000) as trader:
        await trader.trading.cycle.run(CYCLE)
        assert len((await trader.at.books())["positions"]) == 2
        flatten = TraderCommand(id="c1", command="flatten", who="ada", at_ms=trader.clock.now_ms())
        async with stalled(trader.journal_thread):
            with pytest.raises(JournalUnavailable):
                await trader.trading.commands.carry_out(flatten)
            assert (await trader.at.books())["positions"] == []
            assert trader.trading.gates.objection().startswith("locked: ")
        go_on.set()
        await eventually(KillSwitch(tmp_path).read, within_s=20)
