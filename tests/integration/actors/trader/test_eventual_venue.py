"""A venue that shows late what it did, does half of it, or answers for another position."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import count, cycle
from pathlib import Path
from typing import Any, cast

import pytest

from shared.errors import JournalUnavailable, VenueUnavailable
from shared.exchanges.ports import Venue
from shared.exchanges.venue import EndedPosition
from shared.journal.journal import Journal
from tests.integration.actors.trader.test_tiny_venue import check_account, position, states
from tests.support.execution import START_MS, D, plan
from tests.support.tiny.trading import TinyExecution, tiny_execution, tiny_trader_on
from tests.support.tiny.venue import Lags, Trouble
from tests.support.trading import CYCLE_MS, NO_REDIS

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
TROUBLES: Sequence[Trouble] = (
    "", "partly", "", "bare", "unanswered", "late", "", "rejected", "partly", "", "lost", "",
    "repeated", "bare", "late",
)  # fmt: skip


async def test_order_received_and_listed_late_is_not_given_up(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "late") as here:
        here.venue.lags = Lags(orders_ms=9_000, fills_ms=2_000)
        assert "not known" in await here.enter(plan())
        await here.pass_time(20)
        assert states(here) == ["taken"]
        assert (await position(here)).stop is not None


async def test_order_received_and_never_listed_is_given_up_after_a_minute(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "rejected") as here:
        here.venue.lags = Lags(orders_ms=10**9)
        await here.enter(plan())
        await here.pass_time(30)
        assert states(here) == ["unknown"]
        await here.pass_time(60)
        assert states(here) == ["not_taken"]


async def test_half_an_entry_is_protected_at_once_and_grows(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "partly") as here:
        await here.enter(plan())
        await here.pass_time(3)
        own = await position(here)
        assert (own.size, own.stop is not None) == (D("0.005"), True)
        await here.pass_time(12)
        own = await position(here)
        assert (own.size, own.is_complete) == (D("0.01"), True)
        assert await here.execution.close("BTCUSDT", "enough") == "closed"
        assert here.journal.own_positions() == []


@pytest.mark.parametrize("held_s", [0, 6])
async def test_rest_of_an_entry_that_is_filled_after_the_close_is_ours(
    tmp_path: Path, held_s: float
) -> None:
    async with tiny_execution(tmp_path, "partly") as here:
        await here.enter(plan())
        await here.pass_time(held_s)
        await here.execution.close("BTCUSDT", "enough")
        assert here.account.account.positions == {}
        await here.pass_time(90)
        assert here.account.account.positions == {}
        (own,) = here.journal.closed(2)
        assert (own.entered[0], own.ended_by) == (D("0.01"), "command")
        assert own.pnl == here.account.account.wallet - 10_000
        assert "foreign" not in {event.kind for event in here.journal.events()}


async def test_half_a_close_is_waited_for(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "", "partly") as here:
        await here.enter(plan())
        await here.execution.close("BTCUSDT", "enough")
        await here.pass_time(20)
        assert here.journal.own_positions() == []
        assert states(here) == ["taken", "taken"]


async def test_stop_that_did_not_stick_is_set_at_once(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "bare") as here:
        assert await here.enter(plan()) == ""
        (found,) = await here.venue.positions()
        assert None not in (found.stop_loss, found.take_profit)
        assert (await position(here)).stop == found.stop_loss


@pytest.mark.parametrize("trouble", ["rejected", "late", "partly", "repeated", "lost"])
async def test_close_that_goes_wrong_is_made_good(tmp_path: Path, trouble: Trouble) -> None:
    async with tiny_execution(tmp_path, "", trouble) as here:
        await here.enter(plan())
        await here.execution.close("BTCUSDT", "enough")
        await here.pass_time(30)
        assert here.journal.own_positions() == []
        (own,) = here.journal.closed(1)
        assert own.pnl == here.account.account.wallet - 10_000
        assert own.ended_by == "command"


async def adopted_by_hand(here: TinyExecution) -> None:
    """Open a position by hand, take a loss on half of it, and adopt the rest."""
    here.account.place("BTCUSDT", "buy", "market", D("0.02"), None)
    here.prices.go("BTCUSDT", here.clock.now_ms() + 1000, "59500")
    await here.clock.advance(2)
    here.account.close("BTCUSDT", "market", D("0.01"), None)
    await here.clock.advance(2)
    assert await here.execution.adopt("BTCUSDT", D("0.02"), D("0.02")) == "adopted"


async def test_loss_before_the_adoption_is_not_ours_where_the_venue_does_not_tell_it(
    tmp_path: Path,
) -> None:
    async with tiny_execution(tmp_path) as here:
        await adopted_by_hand(here)
        before = here.account.account.wallet
        await here.execution.close("BTCUSDT", "enough")
        await here.pass_time(3)
        (own,) = here.journal.closed(1)
        assert own.pnl == own.price_pnl - own.fees
        assert own.pnl == here.account.account.wallet - before


async def test_position_beside_an_order_without_a_trace_can_be_adopted(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "lost") as here:
        await here.enter(plan())
        here.account.place("BTCUSDT", "buy", "market", D("0.02"), None)
        outcome = await here.execution.adopt("BTCUSDT", D("0.02"), D("0.02"))
        assert "not settled yet" in outcome
        await here.pass_time(12)
        assert states(here) == ["unknown"]
        assert await here.execution.adopt("BTCUSDT", D("0.02"), D("0.02")) == "adopted"
        await here.pass_time(3)
        assert states(here) == ["not_taken"]
        assert (await position(here)).size == D("0.02")


async def test_answer_about_another_position_does_not_end_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tiny_execution(tmp_path) as here:
        await here.enter(plan())
        later = EndedPosition(
            realized_pnl=D(5000), fees=None, funding=None, by=None, how="another",
            closed_ms=here.clock.now_ms() + 40_000,
        )  # fmt: skip

        async def ended(*_: object) -> EndedPosition:
            return later

        monkeypatch.setattr(here.venue, "ended", ended)
        await here.execution.close("BTCUSDT", "enough")
        await here.pass_time(90)
        (own,) = here.journal.closed(1)
        assert own.pnl == here.account.account.wallet - 10_000


@pytest.mark.parametrize(
    "lags",
    [
        Lags(orders_ms=2_000, fills_ms=4_000, ends_ms=20_000),
        Lags(orders_ms=8_000, fills_ms=8_000, positions_ms=2_000, ends_ms=30_000),
    ],
)
async def test_whole_run_at_a_venue_that_shows_all_late_agrees_to_the_last_digit(
    tmp_path: Path, lags: Lags
) -> None:
    async with tiny_trader_on(
        tmp_path, COINS, START_MS + CYCLE_MS, troubles=cycle(TROUBLES), redis_url=NO_REDIS
    ) as run:
        run.client.lags = lags  # type: ignore[attr-defined]
        for _ in range(39):
            await run.one_cycle()
        await run.get_out()
        closed = await run.closed()
        kinds = Counter(event.kind for event in await run.events())
        assert len(closed) >= 4, kinds
        await check_account(run, closed)


class Killed(BaseException):
    """The process is gone."""


async def trade_until_killed(here: TinyExecution, at_call: int) -> bool:
    """Enter and close; return whether that was done before a call, which is carried out."""
    venue, calls = here.venue, 0

    class Mortal:
        def __getattr__(self, name: str) -> Any:
            found = getattr(venue, name)
            if not inspect.iscoroutinefunction(found):
                return found

            async def call(*args: Any, **named: Any) -> Any:
                nonlocal calls
                calls += 1
                try:
                    return await found(*args, **named)
                finally:
                    if calls == at_call:
                        raise Killed

            return call

    here.execution = here.started_on(cast(Venue, Mortal()))
    with suppress(Killed):
        await here.enter(plan())
        await here.pass_time(12)
        await here.execution.close("BTCUSDT", "enough")
        await here.pass_time(12)
        return True
    return False


async def test_trader_killed_at_any_call_loses_no_order_and_no_cent(tmp_path: Path) -> None:
    for at_call in count(1, 3):
        async with tiny_execution(tmp_path / str(at_call), "partly", "late") as here:
            here.venue.lags = Lags(orders_ms=3_000, fills_ms=4_000, ends_ms=10_000)
            is_done = await trade_until_killed(here, at_call)
            here.execution = here.started_on(here.venue)
            await here.pass_time(21)
            await here.execution.close_all("the end")
            await here.pass_time(75)
            assert here.account.account.positions == {}
            assert not here.journal.own_positions()
            assert not here.journal.open_intents()
            assert here.journal.closed_pnl() == here.account.account.wallet - 10_000
        if is_done:
            assert at_call > 20
            return


def closes(here: TinyExecution) -> int:
    """Return how many closes the venue has received."""
    return sum(each.closes for each in here.venue.book_kept.by_client_id.values())


@pytest.mark.parametrize("trouble", ["", "late", "partly", "rejected"])
async def test_close_without_a_journal_is_waited_for_before_the_next(
    tmp_path: Path, trouble: Trouble
) -> None:
    async with tiny_execution(tmp_path, "", trouble) as here:
        await here.enter(plan())
        await here.pass_time(3)
        await here.journal_thread.do(Journal._rows, "PRAGMA query_only=1")
        with suppress(JournalUnavailable, VenueUnavailable):
            await here.execution.close("BTCUSDT", "enough")
        assert closes(here) == 1
        for _ in range(6):
            await here.clock.advance(3)
            with suppress(JournalUnavailable):
                await here.execution.protect()
        assert here.account.account.positions == {}
        assert closes(here) == (2 if trouble == "rejected" else 1)
        await here.journal_thread.do(Journal._rows, "PRAGMA query_only=0")
        await here.pass_time(90)
        assert not here.journal.own_positions()
        assert not here.journal.open_intents()
        assert here.journal.closed_pnl() == here.account.account.wallet - 10_000


async def test_entry_that_could_not_be_journalled_gets_its_stop(tmp_path: Path) -> None:
    async with tiny_execution(tmp_path, "bare") as here:
        await here.journal_thread.do(Journal._rows, "ALTER TABLE orders RENAME TO hidden")
        with pytest.raises(JournalUnavailable):
            await here.enter(plan())
        for _ in range(2):
            await here.clock.advance(3)
            with suppress(JournalUnavailable):
                await here.execution.protect()
        (found,) = await here.venue.positions()
        assert found.stop_loss is not None
        await here.journal_thread.do(Journal._rows, "ALTER TABLE hidden RENAME TO orders")
        await here.pass_time(12)
        assert (await position(here)).stop is not None
