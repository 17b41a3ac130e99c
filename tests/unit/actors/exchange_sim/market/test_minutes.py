"""1m bars of the simulated market."""

from __future__ import annotations

import numpy as np
import pytest

from actors.exchange_sim.market.bars import CLOSE, HIGH, LOW, OPEN, TIME, VOLUME, Bars
from actors.exchange_sim.market.events import Halt
from actors.exchange_sim.market.generated import GeneratedPrices
from actors.exchange_sim.market.market import Market
from actors.exchange_sim.market.minutes import MINUTE_MS, minutes
from shared.market import Timeframe

NOW = 1_735_000_123_000
M5 = Timeframe.M5
START = M5.open_at(NOW) - 500 * M5.ms


@pytest.fixture
def market() -> Market:
    return Market(GeneratedPrices(["BTCUSDT"], 7))


def fives(market: Market) -> Bars:
    return market.bars("BTCUSDT", M5, NOW, start_ms=START, end_ms=NOW - M5.ms, limit=1000)


@pytest.mark.parametrize(
    "halt", [None, Halt(START + 7_000_000, START + 8_000_000, START + 9_900_000)]
)
def test_they_add_up_to_the_bars_of_5m(market: Market, halt: Halt | None) -> None:
    if halt is not None:
        market.add_event("BTCUSDT", halt)
    whole = fives(market)
    cut = minutes(market, "BTCUSDT", NOW, start_ms=START, end_ms=None, limit=3000)
    assert np.array_equal(cut[TIME].reshape(-1, 5), whole[TIME][:, None] + MINUTE_MS * np.arange(5))
    parts = cut.reshape(len(cut), -1, 5)
    assert np.array_equal(parts[OPEN, :, 0], whole[OPEN])
    assert np.array_equal(parts[CLOSE, :, 4], whole[CLOSE])
    assert np.array_equal(parts[HIGH].max(axis=1), whole[HIGH])
    assert np.array_equal(parts[LOW].min(axis=1), whole[LOW])
    assert np.array_equal(parts[VOLUME:].sum(axis=2), whole[VOLUME:])
    assert (cut[HIGH] >= np.maximum(cut[OPEN], cut[CLOSE])).all()
    assert (cut[LOW] <= np.minimum(cut[OPEN], cut[CLOSE])).all()


def test_pages_are_those_that_were_asked_for(market: Market) -> None:
    whole = minutes(market, "BTCUSDT", NOW, start_ms=START, end_ms=None, limit=3000)
    newest = minutes(market, "BTCUSDT", NOW, start_ms=None, end_ms=None, limit=7)
    assert np.array_equal(newest, whole[:, -7:])
    first = START + 3 * MINUTE_MS
    page = minutes(market, "BTCUSDT", NOW, start_ms=first, end_ms=first + 8 * MINUTE_MS, limit=1000)
    assert np.array_equal(page, whole[:, 3:12])
    assert minutes(market, "BTCUSDT", NOW, start_ms=first, end_ms=None, limit=4).shape[1] == 4
