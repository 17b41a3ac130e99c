"""When candles are fetched and written again, and how old they may be."""

from __future__ import annotations

import pytest

from shared.candles.freshness import (
    is_write_due,
    must_renew,
    oldest_s,
    refetch_after_s,
    seconds_to_pass,
)
from shared.config.sections import AccountSection, FetcherSection
from shared.health.verdict import limits_for
from shared.market import Timeframe
from shared.schema import RENEWAL_SHARE


@pytest.mark.parametrize(("every_s", "expected"), [(240, 235), (12, 7), (10, 5), (8, 4)])
def test_long_candles_are_fetched_with_a_pass_that_comes_shortly_before(
    every_s: float, expected: float
) -> None:
    assert refetch_after_s(every_s) == expected


@pytest.mark.parametrize(
    ("left_s", "close_s", "due_s", "expected"),
    [
        (30, 200, [], 30),
        (30, 200, [12, 20], 12),
        (-4, 200, [], 0),
        (30, -1, [], 0),
        (30, 10, [], 10),
        (30, 33.4, [], 33.4),  # no pass this soon before the one after a close
        (30, 33.5, [], 30),
        (30, 15, [12], 15),
        (-1, 3, [], 3),
        (-1, 3.5, [], 0),
    ],
)
def test_next_pass_is_the_first_that_is_due_but_not_just_before_a_close(
    left_s: float, close_s: float, due_s: list[float], expected: float
) -> None:
    assert seconds_to_pass(left_s, close_s, due_s, interval_s=30) == expected


@pytest.mark.parametrize(("interval_s", "expected"), [(3.5, 3.5), (3.6, 5)])
def test_passes_in_quick_succession_go_on_until_the_close(
    interval_s: float, expected: float
) -> None:
    assert seconds_to_pass(interval_s, 5, [], interval_s=interval_s) == expected


@pytest.mark.parametrize(
    ("age_s", "every_s", "ttl_s", "due"),
    [
        (15, 30, 1000, True),
        (14.9, 30, 1000, False),
        (10, 30, 40 / RENEWAL_SHARE, False),
        (10, 30, 39 / RENEWAL_SHARE, True),
    ],
)
def test_a_window_is_written_after_half_an_interval_or_before_it_would_expire(
    age_s: float, every_s: float, ttl_s: float, due: bool
) -> None:
    assert is_write_due(age_s, every_s, ttl_s) is due


def test_a_key_is_renewed_if_it_would_be_too_old_at_the_next_turn() -> None:
    assert not must_renew(30, 10, 40 / RENEWAL_SHARE)
    assert must_renew(31, 10, 40 / RENEWAL_SHARE)


def test_a_window_may_be_as_old_as_two_skipped_writes_and_a_slow_pass() -> None:
    fetcher = FetcherSection(interval_s=20, long_interval_s=100)
    ages = {timeframe: oldest_s(fetcher, timeframe) for timeframe in Timeframe}
    assert ages == {Timeframe.M5: 85, Timeframe.H1: 210, Timeframe.H4: 210}


def test_health_and_fetcher_use_one_definition() -> None:
    fetcher = FetcherSection(interval_s=20, long_interval_s=100)
    allowed = limits_for(fetcher, AccountSection()).candles_s
    assert allowed == {timeframe: oldest_s(fetcher, timeframe) for timeframe in Timeframe}
