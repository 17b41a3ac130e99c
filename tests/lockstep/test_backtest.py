"""A backtest does what the trader does: trade for trade, price for price, to the last digit."""

from __future__ import annotations

import dataclasses
from collections import Counter
from contextlib import closing
from pathlib import Path

from shared.backtest.recording import read_recording
from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.user_strategy.asking import Asked
from shared.backtest.user_strategy.points import PastScores
from shared.backtest.whole_series.signal_series import signal_series
from shared.config.sections import IndicatorsSection, TraderSection
from shared.market import Timeframe
from tests.lockstep.agreement import backtested, differences, lockstep, unhurried
from tests.lockstep.made_market import BEGIN_MS, SETTINGS, made_market
from tests.lockstep.recorded_times import (
    BUSIER,
    LEVERAGED,
    halted,
    own_ends,
    partly_filled,
    recordings,
    releases,
)
from tests.lockstep.world import World
from tests.support.strategies import MOMENTUM, section, written

HOUR_MS = 3_600_000
EAGER = TraderSection(
    enabled=True, use_ta_signals=True, entry_score=65, base_floor=55, margin=5, cooldown_min=10,
    target_r=1.0,
    max_hold_h=1.5, max_positions=5, max_same_side=4, max_losses=3, stop_costs=6,
    cost_share_pct=30,
)  # fmt: skip


def test_made_up_market_ends_every_trade_alike() -> None:
    market = made_market(ETHUSDT=(BEGIN_MS + HOUR_MS, 2.5))
    # a time stop that is due at a cycle works in it, to the millisecond
    settings = dataclasses.replace(
        SETTINGS, entry_score=40, base_floor=30, max_hold_h=0.75, max_losses=3
    )
    asked = (market, settings, BEGIN_MS, BEGIN_MS + 2 * HOUR_MS)
    outcome, history = lockstep(*asked), backtested(*asked)
    assert differences(history, outcome) == []
    assert {trade.how for trade in history.trades} == {"stop", "target", "time", "liquidation"}
    assert len(history.locked) == 1


def test_recorded_hours_end_every_trade_alike_with_signals(data_dir: Path) -> None:
    market = recordings(data_dir, ("ADAUSDT", "BTCUSDT", "DOGEUSDT"))
    end_ms = 1_745_280_000_000 + 3 * HOUR_MS
    asked = (market, EAGER, end_ms - 2 * HOUR_MS, end_ms)
    outcome, history = lockstep(*asked), backtested(*asked)
    assert differences(history, outcome) == []
    assert len(outcome.trades) > 1


def test_recorded_night_holds_stops_targets_time_stops_breakers_and_parts(data_dir: Path) -> None:
    midnight_ms = 1_742_774_400_000  # 2025-03-24T00:00Z
    asked = (recordings(data_dir), BUSIER, midnight_ms - 4 * HOUR_MS, midnight_ms + 3 * HOUR_MS)
    outcome, history = lockstep(*asked, "daily"), backtested(*asked, "daily")
    assert differences(history, outcome) == []
    assert {trade.how for trade in history.trades} == {"stop", "target", "time", "end"}
    assert partly_filled(outcome) > 0
    assert own_ends(history) > 0
    assert releases(history) == 1
    assert Counter(event.kind for event in outcome.events)["refused"] > 0
    assert len(history.refusals) > 2


def test_halt_over_which_a_recorded_price_jumps_ends_in_a_liquidation(data_dir: Path) -> None:
    begin_ms = 1_744_214_400_000  # 2025-04-09T16:00Z; at 17:18 coins rose by a twelfth
    halt_ms = begin_ms + HOUR_MS
    market = {
        symbol: halted(each, halt_ms, halt_ms + 25 * 60_000)
        for symbol, each in recordings(
            data_dir, ("ADAUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT")
        ).items()
    }
    asked = (market, LEVERAGED, begin_ms, halt_ms + HOUR_MS // 2)
    outcome, history = lockstep(*asked), backtested(*asked)
    assert differences(history, outcome) == []
    assert "liquidation" in {trade.how for trade in history.trades}


def test_a_users_strategy_trades_as_the_trader_does_with_it(data_dir: Path, tmp_path: Path) -> None:
    coins = ("ADAUSDT", "DOGEUSDT", "SOLUSDT")
    market = {symbol: read_recording(data_dir / "candles", symbol) for symbol in coins}
    end_ms = 1_745_280_000_000 + 3 * HOUR_MS
    begin_ms = end_ms - 5 * HOUR_MS
    used = section(written(tmp_path / "mine.py", MOMENTUM, "Momentum"), 10.0, steep=200.0)
    settings = dataclasses.replace(
        EAGER, use_ta_signals=False, entry_score=80, margin=0, max_losses=9
    )
    with unhurried():
        world = World(market, settings, begin_ms, end_ms, strategy=used)
        world._wire.limited = False
        outcome = world.run()
    with closing(Asked(used, used.parameters)) as asked:
        scores = PastScores(asked, list(market.values()), tuple(market), is_whole=True)
        points = scores.score(begin_ms - 2 * Timeframe.M5.ms, end_ms)
    scored = []
    for symbol, recording in market.items():
        chosen = recording.indices(begin_ms - 2 * Timeframe.M5.ms, end_ms)
        series = signal_series(recording, IndicatorsSection(), chosen)
        coin = CoinScores.of(symbol, series, recording.candles[Timeframe.M5])
        scored.append(coin.scored_by(points[symbol].columns()))
    history = run_account(scored, settings, FillModel(), begin_ms, end_ms)
    assert differences(history, outcome) == []
    assert len(outcome.trades) > 5
    assert {trade.how for trade in history.trades} >= {"stop", "time"}
