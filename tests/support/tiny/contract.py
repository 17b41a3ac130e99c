"""The tiny venue under contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from shared.exchanges.sim.save_file import fresh_state
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue import OrderRequest, PlacedOrder
from tests.support.manual_clock import ManualClock
from tests.support.tiny.venue import LATER_MS, TinyBook, TinyVenue
from tests.support.venue import ScriptedPrices
from tests.support.venue_contract import Opened, UnderContract

START_MS = 1_735_000_000_000


class Tiny(UnderContract):
    """A price that stands still."""

    resting = OrderRequest(
        symbol="BTCUSDT", side="buy", kind="limit", size=Decimal("0.0001"),
        price=Decimal("61000.42"), client_id="resting-1",
    )  # fmt: skip
    levels = Decimal(62000), Decimal(70000)

    def __init__(self) -> None:
        self.clock, self._true = ManualClock(START_MS), ManualClock(START_MS)
        prices = ScriptedPrices(START_MS, {"BTCUSDT": "64000", "ETHUSDT": "3000"})
        account, book = SimVenue(prices, fresh_state(START_MS)), TinyBook()

        def client(is_known: bool | None) -> TinyVenue:
            return TinyVenue(account, self.clock, true=self._true, book=book, is_known=is_known)

        self.client, self.stranger, self.impostor = client(True), client(None), client(False)

    async def resting_order(self) -> PlacedOrder:
        order = await self.client.place_order(self.resting)
        await self.executed()
        return order

    async def order_to_cancel(self) -> str:
        return (await self.resting_order()).order_id

    async def open_position(self) -> None:
        await self.client.place_order(
            OrderRequest(symbol="BTCUSDT", side="buy", kind="market", size=Decimal("0.0001"),
                         price=None, client_id="opens-1")
        )  # fmt: skip
        await self.executed()

    async def ended_position(self) -> Opened:
        await self.open_position()
        (position,) = await self.client.positions()
        await self.client.close_position("BTCUSDT", "ends-1")
        await self.executed()
        return Opened(self.symbol, position.side, position.opened_ms, position.position_id)

    async def close_id(self) -> str:
        return "close-1"

    async def executed(self) -> None:
        await self.pass_time(2 * LATER_MS / 1000)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self._true.advance(seconds)


@asynccontextmanager
async def served(_: Callable[[], Path], __: Path) -> AsyncIterator[UnderContract]:
    yield Tiny()


CONTRACTS = {"account": served}
