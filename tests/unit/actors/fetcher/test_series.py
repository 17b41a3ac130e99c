"""What is said of a coin whose timeframes fail."""

from __future__ import annotations

import numpy as np
import pytest

from actors.fetcher.circuit_breaker import CircuitBreaker
from actors.fetcher.series import (
    FetchedSeries,
    break_text,
    gaps_text,
    harmless_text,
    trouble,
    unsaid,
    without_name,
)
from actors.fetcher.verification import Verification
from shared.candles.admission import Admitted, Conflict, Refused
from shared.candles.store import CandleStore
from shared.indicators.frames import WARM_BARS
from shared.market import Candles, Timeframe


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


HALT, LAST = 50, 120
START = Timeframe.H4.ms * 100_000


def given(
    factor: float = 1.0, *, refused: tuple[Refused, ...] = (), conflicts: tuple[Conflict, ...] = ()
) -> CandleStore:
    """Return a 5m store after a halt; from bar `HALT` on prices are `factor` times as high."""
    store = CandleStore("BTCUSDT", Timeframe.M5)
    bad = [r.open_time_ms for r in refused if r.open_time_ms is not None]
    at = np.array([n for n in range(LAST) if not HALT - 10 <= n < HALT], dtype=np.int64)
    at = at[~np.isin(START + at * Timeframe.M5.ms, bad)]
    price = np.where(at < HALT, 1.0, factor) * (100.0 + at % 7)
    rows = Candles.of(START + at * Timeframe.M5.ms, price, price, price, price, 1.0 + price / 1e9)
    now_ms = START + LAST * Timeframe.M5.ms - 1_000
    answer = Admitted(rows, refused, 0, conflicts)
    store.accept(answer, asked_ms=now_ms, fetched_at_ms=now_ms)
    store.accept(answer, asked_ms=now_ms, fetched_at_ms=now_ms, from_ms=START)
    return store


def bar_ms(number: int) -> int:
    return START + number * Timeframe.M5.ms


def test_a_refused_row_leaves_a_gap_that_names_time_and_reason() -> None:
    store = given(refused=(Refused(bar_ms(100), 91, "low above open"),))
    assert gaps_text(store).endswith("Z cannot be a candle: low above open")
    assert harmless_text(store) == ""


def test_rows_that_leave_no_gap_are_said_apart() -> None:
    store = given(
        refused=(Refused(None, 7, "expected 12 fields"), Refused(bar_ms(100) + 1, 92, "off")),
        conflicts=(Conflict(bar_ms(90), "rows of one time differ"),),
    )
    assert gaps_text(store) == ""
    assert harmless_text(store).endswith("rows of one time differ; and 2 more")


def test_each_bad_row_is_said_once() -> None:
    series = coin()[0]
    series.store.refused = (Refused(bar_ms(100), 91, "low above open"),)
    assert len(unsaid(series)) == 1
    series.store.refused += (Refused(None, 7, "expected 12 fields"),)
    assert unsaid(series) == ["the exchange's row 7 cannot be a candle: expected 12 fields"]
    assert unsaid(series) == []


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1 / 100, "100:1"),
        (1 / 97, "100:1"),
        (1.04e-3, "1000:1"),
        (24.0, "1:25"),
        (1.32e4, "1:13000"),
    ],
)
def test_the_scale_is_said_as_people_set_it(factor: float, said: str) -> None:
    text = break_text(given(factor), bar_ms(LAST))
    assert text.startswith(f"its price scale changed {said} at ")


def test_a_break_is_said_until_5m_and_1h_are_warm() -> None:
    store = given(1 / 100)
    warm_ms = Timeframe.H1.first_open(bar_ms(HALT)) + WARM_BARS * Timeframe.H1.ms
    assert break_text(store, warm_ms - 1)
    assert break_text(store, warm_ms) == ""
    assert break_text(given(), bar_ms(LAST)) == ""
