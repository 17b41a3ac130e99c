"""What the port `Venue` promises, held against every venue there is.

A venue under contract brings itself into the state a promise is about (`resting_order`,
`open_position`, ...); on recordings, where each reply stands alone, that is what was recorded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from shared.config.secrets import SECRET_VARIABLES
from shared.errors import VenueDenied, VenueRefused
from shared.exchanges.venue import OPENS
from tests.support.venue_contract import UnderContract, contracts

NOBODYS = "1"


@pytest.fixture(params=contracts())
async def venue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UnderContract]:
    """Yield every venue there is, one after the other."""

    def data_dir() -> Path:
        found: Path = request.getfixturevalue("data_dir")
        return found

    async with contracts()[request.param](data_dir, tmp_path) as contract:
        yield contract


async def test_venue_time_corrects_our_clock(venue: UnderContract) -> None:
    true_ms = venue.clock.now_ms()
    venue.clock.step_wall(-75_000)
    told_ms = await venue.client.server_time()
    assert told_ms == venue.client.now_ms()
    assert abs(told_ms - true_ms) < 2000


async def test_market_rules_are_whole_and_fit_together(venue: UnderContract) -> None:
    rules = await venue.client.markets([venue.symbol])
    assert set(rules) == {venue.symbol}
    rule = rules[venue.symbol]
    assert rule.symbol == venue.symbol
    assert rule.min_size > 0
    assert rule.min_size % rule.size_step == 0
    assert rule.tick > 0
    assert 0 <= rule.maker_fee <= rule.taker_fee < 1
    assert rule.leverages == tuple(sorted(set(rule.leverages)))
    assert rule.available


async def test_markets_that_are_not_listed_are_left_out(venue: UnderContract) -> None:
    asked = ["NOPEUSDT", venue.symbol]
    assert set(await venue.client.markets(asked)) == {venue.symbol}
    assert set(await venue.client.tickers(asked)) == {venue.symbol}
    assert await venue.client.markets([]) == {}


async def test_all_markets_are_told_without_names(venue: UnderContract) -> None:
    assert venue.symbol in await venue.client.markets()
    assert venue.symbol in await venue.client.tickers()


async def test_prices_are_above_zero(venue: UnderContract) -> None:
    prices = (await venue.client.tickers([venue.symbol]))[venue.symbol]
    assert min(prices.last, prices.mark, prices.index) > 0


async def test_book_is_best_price_first_and_dated(venue: UnderContract) -> None:
    book = await venue.client.book(venue.symbol, levels=5)
    assert book.symbol == venue.symbol
    bids, asks = ([level.price for level in side] for side in (book.bids, book.asks))
    assert 1 <= len(bids) <= 5
    assert 1 <= len(asks) <= 5
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert book.updated_ms is not None


async def test_funding_tells_the_last_and_the_next(venue: UnderContract) -> None:
    funding = await venue.client.funding(venue.symbol)
    assert funding.symbol == venue.symbol
    assert funding.latest_ms is not None
    assert funding.next_ms is not None
    assert funding.latest_ms < funding.next_ms
    assert abs(funding.next_rate) < Decimal("0.01")


async def test_public_calls_need_no_keys(venue: UnderContract) -> None:
    assert await venue.stranger.server_time() > 0
    assert await venue.stranger.markets([venue.symbol])
    assert (await venue.stranger.book(venue.symbol)).asks


async def test_without_keys_the_rest_is_denied_in_words_that_say_what_to_set(
    venue: UnderContract,
) -> None:
    for denied in (
        venue.stranger.balance,
        venue.stranger.positions,
        lambda: venue.stranger.place_order(venue.resting),
        lambda: venue.stranger.set_stop_loss(venue.symbol, Decimal(1)),
    ):
        with pytest.raises(VenueDenied, match=SECRET_VARIABLES["venue_key"]):
            await denied()


async def test_wrong_keys_are_denied(venue: UnderContract) -> None:
    for denied in (venue.impostor.balance, lambda: venue.impostor.place_order(venue.resting)):
        with pytest.raises(VenueDenied):
            await denied()


@pytest.mark.parametrize("off_ms", [-60_000, 60_000])
async def test_clock_that_is_off_is_corrected_on_the_way(venue: UnderContract, off_ms: int) -> None:
    venue.clock.step_wall(off_ms)
    assert await venue.client.balance()
    assert abs(venue.client.now_ms() + off_ms - venue.clock.now_ms()) < 2000


async def test_balance_adds_up_to_equity(venue: UnderContract) -> None:
    for held in await venue.client.balance():
        assert held.currency
        assert held.available >= 0
        assert held.equity == (
            held.available + held.frozen + held.margin + held.unrealized_pnl
        )  # fmt: skip


async def test_position_is_told_once_with_its_size_and_price(venue: UnderContract) -> None:
    await venue.open_position()
    (position,) = [p for p in await venue.client.positions() if p.symbol == venue.symbol]
    assert position.side == "long"
    assert position.size > 0
    assert position.entry_price > 0
    assert position.leverage >= 1
    assert position.stop_loss is None
    assert position.take_profit is None


async def test_order_placed_is_the_one_asked_for(venue: UnderContract) -> None:
    placed = await venue.client.place_order(venue.resting)
    assert (placed.symbol, placed.side, placed.kind, placed.size, placed.price) == (
        venue.resting.symbol,
        venue.resting.side,
        venue.resting.kind,
        venue.resting.size,
        venue.resting.price,
    )
    assert placed.client_id == venue.resting.client_id
    assert placed.filled_size == 0
    assert placed.average_price is None


async def test_order_that_rests_is_told_by_its_number(venue: UnderContract) -> None:
    order = await venue.resting_order()
    now = await venue.client.order_status(venue.symbol, order.order_id)
    assert now.order_id == order.order_id
    assert now.state == "open"


async def test_order_the_venue_does_not_know_is_refused_with_its_code(
    venue: UnderContract,
) -> None:
    with pytest.raises(VenueRefused) as caught:
        await venue.client.order_status(venue.symbol, NOBODYS)
    assert caught.value.code


async def test_order_cancelled_is_told_back(venue: UnderContract) -> None:
    order_id = await venue.order_to_cancel()
    cancelled = await venue.client.cancel(venue.symbol, order_id)
    assert cancelled.order_id == order_id
    assert cancelled.filled_size == 0


async def test_position_closed_brings_its_fill_at_once_or_soon(venue: UnderContract) -> None:
    await venue.open_position()
    closed = await venue.client.close_position(venue.symbol, client_id := await venue.close_id())
    assert closed.client_id == client_id
    assert closed.side != OPENS["long"]
    assert closed.kind == "market"
    assert closed.price is None
    closed = await venue.read_back(closed)
    assert closed.filled_size == closed.size > 0
    assert closed.average_price is not None
    assert closed.fee > 0


async def test_order_is_found_by_our_id_after_it_ended(venue: UnderContract) -> None:
    await venue.open_position()
    client_id = await venue.close_id()
    closed = await venue.read_back(await venue.client.close_position(venue.symbol, client_id))
    (found,) = await venue.client.orders_by_client_id(venue.symbol, client_id)
    assert found.order_id == closed.order_id
    assert found.filled_value == closed.filled_value


async def test_id_nobody_used_finds_nothing(venue: UnderContract) -> None:
    assert not await venue.client.orders_by_client_id(venue.symbol, "never-used")


async def test_fills_are_told_from_a_time_on_oldest_first(venue: UnderContract) -> None:
    await venue.open_position()
    fills = await venue.client.fills(venue.symbol, 0)
    assert fills
    assert [f.at_ms for f in fills] == sorted(f.at_ms for f in fills)
    for fill in fills:
        assert fill.symbol == venue.symbol
        assert fill.price * fill.size > 0
    last_ms = fills[-1].at_ms
    assert await venue.client.fills(venue.symbol, last_ms, last_ms)
    assert not await venue.client.fills(venue.symbol, last_ms + 1)


async def test_stop_and_target_are_told_back_with_the_position(venue: UnderContract) -> None:
    await venue.open_position()
    stop, target = venue.levels
    assert (await venue.client.set_stop_loss(venue.symbol, stop)).stop_loss == stop
    position = await venue.client.set_take_profit(venue.symbol, target)
    assert (position.stop_loss, position.take_profit) == (stop, target)


async def test_stop_and_target_ride_on_an_entry_where_the_venue_can(venue: UnderContract) -> None:
    stop, target = venue.levels
    order = replace(venue.resting, kind="market", price=None, client_id="protected-1",
                    stop_loss=stop, take_profit=target)  # fmt: skip
    if not venue.client.protects_entry:
        with pytest.raises(ValueError, match="protected-1"):
            await venue.client.place_order(order)
        return
    assert (await venue.read_back(await venue.client.place_order(order))).state == "filled"
    (position,) = [p for p in await venue.client.positions() if p.symbol == venue.symbol]
    assert (position.stop_loss, position.take_profit) == (stop, target)


async def test_position_that_ended_is_told_by_how_it_was_opened(venue: UnderContract) -> None:
    was = await venue.ended_position()
    end = await venue.client.ended(was.symbol, was.side, was.opened_ms, was.position_id)
    assert end is not None
    assert end.closed_ms >= was.opened_ms
    assert end.how
    # where positions have no id, the next may begin in the millisecond in which this one ended
    later_ms = end.closed_ms + (was.position_id is not None)
    assert await venue.client.ended(was.symbol, was.side, later_ms, was.position_id) is None
    assert await venue.client.ended("NOPEUSDT", was.side, was.opened_ms, None) is None


async def test_market_that_was_traded_is_told_with_when_to_read_from(venue: UnderContract) -> None:
    was = await venue.ended_position()
    traded = await venue.client.traded_since(was.opened_ms)
    assert traded[was.symbol] <= was.opened_ms


async def test_set_up_of_the_account_is_told_in_words(venue: UnderContract) -> None:
    for check in await venue.client.account_checks([venue.symbol]):
        assert check.name and check.text


async def test_leverage_set_is_told_back(venue: UnderContract) -> None:
    assert await venue.client.set_leverage(venue.symbol, 1) == 1
