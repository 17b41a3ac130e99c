"""Trading at a venue of another kind: orders answered before they are executed, ids that two
markets share, positions without an id, stops that ride on the entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain, cycle
from pathlib import Path

import pytest

from shared.exchanges.venue import AccountCheck
from shared.journal.journal import Journal
from shared.journal.rows import OwnPosition
from shared.trading.strategy import BASE
from tests.support.execution import START_MS, D, all_intents, plan
from tests.support.tiny.trading import TinyExecution, TinyRun, tiny_execution, tiny_trader_on
from tests.support.tiny.venue import CURRENCY, Trouble
from tests.support.trading import CYCLE_MS, NO_REDIS

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
CYCLES = 120
TROUBLES: Sequence[Trouble] = (
    "", "", "unanswered", "", "rejected", "", "lost", "", "repeated", "", "late",
)  # fmt: skip


def states(here: TinyExecution) -> list[str]:
    return [intent.state for intent in all_intents(here.journal)]


async def position(here: TinyExecution, symbol: str = "BTCUSDT") -> OwnPosition:
    """Return the own position of a market, which must be at the venue as well."""
    (at_venue,) = [each for each in await here.venue.positions() if each.symbol == symbol]
    (own,) = [own for own in here.journal.own_positions() if own.symbol == symbol]
    assert (own.size, own.side) == (at_venue.size, at_venue.side)
    return own


async def test_entry_answered_before_it_is_executed_is_waited_for(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path) as here:
        began_ms = here.clock.now_ms()
        assert await here.enter(plan()) == ""
        assert 150 <= here.clock.now_ms() - began_ms <= 1000
        assert states(here) == ["taken"]
        own = await position(here)
        assert own.is_complete
        assert own.currency == CURRENCY


async def test_stop_and_target_ride_on_the_entry(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path) as here:
        wanted = plan()
        await here.enter(wanted)
        await here.pass_time(3)
        own = await position(here)
        assert (own.stop, own.target) == (wanted.stop, wanted.target)
        assert own.unprotected_ms is None
        # nothing was set a second time
        assert {e.kind for e in here.journal.events()} & {"stop", "target"} <= {"stop"}
        assert own.plan is not None
        assert (own.plan.strategy, own.plan.strategy_hash) == (BASE.name, BASE.hash)
        assert own.plan.risk == wanted.size * wanted.entry_price * wanted.stop_fraction


async def test_order_received_and_then_rejected_is_refused(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "rejected") as here:
        assert "engine is full" in await here.enter(plan())
        assert states(here) == ["refused"]
        assert here.journal.own_positions() == []


async def test_order_without_an_answer_is_found_by_its_id(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "unanswered") as here:
        assert "unknown" in await here.enter(plan())
        await here.pass_time(3)
        assert states(here) == ["taken"]
        assert (await position(here)).stop is not None


async def test_id_that_the_venue_has_already_is_looked_up_and_never_sent_again(
    tmp_path: Path,
) -> None:
    async with tiny_execution(tmp_path, "repeated") as here:
        assert "already" in await here.enter(plan())
        assert states(here) == ["unknown"]
        await here.pass_time(3)
        assert states(here) == ["taken"]
        assert len(here.account.state.orders.over) == 1


async def test_order_that_is_lost_counts_as_not_taken_once_it_cannot_arrive(
    tmp_path: Path,
) -> None:
    async with tiny_execution(tmp_path, "lost") as here:
        await here.enter(plan())
        await here.pass_time(3)
        assert states(here) == ["unknown"]
        await here.pass_time(9)
        assert states(here) == ["not_taken"]


async def test_order_executed_long_after_its_answer_is_in_doubt_until_then(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "late") as here:
        began_ms = here.clock.now_ms()
        assert "not known" in await here.enter(plan())
        assert here.clock.now_ms() - began_ms < 4000
        await here.pass_time(3)
        assert states(here) == ["unknown"]
        await here.pass_time(9)
        assert states(here) == ["taken"]
        assert (await position(here)).stop is not None


@pytest.mark.parametrize(("to", "by"), [("58000", "stop"), ("62500", "target")])
async def test_stop_and_target_end_a_position_with_what_the_venue_says(
    tmp_path: Path, to: str, by: str
) -> None:
    async with tiny_execution(tmp_path) as here:
        await here.enter(plan())
        here.prices.go("BTCUSDT", here.clock.now_ms() + 30_000, to)
        await here.pass_time(36)
        (own,) = here.journal.closed(1)
        assert (own.ended_by, own.how) == (by, f"by {by}")
        assert own.pnl == here.account.account.wallet - 10_000
        assert own.pnl == own.price_pnl - own.fees + own.funding
        assert own.r is not None
        assert (own.r < 0) is (by == "stop")
        assert abs(own.slippage) < own.risk


async def test_ids_that_two_markets_share_are_two(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path) as here:
        await here.enter(plan())
        await here.enter(plan("ETHUSDT", size="1"))
        bitcoin, ether = await position(here), await position(here, "ETHUSDT")
        assert {f.fill_id for f in bitcoin.fills} & {f.fill_id for f in ether.fills}
        assert {f.order_id for f in bitcoin.fills} == {f.order_id for f in ether.fills}
        assert await here.execution.close("ETHUSDT", "enough") == "closed"
        assert [own.symbol for own in here.journal.own_positions()] == ["BTCUSDT"]


async def test_position_opened_by_hand_after_ours_had_ended_is_foreign_without_an_id(
    tmp_path: Path,
) -> None:
    async with tiny_execution(tmp_path) as here:
        await here.enter(plan())
        here.prices.go("BTCUSDT", here.clock.now_ms() + 1000, "60010")
        await here.clock.advance(2)
        here.account.close("BTCUSDT", "market", None, None)
        here.account.place("BTCUSDT", "buy", "market", D("0.01"), None)
        await here.pass_time(60)
        assert here.journal.own_positions() == []
        (own,) = here.journal.closed(1)
        assert own.ended_by == "outside"
        (found,) = await here.venue.positions()
        assert (found.size, found.stop_loss) == (D("0.01"), None)


async def test_stop_taken_away_is_set_again(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path) as here:
        await here.enter(plan())
        await here.pass_time(3)
        here.account.cancel_triggers("BTCUSDT", "stop", None)
        await here.pass_time(3)
        (found,) = await here.venue.positions()
        assert found.stop_loss is not None


async def test_whole_trading_run_agrees_to_the_last_digit(tmp_path: Path) -> None:
    troubles = cycle(TROUBLES)
    async with tiny_trader_on(
        tmp_path, COINS, START_MS + CYCLE_MS, troubles=troubles, redis_url=NO_REDIS
    ) as run:
        for _ in range(CYCLES):
            await run.one_cycle()
        await run.get_out()
        closed = await run.closed()
        kinds = Counter(event.kind for event in await run.events())
        ends = Counter(own.ended_by for own in closed)
        assert kinds["closed"] == len(closed) > 20
        assert min(kinds[kind] for kind in ("refused", "unknown", "not taken")) > 0, kinds
        assert min(ends[by] for by in ("stop", "target", "time")) > 0, ends
        await check_account(run, closed)


async def check_account(run: TinyRun, closed: Sequence[OwnPosition]) -> None:
    """Compare the journal with the account: fills, fees, results, ids."""
    account = run.account.account
    assert account.positions == {}
    assert run.account.state.orders.pending == []
    fills = list(chain.from_iterable(own.fills for own in closed))
    assert len({(fill.symbol, fill.fill_id) for fill in fills}) == len(fills) == len(account.deals)
    assert sum(fill.size * fill.price for fill in fills) == sum(
        deal.amount * deal.price for deal in account.deals
    )
    assert -sum(own.fees for own in closed) == account.totals["fee"]
    assert sum((own.pnl or D(0) for own in closed), D(10_000)) == account.wallet
    for own in closed:
        assert own.pnl == own.price_pnl - own.fees + own.funding
        assert own.plan is not None
    intents = await run.journal_thread.do(all_intents)
    assert {i.state for i in intents} == {"taken", "refused", "not_taken"}


async def test_account_that_is_not_set_up_is_entered_by_nobody_until_it_is(tmp_path: Path) -> None:
    async with tiny_trader_on(tmp_path, COINS, START_MS + CYCLE_MS, redis_url=NO_REDIS) as run:
        venue, gates = run.client, run.trading.gates
        mode = AccountCheck(name="position mode", is_fit=False, text="hedge mode: set one-way mode")
        venue.checks = [mode]  # type: ignore[attr-defined]
        for _ in range(30):
            await run.one_cycle()
        now, why = gates.mode()
        assert now == "reducing"
        assert "the account has to be set up: position mode: hedge mode: set one-way mode" in why
        assert await run.journal_thread.do(all_intents) == []
        venue.checks = []  # type: ignore[attr-defined]
        for _ in range(30):
            await run.one_cycle()
        assert gates.mode()[0] == "enabled"
        assert await run.journal_thread.do(Journal.newest_intent) is not None
