"""A backtest's prices are those that the simulated venue would show a position."""

from __future__ import annotations

import numpy as np
import pytest

from shared.backtest.replay import Recording
from shared.backtest.simulation.bar_prices import BarPrices, CoinBars
from shared.exchanges.sim.adverse_prices import AdversePrices
from shared.market import Candles, Timeframe
from shared.messages.trading import TradeSide
from tests.lockstep.recorded_market import RecordedPrices
from tests.support.candle_series import walk
from tests.support.made_scores import BAR_MS, BEGIN_MS

COIN = "BTCUSDT"
BARS = 60


def halted(seed: int) -> Candles:
    """Return candles of a walk, of which some are missing in a row."""
    candles = walk(seed, BARS, start_ms=BEGIN_MS)
    there = np.ones(BARS, dtype=np.bool_)
    there[20:27] = False
    return candles[there]


@pytest.mark.parametrize("side", [None, "long", "short"])
@pytest.mark.parametrize("seed", [1, 2])
def test_paths_are_the_simulated_venue_s(seed: int, side: TradeSide | None) -> None:
    candles = halted(seed)
    ours = BarPrices({COIN: CoinBars.of(candles)}, side_of=lambda symbol: side)
    recorded = RecordedPrices({COIN: Recording(COIN, {Timeframe.M5: candles})})
    theirs = AdversePrices(recorded, lambda symbol: side)
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(BEGIN_MS, BEGIN_MS + BARS * BAR_MS, (60, 2)), axis=1)
    times[::3] -= times[::3] % BAR_MS  # where two candles meet
    for begin, end in times.tolist():
        assert ours.price(COIN, begin) == theirs.price(COIN, begin)
        # a gap's corners may stand where the price does not move
        assert moves(ours.path(COIN, begin, end)) == moves(theirs.path(COIN, begin, end))


def moves(path: object) -> list[tuple[int, str]]:
    """Return the corners without those on a level stretch."""
    corners = [(c.at_ms, str(c.price.normalize())) for c in path]  # type: ignore[attr-defined]
    kept = [
        each
        for place, each in enumerate(corners)
        if not 0 < place < len(corners) - 1
        or {corners[place - 1][1], corners[place + 1][1]} != {each[1]}
    ]
    return list(dict.fromkeys(kept))


@pytest.mark.parametrize("kind", ["adverse", "by_body"])
@pytest.mark.parametrize("side", ["long", "short"])
def test_marks_of_many_closes_are_those_of_each(kind: str, side: TradeSide) -> None:
    prices = BarPrices({COIN: CoinBars.of(halted(3))}, kind, lambda symbol: side)  # type: ignore[arg-type]
    after_ms = 3_700
    marks = prices.at_closes(COIN, side, BEGIN_MS, BARS, after_ms)
    each = [prices.price(COIN, BEGIN_MS + i * BAR_MS + after_ms) for i in range(BARS)]
    assert marks.tolist() == pytest.approx([float(price) for price in each if price is not None],
                                           rel=1e-14)  # fmt: skip


def test_calm_leaves_out_corners_and_no_jump() -> None:
    candles = halted(4)
    prices = BarPrices({COIN: CoinBars.of(candles)}, side_of=lambda symbol: "long")
    begin, calm = BEGIN_MS + 3_000, BEGIN_MS + 27 * BAR_MS  # the first candle after the gap
    whole = list(prices.path(COIN, begin, calm + BAR_MS))
    prices.calm_until_ms[COIN] = calm
    found = list(prices.path(COIN, begin, calm + BAR_MS))
    assert found[0] == whole[0]
    # the price before the jump, then all that follows
    assert found[1:] == whole[whole.index(found[1]) :]
    assert found[1].at_ms == found[2].at_ms == calm
    assert list(prices.path(COIN, begin, begin + BAR_MS)) == [
        whole[0], (begin + BAR_MS, prices.price(COIN, begin + BAR_MS))
    ]  # fmt: skip


def test_nothing_is_known_before_the_first_candle() -> None:
    prices = BarPrices({COIN: CoinBars.of(halted(5))})
    assert prices.price(COIN, BEGIN_MS - 1) is None
    assert list(prices.path(COIN, BEGIN_MS - BAR_MS, BEGIN_MS)) == []
    assert prices.moved_ms(COIN, BEGIN_MS - 1) is None
