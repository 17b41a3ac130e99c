"""A rate limit allows a burst, then so many a second, whatever was asked for meanwhile."""

from __future__ import annotations

from shared.rate_limit import RateLimit


def test_a_burst_is_allowed_and_then_so_many_a_second() -> None:
    limit = RateLimit(per_s=10, burst=5)
    assert [limit.allows(100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [limit.allows(100.125), limit.allows(100.125)] == [True, False]
    assert sum(limit.allows(101 + n / 1000) for n in range(10_000)) == 5 + 99


def test_a_long_silence_allows_no_more_than_one_burst() -> None:
    limit = RateLimit(per_s=10, burst=5)
    limit.allows(0.0)
    assert sum(limit.allows(1e6) for _ in range(100)) == 5


def test_a_clock_that_went_back_allows_nothing_extra() -> None:
    limit = RateLimit(per_s=10, burst=1)
    assert limit.allows(100.0)
    assert not limit.allows(50.0)
    assert limit.allows(50.125)
