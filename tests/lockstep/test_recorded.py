"""An hour of recorded candles that moved much: what ended each trade is what the candles say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from shared.backtest.recording import read_recording
from shared.market import Candles, Timeframe
from tests.lockstep.by_candles import contradictions
from tests.lockstep.made_market import COINS, SETTINGS
from tests.lockstep.world import World

BEGIN_MS = 1_744_032_600_000  # 2025-04-07T13:30Z, a day of falling and rising by a tenth
HOUR_MS = 3_600_000


def test_trades_end_as_the_recorded_candles_say(data_dir: Path) -> None:
    recordings = {symbol: read_recording(data_dir / "candles", symbol) for symbol in COINS}
    outcome = World(recordings, SETTINGS, BEGIN_MS, BEGIN_MS + HOUR_MS).run()
    ended = Counter(trade.ended_by for trade in outcome.trades)
    assert ended["stop"] >= 2
    assert ended["target"] >= 2
    candles = {symbol: each.candles[Timeframe.M5] for symbol, each in recordings.items()}
    assert contradictions(outcome.trades, candles) == []
    calm = {symbol: _without_moves(each) for symbol, each in candles.items()}
    assert len(contradictions(outcome.trades, calm)) >= 4  # so they would have been found


def _without_moves(candles: Candles) -> Candles:
    opened = candles.open
    return Candles.of(candles.open_time_ms, opened, opened, opened, opened, candles.volume)
