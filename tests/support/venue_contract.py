"""Venues under contract: what the port `Venue` promises is held against each of them.

Each venue has a file of its own, `tests/support/<venue>/contract.py`, with its `CONTRACTS`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from shared.config.venue_catalog import venue_catalog
from shared.exchanges.ports import Venue
from shared.exchanges.venue import OrderRequest, PlacedOrder
from shared.messages.trading import TradeSide
from tests.support.manual_clock import ManualClock

OF_TESTS = ("tiny",)


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known of a position of ours that has ended."""

    symbol: str
    side: TradeSide
    opened_ms: int
    position_id: str | None


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
    async def order_to_cancel(self) -> str:
        """Bring about an order that rests, and return its id."""

    @abstractmethod
    async def open_position(self) -> None:
        """Bring about a long position in `symbol`."""

    @abstractmethod
    async def ended_position(self) -> Opened:
        """Bring about a position that ended, and return how it was opened."""

    @abstractmethod
    async def close_id(self) -> str:
        """Return an id with which the position may be closed."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass at the venue and for its clients."""
        await self.clock.advance(seconds)

    async def read_back(self, order: PlacedOrder) -> PlacedOrder:
        """Return an order once the venue says what became of it."""
        for _ in range(10):
            if order.state != "accepted" or order.filled_size:
                break
            await self.pass_time(0.1)
            order = await self.client.order_status(order.symbol, order.order_id)
        return order


Contract = Callable[[Callable[[], Path], Path], AbstractAsyncContextManager[UnderContract]]
"""Serves a venue, given a call for the directory of third-party data, and that of the test."""


def contracts() -> Mapping[str, Contract]:
    """Return every venue under contract."""
    found: dict[str, Contract] = {}
    for venue in (*venue_catalog(), *OF_TESTS):
        module = importlib.import_module(f"tests.support.{venue}.contract")
        found |= {f"{venue} {name}": contract for name, contract in module.CONTRACTS.items()}
    return found
