"""Replies to entries that are older than what the venue has done meanwhile."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from actors.trader.journal_thread import JournalThread
from actors.trader.orders import OrderSender
from actors.trader.retries import Retries, no_atr
from shared.clock import SystemClock
from shared.errors import VenueUnavailable
from shared.exchanges.coinex.client import CoinExClient
from shared.exchanges.venue import PlacedOrder
from shared.journal.journal import Journal
from shared.journal.rows import Intent
from tests.support.coinex.faults import KEYS, ORDER
from tests.support.coinex.scripted import HTML_502, ScriptedVenue, no, ok, paged, venue_client
from tests.support.coinex.scripted import scripted_venue as serve
from tests.support.coinex.wire_rows import AT_MS, order_row
from tests.support.venue import simulated_owner

NOTHING = order_row(filled_amount="0", filled_value="0", fee="0")
INTENT = Intent(
    client_id=ORDER.client_id,
    symbol="BTCUSDT",
    side="long",
    purpose="entry",
    order_side="buy",
    kind="ioc",
    size=ORDER.size,
    price=ORDER.price,
    cycle_ms=AT_MS,
    sent_ms=AT_MS,
    why="test",
    stop_fraction=Decimal("0.01"),
    target_fraction=Decimal("0.02"),
)


class Site:
    """Orders over a scripted venue and a journal of their own."""

    def __init__(
        self, scripted: ScriptedVenue, client: CoinExClient, journal_thread: JournalThread
    ) -> None:
        self.scripted = scripted
        self.journal_thread = journal_thread
        self._client = client
        log = logging.getLogger("orders")
        retries = Retries(client, journal_thread, atr=no_atr, log=log)
        self._orders = OrderSender(client, journal_thread, retries, SystemClock(), log)

    async def send(self) -> PlacedOrder | None:
        return await self._orders.send(INTENT, lambda: self._client.place_order(ORDER))

    async def look(self) -> bool:
        (intent,) = await self.journal_thread.do(Journal.open_intents)
        return await self._orders.settle_unknown(intent, None)

    async def filled(self) -> list[str]:
        return [str(own.size) for own in await self.journal_thread.do(Journal.own_positions)]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    journal_thread = JournalThread(Journal(tmp_path / "trader.db", simulated_owner()))
    async with (
        serve(SystemClock()) as scripted,
        venue_client(scripted.url, SystemClock(), KEYS) as client,
    ):
        scripted.answer("futures/order", ok(NOTHING))
        scripted.answer("futures/user-deals", ok([], has_next=False))
        scripted.answer("futures/finished-order", ok([], has_next=False))
        scripted.answer("futures/pending-order", ok([], has_next=False))
        yield Site(scripted, client, journal_thread)
    journal_thread.close()


async def test_entry_filled_after_its_reply_is_ours(site: Site) -> None:
    site.scripted.answer("futures/order-status", ok(order_row(status="filled")))
    order = await site.send()
    assert order is not None
    assert str(order.filled_size) == "0.5"
    assert await site.filled() == ["0.5"]


async def test_entry_that_filled_nothing_is_over_when_the_venue_says_so(site: Site) -> None:
    site.scripted.answer("futures/order-status", ok(NOTHING | {"status": "canceled"}))
    order = await site.send()
    assert order is not None
    assert not order.filled_size
    assert await site.journal_thread.do(Journal.open_intents) == []


@pytest.mark.parametrize("answer", [HTML_502, no(3600), ok(NOTHING | {"status": "open"})])
async def test_entry_whose_end_is_not_known_stays_in_doubt_until_it_is(
    site: Site, answer: object
) -> None:
    site.scripted.answer("futures/order-status", answer)  # type: ignore[arg-type]
    site.scripted.answer("futures/cancel-order", no(3600))
    assert await site.send() is None
    with suppress(VenueUnavailable):
        assert not await site.look()
    site.scripted.answer("futures/finished-order", paged([order_row()]))
    assert await site.look()
    assert await site.filled() == ["0.5"]


async def test_entry_listed_as_pending_is_not_taken_for_one_that_filled_nothing(
    site: Site,
) -> None:
    site.scripted.answer("futures/order-status", HTML_502, ok(order_row(status="filled")))
    site.scripted.answer("futures/pending-order", paged([NOTHING]))
    assert await site.send() is None
    assert await site.look()
    assert await site.filled() == ["0.5"]
