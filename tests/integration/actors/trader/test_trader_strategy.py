"""The trader by a user's strategy: checked, named with each trade, and waited for by no stop."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared import schema
from shared.bus import Bus
from shared.journal.journal import Journal
from shared.market import Timeframe
from shared.messages.trading import TraderStatus
from shared.strategy.records import CheckRecord, read_records
from shared.strategy.source import StrategyFile
from tests.support.fast_clock import FastClock
from tests.support.running_trader import RunningTrader, exchanges_on, put_candles, status
from tests.support.strategies import TRIAL, record, section, written
from tests.support.trading import CYCLE, EAGER, MarketCandles
from tests.support.venue import VenueUnderTest
from tests.support.waiting import eventually

COINS = ("BTCUSDT", "SOLUSDT")
RATE = 8
LIMIT_S = 2.0
PATIENT = dataclasses.replace(EAGER, wait_s=75)
# crosses from 10 to 90 points at the close that is decided on
ENTERS = TRIAL.replace("H1: 24", "Timeframe.H4: 12").replace(
    "return found",
    f"long = np.where(series.close_ms // 300_000 % 2 == {CYCLE // 300_000 % 2}, 90.0, 10.0)\n"
    "        return Scores(long + 0 * close, 10 + 0 * close, 0.03 + 0 * close)",
)


@pytest.fixture
async def venue(tmp_path: Path, bus: Bus) -> AsyncIterator[VenueUnderTest]:
    clock = FastClock(CYCLE + 3_000, RATE)
    async with exchanges_on(COINS, clock, tmp_path) as venue:
        candles = MarketCandles(venue.wire.venue.feed._market, COINS, clock)  # type: ignore[attr-defined]
        await put_candles(bus, candles, COINS, CYCLE)
        for coin in COINS:
            window = candles.window(coin, Timeframe.H4, CYCLE)
            await bus.put(schema.CANDLES[Timeframe.H4], window, symbol=coin)
        yield venue


@pytest.fixture(autouse=True)
def no_stop_waits_for_the_records(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Require that what the check recorded is read in no thread that protects."""
    readers = set()

    def seen(state_dir: Path) -> list[CheckRecord]:
        readers.add(threading.current_thread())
        return read_records(state_dir)

    monkeypatch.setattr("shared.strategy.records.read_records", seen)
    yield
    assert readers and threading.main_thread() not in readers


async def said(bus: Bus, cycle_ms: int | None = CYCLE) -> TraderStatus:
    """Return the status once a cycle is over; of `cycle_ms`, if any."""

    async def found() -> TraderStatus | None:
        now = await status(bus)
        return now if now is not None and now.cycle_ms == cycle_ms else None

    now: TraderStatus = await eventually(found, within_s=15)
    return now


async def positions(venue: VenueUnderTest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await venue.books())["positions"]
    return found


async def longest_pause_s(running: RunningTrader, until: asyncio.Task[Any]) -> tuple[float, int]:
    """Return the longest time between two looks of protection at the venue, and their number."""
    execution = running.trader._trading.execution
    seen, last_s, longest_s, looks = execution.reconciled_ms, time.monotonic(), 0.0, 0
    while not until.done():
        await asyncio.sleep(0.005)
        now_s = time.monotonic()
        longest_s = max(longest_s, now_s - last_s)
        if execution.reconciled_ms != seen:
            seen, last_s, looks = execution.reconciled_ms, now_s, looks + 1
    return longest_s, looks


