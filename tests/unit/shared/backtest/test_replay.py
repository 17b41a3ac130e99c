"""A replay gives, bit for bit, what the actor's computation gives at each close by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pytest

from shared.backtest import table
from shared.backtest.replay import Recording, replay, replay_scores
from shared.backtest.series import base_pair, contributions, series_of
from shared.candles.files import aggregated
from shared.codec import encode
from shared.config.sections import IndicatorsSection
from shared.indicators.signals import CoinWindows, ta_signals
from shared.market import Candles, Timeframe
from shared.messages.candles import CandleWindow
from shared.messages.signals import TaSignal
from tests.support.candle_series import walk, window_at
from tests.support.recordings import generated

M5, H1, H4 = Timeframe.M5, Timeframe.H1, Timeframe.H4
SETTINGS = IndicatorsSection()


@pytest.fixture(scope="module")
def recording() -> Recording:
    return generated("BTCUSDT")


def replayed(recording: Recording, indices: range, block: int = 64) -> list[TaSignal]:
    return [s for signals in replay(recording, indices, SETTINGS, block=block) for s in signals]


def as_published(recording: Recording, indices: Iterable[int]) -> list[TaSignal]:
    """Compute close by close, each alone, from windows of 1000 candles and the open one."""
    found = []
    for index in indices:
        now_ms = int(recording.closes[index])
        windows: Mapping[Timeframe, CandleWindow] = {
            # fetched when it closed
            t: window_at(candles, t, t.open_at(now_ms), symbol=recording.symbol,
                         absent=tuple(candles.gaps(t)))
            for t, candles in recording.candles.items()
        }  # fmt: skip
        signal = ta_signals([CoinWindows(recording.symbol, windows)], SETTINGS, now_ms)
        result = signal[recording.symbol]
        assert isinstance(result, TaSignal), result
        found.append(result)
    return found


def test_closes_computed_together_equal_each_close_alone(recording: Recording) -> None:
    indices = range(14_700, 14_700 + 150)
    alone = [encode(s) for s in as_published(recording, indices)]
    assert len(set(alone)) == 150
    for block in (150, 64, 7):
        assert [encode(s) for s in replayed(recording, indices, block)] == alone
    scored = replayed(recording, indices)
    assert all(state.warm and not state.stale for s in scored for state in s.inputs.values())
    assert len({s.composite_score_adjustment.long_bonus for s in scored}) > 1


def test_a_young_recording_is_replayed_from_its_first_close(recording: Recording) -> None:
    found = replayed(recording, range(100))
    assert [s.inputs["5m"].bars for s in found] == list(range(1, 101))
    first_4h = int(np.searchsorted(recording.closes, recording.candles[H4].open_time_ms[0] + H4.ms))
    alone = as_published(recording, range(first_4h, 100))
    assert [encode(s) for s in found[first_4h:]] == [encode(s) for s in alone]
    assert found[0].inputs["1h"].bars == 0 and found[0].inputs["1h"].closed_until_ms is None


def test_a_hole_in_a_recording_is_a_confirmed_halt(recording: Recording) -> None:
    m5 = recording.candles[M5]
    there = np.ones(len(m5), dtype=np.bool_)
    there[14_700:14_730] = False
    halted = Recording("BTCUSDT", {**recording.candles, M5: m5[there]})
    indices = range(14_690, 14_760)
    found = replayed(halted, indices)
    assert [encode(s) for s in found] == [encode(s) for s in as_published(halted, indices)]
    after = found[10]
    assert after.closed_until_ms - found[9].closed_until_ms == 31 * M5.ms
    assert after.inputs["5m"].gap_bars == 30 and not after.inputs["5m"].unfilled_gap
    assert "1 of 40 bars past a halt" in after.composite_score_adjustment.reasoning[0]


def test_longer_candles_are_added_up_from_whole_parts_only() -> None:
    m5 = walk(3, 100, start_ms=H4.ms * 1000 - 7 * M5.ms)  # begins 7 candles before a 4h open
    h1 = aggregated(m5, H1)
    assert h1.open_time_ms.tolist() == [H4.ms * 1000 + i * H1.ms for i in range(7)]
    first = m5[7:19]
    assert (h1.open[0], h1.close[0]) == (first.open[0], first.close[-1])
    assert (h1.high[0], h1.low[0]) == (first.high.max(), first.low.min())
    assert h1.volume[0] == pytest.approx(first.volume.sum(), abs=1e-8)
    assert len(aggregated(m5, H4)) == 1
    assert not len(aggregated(Candles.empty(), H4))
    assert not len(aggregated(m5[:5], H4))


def test_a_row_holds_the_signal_to_the_last_bit(recording: Recording) -> None:
    signals = replayed(recording, range(14_700, 14_764))
    text = table.csv_rows(map(table.row, signals)).decode().splitlines()
    for line, signal in zip(text, signals, strict=True):
        cells = dict(zip(table.COLUMNS, line.split(","), strict=True))
        assert float(cells["close"]) == signal.close
        assert int(cells["long_bonus"]) == signal.composite_score_adjustment.long_bonus
        assert float(cells["ema89_1h"]) == signal.ema_ribbon.values_1h[-1]
        assert float(cells["atr14_4h"]) == signal.inputs["4h"].atr14
        assert cells["fired_direction"] == (signal.ttm_squeeze.fired_direction or "")
    assert table.header().decode().rstrip().split(",") == list(table.COLUMNS)


def test_the_contributions_read_from_a_signal_add_up_to_its_bonus(recording: Recording) -> None:
    signals = replayed(recording, range(10_000, 12_000))
    bases = [
        base_pair(s)
        for block in replay_scores(recording, range(10_000, 12_000), 500)
        for s in block
    ]
    series = series_of(signals, bases)
    points = {"ribbon": 10, "squeeze": 15, "divergence": 20}
    for side, total in ((1, "long"), (-1, "short")):
        summed = sum(p * (series.columns[name] == side) for name, p in points.items())
        assert np.array_equal(summed, series.columns[total])
        assert len(np.unique(series.columns[total])) > 3
    assert any(all(contributions(s).values()) for s in signals)


def test_the_scores_replayed_are_those_of_each_close_alone(recording: Recording) -> None:
    indices = range(9_990, 10_060)
    found = [score for block in replay_scores(recording, indices, 500, block=7) for score in block]
    assert [score.closed_until_ms for score in found] == recording.closes[indices].tolist()
    alone = [next(replay_scores(recording, range(p, p + 1), 500))[0] for p in indices]
    for one, other in zip(found, alone, strict=True):
        assert (one.side("long"), one.side("short")) == (other.side("long"), other.side("short"))
    assert base_pair(found[0]) == (found[0].score("long"), found[0].score("short"))
    cold = next(replay_scores(recording, range(10, 11), 500))[0]
    assert all(math.isnan(score) for score in base_pair(cold))
