"""A backtest does what the trader does: trade for trade, price for price, to the last digit."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

from shared.config.sections import TraderSection
from tests.lockstep.agreement import backtested, differences, lockstep
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