async def test_checked_strategy_trades_under_its_name_and_a_hung_one_keeps_no_stop_waiting(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "enters.py", ENTERS)
    record(tmp_path, file)
    good = section(file, LIMIT_S)
    async with RunningTrader(venue, redis_url, tmp_path, COINS, settings=PATIENT, strategy=good):
        now = await said(bus)
        assert (now.mode, now.trouble) == ("enabled", "")
        assert now.strategy is not None
        identity = (now.strategy.name, now.strategy.version, now.strategy.hash)
        assert identity == ("trial", "3", file.digest)
        await eventually(lambda: positions(venue), within_s=20)
    journal = Journal.read_only(tmp_path / "trader.db")
    owned = journal.own_positions()
    plans = [own.plan for own in owned]
    journal.close()
    assert plans and all(
        plan is not None
        and (plan.strategy, plan.strategy_version, plan.strategy_hash, plan.base) == (*identity, 90)
        for plan in plans
    )
    assert {own.stop_fraction for own in owned} == {Decimal("0.03")}
    await hung(venue, bus, redis_url, tmp_path, file)


async def hung(
    venue: VenueUnderTest, bus: Bus, redis_url: str, tmp_path: Path, file: StrategyFile
) -> None:
    """The next trader, on the same positions, asks a strategy that never answers."""
    endless = section(file, LIMIT_S, badly="HANG")
    record(tmp_path, file, badly="HANG")
    async with RunningTrader(
        venue, redis_url, tmp_path, COINS, settings=PATIENT, strategy=endless
    ) as running:
        scorer = None
        await eventually(running.is_ready, within_s=30)
        scorer = running.trader._scorer
        troubled = asyncio.create_task(eventually(lambda: scorer.trouble, within_s=60))
        longest_s, looks = await longest_pause_s(running, troubled)
        assert "no answer within 2 s, so it was killed" in await troubled
        assert looks >= LIMIT_S
        assert longest_s < EAGER.protect_s / RATE + 1, "a look was late by a second"
        now = await said(bus)
        assert sorted(now.ours) and (now.mode, now.unprotected) == ("enabled", [])
        assert all("not scored: " in why for why in now.skipped.values()) and now.skipped
        running.trader._update_detail()
        assert "no answer within 2 s" in running.trader.detail["strategy_trouble"]


@pytest.mark.parametrize(
    "refused",
    [
        (None, "has not passed its check as it is now"),
        ({"broken": {"truncation": "BTCUSDT: it looks ahead"}}, "was refused by its check (trunc"),
        ({"bars": 7}, "has not passed its check with these parameters (badly"),
    ],
    ids=("unchecked", "broken", "other parameters"),
)
async def test_strategy_that_has_not_passed_its_check_is_refused_in_words(
    refused: tuple[dict[str, Any] | None, str],
    venue: VenueUnderTest,
    bus: Bus,
    redis_url: str,
    tmp_path: Path,
) -> None:
    checked, words = refused
    file = written(tmp_path / "enters.py", ENTERS)
    if checked is not None:
        record(tmp_path, file, **checked)
    async with RunningTrader(
        venue, redis_url, tmp_path, COINS, settings=PATIENT, strategy=section(file)
    ) as running:
        now = await said(bus)
        assert now.mode == "reducing" and f"strategy enters.py:Trial {words}" in now.reason
        assert words in running.trader.detail["strategy_trouble"]
        assert await positions(venue) == []
        assert now.strategy is not None and now.strategy.version == ""  # it was not even loaded
        record(tmp_path, file)  # the check passes while it runs

        async def is_enabled() -> bool:
            later = await status(bus)
            return later is not None and later.mode == "enabled"

        await eventually(is_enabled)


async def test_checked_strategy_is_loaded_before_the_first_close(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "enters.py", ENTERS)
    record(tmp_path, file)
    after_s = PATIENT.delay_s + PATIENT.wait_s + 1  # too late for this close, long before the next
    clock = FastClock(CYCLE + round(1000 * after_s), 1)
    async with (
        exchanges_on(COINS, clock, tmp_path) as venue,
        RunningTrader(
            venue, redis_url, tmp_path, COINS, settings=PATIENT, strategy=section(file)
        ) as running,
    ):
        await eventually(running.is_ready, within_s=30)
        scorer = running.trader._scorer
        await eventually(lambda: scorer.identity.version == "3", within_s=60)
        assert running.trader._begun_ms is None
