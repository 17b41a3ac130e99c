"""Opens CoinEx, for `shared/exchanges/venues.py`."""

from __future__ import annotations

import logging

import aiohttp

from shared.clock import Clock
from shared.config.sections import VenueSection
from shared.exchanges.coinex.client import CoinExClient
from shared.exchanges.coinex.wire import CoinExWire
from shared.exchanges.ports import Venue
from shared.exchanges.venue_keys import VenueKeys


def open_venue(
    section: VenueSection,
    session: aiohttp.ClientSession,
    *,
    clock: Clock,
    keys: VenueKeys | None,
    share: float,
    log: logging.Logger,
) -> Venue:
    """See `shared.exchanges.venues.open_venue`."""
    wire = CoinExWire(
        session,
        base_url=section.base_url or "",
        clock=clock,
        keys=keys,
        window_ms=section.window_ms,
        timeout_s=section.request_timeout_s,
        share=share,
        log=log,
    )
    return CoinExClient(wire, section.currency)
