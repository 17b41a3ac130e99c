"""A venue that refuses: asked again with growing pauses, told once, counted apart."""

from __future__ import annotations

import dataclasses
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
    execution_at,
    execution_on,
    plan,
)

CLOSE, STOP = "close-position", "set-position-stop-loss"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ExecutionUnderTest]:
    async with execution_on(tmp_path) as execution:
        yield execution


async def refuse(here: ExecutionUnderTest, endpoint: str, for_s: float = 3600) -> None:
    await here.at.plan({"kind": "venue_refuse", "endpoint": endpoint, "for_s": for_s})


def asked(here: ExecutionUnderTest, endpoint: str) -> int:
    return here.at.wire.counts[endpoint]


async def test_refused_close_is_sent_with_growing_pauses_and_told_once(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    await refuse(here, CLOSE, 140)
    assert "refused" in await here.execution.close("BTCUSDT", "enough")
    told = len(await here.events())
    await here.pass_time(120)
    assert asked(here, CLOSE) == 6  # after 3, 6, 12, 24, 48 s
    assert len(await here.events()) == told
    assert "close refused 6 times" in here.execution.protection.failures["BTCUSDT"]
    await here.pass_time(60)
    assert await here.client.positions() == []
    assert here.execution.protection.failures == {}
    assert "after 6 refusals" in next(
        event.text for event in await here.events() if "taken, 0.01 of" in event.text
        and event.text.startswith("BTCUSDT close")
    )  # fmt: skip


async def test_only_what_was_accepted_counts_as_an_order(here: ExecutionUnderTest) -> None:
    await here.enter(plan())
    await refuse(here, CLOSE)
    await here.execution.close("BTCUSDT", "enough")
    await here.pass_time(120)
    assert len(await here.note(Journal.sent_since, 0)) == 1
    refused = await here.journal_thread.do(Journal.sent_since, 0, failed=True)
    assert len(refused) == 6


async def refused_for_a_minute(here: ExecutionUnderTest) -> int:
    """Enter, and let a close be refused for a minute; return how often it was asked for."""
    await here.enter(plan())
    await refuse(here, CLOSE)
    await here.execution.close("BTCUSDT", "enough")
    await here.pass_time(60)
    return asked(here, CLOSE)


async def test_refused_close_is_sent_at_once_when_the_position_changes(
    here: ExecutionUnderTest,
) -> None:
    before = await refused_for_a_minute(here)
    await here.at.by_hand("close", market="BTCUSDT", amount="0.004")
    await here.pass_time(3)
    assert asked(here, CLOSE) == before + 1


async def test_refused_close_is_sent_at_once_when_the_price_has_moved(
    here: ExecutionUnderTest,
) -> None:
    before = await refused_for_a_minute(here)
    here.prices.jump("BTCUSDT", here.clock.now_ms() + 1000, "60250")
    await here.pass_time(3)
    assert asked(here, CLOSE) == before
    here.prices.jump("BTCUSDT", here.clock.now_ms() + 1000, "60350")  # half of the stop distance
    await here.pass_time(3)
    assert asked(here, CLOSE) == before + 1


async def test_operator_does_not_wait(here: ExecutionUnderTest) -> None:
    await here.enter(plan())
    await refuse(here, CLOSE)
    await here.execution.close("BTCUSDT", "enough")
    await here.pass_time(60)
    before = asked(here, CLOSE)
    assert "refused 6 times" in await here.execution.close("BTCUSDT", "now")
    assert "refused 7 times" in (await here.execution.close_all("now", at_once=True))["BTCUSDT"]
    assert asked(here, CLOSE) == before + 2
    assert "refused 7 times" in (await here.execution.close_all("polled"))["BTCUSDT"]
    assert asked(here, CLOSE) == before + 2


async def test_next_process_goes_on_waiting(here: ExecutionUnderTest, tmp_path: Path) -> None:
    await here.enter(plan())
    await refuse(here, CLOSE)
    await here.execution.close("BTCUSDT", "enough")
    await here.pass_time(60)
    before = asked(here, CLOSE)
    here.journal_thread.close()
    async with execution_at(here.at, here.prices, here.clock, tmp_path) as later:
        await later.pass_time(12)
        assert asked(here, CLOSE) == before
        assert "refused 5 times" in later.execution.protection.failures["BTCUSDT"]
        await later.pass_time(36)
        assert asked(here, CLOSE) == before + 1


async def test_refused_stop_is_told_and_the_position_closed_while_no_entry_is_sent(
    here: ExecutionUnderTest,
) -> None:
    await refuse(here, STOP)
    await refuse(here, CLOSE, 60)
    with pytest.raises(VenueUnavailable, match="stop refused, WITHOUT A STOP"):
        await here.enter(plan())
    assert "refuses to close or to protect BTCUSDT" in await here.enter(plan("SOLUSDT", size="1"))
    await here.pass_time(42)
    assert asked(here, STOP) <= 6
    assert asked(here, CLOSE) >= 3
    texts = [event.text for event in await here.events() if event.kind == "refused"]
    assert ["WITHOUT A STOP" in text for text in texts] == [True, False]
    assert "WITHOUT A STOP" in here.execution.protection.failures["BTCUSDT"]
    await here.pass_time(36)
    assert await here.client.positions() == []


async def test_refused_target_is_set_with_growing_pauses(here: ExecutionUnderTest) -> None:
    await refuse(here, "set-position-take-profit", 40)
    assert await here.enter(plan()) == ""
    await here.pass_time(39)
    assert asked(here, "set-position-take-profit") == 4
    assert "target refused" in here.execution.protection.failures["BTCUSDT"]
    await here.pass_time(12)
    assert (await here.client.positions())[0].take_profit is not None


async def test_close_the_venue_cannot_be_reached_for_is_no_flood_either(
    here: ExecutionUnderTest,
) -> None:
    await here.enter(plan())
    await here.at.plan({"kind": "venue_rate_limit", "endpoint": CLOSE, "for_s": 60})
    await here.execution.close("BTCUSDT", "enough")
    await here.pass_time(57)
    assert asked(here, CLOSE) <= 7
    await here.pass_time(18)
    assert await here.client.positions() == []


async def test_close_without_a_journal_waits_too(
    here: ExecutionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.enter(plan())
    await refuse(here, CLOSE, 60)

    def full(*_: Any, **__: Any) -> Any:
        raise JournalUnavailable("the disk is full")

    for name in ("intend", "set_closing", "set_note", "settle"):
        monkeypatch.setattr(Journal, name, full)
    for _ in range(40):  # as the lock file is checked every second
        await here.execution.close_all("flatten")
        await here.clock.advance(1)
    assert asked(here, CLOSE) <= 5
    monkeypatch.undo()
    await here.pass_time(60)
    for _ in range(3):
        await here.execution.close_all("flatten")
        await here.clock.advance(30)
    assert await here.client.positions() == []


async def test_refused_entry_is_no_order_and_sent_once(here: ExecutionUnderTest) -> None:
    await refuse(here, "order", 60)
    assert "code 3109" in await here.enter(plan(), 1)
    assert await here.enter(plan(), 1) == "decided in this cycle already"
    assert [intent.state for intent in await here.note(all_intents)] == ["refused"]
    assert await here.note(Journal.sent_since, 0) == ()


async def test_refused_cancel_of_an_order_that_rests_is_no_flood(
    here: ExecutionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = here.client.place_order

    async def rests(request: Any) -> Any:  # an `ioc` order that the venue lets rest
        return await placed(dataclasses.replace(request, kind="limit", price=D("59000.0")))

    monkeypatch.setattr(here.client, "place_order", rests)
    await refuse(here, "cancel-order", 100)
    assert "not known" in await here.enter(plan())
    await here.pass_time(90)
    assert asked(here, "cancel-order") == 5
    assert [event.kind for event in await here.events()].count("refused") == 1
    await here.pass_time(72)
    assert await here.client.positions() == []
    assert [intent.state for intent in await here.note(all_intents)] == ["taken"]


async def test_close_in_doubt_again_and_again_waits_too(here: ExecutionUnderTest) -> None:
    await here.enter(plan())
    await here.at.plan({"kind": "venue_unavailable", "endpoint": CLOSE, "for_s": 170})
    await here.execution.close("BTCUSDT", "enough")
    await here.pass_time(165)
    # 12 s until each is known not to have been taken, then a pause
    assert 5 <= asked(here, CLOSE) <= 8
    await here.pass_time(36)
    assert await here.client.positions() == []
