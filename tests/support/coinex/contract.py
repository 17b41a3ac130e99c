"""CoinEx under contract: recordings of the real one, and the simulated one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from shared.exchanges.ports import Venue
from shared.exchanges.venue import OrderRequest, PlacedOrder
from shared.exchanges.venue_keys import VenueKeys
from tests.support.coinex.scripted import (
    ACCESS_ID,
    SECRET,
    Answer,
    Asked,
    ScriptedVenue,
    ok,
    scripted_venue,
    venue_client,
)
from tests.support.coinex.venue import CoinexUnderTest, coinex_on
from tests.support.manual_clock import ManualClock
from tests.support.venue import KEYS, ScriptedPrices
from tests.support.venue_contract import Opened, UnderContract


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
    cancelled_order, status_order = "137174472136", "137319868771"

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

    async def order_to_cancel(self) -> str:
        return self.cancelled_order

    async def open_position(self) -> None:
        pass

    async def ended_position(self) -> Opened:
        return Opened("CETUSDT", "long", 1691482451000, "927266133")

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
        known = asked.query["order_id"] == self.status_order
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

    def __init__(self, venue: CoinexUnderTest) -> None:
        self.venue = venue

    async def resting_order(self) -> PlacedOrder:
        return await self.client.place_order(self.resting)

    async def order_to_cancel(self) -> str:
        return (await self.resting_order()).order_id

    async def open_position(self) -> None:
        await self.venue.buy("0.0001")

    async def ended_position(self) -> Opened:
        await self.open_position()
        (position,) = await self.client.positions()
        await self.venue.advance(1)
        await self.venue.sell("0.0001")
        return Opened(self.symbol, position.side, position.opened_ms, position.position_id)

    async def close_id(self) -> str:
        return "close-1"


async def _with_clients(
    contract: UnderContract, stack: AsyncExitStack, url: str, clock: ManualClock, own: VenueKeys
) -> None:
    """Give a venue under contract its three clients."""

    async def client(keys: VenueKeys | None) -> Venue:
        return await stack.enter_async_context(venue_client(url, clock, keys, share=1))

    contract.clock = clock
    contract.client = await client(own)
    contract.stranger = await client(None)
    contract.impostor = await client(VenueKeys(own.access_id, "another-secret"))


@asynccontextmanager
async def simulator(_: Callable[[], Path], directory: Path) -> AsyncIterator[UnderContract]:
    start_ms = Simulated.start_ms
    prices = ScriptedPrices(start_ms, {"BTCUSDT": "64000", "ETHUSDT": "3000"})
    async with AsyncExitStack() as stack:
        clock = ManualClock(start_ms)
        venue = await stack.enter_async_context(coinex_on(prices, clock, directory))
        contract = Simulated(venue)
        await _with_clients(contract, stack, f"{venue.url}/v2", ManualClock(start_ms), KEYS)
        yield contract


@asynccontextmanager
async def recordings(data: Callable[[], Path], _: Path) -> AsyncIterator[Tapes]:
    directory = data() / "recorded" / "coinex"
    if not directory.is_dir():
        pytest.skip(f"no recorded replies in {directory}")
    recorded_ms = json.loads((directory / "time.json").read_bytes())["data"]["timestamp"]
    async with AsyncExitStack() as stack:
        scripted = await stack.enter_async_context(scripted_venue(ManualClock(recorded_ms)))
        contract = Tapes(directory, scripted)
        keys = VenueKeys(ACCESS_ID, SECRET)
        await _with_clients(contract, stack, scripted.url, ManualClock(recorded_ms), keys)
        yield contract


CONTRACTS = {"recordings": recordings, "simulator": simulator}
