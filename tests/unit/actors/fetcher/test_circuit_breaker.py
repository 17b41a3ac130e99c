"""The circuit of one coin: when it opens, and what passes while it is open."""

from __future__ import annotations

import pytest

from actors.fetcher.circuit_breaker import CircuitBreaker
from tests.support.manual_clock import ORIGINS


@pytest.fixture(params=ORIGINS)
def at(request: pytest.FixtureRequest) -> float:
    """What the monotonic clock reads at the begin."""
    return float(request.param)


def opened(at: float, limit: int = 3, pause_s: float = 120.0) -> CircuitBreaker:
    circuit = CircuitBreaker(limit, pause_s)
    for _ in range(limit):
        assert circuit.allow(at + 10.0)
        circuit.failed(at + 10.0, "HTTP 503")
    return circuit


def test_opens_at_the_limit_and_not_before(at: float) -> None:
    circuit = CircuitBreaker(limit=3, pause_s=120.0)
    assert [circuit.failed(at + 1.0, "HTTP 503") for _ in range(3)] == [False, False, True]
    assert circuit.is_open
    assert (circuit.failures, circuit.reason) == (3, "HTTP 503")
    assert circuit.open_until_s == at + 121.0


def test_a_success_in_between_starts_the_count_anew(at: float) -> None:
    circuit = CircuitBreaker(limit=2, pause_s=120.0)
    assert not circuit.failed(at, "timeout")
    circuit.succeeded()
    assert not circuit.failed(at + 1.0, "timeout")
    assert circuit.failures == 1


def test_nothing_passes_during_the_pause(at: float) -> None:
    circuit = opened(at)
    assert not any(circuit.allow(at + later) for later in (10.0, 60.0, 129.9))


def test_after_the_pause_exactly_one_try_passes(at: float) -> None:
    circuit = opened(at)
    assert [circuit.allow(at + 130.0) for _ in range(4)] == [True, False, False, False]


def test_a_failed_try_renews_the_pause(at: float) -> None:
    circuit = opened(at)
    assert circuit.allow(at + 130.0)
    assert circuit.failed(at + 131.0, "HTTP 503")
    assert circuit.open_until_s == at + 251.0
    assert not circuit.allow(at + 250.0)
    assert circuit.allow(at + 251.0)


def test_a_successful_try_closes_it(at: float) -> None:
    circuit = opened(at)
    assert circuit.allow(at + 130.0)
    circuit.succeeded()
    assert not circuit.is_open
    assert circuit.reason == ""
    assert all(circuit.allow(at + 131.0) for _ in range(3))


def test_a_try_that_proved_nothing_can_be_taken_again(at: float) -> None:
    circuit = opened(at)
    assert circuit.allow(at + 130.0)
    circuit.release("all coins fail")
    assert (circuit.is_open, circuit.failures, circuit.reason) == (True, 3, "all coins fail")
    assert circuit.allow(at + 130.5)
    circuit.release()
    assert circuit.reason == "all coins fail"


def test_an_unknown_coin_opens_it_at_once(at: float) -> None:
    circuit = CircuitBreaker(limit=5, pause_s=60.0)
    assert circuit.failed(at + 1.0, "not listed", at_once=True)
    assert not circuit.allow(at + 2.0)
