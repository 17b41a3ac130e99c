"""What the port `Venue` promises, held against every venue: recordings of the real one, and ours.

A venue under contract brings itself into the state a promise is about (`resting_order`,
`open_position`, ...); on tapes, where each reply stands alone, that is what was recorded.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

import pytest

from shared.errors import VenueDenied, VenueRefused
from shared.exchanges.liveness import frozen
from shared.exchanges.ports import Venue
from shared.exchanges.venue import OPENS, OrderRequest, PlacedOrder
from shared.exchanges.venue_keys import VenueKeys
from tests.support.manual_clock import ManualClock
from tests.support.scripted_venue import (
    ACCESS_ID,
    SECRET,
    Answer,
    Asked,
    ScriptedVenue,
    ok,
    scripted_venue,
    venue_client,
)
from tests.support.venue import KEYS, ScriptedPrices, VenueUnderTest, venue_on

UNKNOWN_ORDER = 1


class UnderContract(ABC):
    """A venue under contract.

    Attributes:
        client: With keys of an account.
        stranger: Without keys.
        impostor: With keys of which the secret is wrong.
        clock: Of the clients; the venue has its own, which shows the same time.
    """

    symbol = "BTCUSDT"
    clock: ManualClock
    client: Venue
    stranger: Venue
    impostor: Venue

    @property
    @abstractmethod
    def resting(self) -> OrderRequest:
        """Return a limit order that is taken and not filled."""

    @property
    @abstractmethod
    def levels(self) -> tuple[Decimal, Decimal]:
        """Return a stop and a target that are taken for the open position."""

    @abstractmethod
    async def resting_order(self) -> PlacedOrder:
        """Bring about an order that rests, and return it."""

    @abstractmethod
    async def order_to_cancel(self) -> int:
        """Bring about an order that rests, and return its number."""

    @abstractmethod
    async def open_position(self) -> None:
        """Bring about a long position in `symbol`."""

    @abstractmethod
    async def ended_position(self) -> int:
        """Bring about a position that ended, and return a time before it did."""

    @abstractmethod
    async def close_id(self) -> str:
        """Return an id with which the position may be closed."""


class Tapes(UnderContract):
    """What the real venue answered."""

    resting = OrderRequest(
        symbol="BTCUSDT",
        side="buy",
        kind="limit",
        size=Decimal("0.0001"),
        price=Decimal("61000.42"),
        client_id="x-167673045-1471b81d747080a0",
    )
    levels = Decimal(62000), Decimal(70000)
    finished_id = "x-167673045-4f264600c432ac06"
    cancelled_order, status_order = 137174472136, 137319868771

    def __init__(self, directory: Path, venue: ScriptedVenue) -> None:
        self.venue = venue
        self._directory = directory
        errors = json.loads(self.read("http_errors.json").body)
        self._errors = {e["body"]["code"]: json.dumps(e["body"]).encode() for e in errors}
        for endpoint, name in (
            ("time", "time"),
            ("assets/futures/balance", "futures_balance"),
            ("futures/funding-rate", "futures_funding_rate"),
            ("futures/depth", "futures_depth"),
            ("futures/pending-position", "futures_pending_position"),
            ("futures/finished-position", "doc-examples/finished_position"),
            ("futures/close-position", "futures_close_position"),
            ("futures/set-position-stop-loss", "futures_set_position_stop_loss"),
            ("futures/set-position-take-profit", "futures_set_position_take_profit"),
            ("futures/adjust-position-leverage", "futures_adjust_position_leverage"),
            ("futures/order", "futures_order_limit"),
            ("futures/cancel-order", "futures_cancel_order"),
        ):
            venue.answer(endpoint, self.read(f"{name}.json"))
        for endpoint in ("market", "ticker"):
            venue.answer(f"futures/{endpoint}", self._listed(f"futures_{endpoint}.json"))
        venue.answer("futures/order-status", self._order_status)
        venue.answer("futures/pending-order", self._pending)
        venue.answer("futures/finished-order", self._finished)
        venue.answer("futures/user-deals", self._deals)

    async def resting_order(self) -> PlacedOrder:
        return await self.client.order_status(self.symbol, self.status_order)

    async def order_to_cancel(self) -> int:
        return self.cancelled_order

    async def open_position(self) -> None:
        pass

    async def ended_position(self) -> int:
        return 1691482451000

    async def close_id(self) -> str:
        return self.finished_id

    def read(self, name: str) -> Answer:
        return Answer((self._directory / name).read_bytes())

    def _listed(self, name: str) -> Callable[[Asked], Answer]:
        def script(asked: Asked) -> Answer:
            names = asked.query.get("market", self.symbol).split(",")
            return self.read(name) if names == [self.symbol] else Answer(self._errors[4004])

        return script

    def _order_status(self, asked: Asked) -> Answer:
        known = asked.query["order_id"] == str(self.status_order)
        return self.read("futures_order_status_open.json") if known else Answer(self._errors[3600])

    def _pending(self, asked: Asked) -> Answer:
        if "client_id" in asked.query:
            return ok([], has_next=False)
        return self.read("futures_pending_order.json")

    def _finished(self, asked: Asked) -> Answer:
        known = asked.query["client_id"] == self.finished_id
        return self.read("futures_finished_order.json") if known else ok([], has_next=False)

    def _deals(self, asked: Asked) -> Answer:
        # the recording promises a second page, which was not recorded
        first = asked.query["page"] == "1"
        return self.read("futures_user_deals.json") if first else ok([], has_next=False)


class Simulated(UnderContract):
    """The simulated venue, at a price that stands still."""

    resting = Tapes.resting
    levels = Tapes.levels
    start_ms = 1_735_000_000_000

    def __init__(self, venue: VenueUnderTest) -> None:
        self.venue = venue

    async def resting_order(self) -> PlacedOrder:
        return await self.client.place_order(self.resting)

    async def order_to_cancel(self) -> int:
        return (await self.resting_order()).order_id

    async def open_position(self) -> None:
        await self.venue.buy("0.0001")

    async def ended_position(self) -> int:
        await self.open_position()
        await self.venue.advance(1)
        await self.venue.sell("0.0001")
        return self.start_ms

    async def close_id(self) -> str:
        return "close-1"


@pytest.fixture(params=["tapes", "simulator"])
async def venue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UnderContract]:
    """Yield every venue there is, one after the other."""
    async with AsyncExitStack() as stack:
        contract: UnderContract
        if request.param == "simulator":
            clock = ManualClock(Simulated.start_ms)
            prices = ScriptedPrices(Simulated.start_ms, {"BTCUSDT": "64000", "ETHUSDT": "3000"})
            simulated = await stack.enter_async_context(venue_on(prices, clock, tmp_path))
            contract = Simulated(simulated)
            keys = KEYS
            url = f"{simulated.url}/v2"
            await with_clients(contract, stack, url, ManualClock(Simulated.start_ms), keys)
        else:
            directory = request.getfixturevalue("data_dir") / "recorded" / "coinex"
            if not directory.is_dir():
                pytest.skip(f"no recorded replies in {directory}")
            recorded_ms = json.loads((directory / "time.json").read_bytes())["data"]["timestamp"]
            scripted = await stack.enter_async_context(scripted_venue(ManualClock(recorded_ms)))
            contract = Tapes(directory, scripted)
            keys = VenueKeys(ACCESS_ID, SECRET)
            await with_clients(contract, stack, scripted.url, ManualClock(recorded_ms), keys)
        yield contract


async def with_clients(
    contract: UnderContract, stack: AsyncExitStack, url: str, clock: ManualClock, own: VenueKeys
) -> None:
    """Give a venue under contract its three clients."""

    async def client(keys: VenueKeys | None) -> Venue:
        return await stack.enter_async_context(venue_client(url, clock, keys, share=1))

    contract.clock = clock
    contract.client = await client(own)
    contract.stranger = await client(None)
    contract.impostor = await client(VenueKeys(own.access_id, "another-secret"))


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
        with pytest.raises(VenueDenied, match="COINEX_ACCESS_ID and COINEX_SECRET_KEY"):
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
        await venue.client.order_status(venue.symbol, UNKNOWN_ORDER)
    assert caught.value.code == 3600


async def test_order_cancelled_is_told_back(venue: UnderContract) -> None:
    order_id = await venue.order_to_cancel()
    cancelled = await venue.client.cancel(venue.symbol, order_id)
    assert cancelled.order_id == order_id
    assert cancelled.filled_size == 0


async def test_position_closed_brings_its_fill_at_once(venue: UnderContract) -> None:
    await venue.open_position()
    closed = await venue.client.close_position(venue.symbol, client_id := await venue.close_id())
    assert closed.client_id == client_id
    assert closed.side != OPENS["long"]
    assert closed.kind == "market"
    assert closed.price is None
    assert closed.filled_size == closed.size > 0
    assert closed.average_price is not None
    assert closed.fee > 0


async def test_order_is_found_by_our_id_after_it_ended(venue: UnderContract) -> None:
    await venue.open_position()
    client_id = await venue.close_id()
    closed = await venue.client.close_position(venue.symbol, client_id)
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


async def test_positions_that_ended_are_told_since_a_time(venue: UnderContract) -> None:
    since_ms = await venue.ended_position()
    (position,) = await venue.client.closed_positions(since_ms)
    assert position.closed_ms >= position.opened_ms
    assert position.how
    assert not await venue.client.closed_positions(position.closed_ms + 1)


async def test_leverage_set_is_told_back(venue: UnderContract) -> None:
    assert await venue.client.set_leverage(venue.symbol, 1) == 1


# Below: of the tapes alone, to the digit.


@pytest.fixture
def tapes(venue: UnderContract) -> Tapes:
    if not isinstance(venue, Tapes):
        pytest.skip("asked of the tapes alone")
    return venue


async def test_recorded_position_is_read_to_the_digit(tapes: Tapes) -> None:
    (position,) = await tapes.client.positions()
    assert position.position_id == 305891033
    assert position.margin_mode == "cross"
    assert position.leverage == 3
    assert str(position.margin) == "2.07789333"
    assert str(position.realized_pnl) == "-0.00311684"
    assert position.liquidation_price is None


async def test_recorded_close_is_read_to_the_digit(tapes: Tapes) -> None:
    closed = await tapes.client.close_position("BTCUSDT", tapes.finished_id)
    assert closed.average_price == Decimal("64420.17")
    assert str(closed.fee) == "0.003221"
    assert closed.state is None


async def test_market_recorded_in_2024_is_read_by_its_precision(tapes: Tapes) -> None:
    rule = (await tapes.client.markets(["BTCUSDT"]))["BTCUSDT"]
    assert (rule.min_size, rule.tick) == (Decimal("0.0001"), Decimal("0.01"))
    assert rule.size_step == Decimal("0.00000001")
    assert rule.leverages == (1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 100)


async def test_fill_recorded_in_2024_tells_no_fee_and_says_so(tapes: Tapes) -> None:
    (fill,) = await tapes.client.fills("BTCUSDT", 0)
    assert (fill.fee, fill.fee_currency) == (Decimal(0), "")
    assert (fill.role, fill.position_id) == (None, None)
    assert tapes.venue.count("futures/user-deals") == 2


async def test_documented_shapes_of_today_areread(tapes: Tapes) -> None:
    for endpoint, name in (
        ("futures/market", "futures_market"),
        ("futures/user-deals", "futures_user_deals"),
        ("futures/pending-position", "pending_position"),
        ("assets/futures/balance", "futures_balance"),
    ):
        tapes.venue.answer(endpoint, tapes.read(f"doc-examples/{name}.json"))
    assert (await tapes.client.markets())["BTCUSDT"].tick == Decimal("0.5")
    (fill,) = await tapes.client.fills("BTCUSDT", 0)
    assert (fill.role, fill.fee, fill.fee_currency) == ("taker", Decimal("0.0299"), "USDT")
    (position,) = await tapes.client.positions()
    assert position.symbol == "CETUSDT"
    assert position.liquidation_price == Decimal("0.05679")
    assert (await tapes.client.balance())[0].currency == "CET"


async def test_book_recorded_after_the_venue_ended_counts_as_down(tapes: Tapes) -> None:
    frames = [entry["frame"] for entry in json.loads(tapes.read("ws_frames_2026-09-23.json").body)]
    ended = next(frame["data"] for frame in frames if frame.get("method") == "depth.update")
    tapes.venue.answer("futures/depth", ok(ended))
    book = await tapes.client.book(ended["market"])
    rule = (await tapes.client.markets(["BTCUSDT"]))["BTCUSDT"]
    ticker = (await tapes.client.tickers(["BTCUSDT"]))["BTCUSDT"]
    assert frozen(rule, book, ticker, ended["depth"]["updated_at"]) == (
        "ETHUSDT: the book has no bids and asks"
    )


async def test_book_recorded_long_ago_counts_as_down(tapes: Tapes) -> None:
    book = await tapes.client.book("BTCUSDT")
    rule = (await tapes.client.markets(["BTCUSDT"]))["BTCUSDT"]
    ticker = (await tapes.client.tickers(["BTCUSDT"]))["BTCUSDT"]
    assert book.updated_ms is not None
    assert frozen(rule, book, ticker, book.updated_ms) == ""
    assert "has not changed for 3600 s" in frozen(rule, book, ticker, book.updated_ms + 3_600_000)
