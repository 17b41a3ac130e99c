"""Recorded times in which positions end in every way, and the settings that have them do so."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from shared.backtest.recording import read_recording
from shared.backtest.replay import Recording
from shared.backtest.simulation.trades import AccountHistory
from shared.config.sections import TraderSection
from shared.market import Timeframe
from tests.lockstep.world import Outcome

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
COINS = ("ADAUSDT", "BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT")

BUSY = TraderSection(
    enabled=True, use_ta_signals=True, entry_score=72, base_floor=62, margin=5, cooldown_min=30,
    target_r=1.5, max_hold_h=3, max_positions=4, max_same_side=3, stop_costs=6, cost_share_pct=30,
    max_losses=3, loss_pause_h=2, daily_loss_pct=1, drawdown_pct=3, max_slippage_bps=1,
)  # fmt: skip
"""Enters some 20 times a day; the book within one basis point holds less than is wanted."""

BUSIER = dataclasses.replace(
    BUSY, entry_score=68, base_floor=58, max_hold_h=1.5, max_losses=2, loss_pause_h=1,
    daily_loss_pct=0.5,
)  # fmt: skip
"""Has all of it within hours."""

LEVERAGED = dataclasses.replace(
    BUSIER, entry_score=55, base_floor=50, daily_loss_pct=50, drawdown_pct=50, risk_pct=40,
    max_notional=25, max_gross_notional=80, max_leverage=50, liquidation_stops=1.2,
)  # fmt: skip
"""Has its liquidation a few per cent away."""


def recordings(data_dir: Path, coins: Sequence[str] = COINS) -> dict[str, Recording]:
    return {symbol: read_recording(data_dir / "candles", symbol) for symbol in coins}


def halted(recording: Recording, from_ms: int, to_ms: int) -> Recording:
    """Return a recording without the 5m candles of a time, as if trading had halted."""
    m5 = recording.candles[Timeframe.M5]
    kept = (m5.open_time_ms < from_ms) | (m5.open_time_ms >= to_ms)
    return dataclasses.replace(recording, candles={**recording.candles, Timeframe.M5: m5[kept]})


def partly_filled(outcome: Outcome) -> int:
    """Return how many entries filled a part of what was sent."""
    return sum(0 < each.filled < each.amount for each in outcome.orders if not each.closes)


def own_ends(history: AccountHistory) -> int:
    """Return how many pauses after losses ended by themselves."""
    return sum("losses" in each.why and each.to_ms % DAY_MS != 0 for each in history.locked)


def releases(history: AccountHistory) -> int:
    """Return how many latches held until they were released at 00:00 UTC."""
    return sum("losses" not in each.why and each.to_ms % DAY_MS == 0 for each in history.locked)
