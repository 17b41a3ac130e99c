"""The simulated venue under test, on a real socket, and what its operator does there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiohttp import web

from actors.exchange_sim.fault_panel import FaultPanel
from actors.exchange_sim.faults import FaultScript
from actors.exchange_sim.venue_panel import VenuePanel
from actors.exchange_sim.venue_wire import VenueWire, wire_of
from shared.clock import Clock
from shared.config.defaults import UNNAMED_VENUE
from shared.config.sections import VenueSection
from shared.config.venue_catalog import venue_catalog
from shared.exchanges.ports import Venue
from shared.exchanges.sim.prices import Corner, Day, PriceFeed, between
from shared.exchanges.sim.save_file import VenueFile
from shared.exchanges.sim.venue import SimVenue
from shared.exchanges.venue_keys import VenueKeys
from shared.exchanges.venues import open_venue
from shared.journal.rows import JournalOwner
from tests.support.exchange import served
from tests.support.manual_clock import ManualClock

ACCESS_ID, SECRET = "an-access-id-of-the-simulator", "a-secret-of-the-simulator"
KEYS = VenueKeys(ACCESS_ID, SECRET)


class ScriptedPrices:
    """Prices moved by a test: in a straight line with `go`, at once with `jump`."""

    def __init__(self, start_ms: int, prices: Mapping[str, str]) -> None:
        self._corners = {m: [Corner(start_ms, Decimal(p))] for m, p in prices.items()}

    def go(self, symbol: str, at_ms: int, price: str) -> None:
        self._corners[symbol].append(Corner(at_ms, Decimal(price)))

    def jump(self, symbol: str, at_ms: int, price: str) -> None:
        self.go(symbol, at_ms, str(self._corners[symbol][-1].price))
        self.go(symbol, at_ms, price)

    def symbols(self) -> Sequence[str]:
        return tuple(self._corners)

    def digits(self, symbol: str, at_ms: int) -> int:
        return 2

    def price(self, symbol: str, at_ms: int) -> Decimal | None:
        return self.path(symbol, at_ms, at_ms)[-1].price

    def path(self, symbol: str, from_ms: int, until_ms: int) -> Sequence[Corner]:
        return between(self._corners[symbol], from_ms, until_ms, 2)

    def day(self, symbol: str, at_ms: int) -> Day | None:
        return None

    def moved_ms(self, symbol: str, at_ms: int) -> int | None:
        return at_ms

    def forget(self, before_ms: int) -> None:
        pass


class VenueUnderTest:
    """A venue on a socket, and calls of its operator."""

    def __init__(
        self, url: str, wire: VenueWire, clock: Clock, session: aiohttp.ClientSession
    ) -> None:
        self.url = url
        self.wire = wire
        self.clock = clock
        self.session = session

    async def books(self) -> dict[str, Any]:
        """Return the account as the operator sees it."""
        async with self.session.get(f"{self.url}/sim/venue") as reply:
            assert reply.status == 200, await reply.text()
            books: dict[str, Any] = await reply.json()
            return books

    async def by_hand(self, name: str, **given: Any) -> tuple[int, dict[str, Any]]:
        """Do something as the operator."""
        async with self.session.post(f"{self.url}/sim/venue/{name}", json=given) as reply:
            return reply.status, await reply.json()

    async def plan(self, *entries: Mapping[str, Any]) -> None:
        """Post faults as an operator would."""
        async with self.session.post(f"{self.url}/sim/faults", json=list(entries)) as reply:
            assert reply.status == 200, await reply.text()

    async def advance(self, seconds: float) -> None:
        """Advance a manual clock, or wait."""
        if isinstance(self.clock, ManualClock):
            await self.clock.advance(seconds)
        else:
            await asyncio.sleep(seconds)


@asynccontextmanager
async def venue_on(
    feed: PriceFeed, clock: Clock, directory: Path, *, limited: bool = False
) -> AsyncIterator[VenueUnderTest]:
    """Serve a venue that stores its account in `directory`."""
    script = FaultScript(None)
    file = VenueFile(directory / "venue.json")
    state = file.load(clock.now_ms())
    venue = SimVenue(feed, state)
    wire = wire_of(UNNAMED_VENUE)(venue, file, script, clock, keys=KEYS, limited=limited)
    app = web.Application()
    wire.add_routes(app)
    VenuePanel(wire).add_routes(app)
    FaultPanel(script, feed.symbols, clock).add_routes(app)
    async with served(app) as url, aiohttp.ClientSession() as session:
        yield VenueUnderTest(url, wire, clock, session)


def simulated_url(url: str) -> str:
    """Return the `base_url` of the venue served at an address."""
    return f"{url}{venue_catalog()[UNNAMED_VENUE].path}"


def simulated_client(
    url: str,
    session: aiohttp.ClientSession,
    clock: Clock,
    timeout_s: float = 0.5,
    keys: VenueKeys = KEYS,
) -> Venue:
    """Return a client of the venue served at an address."""
    return open_venue(
        VenueSection(base_url=simulated_url(url), request_timeout_s=timeout_s),
        session,
        clock=clock,
        keys=keys,
        share=0.7,
        log=logging.getLogger("venue"),
    )


def simulated_owner(mode: str = "demo") -> JournalOwner:
    """Return whose orders the journal of a trader at the simulated venue has."""
    return JournalOwner(
        mode=mode, venue=UNNAMED_VENUE, environment="simulated", currency=VenueSection().currency
    )


async def remove_trigger(url: str, symbol: str, what: Literal["stop", "target"]) -> None:
    """Remove the stop or the target of a position, as a person at the venue may."""
    given = {"market": symbol, "what": what}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/sim/venue/untrigger", json=given) as reply,
    ):
        assert reply.status == 200, await reply.text()
