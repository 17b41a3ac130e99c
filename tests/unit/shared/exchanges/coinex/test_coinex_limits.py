"""Token buckets: how long whoever asks has to wait."""

from __future__ import annotations

import pytest

from shared.exchanges.coinex.limits import PER_S, LimitGroup, TokenBucket
from tests.support.manual_clock import ManualClock


def test_a_seconds_worth_goes_at_once_and_the_rest_one_by_one() -> None:
    bucket = TokenBucket(10)
    assert [bucket.take(5.0) for _ in range(10)] == [0.0] * 10
    assert [bucket.take(5.0) for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])


async def test_no_second_ever_sees_more_than_the_limit() -> None:
    clock, bucket = ManualClock(), TokenBucket(10)
    sent: list[float] = []
    for _ in range(100):
        await_s = bucket.take(clock.monotonic())
        if await_s > 0:
            await clock.advance(await_s)
        sent.append(clock.monotonic())
    steady = [at for at in sent if at > 1]
    for start in steady:
        assert sum(start <= at < start + 0.999 for at in steady) <= 10
    assert sent[-1] == pytest.approx(9.0)


def test_tokens_come_back_but_are_not_saved_up() -> None:
    bucket = TokenBucket(10)
    for _ in range(10):
        bucket.take(0.0)
    assert bucket.take(1000.0) == 0.0
    assert [bucket.take(1000.0) for _ in range(9)] == [0.0] * 9
    assert bucket.take(1000.0) > 0


def test_a_share_below_one_request_a_second_still_lets_one_through() -> None:
    bucket = TokenBucket(0.5)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.0) == pytest.approx(2.0)


def test_what_the_venue_says_is_left_counts_when_it_is_less() -> None:
    bucket = TokenBucket(20)
    bucket.report(100, 0.0)
    assert bucket.take(0.0) == 0.0
    bucket.report(0, 0.0)
    assert bucket.take(0.0) == pytest.approx(0.05)


def test_too_many_is_a_second_of_silence() -> None:
    bucket = TokenBucket(20)
    bucket.exhaust(0.0)
    assert bucket.take(0.0) == pytest.approx(1.05)


def test_clock_that_stands_or_goes_back_gives_no_tokens() -> None:
    bucket = TokenBucket(1)
    assert bucket.take(10.0) == 0.0
    assert bucket.take(9.0) == pytest.approx(1.0)


def test_every_group_has_its_limit_and_all_together_keep_below_the_address_limit() -> None:
    assert set(PER_S) == set(LimitGroup)
    assert sum(PER_S.values()) < 400
