"""What is said of a coin whose timeframes fail."""

from __future__ import annotations

from actors.fetcher.circuit_breaker import CircuitBreaker
from actors.fetcher.series import FetchedSeries, trouble, without_name
from actors.fetcher.verification import Verification
from shared.candles.store import CandleStore
from shared.market import Timeframe


def coin(**reasons: str) -> list[FetchedSeries]:
    """Return the timeframes of a coin, some failing, such as M5="HTTP 503"."""
    series = []
    for timeframe in Timeframe:
        store = CandleStore("BTCUSDT", timeframe)
        series.append(FetchedSeries(store, CircuitBreaker(5, 120.0), Verification(store)))
        series[-1].circuit.reason = reasons.get(timeframe.name, "")
    return series


def test_nothing_while_all_are_served() -> None:
    assert trouble(coin()) == ""


def test_names_the_timeframe_that_fails() -> None:
    assert trouble(coin(H4="HTTP 503")) == "4h: HTTP 503"


def test_says_one_reason_once() -> None:
    assert trouble(coin(M5="HTTP 503", H1="timeout", H4="HTTP 503")) == (
        "5m, 4h: HTTP 503; 1h: timeout"
    )


def test_counts_failures_in_a_row() -> None:
    series = coin()
    for _ in range(3):
        series[1].circuit.failed(0.0, "HTTP 503")
    assert trouble(series) == "1h: HTTP 503 (3 in a row)"


def test_a_reason_names_coin_and_timeframe_once() -> None:
    m5 = coin()[0]
    assert without_name("BTCUSDT 5m: no candles", m5) == "no candles"
    assert without_name("BTCUSDT 5m at 17: opens too late", m5) == "at 17: opens too late"
    assert without_name("HTTP 503", m5) == "HTTP 503"


def test_is_settled_by_an_answer_or_a_failure() -> None:
    m5, h1, h4 = coin(H1="HTTP 503")
    m5.served_s = 1.0
    assert [series.is_settled for series in (m5, h1, h4)] == [True, True, False]
