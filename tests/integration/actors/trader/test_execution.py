"""Execution on the simulated venue: entries, stops, closes, results, whose position is whose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.errors import VenueUnavailable
from shared.journal.journal import Journal
from tests.support.execution import D, ExecutionUnderTest, execution_on, plan
from tests.support.venue import remove_trigger


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ExecutionUnderTest]:
    async with execution_on(tmp_path) as execution:
        yield execution


async def test_entry_is_filled_protected_and_journalled(here: ExecutionUnderTest) -> None:
    assert await here.enter(plan()) == ""
    (position,) = await here.client.positions()
    price = position.entry_price
    assert position.size == D("0.01")
    assert position.leverage == 3
    assert position.stop_loss is not None
    assert position.take_profit is not None
    assert price * D("0.99") <= position.stop_loss < price
    assert price < position.take_profit <= price * D("1.02")
    (own,) = await here.note(Journal.own_positions)
    assert (own.size, own.is_complete, own.unprotected_ms) == (D("0.01"), True, None)
    assert own.entry_price == price
    assert own.venue_id == position.position_id
    assert await here.kinds() == ["order", "taken", "fill", "stop", "target"]


async def test_same_decision_is_sent_once(here: ExecutionUnderTest) -> None:
    await here.enter(plan(), 1)
    await here.execution.close("BTCUSDT", "test")
    assert await here.enter(plan(), 1) == "decided in this cycle already"
    assert len(await here.orders()) == 2


async def test_entry_that_fills_nothing_leaves_nothing(here: ExecutionUnderTest) -> None:
    assert "nothing was filled" in await here.enter(plan(limit_price=D("59000")))
    assert await here.client.positions() == []
    assert await here.note(Journal.own_positions) == []


async def test_objection_of_the_last_moment_keeps_an_entry_from_being_sent(
    here: ExecutionUnderTest,
) -> None:
    here.objections.append("locked")
    assert await here.enter(plan()) == "locked"
    assert await here.orders() == []
    assert await here.note(Journal.open_intents) == []


async def test_refused_entry_is_journalled_and_not_repeated(here: ExecutionUnderTest) -> None:
    assert "3109" in await here.enter(plan(size="50"))
    assert "refused" in await here.kinds()
    assert await here.note(Journal.open_intents) == []


async def test_partial_fill_is_the_position(here: ExecutionUnderTest) -> None:
    await here.at.plan({"kind": "venue_thin", "for_s": 5, "value": 0.001})
    await here.enter(plan(size="0.1"))
    (position,) = await here.client.positions()
    assert D(0) < position.size < D("0.1")
    (own,) = await here.note(Journal.own_positions)
    assert own.size == position.size
    assert position.stop_loss is not None


async def test_result_is_exact_and_what_the_venue_says(here: ExecutionUnderTest) -> None:
    await here.enter(plan())
    before = (await here.at.books())["wallet"]
    assert before
    here.prices.go("BTCUSDT", here.clock.now_ms() + 60_000, "60300")
    await here.clock.advance(60)
    assert await here.execution.close("BTCUSDT", "enough") == "closed"
    (own,) = await here.note(Journal.closed, 10)
    books = await here.at.books()
    assert own.pnl == D(books["equity"]) - 10_000
    assert own.pnl == own.price_pnl - own.fees
    assert own.how == "enough"
    record = await here.client.ended(own.symbol, own.side, own.opened_ms, own.venue_id)
    assert record is not None
    assert own.pnl == record.realized_pnl
    assert await here.note(Journal.own_positions) == []


@pytest.mark.parametrize(("to", "how"), [("58000", "stop"), ("62500", "profit")])
async def test_stop_and_target_are_noticed_with_their_fills(
    here: ExecutionUnderTest, to: str, how: str
) -> None:
    await here.enter(plan())
    here.prices.go("BTCUSDT", here.clock.now_ms() + 30_000, to)
    await here.pass_time(36)
    (own,) = await here.note(Journal.closed, 10)
    assert how in own.how
    assert (own.size, own.is_complete) == (0, True)
    assert own.pnl == D((await here.at.books())["equity"]) - 10_000
    assert (own.pnl < 0) is (how == "stop")
    assert (await here.kinds())[-1] == "closed"


async def test_funding_is_journalled_when_it_is_seen_and_part_of_the_result(
    here: ExecutionUnderTest,
) -> None:
    await here.at.by_hand("funding", market="BTCUSDT", rate="0.001")
    await here.enter(plan())
    await here.clock.advance(8 * 3600 + 1)
    await here.execution.protect()
    (own,) = await here.note(Journal.own_positions)
    assert own.funding < 0
    assert "funding" in await here.kinds()
    await here.execution.close("BTCUSDT", "enough")
    (own,) = await here.note(Journal.closed, 10)
    assert own.pnl == own.price_pnl - own.fees + own.funding
    assert own.pnl == D((await here.at.books())["equity"]) - 10_000


async def test_time_stop_closes(here: ExecutionUnderTest) -> None:
    await here.enter(plan())
    await here.clock.advance(24 * 3600 - 10)
    await here.execution.protect()
    assert len(await here.client.positions()) == 1
    await here.pass_time(15)
    assert await here.client.positions() == []
    (own,) = await here.note(Journal.closed, 10)
    assert "held for 24 h" in own.how


# Stops


async def test_stop_that_cannot_be_set_is_tried_again(here: ExecutionUnderTest) -> None:
    await here.at.plan({"kind": "venue_5xx", "for_s": 5,
                        "endpoint": "set-position-stop-loss"})  # fmt: skip
    with pytest.raises(VenueUnavailable):
        await here.enter(plan())
    assert (await here.client.positions())[0].stop_loss is None
    await here.pass_time(9)
    assert (await here.client.positions())[0].stop_loss is not None


async def test_position_without_a_stop_for_too_long_is_closed(here: ExecutionUnderTest) -> None:
    await here.at.plan({"kind": "venue_5xx", "for_s": 600,
                        "endpoint": "set-position-stop-loss"})  # fmt: skip
    with pytest.raises(VenueUnavailable):
        await here.enter(plan())
    await here.pass_time(12)
    assert len(await here.client.positions()) == 1
    await here.pass_time(6)
    assert await here.client.positions() == []
    (own,) = await here.note(Journal.closed, 10)
    assert "without a stop for" in own.how


async def test_position_whose_mark_is_beyond_the_stop_is_closed_at_once(
    here: ExecutionUnderTest,
) -> None:
    await here.at.plan({"kind": "venue_5xx", "for_s": 600,
                        "endpoint": "set-position-stop-loss"})  # fmt: skip
    with pytest.raises(VenueUnavailable):
        await here.enter(plan())
    here.prices.jump("BTCUSDT", here.clock.now_ms() + 1000, "59000")
    await here.pass_time(3)
    assert await here.client.positions() == []
    (own,) = await here.note(Journal.closed, 10)
    assert "beyond the stop" in own.how


async def test_stop_taken_away_is_set_again(here: ExecutionUnderTest) -> None:
    await here.enter(plan())
    await remove_trigger(here.at.url, "BTCUSDT", "stop")
    await here.pass_time(3)
    assert (await here.client.positions())[0].stop_loss is not None
    texts = [event.text for event in await here.events() if event.kind == "warning"]
    assert ["no stop any more" in text for text in texts] == [True]


async def test_exits_go_on_under_an_objection(here: ExecutionUnderTest) -> None:
    await here.enter(plan())
    here.objections.append("locked")
    await remove_trigger(here.at.url, "BTCUSDT", "stop")
    await here.pass_time(3)
    assert (await here.client.positions())[0].stop_loss is not None
    assert await here.execution.close("BTCUSDT", "by hand") == "closed"


# Whose position it is


async def test_position_opened_by_hand_is_never_touched(here: ExecutionUnderTest) -> None:
    await here.at.by_hand("position", market="ETHUSDT", side="short", amount="1")
    await here.pass_time(60)
    reconciled = await here.execution.protect()
    assert [each.at_venue.symbol for each in reconciled.foreign] == ["ETHUSDT"]
    assert (await here.execution.account()).exposure.count("short") == 1
    assert "there is a position" in await here.enter(plan("ETHUSDT", size="1"))
    assert await here.execution.close("ETHUSDT", "x") == "foreign: not touched"
    assert await here.execution.close_all("x") == {}
    (position,) = await here.client.positions()
    assert (position.size, position.stop_loss) == (D(1), None)
    assert (await here.kinds()).count("foreign") == 1


async def test_position_somebody_added_to_is_foreign_as_a_whole(here: ExecutionUnderTest) -> None:
    await here.enter(plan())
    await here.at.by_hand("position", market="BTCUSDT", side="long", amount="0.02")
    reconciled = await here.execution.protect()
    assert reconciled.ours == ()
    assert "larger than ours" in reconciled.foreign[0].why
    await remove_trigger(here.at.url, "BTCUSDT", "stop")
    await here.pass_time(60)
    (position,) = await here.client.positions()
    assert (position.size, position.stop_loss) == (D("0.03"), None)


async def test_position_somebody_took_from_stays_ours(here: ExecutionUnderTest) -> None:
    await here.enter(plan())
    await here.at.by_hand("close", market="BTCUSDT", amount="0.004")
    reconciled = await here.execution.protect()
    assert reconciled.ours[0].own.size == D("0.006")
    assert await here.execution.close("BTCUSDT", "enough") == "closed"
    (own,) = await here.note(Journal.closed, 10)
    assert own.pnl == D((await here.at.books())["equity"]) - 10_000


async def test_position_opened_by_hand_after_ours_had_ended_is_foreign(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    await here.at.by_hand("close", market="BTCUSDT")
    await here.at.by_hand("position", market="BTCUSDT", side="long", amount="0.005")
    await here.pass_time(60)
    assert await here.note(Journal.own_positions) == []
    (position,) = await here.client.positions()
    assert (position.size, position.stop_loss) == (D("0.005"), None)


async def test_adopted_position_is_ours_and_protected(here: ExecutionUnderTest) -> None:
    await here.at.by_hand("position", market="ETHUSDT", side="short", amount="1")
    assert await here.execution.adopt("ETHUSDT", D("0.01"), D("0.02")) == "adopted"
    assert await here.execution.adopt("ETHUSDT", D("0.01"), D("0.02")) == "ours already"
    (position,) = await here.client.positions()
    assert position.stop_loss is not None
    assert position.stop_loss > position.entry_price
    assert position.realized_pnl is not None
    opening_fee = -position.realized_pnl
    assert await here.execution.close("ETHUSDT", "enough") == "closed"
    (own,) = await here.note(Journal.closed, 10)
    # what it had cost before it was ours is no result of ours
    assert own.pnl == D((await here.at.books())["equity"]) - 10_000 + opening_fee


async def test_everything_is_closed_by_flatten_but_what_is_foreign(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    await here.enter(plan("SOLUSDT", "short", "5"))
    await here.at.by_hand("position", market="ETHUSDT", side="long", amount="1")
    assert await here.execution.close_all("flatten") == {"BTCUSDT": "closed", "SOLUSDT": "closed"}
    assert [p.symbol for p in await here.client.positions()] == ["ETHUSDT"]


async def test_close_that_fills_in_part_goes_on_until_it_is_done(here: ExecutionUnderTest) -> None:
    await here.enter(plan(size="0.1"))
    await here.at.plan({"kind": "venue_thin", "for_s": 4, "value": 0.001})
    assert "too little depth" in await here.execution.close("BTCUSDT", "enough")
    await here.pass_time(9)
    assert await here.client.positions() == []
    (own,) = await here.note(Journal.closed, 10)
    assert own.how == "enough"
    assert own.pnl == D((await here.at.books())["equity"]) - 10_000


async def test_fills_are_found_however_many_pages_they_have(here: ExecutionUnderTest) -> None:
    await here.enter(plan(size="1", leverage=10))
    for _ in range(25):
        await here.at.by_hand("close", market="BTCUSDT", amount="0.01")
    reconciled = await here.execution.protect()
    (own,) = await here.note(Journal.own_positions)
    assert own.size == reconciled.ours[0].at_venue.size
    assert own.size < D("0.8")
    assert len([f for f in own.fills if f.side == "sell"]) >= 25


async def test_liquidated_position_ends_with_what_the_venue_took(here: ExecutionUnderTest) -> None:
    await here.enter(plan(leverage=50, stop_fraction=D("0.001"), size="0.1"))
    await remove_trigger(here.at.url, "BTCUSDT", "stop")
    here.prices.jump("BTCUSDT", here.clock.now_ms() + 1000, "58000")
    await here.pass_time(6)
    assert await here.client.positions() == []
    (own,) = await here.note(Journal.closed, 10)
    assert own.pnl == D((await here.at.books())["equity"]) - 10_000


async def test_entry_with_a_liquidation_too_near_is_closed_again(here: ExecutionUnderTest) -> None:
    await here.enter(plan(leverage=50, stop_fraction=D("0.05")))
    (own,) = await here.note(Journal.closed, 10)
    assert "liquidation at" in own.how


async def test_position_is_closed_also_while_its_market_cannot_be_read(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    here.execution.protection._rules.clear()  # as after a start
    await here.at.plan({"kind": "venue_5xx", "for_s": 60, "endpoint": "market"})
    assert await here.execution.close("BTCUSDT", "enough") == "closed"


async def test_bare_position_whose_close_is_refused_has_a_stop_as_soon_as_it_can(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    await remove_trigger(here.at.url, "BTCUSDT", "stop")
    await here.at.plan({"kind": "venue_5xx", "for_s": 30, "endpoint": "set-position-stop-loss"})
    await here.at.plan({"kind": "venue_rate_limit", "for_s": 60, "endpoint": "close-position"})
    await here.pass_time(36)
    (position,) = await here.client.positions()
    assert position.stop_loss is not None


async def test_plan_whose_prices_are_old_is_not_sent(here: ExecutionUnderTest) -> None:
    assert "prices are 31 s old" in await here.enter(plan(), priced_s=31)
    assert "prices are -31 s old" in await here.enter(plan(), priced_s=-31)
    assert await here.orders() == []
    assert await here.enter(plan(), priced_s=29) == ""
