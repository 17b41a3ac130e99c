"""Chooses the venue; all other code knows only the port `Venue`."""

from __future__ import annotations

import importlib
import logging
from typing import cast

import aiohttp

from shared.clock import Clock
from shared.config.defaults import Mode
from shared.config.sections import VenueSection
from shared.config.venue_catalog import venue_catalog
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
        section: With a `base_url`.
        session: Used for all requests; not closed here.
        keys: None: calls that need a signature are denied.
        share: Of the account's request limits that this process may use, above 0 to 1.

    Raises:
        ConfigError: Its `base_url` is malformed.
    """
    adapter = importlib.import_module(f"shared.exchanges.{section.name}.adapter")
    opened = adapter.open_venue(session=session, section=section, clock=clock, keys=keys,
                                share=share, log=log)  # fmt: skip
    return cast(Venue, opened)


def closed_to_entries(section: VenueSection, mode: Mode) -> str:
    """Return why a mode's venue takes no entries until an operator enables them, or ""."""
    return venue_catalog()[section.name].closed if mode == "live" else ""


def shown_name(section: VenueSection, mode: str) -> str:
    """Return the venue's name for people."""
    title = venue_catalog()[section.name].title
    if mode != "live":
        return f"{title} (simulated)"
    return title if section.environment == "live" else f"{title} ({section.environment})"
