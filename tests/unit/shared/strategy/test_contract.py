"""What a strategy is given, and which of its answers are scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.market import Candles, Timeframe
from shared.strategy.contract import (
    BadScores,
    Scores,
    checked_scores,
    checked_timeframes,
    series_at,
    series_between,
)
from tests.support.recordings import generated

M5, H1 = Timeframe.M5, Timeframe.H1
COINS = {name: generated(name, 4000).candles for name in ("BTCUSDT", "ETHUSDT")}
TIMES = COINS["BTCUSDT"][M5].open_time_ms
CLOSE_MS = int(TIMES[3000]) + M5.ms
BARS = {M5: 60, H1: 5}


def test_last_column_is_the_candle_that_closed_then_and_nothing_later_is_there() -> None:
    series = series_at(COINS, BARS, CLOSE_MS)
    assert series.coins == ("BTCUSDT", "ETHUSDT") and series.shape == (2, 60)
    assert series.close_ms[-1] == CLOSE_MS and series[M5].known.all()
    for row, candles in enumerate(COINS.values()):
        assert series[M5].close[row].tolist() == candles[M5].close[2941:3001].tolist()
        hours = candles[H1].closed(H1, CLOSE_MS)
        assert series[H1].volume[row].tolist() == hours.volume[-5:].tolist()
    assert series[H1].open_time_ms[-1] + H1.ms <= CLOSE_MS


@pytest.mark.parametrize("phase", range(12))
def test_value_of_an_hour_is_carried_to_the_closes_at_which_the_hour_had_closed(
    phase: int,
) -> None:
    series = series_at(COINS, BARS, CLOSE_MS + phase * M5.ms)
    hours = series[H1]
    carried = series.on_5m(H1, hours.close)
    for column, close_ms in enumerate(series.close_ms.tolist()):
        ended = [at for at, open_ms in enumerate(hours.open_time_ms) if open_ms + H1.ms <= close_ms]
        expected = hours.close[:, ended[-1]] if ended else [np.nan, np.nan]
        np.testing.assert_array_equal(carried[:, column], expected)


def test_missing_bars_are_unknown_in_every_column() -> None:
    whole = COINS["BTCUSDT"][M5]
    torn = whole[[*range(2980), *range(2990, 3001)]]
    series = series_at({"BTCUSDT": {M5: torn}, "NEW": {}}, {M5: 60}, CLOSE_MS)
    missing = (series.close_ms > TIMES[2979] + M5.ms) & (series.close_ms <= TIMES[2989] + M5.ms)
    assert missing.sum() == 10
    assert (series[M5].known[0] == ~missing).all() and not series[M5].known[1].any()
    assert np.isnan(series[M5].volume[0, missing]).all()


def test_before_the_first_candle_nothing_is_known() -> None:
    early = series_between(COINS, {M5: int(TIMES[0]) - 3 * M5.ms}, int(TIMES[2]))
    assert early[M5].known.tolist() == [[False] * 3 + [True] * 2] * 2
    assert not series_at({"X": {M5: Candles.empty()}}, {M5: 4}, CLOSE_MS)[M5].known.any()


GOOD = np.full((2, 3), 50.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "NoneType, expected Scores"),
        ((GOOD, GOOD), "tuple, expected Scores"),
        (Scores(GOOD[:1], GOOD), r"long: found the shape \(1, 3\), expected \(2, 3\)"),
        (Scores(GOOD, GOOD + 51), "short: found 101 points, expected 0 to 100"),
        (Scores(GOOD - 60, GOOD), "long: found -10 points"),
        (Scores(GOOD * np.inf, GOOD), "long: found inf points"),
        (Scores("many", GOOD), "long: no array of numbers"),  # type: ignore[arg-type]
        (Scores(GOOD, GOOD, GOOD), "stop: found 50 of the price, expected 0.0001 to 0.5"),
        (Scores(GOOD, GOOD, GOOD[0] / 999), "stop: found the shape"),
        (Scores(GOOD, GOOD, reasons=("one",)), "reasons: found 1, expected one per coin, 2"),
    ],
)
def test_what_are_no_scores_is_said_in_words(given: Any, words: str) -> None:
    with pytest.raises(BadScores, match=words):
        checked_scores(given, (2, 3))


def test_no_number_is_an_answer_and_reasons_are_short_and_on_one_line() -> None:
    found = checked_scores(Scores(GOOD * np.nan, GOOD, reasons=("a\nb", "x" * 999)), (2, 3))
    assert np.isnan(found.long).all() and found.reasons == ("a\\nb", "x" * 200)


@pytest.mark.parametrize("asked", [{}, {H1: 5}, {M5: 0}, {M5: 1001}, {M5: 5.0}, {M5: 5, "1d": 5}])
def test_timeframes_that_cannot_be_given_are_refused(asked: Any) -> None:
    with pytest.raises(ValueError, match=r"timeframes: found .*, expected"):
        checked_timeframes(asked)
