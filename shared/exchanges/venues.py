"""The one place that says which venue there is; everybody else knows the port `Venue` only."""

from __future__ import annotations

import logging

import aiohttp

from shared.clock import Clock
from shared.config.defaults import Mode
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
    """Return the venue of the configuration, simulated or real.

    Args:
        session: Used for all requests; closed by whoever made it.
        keys: None: what needs a signature is denied.
        share: Part of the account's request limits that this process may use, above 0 to 1.

    Raises:
        ConfigError: Its `base_url` is not what the venue needs.
    """
    wire = CoinExWire(
        session,
        base_url=section.base_url,
        clock=clock,
        keys=keys,
        window_ms=section.window_ms,
        timeout_s=section.request_timeout_s,
        share=share,
        log=log,
    )
    return CoinExClient(wire)


def closed_to_entries(mode: Mode) -> str:
    """Return why the venue of a mode takes no entries until an operator says so, or ""."""
    if mode != "live":
        return ""
    return (
        "CoinEx ended futures trading on 2026-09-22; entries are refused until an operator enables "
        "them"
    )


def shown_name(venue: Venue, mode: str) -> str:
    """Return what people call the venue of a mode."""
    return venue.name if mode == "live" else f"{venue.name} (simulated)"
