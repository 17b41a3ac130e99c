"""A backtest does what the trader does: trade for trade, price for price, to the last digit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from shared.backtest.recording import read_recording
from shared.config.sections import TraderSection
from tests.lockstep.agreement import backtested, differences, lockstep
from tests.lockstep.made_market import BEGIN_MS, SETTINGS, made_market

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
    coins = ("ADAUSDT", "BTCUSDT", "DOGEUSDT")
    market = {symbol: read_recording(data_dir / "candles", symbol) for symbol in coins}
    end_ms = 1_745_280_000_000 + 3 * HOUR_MS
    asked = (market, EAGER, end_ms - 2 * HOUR_MS, end_ms)
    outcome, history = lockstep(*asked), backtested(*asked)
    assert differences(history, outcome) == []
    assert len(outcome.trades) > 1
