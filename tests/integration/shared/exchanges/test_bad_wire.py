"""The wire of the storms does to a real Redis what it is told to do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.bad_wire import BadWire
from tests.support.platform_run import wait_for
from tests.support.private_redis import PrivateRedis


@pytest.fixture
def wire(own_redis: Callable[..., PrivateRedis]) -> Iterator[BadWire]:
    made = BadWire(own_redis().socket, random.Random(1))
    made.start()
    yield made
    made.stop()


def client(wire: BadWire) -> redis.Redis:
    return redis.Redis(port=wire.port, socket_timeout=2, retry=Retry(NoBackoff(), 0))


def test_a_slow_wire_delays_each_way(wire: BadWire) -> None:
    with client(wire) as asking:
        assert asking.ping()
        wire.delay_s = 0.2
        begun = time.monotonic()
        assert asking.ping()
        assert time.monotonic() - begun >= 0.4


def test_a_dropping_wire_cuts_connections_that_can_be_made_again(wire: BadWire) -> None:
    wire.drops_s = 0.1
    with client(wire) as asking:

        def is_cut() -> bool:
            try:
                asking.ping()
            except redis.ConnectionError:
                return True
            return False

        wait_for(is_cut, 20, "a connection cut")
        wire.drops_s = None
        wait_for(lambda: not is_cut(), 5, "connected again")


def test_a_swallowing_wire_answers_nothing_until_one_connects_anew(wire: BadWire) -> None:
    with client(wire) as asking:
        assert asking.ping()
        wire.swallows = True
        with pytest.raises(redis.TimeoutError):
            asking.ping()
        wire.swallows = False
        assert client(wire).ping()
