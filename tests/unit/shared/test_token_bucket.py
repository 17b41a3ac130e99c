"""Token buckets: what is allowed at once, and how long whoever asks has to wait."""

from __future__ import annotations

import pytest

from shared.token_bucket import TokenBucket
from tests.support.manual_clock import ORIGINS, ManualClock

# Refusing


def test_a_burst_is_allowed_and_then_so_many_a_second() -> None:
    limit = TokenBucket(per_s=10, most=5)
    assert [limit.allows(100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [limit.allows(100.125), limit.allows(100.125)] == [True, False]
    assert sum(limit.allows(101 + n / 1000) for n in range(10_000)) == 5 + 99


def test_a_long_silence_allows_no_more_than_one_burst() -> None:
    limit = TokenBucket(per_s=10, most=5)
    limit.allows(0.0)
    assert sum(limit.allows(1e6) for _ in range(100)) == 5


def test_a_clock_that_went_back_allows_nothing_extra() -> None:
    limit = TokenBucket(per_s=10, most=1)
    assert limit.allows(100.0)
    assert not limit.allows(50.0)
    assert limit.allows(50.125)


# Waiting


@pytest.fixture(params=ORIGINS)
def at(request: pytest.FixtureRequest) -> float:
    """What the monotonic clock reads at the begin."""
    return float(request.param)


def test_a_seconds_worth_goes_at_once_and_the_rest_one_by_one(at: float) -> None:
    bucket = TokenBucket(10)
    assert [bucket.take(at + 5.0) for _ in range(10)] == [0.0] * 10
    assert [bucket.take(at + 5.0) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])


async def test_no_second_ever_sees_more_than_the_limit() -> None:
    clock, bucket = ManualClock(), TokenBucket(10)
    began_s, sent = clock.monotonic(), list[float]()
    for _ in range(100):
        await_s = bucket.take(clock.monotonic())
        if await_s > 0:
            await clock.advance(await_s)
        sent.append(clock.monotonic() - began_s)
    steady = [at for at in sent if at > 1]
    for start in steady:
        assert sum(start <= at < start + 0.999 for at in steady) <= 10
    assert sent[-1] == pytest.approx(9.0)


def test_tokens_come_back_but_are_not_saved_up(at: float) -> None:
    bucket = TokenBucket(10)
    for _ in range(10):
        bucket.take(at)
    assert bucket.take(at + 1000.0) == 0.0
    assert [bucket.take(at + 1000.0) for _ in range(9)] == [0.0] * 9
    assert bucket.take(at + 1000.0) > 0


def test_a_share_below_one_request_a_second_still_lets_one_through(at: float) -> None:
    bucket = TokenBucket(0.5)
    assert bucket.take(at) == 0.0
    assert bucket.take(at) == pytest.approx(2.0)


def test_what_the_venue_says_is_left_counts_when_it_is_less(at: float) -> None:
    bucket = TokenBucket(20)
    bucket.report(100, at)
    assert bucket.take(at) == 0.0
    bucket.report(0, at)
    assert bucket.take(at) == pytest.approx(0.05)


def test_too_many_is_a_second_of_silence(at: float) -> None:
    bucket = TokenBucket(20)
    bucket.exhaust(at)
    assert bucket.take(at) == pytest.approx(1.05)


def test_clock_that_stands_or_goes_back_gives_no_tokens(at: float) -> None:
    bucket = TokenBucket(1)
    assert bucket.take(at + 10.0) == 0.0
    assert bucket.take(at + 9.0) == pytest.approx(1.0)
