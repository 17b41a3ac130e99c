"""Lists are complete or refused; markets are asked for in small numbers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from shared.clock import SystemClock
from shared.exchanges.coinex.client import CoinExClient
from shared.exchanges.coinex.wire import PAGE_SIZE
from tests.support.coinex.faults import KEYS, outcome
from tests.support.coinex.scripted import (
    Answer,
    Asked,
    ScriptedVenue,
    no,
    ok,
    paged,
    venue_client,
)
from tests.support.coinex.wire_rows import (
    AT_MS,
    deal_row,
    market_row,
    order_row,
    position_row,
    ticker_row,
)


def positions(count: int) -> list[dict[str, Any]]:
    return [position_row(position_id=i, market=f"COIN{i}USDT") for i in range(count)]


@pytest.mark.parametrize(("size", "calls"), [(100, 1), (10, 6)])
async def test_29_positions_are_all_read_whatever_the_page_size(
    scripted: ScriptedVenue, coinex: CoinExClient, size: int, calls: int
) -> None:
    scripted.answer("futures/pending-position", paged(positions(29), size))
    found = await coinex.positions()
    assert sorted(int(p.position_id or "") for p in found) == list(range(29))
    assert scripted.count("futures/pending-position") == calls


async def test_position_that_a_page_shift_hid_is_found_by_reading_again(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    held = positions(29)

    def closing(asked: Asked) -> Answer:
        answer = paged(held, 10)(asked)
        if scripted.count("futures/pending-position") == 1:
            del held[0]  # number 10 moves onto the page that was just read
        return answer

    scripted.answer("futures/pending-position", closing)
    found = await coinex.positions()
    assert sorted(int(p.position_id or "") for p in found) == list(range(1, 29))


async def test_list_that_never_stands_still_is_not_taken_for_a_whole_one(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    held = positions(40)

    def changing(asked: Asked) -> Answer:
        answer = paged(held, 20)(asked)
        del held[0]
        return answer

    scripted.answer("futures/pending-position", changing)
    assert "all differ" in str(await outcome(coinex.positions()))


async def test_list_that_repeats_itself_without_end_is_given_up(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/pending-position", ok(positions(10), has_next=True))
    error = await outcome(coinex.positions())
    assert "futures/pending-position: page 2 announces another one" in str(error)
    assert scripted.count("futures/pending-position") == 2


async def test_list_that_goes_on_without_end_is_given_up(scripted: ScriptedVenue) -> None:
    scripted.answer(
        "futures/pending-order",
        lambda asked: ok([order_row(order_id=int(asked.query["page"]))], has_next=True),
    )
    async with venue_client(scripted.url, SystemClock(), KEYS, share=50) as client:
        error = await outcome(client.orders_by_client_id("BTCUSDT", "mine"))
    assert "no end after 200 pages" in str(error)


async def test_of_pages_without_end_only_what_is_read_is_kept(scripted: ScriptedVenue) -> None:
    unread = "x" * 9000

    def page(asked: Asked) -> Answer:
        first = int(asked.query["page"]) * PAGE_SIZE
        rows = [order_row(order_id=first + i, unread=unread) for i in range(PAGE_SIZE)]
        return ok(rows, has_next=True)

    scripted.answer("futures/pending-order", page)
    tracemalloc.start()
    try:
        async with venue_client(scripted.url, SystemClock(), KEYS, share=50) as client:
            error = await outcome(client.orders_by_client_id("BTCUSDT", "mine"))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "no end after 200 pages" in str(error)
    assert most_bytes < 60 * 2**20


async def test_page_of_more_entries_than_asked_for_is_refused(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/pending-position", ok(positions(101), has_next=False))
    error = await outcome(coinex.positions())
    assert "page 1 has 101 entries, asked for 100" in str(error)


async def test_list_without_pages_is_not_taken_for_a_whole_one(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/pending-position", ok(positions(10)))
    assert "pagination" in str(await outcome(coinex.positions()))


async def test_fills_of_all_pages_come_oldest_first_and_within_the_time_asked(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    deals = [deal_row(deal_id=i, created_at=AT_MS + i) for i in reversed(range(25))]
    scripted.answer("futures/user-deals", paged(deals, 10))
    found = await coinex.fills("BTCUSDT", AT_MS + 3, AT_MS + 20)
    assert [f.fill_id for f in found] == [str(i) for i in range(3, 21)]
    assert scripted.asked[0].query == {
        "market_type": "FUTURES",
        "market": "BTCUSDT",
        "start_time": str(AT_MS + 3),
        "end_time": str(AT_MS + 20),
        "page": "1",
        "limit": "100",
    }


async def test_position_closed_lately_is_told_though_it_was_opened_before_the_time_asked(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    rows = [
        position_row(
            position_id=i, finished_type="tp", created_at=AT_MS - 1000, updated_at=AT_MS + i
        )
        for i in (5, 1, -1)
    ]

    def by_opening(asked: Asked) -> Answer:
        start_ms = int(asked.query["start_time"])
        return paged([row for row in rows if row["created_at"] >= start_ms])(asked)

    scripted.answer("futures/finished-position", by_opening)
    ends = [await coinex.ended("BTCUSDT", "long", AT_MS, str(i)) for i in (5, 1, -1)]
    assert [end and end.closed_ms for end in ends] == [AT_MS + 5, AT_MS + 1, None]


async def test_order_that_ended_between_the_two_lists_is_told_once_as_it_ended(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    before, after = order_row(type="limit", filled_amount="0"), order_row(type="limit")
    others = order_row(order_id=9, client_id="theirs")
    scripted.answer("futures/pending-order", ok([before, others], has_next=False))
    scripted.answer("futures/finished-order", ok([after], has_next=False))
    (found,) = await coinex.orders_by_client_id("BTCUSDT", "ours-1")
    assert found.filled_size == Decimal("0.5")


def listed(shape: Callable[..., dict[str, Any]], names: list[str]) -> Callable[[Asked], Answer]:
    def script(asked: Asked) -> Answer:
        wanted = asked.query["market"].split(",") if "market" in asked.query else names
        assert len(wanted) <= 10 or "market" not in asked.query
        known = set(wanted) <= set(names)
        return ok([shape(market=name) for name in wanted]) if known else no(4004)

    return script


NAMES = [f"COIN{i}USDT" for i in range(29)]


async def test_markets_are_asked_for_ten_names_at_a_time(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/market", listed(market_row, NAMES))
    scripted.answer("futures/ticker", listed(ticker_row, NAMES))
    assert list(await coinex.markets(NAMES)) == NAMES
    assert list(await coinex.tickers(NAMES)) == NAMES
    assert scripted.count("futures/market") == scripted.count("futures/ticker") == 3
    assert ",".join(NAMES[:10]) in scripted.asked[0].target  # commas are sent as they are


async def test_one_market_not_listed_hides_no_other(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/market", listed(market_row, NAMES[:-1]))
    assert set(await coinex.markets(NAMES)) == set(NAMES[:-1])


async def test_markets_with_sizes_of_another_kind_are_left_out(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    rows = [market_row(), market_row(market="BTCUSD", contract_type="inverse")]
    scripted.answer("futures/market", ok(rows))
    assert set(await coinex.markets()) == {"BTCUSDT"}


async def test_book_of_another_market_is_not_taken(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    depth = {"bids": [], "asks": [], "updated_at": 1}
    scripted.answer("futures/depth", ok({"market": "ETHUSDT", "depth": depth}))
    assert "expected 'BTCUSDT', found 'ETHUSDT'" in str(await outcome(coinex.book("BTCUSDT")))
    with pytest.raises(ValueError, match="levels"):
        await coinex.book("BTCUSDT", levels=7)


async def test_leverage_in_another_margin_mode_is_not_taken(
    scripted: ScriptedVenue, coinex: CoinExClient
) -> None:
    scripted.answer("futures/adjust-position-leverage", ok({"leverage": 3, "margin_mode": "cross"}))
    assert "margin_mode" in str(await outcome(coinex.set_leverage("BTCUSDT", 3)))
