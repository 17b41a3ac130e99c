"""Orders that nobody answered: found if they were taken, given up only once they cannot be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.errors import JournalUnavailable, VenueUnavailable
from shared.journal.journal import Journal
from tests.support.execution import (
    D,
    ExecutionUnderTest,
    all_intents,
    execution_on,
    plan,
)
from tests.support.venue import remove_trigger

TAKEN = ("venue_timeout_after", "venue_cut_after", "venue_5xx_after", "venue_unavailable_after")
IN_DOUBT = ("venue_5xx", "venue_html", "venue_wrong_json", "venue_unavailable", "venue_busy")
REFUSED = ("venue_rate_limit", "venue_expired", "venue_auth")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ExecutionUnderTest]:
    async with execution_on(tmp_path) as execution:
        yield execution


async def fault(here: ExecutionUnderTest, kind: str, endpoint: str, for_s: float = 2) -> None:
    await here.at.plan({"kind": kind, "for_s": for_s, "endpoint": endpoint})


async def state(here: ExecutionUnderTest) -> tuple[str, ...]:
    intents = await here.note(all_intents)
    return tuple(intent.state for intent in intents)


@pytest.mark.parametrize("kind", TAKEN)
async def test_entry_that_was_taken_without_an_answer_is_found_and_protected(
    here: ExecutionUnderTest, kind: str
) -> None:
    await fault(here, kind, "order")
    assert "unknown" in await here.enter(plan())
    assert await state(here) == ("unknown",)
    await here.pass_time(3)
    assert await state(here) == ("taken",)
    (position,) = await here.client.positions()
    assert position.stop_loss is not None
    assert len(await here.orders()) == 1
    (own,) = await here.note(Journal.own_positions)
    assert (own.size, own.is_complete) == (D("0.01"), True)


@pytest.mark.parametrize("kind", TAKEN)
async def test_stop_right_after_an_entry_without_an_answer_protects_what_it_filled(
    here: ExecutionUnderTest, kind: str
) -> None:
    await here.execution.protect()
    await fault(here, kind, "order")
    assert "unknown" in await here.enter(plan())
    await here.clock.advance(3)
    await here.execution.drain()
    (position,) = await here.client.positions()
    assert position.stop_loss is not None


async def test_stop_protects_an_entry_that_could_not_be_looked_at_after_its_fill(
    here: ExecutionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions, calls = here.client.positions, 0

    async def second_fails() -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:  # the look that follows the fill
            raise VenueUnavailable("away")
        return await positions()

    monkeypatch.setattr(here.client, "positions", second_fails)
    with pytest.raises(VenueUnavailable, match="away"):
        await here.enter(plan())
    await here.execution.drain()
    (position,) = await positions()
    assert position.stop_loss is not None


async def test_stop_asks_the_venue_nothing_where_all_is_protected(
    here: ExecutionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await here.enter(plan()) == ""
    await here.execution.protect()
    monkeypatch.delattr(type(here.client), "positions")
    await here.execution.drain()


@pytest.mark.parametrize("kind", IN_DOUBT)
async def test_entry_in_doubt_is_given_up_only_after_its_window(
    here: ExecutionUnderTest, kind: str
) -> None:
    await fault(here, kind, "order")
    assert "unknown" in await here.enter(plan(), 1)
    await here.pass_time(9)
    assert await state(here) == ("unknown",)
    assert "not known yet" in await here.enter(plan("SOLUSDT", size="1"))
    await here.pass_time(3)
    assert await state(here) == ("not_taken",)
    assert await here.orders() == []
    # the same decision is over, whatever became of it; another one may follow
    assert await here.enter(plan(), 1) == "decided in this cycle already"
    assert await here.enter(plan()) == ""


@pytest.mark.parametrize("kind", REFUSED)
async def test_entry_that_was_certainly_not_taken_is_known_at_once(
    here: ExecutionUnderTest, kind: str
) -> None:
    await fault(here, kind, "order", for_s=60)
    assert await here.enter(plan())
    assert (await state(here))[0] in ("refused", "not_taken")
    assert await here.orders() == []


async def test_entry_stays_in_doubt_while_the_venue_cannot_be_asked(
    here: ExecutionUnderTest,
) -> None:
    await fault(here, "venue_5xx", "order")
    await here.enter(plan())
    await here.clock.advance(3)
    await here.at.plan({"kind": "venue_5xx", "for_s": 60})
    for _ in range(10):
        await here.clock.advance(3)
        with pytest.raises(VenueUnavailable):
            await here.execution.protect()
    assert await state(here) == ("unknown",)
    await here.clock.advance(31)
    await here.execution.protect()
    assert await state(here) == ("not_taken",)


async def test_entry_in_doubt_is_not_given_up_while_a_position_cannot_be_explained(
    here: ExecutionUnderTest,
) -> None:
    await fault(here, "venue_5xx", "order")
    await here.enter(plan())
    await here.at.by_hand("position", market="BTCUSDT", side="long", amount="0.01")
    await here.pass_time(60)
    assert await state(here) == ("unknown",)
    (position,) = await here.client.positions()
    assert position.stop_loss is None
    # only its own coin waits for it by then
    assert await here.enter(plan("SOLUSDT", size="1")) == ""
    assert "there is a position" in await here.enter(plan(), 2)
    await here.at.by_hand("close", market="BTCUSDT")
    await here.pass_time(3)
    assert await state(here) == ("not_taken", "taken")


@pytest.mark.parametrize("kind", TAKEN)
async def test_close_that_was_taken_without_an_answer_is_found(
    here: ExecutionUnderTest, kind: str
) -> None:
    await here.enter(plan())
    await fault(here, kind, "close-position")
    await here.execution.close("BTCUSDT", "enough")
    await here.pass_time(3)
    assert await state(here) == ("taken", "taken")
    assert len(await here.orders()) == 2
    (own,) = await here.note(Journal.closed, 10)
    assert own.pnl == D((await here.at.books())["equity"]) - 10_000
    fills = [fill for fill in own.fills if fill.side == "sell"]
    assert sum(fill.size for fill in fills) == D("0.01")


@pytest.mark.parametrize("kind", IN_DOUBT)
async def test_close_in_doubt_is_sent_again_only_after_its_window(
    here: ExecutionUnderTest, kind: str
) -> None:
    await here.enter(plan())
    await fault(here, kind, "close-position")
    assert await here.execution.close("BTCUSDT", "enough") == "being closed"
    await here.pass_time(9)
    assert len(await here.orders()) == 1
    await here.pass_time(6)
    assert await state(here) == ("taken", "not_taken", "taken")
    assert await here.client.positions() == []
    assert len(await here.orders()) == 2


async def test_stop_that_hits_while_a_close_is_in_doubt_is_counted_once(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    await fault(here, "venue_5xx", "close-position")
    await here.execution.close("BTCUSDT", "enough")
    here.prices.jump("BTCUSDT", here.clock.now_ms() + 3000, "59000")
    await here.pass_time(15)
    assert await state(here) == ("taken", "not_taken")
    (own,) = await here.note(Journal.closed, 10)
    assert own.pnl == D((await here.at.books())["equity"]) - 10_000


async def test_clock_that_is_wrong_costs_no_order(here: ExecutionUnderTest) -> None:
    await here.at.plan({"kind": "venue_clock_skew", "for_s": 600, "value": 60_000})
    await here.client.server_time()
    assert await here.enter(plan()) == ""
    assert len(await here.orders()) == 1
    assert (await here.client.positions())[0].stop_loss is not None


async def test_signature_that_has_expired_is_a_refusal(here: ExecutionUnderTest) -> None:
    await here.at.plan({"kind": "venue_clock_skew", "for_s": 2, "value": 60_000,
                        "endpoint": "order"})  # fmt: skip
    assert await here.enter(plan())
    assert (await state(here))[0] in ("refused", "not_taken")
    assert await here.orders() == []


async def test_order_without_a_journal_is_not_sent(
    here: ExecutionUnderTest, tmp_path: Path
) -> None:
    await here.journal_thread.do(Journal.set_note, "x", 1)
    await here.journal_thread.do(Journal._rows, "PRAGMA query_only=1")
    with pytest.raises(JournalUnavailable, match="readonly"):
        await here.enter(plan())
    assert await here.orders() == []


async def test_position_is_closed_and_protected_also_without_a_journal(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    await here.journal_thread.do(Journal._rows, "PRAGMA query_only=1")
    here.prices.jump("BTCUSDT", here.clock.now_ms() + 1000, "59000")
    await remove_trigger(here.at.url, "BTCUSDT", "stop")
    await here.clock.advance(3)
    with pytest.raises(JournalUnavailable):
        await here.execution.protect()
    assert await here.client.positions() == []


@pytest.mark.parametrize("endpoint", ["user-deals", "finished-order", "finished-position"])
async def test_position_is_protected_while_what_happened_to_it_cannot_be_read(
    here: ExecutionUnderTest, endpoint: str
) -> None:
    await here.enter(plan("ETHUSDT", size="0.1"))
    await here.enter(plan())
    await fault(here, "venue_5xx", "order")
    await here.enter(plan("SOLUSDT", size="1"))
    await remove_trigger(here.at.url, "BTCUSDT", "stop")
    await here.at.by_hand("close", market="ETHUSDT")
    await fault(here, "venue_5xx", endpoint, for_s=30)
    await here.clock.advance(3)
    with pytest.raises(VenueUnavailable):
        await here.execution.protect()
    (position,) = await here.client.positions()
    assert position.stop_loss is not None
    await here.clock.advance(40)
    await here.pass_time(3)
    assert [own.symbol for own in await here.note(Journal.own_positions)] == ["BTCUSDT"]


async def test_everything_is_closed_by_flatten_also_without_a_journal(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    await here.enter(plan("SOLUSDT", size="1"))
    await here.enter(plan("ETHUSDT", size="0.1"))
    await here.at.by_hand("close", market="ETHUSDT")
    await here.journal_thread.do(Journal._rows, "PRAGMA query_only=1")
    with pytest.raises(JournalUnavailable):
        await here.execution.close_all("flatten by a test")
    assert await here.client.positions() == []


async def test_entry_whose_fill_cannot_be_journalled_has_a_stop(here: ExecutionUnderTest) -> None:
    await here.journal_thread.do(Journal._rows, "DROP TABLE orders")
    with pytest.raises(JournalUnavailable, match="orders"):
        await here.enter(plan())
    (position,) = await here.client.positions()
    assert position.stop_loss is not None
    assert position.stop_loss < position.entry_price


async def test_close_that_nobody_answers_nor_journals_keeps_no_other_waiting(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    await here.enter(plan("SOLUSDT", size="1"))
    await here.journal_thread.do(Journal._rows, "PRAGMA query_only=1")
    here.prices.jump("BTCUSDT", here.clock.now_ms() + 1000, "59000")
    await remove_trigger(here.at.url, "BTCUSDT", "stop")
    await remove_trigger(here.at.url, "SOLUSDT", "stop")
    await fault(here, "venue_5xx", "close-position", for_s=30)
    await here.clock.advance(3)
    await here.execution.protect()
    assert "unknown" in here.execution.protection.failures["BTCUSDT"]
    stops = {p.symbol: p.stop_loss for p in await here.client.positions()}
    assert stops["SOLUSDT"] is not None


async def test_clock_that_jumps_ahead_gives_up_no_order_in_doubt(here: ExecutionUnderTest) -> None:
    await fault(here, "venue_5xx", "order")
    await here.enter(plan())
    (intent,) = await here.note(Journal.open_intents)
    await here.at.plan({"kind": "venue_clock_skew", "for_s": 1, "value": 3_600_000})
    await here.client.server_time()
    await here.clock.advance(1)
    assert here.client.now_ms() > here.clock.now_ms() + 3_000_000
    assert not await here.execution._orders.settle_unknown(intent, None)
    assert await state(here) == ("unknown",)
