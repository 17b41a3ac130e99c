"""Fixtures of the tests of CoinEx's client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.clock import SystemClock
from shared.exchanges.coinex.client import CoinExClient
from tests.support.coinex.faults import KEYS
from tests.support.coinex.scripted import ScriptedVenue, ok, scripted_venue, venue_client


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedVenue]:
    """A venue that says what it is told to say."""
    async with scripted_venue(SystemClock()) as venue:
        venue.answer("time", lambda _: ok({"timestamp": venue.clock.now_ms()}))
        yield venue


@pytest.fixture
async def coinex(scripted: ScriptedVenue) -> AsyncIterator[CoinExClient]:
    """A client of it, with keys; it waits half a second for an answer."""
    async with venue_client(scripted.url, SystemClock(), KEYS, timeout_s=0.5) as client:
        yield client
