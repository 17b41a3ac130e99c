"""Refusals of our address as such: how long to ask nothing then, and what to do. Pure."""

from __future__ import annotations

FIREWALL, PLACE = 403, 451
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 60_000, 1_800_000

WHAT_TO_DO = {
    FIREWALL: (
        "send less (binance.weight_share, fetcher.interval_s), and look for a proxy that refuses, "
        "or for other programs that use this address"
    ),
    PLACE: (
        "set binance.base_url to https://data-api.binance.vision, which has market data only; if "
        "that refuses, run the platform in another place"
    ),
}


def is_of_address(status: int) -> bool:
    """Return whether an HTTP status refuses the address, whatever it asks for."""
    return status in WHAT_TO_DO


def next_pause_ms(last_ms: int) -> int:
    """Return the next pause, given the last one: 0 if the exchange has answered since."""
    return min(max(FIRST_PAUSE_MS, 2 * last_ms), LONGEST_PAUSE_MS)
