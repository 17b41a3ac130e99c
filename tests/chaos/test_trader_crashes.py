"""A trader killed before and after every step of a cycle that it writes or sends.

Whatever it had done by then: the next one neither doubles an order nor loses a fill, leaves no
position of ours without a stop, and touches none that is not ours.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from shared.journal.journal import Journal
from shared.messages.trading import TraderCommand
from tests.support.crash_run import CrashingTrader, CrashRun
from tests.support.execution import all_intents
from tests.support.trading import CYCLE, EAGER
from tests.support.venue import remove_trigger

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
BY_HAND = {"market": "ETHUSDT", "side": "short", "amount": "0.5"}
LOOKS = 20


@pytest.fixture(scope="module")
def run() -> Iterator[CrashRun]:
    with CrashRun(COINS, CYCLE, EAGER).running() as run:
        yield run


async def a_cycle_and_a_close(trader: CrashingTrader) -> None:
    execution = trader.trading.execution
    await execution.protect()
    await trader.trading.cycle.run(trader.cycle_ms)
    await trader.clock.sleep(3)
    await execution.protect()
    await trader.trading.commands.carry_out(close_command(trader))
    await execution.protect()


def close_command(trader: CrashingTrader) -> TraderCommand:
    """Return the command as it stands in the stream, for whoever reads it."""
    now_ms = trader.clock.now_ms()
    return TraderCommand(id="one", command="close", who="ada", at_ms=now_ms, symbol="BTCUSDT")


async def without_a_stop(trader: CrashingTrader) -> None:
    """Enter, lose the stop, and close for want of one."""
    execution = trader.trading.execution
    await trader.trading.cycle.run(trader.cycle_ms)
    for matched in (await execution.protect()).ours:
        await remove_trigger(trader.url, matched.own.symbol, "stop")
        await remove_trigger(trader.url, matched.own.symbol, "target")
    await execution.protect()
    await execution.close_all("flatten")


async def recover(trader: CrashingTrader) -> dict[str, Any]:
    """Do what a restarted trader does, and tell for how long a position of ours was bare."""
    execution, journal = trader.trading.execution, trader.journal_thread
    ready_ms = trader.client.now_ms()
    await execution.protect()
    bare_ms = 0
    await trader.trading.commands.resume()
    report = await trader.trading.cycle.run(trader.cycle_ms)
    await trader.trading.commands.carry_out(close_command(trader))
    for _ in range(LOOKS):
        reconciled = await execution.protect()
        positions = await trader.client.positions()
        bare = [p for p in positions if p.symbol != "ETHUSDT" and p.stop_loss is None]
        if bare:
            bare_ms = trader.client.now_ms() - ready_ms
        settled = (
            not bare and not reconciled.ending and not any(h.own.closing for h in reconciled.ours)
        )
        if settled and not await journal.do(Journal.open_intents):
            return {"bare_s": bare_ms / 1000, "trouble": report.trouble}
        await trader.clock.sleep(3)
    raise AssertionError(f"not settled after {LOOKS} looks: {reconciled}")


def check(run: CrashRun, found: dict[str, Any]) -> None:
    books = run.ask("/sim/venue?last=5000")
    journal = Journal.read_only(run.state_dir / "trader.db")
    try:
        owned, closed = journal.own_positions(), journal.closed(100)
        intents, events = all_intents(journal), journal.events(0, 10_000)
        last = journal.last_event_id()
    finally:
        journal.close()

    # no order is doubled: one entry per coin at most, each id at most once
    sent = [order for order in books["over"] if order["client_id"]]
    ids = [order["client_id"] for order in sent]
    assert len(ids) == len(set(ids))
    assert set(ids) <= {intent.client_id for intent in intents}
    entries = [i for i in intents if i.purpose == "entry"]
    assert len({i.symbol for i in entries}) == len(entries)
    assert all(i.state != "sending" for i in intents)
    taken = {i.client_id for i in intents if i.state == "taken"}
    filled = {o["client_id"] for o in sent if Decimal(o["filled"])}
    assert filled <= taken

    # a command is carried out once
    assert len([event for event in events if event.kind == "command"]) == 1
    assert "BTCUSDT" not in {own.symbol for own in owned}

    # no fill is lost
    deals = {str(d["deal_id"]): d for d in books["deals"] if d["market"] != "ETHUSDT"}
    fills = {fill.fill_id: fill for own in (*owned, *closed) for fill in own.fills}
    assert fills.keys() == deals.keys()
    assert all(Decimal(deals[n]["amount"]) == fill.size for n, fill in fills.items())
    assert len([e for e in events if e.kind == "fill"]) == len(fills)
    assert [event.event_id for event in events] == [*range(1, last + 1)]

    # what is open is ours, at its size, and has a stop
    by_market = {position["market"]: position for position in books["positions"]}
    by_hand = by_market.pop("ETHUSDT")
    assert {own.symbol: own.size for own in owned} == {
        market: Decimal(position["size"]) for market, position in by_market.items()
    }
    assert all(Decimal(p["stops"][0]["price"]) > 0 for p in by_market.values())
    assert found["bare_s"] <= EAGER.unprotected_s
    assert found["trouble"] == ""

    # what was opened by hand is as it was
    assert Decimal(by_hand["size"]) == Decimal(BY_HAND["amount"])
    assert by_hand["side"] == BY_HAND["side"]
    assert not by_hand["stops"]
    assert len([d for d in books["deals"] if d["market"] == "ETHUSDT"]) == run.by_hand_deals


def begin(run: CrashRun) -> None:
    run.reset()
    run.ask("/sim/venue/position", BY_HAND)
    run.by_hand_deals = len(run.ask("/sim/venue")["deals"])


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("scenario", "every"), [(a_cycle_and_a_close, 1), (without_a_stop, 3)])
def test_trader_killed_at_any_step_neither_loses_nor_doubles_an_order(
    run: CrashRun, scenario: Any, every: int
) -> None:
    begin(run)
    ended_by, whole = run.run_trader(scenario)
    assert ended_by is None
    check(run, run.run_trader(recover)[1]["found"])
    assert whole["steps"] > 100
    for kill_at in range(1, whole["steps"] + 1, every):
        begin(run)
        ended_by, _ = run.run_trader(scenario, kill_at)
        assert ended_by == signal.SIGKILL, kill_at
        run.time.set(run.time.now_ms() + 2_000)
        try:
            check(run, run.run_trader(recover)[1]["found"])
        except AssertionError as error:
            raise AssertionError(f"killed at step {kill_at} of {whole['steps']}") from error
