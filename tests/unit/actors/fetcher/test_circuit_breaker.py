"""The circuit of one coin: when it opens, and what passes while it is open."""

from __future__ import annotations

from actors.fetcher.circuit_breaker import CircuitBreaker


def opened(limit: int = 3, pause_s: float = 120.0) -> CircuitBreaker:
    circuit = CircuitBreaker(limit, pause_s)
    for _ in range(limit):
        assert circuit.allow(10.0)
        circuit.failed(10.0, "HTTP 503")
    return circuit


def test_opens_at_the_limit_and_not_before() -> None:
    circuit = CircuitBreaker(limit=3, pause_s=120.0)
    assert [circuit.failed(1.0, "HTTP 503") for _ in range(3)] == [False, False, True]
    assert circuit.is_open
    assert circuit.open_until_s == 121.0


def test_a_success_in_between_starts_the_count_anew() -> None:
    circuit = CircuitBreaker(limit=2, pause_s=120.0)
    assert not circuit.failed(0.0, "timeout")
    circuit.succeeded()
    assert not circuit.failed(1.0, "timeout")
    assert circuit.failures == 1


def test_nothing_passes_during_the_pause() -> None:
    circuit = opened()
    assert not any(circuit.allow(at) for at in (10.0, 60.0, 129.9))


def test_after_the_pause_exactly_one_try_passes() -> None:
    circuit = opened()
    assert [circuit.allow(130.0) for _ in range(4)] == [True, False, False, False]


def test_a_failed_try_renews_the_pause() -> None:
    circuit = opened()
    assert circuit.allow(130.0)
    assert circuit.failed(131.0, "HTTP 503")
    assert circuit.open_until_s == 251.0
    assert not circuit.allow(250.0)
    assert circuit.allow(251.0)


def test_a_successful_try_closes_it() -> None:
    circuit = opened()
    assert circuit.allow(130.0)
    circuit.succeeded()
    assert not circuit.is_open
    assert circuit.reason == ""
    assert all(circuit.allow(131.0) for _ in range(3))


def test_a_try_that_proved_nothing_can_be_taken_again() -> None:
    circuit = opened()
    assert circuit.allow(130.0)
    circuit.release("all coins fail")
    assert (circuit.is_open, circuit.failures, circuit.reason) == (True, 3, "all coins fail")
    assert circuit.allow(130.5)


def test_an_unknown_coin_opens_it_at_once() -> None:
    circuit = CircuitBreaker(limit=5, pause_s=60.0)
    assert circuit.failed(1.0, "not listed", at_once=True)
    assert not circuit.allow(2.0)
