"""From candles to a strategy's series, and from its points to a score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shared.errors import NoCandles
from shared.indicators.signals import CoinWindows
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow
from shared.strategy.contract import Scores
from shared.strategy.live import close_scores, prepared, series_for
from shared.trading.coin_state import asked_at_close, coins_at_close
from tests.support.candle_series import window_at
from tests.support.recordings import generated

M5, H1 = Timeframe.M5, Timeframe.H1
BTC = generated("BTCUSDT", 4000)
CLOSE_MS = H1.open_at(int(BTC.closes[3500]))
BARS = {M5: 96, H1: 24}


def windows(now_ms: int = CLOSE_MS, **changed: CandleWindow | None) -> CoinWindows:
    found: dict[Timeframe, CandleWindow | None] = {
        t: window_at(BTC.candles[t], t, now_ms) for t in (M5, H1)
    }
    return CoinWindows("BTCUSDT", found | {Timeframe[k.upper()]: w for k, w in changed.items()})


def fault(coin: CoinWindows, now_ms: int = CLOSE_MS) -> str:
    return prepared((coin, now_ms), BARS).fault


def window(timeframe: Timeframe) -> CandleWindow:
    found = windows().windows[timeframe]
    assert found is not None
    return found


def test_series_is_of_exactly_the_bars_asked_for_and_the_same_whenever_it_is_made() -> None:
    first = prepared((windows(), CLOSE_MS), BARS)
    series = series_for([first], BARS)
    assert series.shape == (1, 96) and series[H1].close.shape == (1, 24)
    assert series.close_ms[-1] == CLOSE_MS and series[M5].known.all() and series[H1].known.all()
    late = CoinWindows("BTCUSDT", windows().windows)
    again = series_for([prepared((late, CLOSE_MS + 60_000), BARS)], BARS)
    assert again[H1].close.tobytes() == series[H1].close.tobytes()


def test_candles_that_cannot_be_trusted_are_not_shown_to_it() -> None:
    assert fault(windows()) == ""
    assert "stale" in fault(windows(), CLOSE_MS + 10 * M5.ms)
    assert fault(windows(h1=None)) == "1h candles missing: nothing scored"
    few = replace(window(M5), candles=window(M5).closed().tail(95))
    assert "not warm (95 of 96 bars)" in fault(windows(m5=few))
    old = replace(window(H1), closed_until_ms=CLOSE_MS - H1.ms)
    assert "1h candles not yet closed until" in fault(windows(h1=old))
    closed = window(M5).closed()
    torn = replace(
        window(M5), candles=closed[np.r_[: len(closed) - 50, len(closed) - 45 : len(closed)]]
    )
    assert "have an unfilled gap" in fault(windows(m5=torn))
    with pytest.raises(NoCandles):
        fault(windows(m5=replace(window(M5), candles=Candles.empty())))


def test_points_are_rounded_down_and_told_with_the_reason() -> None:
    coin = prepared((windows(), CLOSE_MS), BARS)
    series = series_for([coin], BARS)
    given = Scores(
        np.full(series.shape, 79.999_999_999_9), np.full(series.shape, 12.9), reasons=("rose",)
    )
    (score,) = close_scores([coin], series, given)
    assert (score.score("long"), score.score("short"), score.coverage) == (80, 12, 1.0)
    assert [(p.text, p.max) for p in score.side("long").parts] == [("rose", 100.0)]
    assert (score.closed_until_ms, score.fault, score.stop) == (CLOSE_MS, "", None)
    assert score.close == window(M5).closed().close[-1] and score.change_24h_pct is not None


def test_no_number_is_no_score_and_allows_no_entry() -> None:
    coin = prepared((windows(), CLOSE_MS), BARS)
    series = series_for([coin], BARS)
    given = Scores(np.full(series.shape, np.nan), np.full(series.shape, 90.0))
    (score,) = close_scores([coin], series, given)
    assert (score.score("short"), score.coverage, score.side("short").parts) == (90, 0.0, [])
    assert score.fault == "the strategy gives no number"


@pytest.mark.parametrize(("given", "expected"), [(0.03, 0.03), (np.nan, None)])
def test_stop_of_the_newest_close_goes_with_the_score_to_the_decision(
    given: float, expected: float | None
) -> None:
    asked = asked_at_close([windows()], CLOSE_MS)
    scores = []
    for each in asked:
        coin = prepared(each, BARS)
        series = series_for([coin], BARS)
        points, stop = np.full(series.shape, 60.0), np.full(series.shape, 0.2)
        stop[:, -1] = given
        scores += close_scores([coin], series, Scores(points, points, stop))
    (coin_at_close,) = coins_at_close([windows()], 500, CLOSE_MS, scores)
    assert coin_at_close.now is scores[0] and coin_at_close.before is scores[1]
    assert coin_at_close.stop == expected and coin_at_close.atr_1h is not None
    assert coins_at_close([windows()], 500, CLOSE_MS)[0].stop is None
