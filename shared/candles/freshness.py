"""How often a candle window is fetched and written, and how old it may therefore be. Pure.

The fetcher that writes and `/health` that judges use the same rule, so that a platform in order is
never called stale.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.config.sections import FetcherSection
from shared.market import Timeframe
from shared.schema import RENEWAL_SHARE

GROUPED_S = 5.0  # long timeframes due within this are fetched in the same pass
QUIET_S = 3.5  # no pass this soon before the one after a close
SLACK_S = {Timeframe.M5: 45.0, Timeframe.H1: 60.0, Timeframe.H4: 60.0}  # a slow pass, and a scan


def fetch_interval_s(fetcher: FetcherSection, timeframe: Timeframe) -> float:
    """Return the seconds between two regular fetches of a timeframe."""
    return fetcher.interval_s if timeframe is Timeframe.M5 else fetcher.long_interval_s


def refetch_after_s(every_s: float) -> float:
    """Return how long after a request long candles are asked for in whatever pass comes."""
    return max(every_s - GROUPED_S, every_s / 2)


def seconds_to_pass(
    left_s: float, close_s: float, due_s: Iterable[float], *, interval_s: float
) -> float:
    """Return the seconds until the next pass.

    No pass begins just before a close, where it would compete with the streamed closes.

    Args:
        left_s: Until the interval is over.
        close_s: Until the pass after the next 5m close.
        due_s: Until long candles are due; times ahead only.
    """
    seconds = max(0.0, min(left_s, close_s, *due_s))
    waits = interval_s > QUIET_S and close_s < seconds + QUIET_S
    return max(seconds, close_s) if waits else seconds


def is_write_due(age_s: float, every_s: float, ttl_s: float) -> bool:
    """Return whether a window just fetched is written though no candle has closed.

    Only a fetch soon after a write, such as the one after a close, is not worth one.

    Args:
        age_s: Since the key was written.
        every_s: Until the next fetch: the key must not expire before it.
    """
    return age_s >= every_s / 2 or must_renew(age_s, every_s, ttl_s)


def must_renew(age_s: float, every_s: float, ttl_s: float) -> bool:
    """Return whether a key would be too old by the next turn, `every_s` from now."""
    return age_s + every_s > RENEWAL_SHARE * ttl_s


def oldest_s(fetcher: FetcherSection, timeframe: Timeframe) -> float:
    """Return how old, since its fetch, a window may be while everything works.

    A fetch just short of half an interval after a write is not written; the next one is.
    """
    share = 2.0 if timeframe is Timeframe.M5 else 1.5
    return share * fetch_interval_s(fetcher, timeframe) + SLACK_S[timeframe]
