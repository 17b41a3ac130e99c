"""Chooses the venue; all other code knows only the port `Venue`."""

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
        session: Used for all requests; not closed here.
        keys: None: calls that need a signature are denied.
        share: Of the account's request limits that this process may use, above 0 to 1.

    Raises:
        ConfigError: Its `base_url` is malformed.
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
    """Return why a mode's venue takes no entries until an operator enables them, or ""."""
    if mode != "live":
        return ""
    return (
        "CoinEx ended futures trading on 2026-09-22; entries are refused until an operator enables "
        "them"
    )


def shown_name(venue: Venue, mode: str) -> str:
    """Return the venue's name for people."""
    return venue.name if mode == "live" else f"{venue.name} (simulated)"
