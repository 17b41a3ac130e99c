"""Whole cycles under every switch and breaker, and with Redis away: what is entered."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from actors.exchange_sim.market.price_paths import MarketPrices
from actors.trader.candles import TIMEFRAMES, CycleCandles
from actors.trader.gates import Gates
from actors.trader.journal_thread import JournalThread
from shared import schema
from shared.bus import Bus
from shared.config.sections import TraderSection
from shared.errors import JournalUnavailable, VenueUnavailable
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.journal.journal import Journal
from shared.kill_switch import KillSwitch, Lock
from shared.market import Timeframe
from shared.messages.trading import KillFlag
from tests.support.execution import JumpingClock
from tests.support.manual_clock import ManualClock
from tests.support.market_data import RunningFetcher, SimulatedExchange
from tests.support.private_redis import PrivateRedis
from tests.support.trading import (
    CYCLE,
    CYCLE_MS,
    EAGER,
    LOG,
    NO_REDIS,
    TraderUnderTest,
    assemble,
    trader_on,
)
from tests.support.venue import remove_trigger, simulated_client, simulated_owner, venue_on
from tests.support.waiting import eventually

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
Hand = Callable[[TraderUnderTest, Path], Any]


async def cycle_after(
    directory: Path, settings: TraderSection = EAGER, before: Hand | None = None
) -> tuple[list[dict[str, Any]], dict[str, str], list[str]]:
    """Run one cycle; return the venue's positions, what was skipped, and the limits' states."""
    async with trader_on(directory, COINS, CYCLE + 3_000, settings=settings) as trader:
        if before is not None:
            await before(trader, directory)
        report = await trader.trading.cycle.run(CYCLE)
        books = await trader.at.books()
        limits = [f"{x.name} {x.state}" for x in trader.trading.pnl.limits]
        return books["positions"], report.skipped, limits


def coins(positions: list[dict[str, Any]]) -> list[str]:
    return [position["market"] for position in positions]


async def test_without_a_restraint_both_are_entered(tmp_path: Path) -> None:
    positions, _, _ = await cycle_after(tmp_path)
    assert coins(positions) == ["BTCUSDT", "SOLUSDT"]


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000], ids=["suspended", "set back"])
async def test_nothing_is_entered_on_candles_read_before_a_jump_of_the_clock(
    tmp_path: Path, by_ms: int
) -> None:
    async def jumps(trader: TraderUnderTest, _: Path) -> None:
        gather = trader.candles.at_close

        async def at_close(cycle_ms: int, until_ms: int) -> Any:
            gathered = await gather(cycle_ms, until_ms)
            trader.clock.step_wall(by_ms)
            return gathered

        trader.candles.at_close = at_close  # type: ignore[method-assign]

    positions, skipped, _ = await cycle_after(tmp_path, before=jumps)
    assert positions == []
    assert all("the clock jumped by" in skipped[coin] for coin in ("BTCUSDT", "SOLUSDT"))


async def test_market_the_venue_refuses_to_show_keeps_no_other_from_being_entered(
    tmp_path: Path,
) -> None:
    async def refuse(trader: TraderUnderTest, _: Path) -> None:
        await trader.at.plan(
            {"kind": "venue_unavailable", "value": 3610, "for_s": 60, "symbol": "BTCUSDT",
             "endpoint": "depth"}
        )  # fmt: skip

    positions, skipped, _ = await cycle_after(tmp_path, before=refuse)
    assert coins(positions) == ["SOLUSDT"]
    assert "the venue refuses (code 3610)" in skipped["BTCUSDT"]


async def lock(trader: TraderUnderTest, directory: Path) -> None:
    KillSwitch(directory).set(Lock(reason="x", who="ada", at_ms=1))


async def unreadable_lock(trader: TraderUnderTest, directory: Path) -> None:
    KillSwitch(directory).path.write_text("?")


async def disabled(trader: TraderUnderTest, directory: Path) -> None:
    await trader.trading.gates.choose("disabled")


async def reducing(trader: TraderUnderTest, directory: Path) -> None:
    await trader.trading.gates.choose("reducing")


async def flag(trader: TraderUnderTest, directory: Path) -> None:
    trader.trading.gates.flag = KillFlag(reason="x", who="ada", at_ms=1)


@pytest.mark.parametrize("switch", [lock, unreadable_lock, disabled, reducing, flag])
async def test_nothing_is_entered_under_a_switch(tmp_path: Path, switch: Hand) -> None:
    positions, _, _ = await cycle_after(tmp_path, before=switch)
    assert positions == []


@pytest.mark.parametrize("switch", [lock, disabled, reducing])
async def test_what_is_open_is_looked_after_under_a_switch(tmp_path: Path, switch: Hand) -> None:
    async with trader_on(tmp_path, COINS, CYCLE + 3_000) as trader:
        await trader.trading.cycle.run(CYCLE)
        await switch(trader, tmp_path)
        await remove_trigger(trader.at.url, "BTCUSDT", "stop")
        await trader.clock.advance(3)
        await trader.trading.execution.protect()
        books = await trader.at.books()
        assert all(p["stops"] for p in books["positions"])
        assert await trader.trading.execution.close("BTCUSDT", "enough") == "closed"


@pytest.mark.parametrize(
    ("limit", "entered", "why"),
    [
        ({"max_positions": 1}, ["BTCUSDT"], "1 positions, at most 1"),
        ({"max_same_side": 1}, ["BTCUSDT"], "at most 1 are allowed"),
        ({"max_gross_notional": 0.1}, ["BTCUSDT"], "below the smallest"),
        ({"max_orders_per_hour": 1}, ["BTCUSDT"], "at most 1 are allowed: wait"),
        ({"cost_share_pct": 0.001}, [], "too little movement"),
        ({"index_deviation_pct": 0.00001}, [], "is allowed"),
        ({"entry_score": 57}, ["BTCUSDT"], ""),
    ],
)
async def test_limit_holds_also_after_the_first_fill(
    tmp_path: Path, limit: dict[str, Any], entered: list[str], why: str
) -> None:
    settings = dataclasses.replace(EAGER, **limit)
    positions, skipped, _ = await cycle_after(tmp_path, settings)
    assert coins(positions) == entered
    assert why in skipped.get("SOLUSDT", "") + skipped.get("BTCUSDT", "")


async def test_position_opened_by_hand_counts_and_is_not_entered(tmp_path: Path) -> None:
    async def by_hand(trader: TraderUnderTest, directory: Path) -> None:
        await trader.at.by_hand("position", market="BTCUSDT", side="short", amount="0.01")

    positions, skipped, limits = await cycle_after(
        tmp_path, dataclasses.replace(EAGER, max_positions=2), by_hand
    )
    assert coins(positions) == ["BTCUSDT", "SOLUSDT"]
    assert Decimal(positions[0]["size"]) == Decimal("0.01")
    assert "position in this coin" in skipped["BTCUSDT"]
    assert "positions reached" in limits


async def test_loss_of_the_day_latches_until_it_is_released(tmp_path: Path) -> None:
    settings = dataclasses.replace(EAGER, daily_loss_pct=0.01)
    async with trader_on(tmp_path, COINS, CYCLE + 3_000, settings=settings) as trader:
        # two fees of 2.5 are more than 0.01 % of 10 000
        await trader.trading.cycle.run(CYCLE)
        await trader.trading.execution.close_all("enough")
        await trader.trading.cycle.run(CYCLE + CYCLE_MS)
        mode, why = trader.trading.gates.mode()
        assert mode == "locked"
        assert "daily loss" in why
        events = await trader.journal_thread.do(Journal.events, 0, 1000)
        assert [e.text for e in events if e.kind == "breaker"]
        assert trader.trading.gates.objection()
        again = assemble(
            trader.client, trader.journal_thread, trader.trading.cycle._bus, trader.candles,
            clock=JumpingClock(trader.clock), symbols=COINS, state_dir=tmp_path, settings=settings,
        )  # fmt: skip
        await again.load()
        assert again.gates.mode()[0] == "locked"
        await again.pnl.release()
        assert again.gates.mode()[0] == "enabled"


async def test_losses_in_a_row_latch_and_begin_a_cool_down(tmp_path: Path) -> None:
    settings = dataclasses.replace(EAGER, max_losses=2, cooldown_min=60)
    async with trader_on(tmp_path, COINS, CYCLE + 3_000, settings=settings) as trader:
        await trader.trading.cycle.run(CYCLE)
        await trader.trading.execution.close_all("enough")
        losses = await trader.journal_thread.do(Journal.last_losses, 0)
        assert set(losses) == {("BTCUSDT", "long"), ("SOLUSDT", "long")}
        await trader.trading.pnl.observe(await trader.trading.execution.account())
        mode, why = trader.trading.gates.mode()
        assert mode == "reducing" and "losses in a row" in why
        assert "no new entries until" in " ".join(e.text for e in await trader.events())
        again = assemble(
            trader.client, trader.journal_thread, trader.trading.cycle._bus, trader.candles,
            clock=JumpingClock(trader.clock), symbols=COINS, state_dir=tmp_path,
            settings=dataclasses.replace(settings, loss_pause_h=0),
        )  # fmt: skip
        await again.load()
        assert again.gates.objection()
        await again.pnl.observe(await again.execution.account())
        mode, why = again.gates.mode()
        assert mode == "locked" and "losses in a row" in why
        assert "until it is released" in (await trader.events())[-1].text


async def test_what_takes_until_the_next_close_enters_nothing(tmp_path: Path) -> None:
    async with trader_on(tmp_path, COINS, CYCLE + 3_000) as trader:
        cycle, score = trader.trading.cycle, trader.trading.scorer.score

        async def slowly(*asked: Any) -> Any:
            await trader.clock.advance(297)
            return await score(*asked)

        cycle._scorer = SimpleNamespace(score=slowly, timeframes=TIMEFRAMES, trouble="")
        await cycle.run(CYCLE)
        refused = [each.text for each in await trader.events() if each.kind == "refused"]
        assert refused and all("has closed, too" in text for text in refused)
        assert not await trader.journal_thread.do(Journal.open_intents)


async def test_money_moved_in_or_out_is_neither_gain_nor_loss(tmp_path: Path) -> None:
    async with trader_on(tmp_path, COINS, CYCLE + 3_000) as trader:
        trading = trader.trading
        await trading.pnl.observe(await trading.execution.account())
        status, _ = await trader.at.by_hand("transfer", amount="5000")
        assert status == 200
        await trading.pnl.observe(await trading.execution.account())
        assert trading.pnl.pnl_today == 0
        drawdown = next(x for x in trading.pnl.limits if x.name == "drawdown")
        assert Decimal(drawdown.used) == 0


async def test_transfer_that_could_not_be_journalled_is_no_gain_later(tmp_path: Path) -> None:
    async with trader_on(tmp_path, COINS, CYCLE + 3_000) as trader:
        pnl, execution = trader.trading.pnl, trader.trading.execution
        await pnl.observe(await execution.account())
        await trader.at.by_hand("transfer", amount="5000")
        account = await execution.account()
        await trader.journal_thread.do(Journal._rows, "PRAGMA query_only=1")
        with pytest.raises(JournalUnavailable):
            await pnl.observe(account)
        await trader.journal_thread.do(Journal._rows, "PRAGMA query_only=0")
        await pnl.observe(account)
        assert pnl.pnl_today == 0


async def test_release_beside_a_look_loses_neither(tmp_path: Path) -> None:
    settings = dataclasses.replace(EAGER, daily_loss_pct=0.01)
    async with trader_on(tmp_path, COINS, CYCLE + 3_000, settings=settings) as trader:
        pnl, execution = trader.trading.pnl, trader.trading.execution
        await trader.trading.cycle.run(CYCLE)
        await execution.close_all("enough")
        account = await execution.account()
        await pnl.observe(account)
        assert pnl.latches
        await asyncio.gather(pnl.observe(account), pnl.release())
        assert not pnl.latches


async def test_balance_that_is_not_told_is_no_empty_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trader_on(tmp_path, COINS, CYCLE + 3_000) as trader:
        monkeypatch.setattr(trader.client, "currency", "USDC")
        with pytest.raises(VenueUnavailable, match="no balance in USDC"):
            await trader.trading.execution.account()


async def test_kill_that_comes_during_an_enable_stays(tmp_path: Path) -> None:
    async with trader_on(tmp_path, COINS, CYCLE + 3_000) as trader:
        switch = KillSwitch(tmp_path)
        switch.set(Lock(reason="x", who="ada", at_ms=1, mode="disabled"))
        await trader.trading.gates.check_lock()
        killed = switch.set(Lock(reason="y", who="bob", at_ms=2))
        await trader.trading.gates.choose("enabled")
        assert switch.read() == killed
        assert trader.trading.gates.mode()[0] == "locked"


async def gates_of_a_known_journal(trader: TraderUnderTest) -> Gates:
    trading = trader.trading
    await trading.continuity.compare(await trading.execution.protect())
    return trading.gates


async def test_bad_keys_of_others_never_look_like_a_kill(
    tmp_path: Path, bus: Bus, shared_redis: PrivateRedis
) -> None:
    shared_redis.run("SET", schema.BAN_UNTIL.name(), "not JSON")
    async with trader_on(tmp_path, COINS, CYCLE + 3_000) as trader:
        gates = await gates_of_a_known_journal(trader)
        for _ in range(20):
            reads = (bus.get(schema.BAN_UNTIL) for _ in range(5))
            await asyncio.gather(gates.check_flag(bus), *reads)
            assert gates.mode()[0] == "enabled"
        assert bus.bad_messages == 100


@pytest.mark.parametrize("command", [("SET", "not JSON"), ("RPUSH", "of another type")])
async def test_unreadable_kill_flag_locks_and_is_replaced_by_a_readable_one(
    tmp_path: Path, bus: Bus, shared_redis: PrivateRedis, command: tuple[str, str]
) -> None:
    shared_redis.run(command[0], schema.TRADER_KILL.name(), command[1])
    async with trader_on(tmp_path, COINS, CYCLE + 3_000) as trader:
        gates = await gates_of_a_known_journal(trader)
        await gates.check_flag(bus)
        assert gates.mode()[0] == "locked" and "cannot be read" in gates.mode()[1]
        assert await bus.get(schema.TRADER_KILL) == gates.flag
        await gates.check_flag(bus)
        assert gates.mode()[0] == "locked"
        await gates.release(bus)
        await gates.check_flag(bus)
        assert gates.mode()[0] == "enabled"


async def test_warning_is_told_before_a_limit_is_reached(tmp_path: Path) -> None:
    settings = dataclasses.replace(EAGER, max_positions=2, warn_pct=50)
    async with trader_on(tmp_path, COINS, CYCLE + 3_000, settings=settings) as trader:
        await trader.trading.cycle.run(CYCLE)
        events = await trader.journal_thread.do(Journal.events, 0, 1000)
        texts = [e.text for e in events if e.kind == "warning"]
        assert any(text.startswith("positions: 1 of 2") for text in texts), texts


# With and without Redis


async def orders_of_a_cycle(
    exchange: SimulatedExchange, clock: ManualClock, redis_url: str, directory: Path
) -> tuple[str, list[tuple[Any, ...]]]:
    jumping = JumpingClock(clock)
    bus = Bus(redis_url, name="trader", clock=jumping)
    journal_thread = JournalThread(
        Journal(directory / "trader.db", simulated_owner(), identity="0a1b2c3d")
    )
    async with (
        venue_on(MarketPrices(exchange.market), clock, directory) as at,
        aiohttp.ClientSession() as session,
    ):
        binance = BinanceClient(
            session, base_url=exchange.url, clock=jumping, ban=BanFile(directory / "ban")
        )
        candles = CycleCandles(bus, binance, COINS, source="sim", clock=jumping, log=LOG)
        trading = assemble(
            simulated_client(at.url, session, jumping, 10), journal_thread, bus, candles,
            clock=jumping, symbols=COINS, state_dir=directory,
        )  # fmt: skip
        await trading.load()
        report = await trading.cycle.run(CYCLE)
        books = await at.books()
        stops = {
            p["market"]: (p["stops"][0]["price"], p["targets"][0]["price"])
            for p in books["positions"]
        }
        found = [
            (
                order["market"], order["side"], order["kind"], order["amount"], order["price"],
                order["client_id"], *stops[order["market"]],
            )
            for order in books["over"]
        ]  # fmt: skip
    journal_thread.close()
    await bus.close()
    return report.candles_from, found


async def test_cycle_without_redis_sends_the_very_same_orders(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    clock = ManualClock(CYCLE + 3_000)
    async with (
        SimulatedExchange(COINS, clock) as exchange,
        RunningFetcher(exchange, redis_url, tmp_path),
    ):

        async def fetched() -> bool:
            parts = [{"symbol": symbol} for symbol in COINS]
            found = [
                await bus.get_many(schema.CANDLES[t], parts) for t in (Timeframe.M5, Timeframe.H1)
            ]
            return all(window is not None for windows in found for window in windows)

        await eventually(fetched, within_s=30)
        with_redis = await orders_of_a_cycle(exchange, clock, redis_url, tmp_path / "with")
    clock = ManualClock(CYCLE + 3_000)
    async with SimulatedExchange(COINS, clock) as exchange:
        without = await orders_of_a_cycle(exchange, clock, NO_REDIS, tmp_path / "without")
    assert (with_redis[0], without[0]) == ("redis", "binance")
    assert with_redis[1] == without[1]
    assert [order[0] for order in without[1]] == ["BTCUSDT", "SOLUSDT"]
