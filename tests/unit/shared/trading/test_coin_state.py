"""What a coin is at a close: the same whenever it is asked for, from closed candles alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shared.errors import NoCandles
from shared.indicators.rolling import atr
from shared.indicators.scoring import BaseScore, base_scores
from shared.indicators.signals import CoinWindows
from shared.market import Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.trading import TradeSide
from shared.trading.coin_state import CoinAtClose, coins_at_close
from tests.support.candle_series import window_at
from tests.support.recordings import generated

M5, H1 = Timeframe.M5, Timeframe.H1
BTC = generated("BTCUSDT", 8000)
CLOSE_MS = H1.open_at(int(BTC.closes[7800]))  # a close of 1h candles, too
SIDES: tuple[TradeSide, ...] = ("long", "short")


def windows(now_ms: int, **changed: CandleWindow | None) -> CoinWindows:
    found: dict[Timeframe, CandleWindow | None] = {
        t: window_at(BTC.candles[t], t, now_ms) for t in (M5, H1)
    }
    return CoinWindows("BTCUSDT", found | {Timeframe[k.upper()]: w for k, w in changed.items()})


def at_close(given: CoinWindows, close_ms: int = CLOSE_MS) -> CoinAtClose:
    return coins_at_close([given], 500, close_ms)[0]


def scored(found: object) -> BaseScore:
    assert isinstance(found, BaseScore), found
    return found


def plain(now_ms: int) -> BaseScore:
    return scored(base_scores([windows(now_ms)], 500, now_ms)["BTCUSDT"])


def test_scores_are_those_of_the_candle_and_of_the_one_before() -> None:
    found = at_close(windows(CLOSE_MS))
    assert found.symbol == "BTCUSDT"
    for one, close_ms in ((found.now, CLOSE_MS), (found.before, CLOSE_MS - M5.ms)):
        expected = plain(close_ms)
        assert scored(one).closed_until_ms == close_ms and scored(one).fault == ""
        assert [scored(one).side(s) for s in SIDES] == [expected.side(s) for s in SIDES]
    assert scored(found.now).side("long") != scored(found.before).side("long")


@pytest.mark.parametrize("later_ms", [1, M5.ms, 2 * M5.ms, H1.ms])
def test_candles_that_closed_later_count_for_nothing(later_ms: int) -> None:
    then, later = at_close(windows(CLOSE_MS)), at_close(windows(CLOSE_MS + later_ms))
    assert (then.volume, then.atr_1h, then.sources) == (later.volume, later.atr_1h, later.sources)
    for one, other in ((then.now, later.now), (then.before, later.before)):
        assert [scored(one).side(s) for s in SIDES] == [scored(other).side(s) for s in SIDES]
        assert scored(one).closed_until_ms == scored(other).closed_until_ms


def test_volume_and_atr_are_those_of_the_last_closed_candles() -> None:
    found = at_close(windows(CLOSE_MS + 60_000))
    assert found.volume == BTC.candles[M5].closed(M5, CLOSE_MS).volume[-1]
    hours = BTC.candles[H1].closed(H1, CLOSE_MS).tail(500)
    rows = (hours.high[None], hours.low[None], hours.close[None])
    assert found.atr_1h == pytest.approx(atr(*rows)[0, -1], rel=1e-12)
    assert found.sources == {"sim"}


def test_a_candle_that_is_missing_leaves_the_score_of_an_earlier_one() -> None:
    found = at_close(windows(CLOSE_MS - 1))
    assert scored(found.now).closed_until_ms == CLOSE_MS - M5.ms


def test_a_missing_1h_candle_leaves_the_score_incomplete() -> None:
    early = window_at(BTC.candles[H1], H1, CLOSE_MS - 1)
    found = at_close(windows(CLOSE_MS, h1=early))
    assert scored(found.now).coverage < 1
    assert scored(found.before).coverage == 1


def test_without_candles_there_is_the_reason() -> None:
    found = at_close(windows(CLOSE_MS, m5=None))
    assert isinstance(found.now, NoCandles) and isinstance(found.before, NoCandles)
    assert (found.volume, found.atr_1h) == (0.0, None)
    assert at_close(windows(CLOSE_MS, h1=None)).atr_1h is None


def test_too_few_1h_candles_have_no_atr() -> None:
    window = window_at(BTC.candles[H1], H1, CLOSE_MS)
    found = at_close(windows(CLOSE_MS, h1=replace(window, candles=window.candles.tail(14))))
    scored(found.now)
    assert found.atr_1h is None


def test_every_source_is_told() -> None:
    window = window_at(BTC.candles[H1], H1, CLOSE_MS)
    found = at_close(windows(CLOSE_MS, h1=replace(window, source="binance")))
    assert found.sources == {"binance", "sim"}


def test_a_coin_that_fails_stays_alone() -> None:
    other = generated("ETHUSDT", 8000)
    eth = CoinWindows(
        "ETHUSDT",
        {t: window_at(other.candles[t], t, CLOSE_MS, symbol="ETHUSDT") for t in (M5, H1)},
    )
    window = window_at(BTC.candles[M5], M5, CLOSE_MS)
    candles = replace(window.candles, volume=window.candles.volume[:-1])
    torn = windows(CLOSE_MS, m5=replace(window, candles=candles))
    found = coins_at_close([torn, eth], 500, CLOSE_MS)
    assert isinstance(found[0].now, ValueError)
    assert found[0].volume == 0.0
    assert isinstance(found[1].now, BaseScore) and np.isfinite(found[1].volume)
