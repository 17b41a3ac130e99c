"""A backtest's leaps change nothing: deciding at every close, along whole paths, gives the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.backtest.simulation.account_run import AccountRun
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.trades import AccountHistory
from shared.config.sections import TraderSection
from tests.support.made_scores import BAR_MS, BEGIN_MS, DAY_MS, random_coins, with_detail

COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
BARS = 288 * 6


class StepByStep(AccountRun):
    """Decides at every close, and lets the venue walk every path."""

    def next_event(self, close_ms: int) -> int:
        return close_ms + BAR_MS


def both(
    coins: list[CoinScores], settings: TraderSection, model: FillModel
) -> tuple[AccountHistory, AccountHistory]:
    end_ms = BEGIN_MS + (BARS - 1) * BAR_MS
    asked = (coins, settings, model, BEGIN_MS + DAY_MS, end_ms)
    return AccountRun(*asked).run(), StepByStep(*asked).run()


@pytest.mark.parametrize(
    ("seed", "settings", "model"),
    [
        (1, {}, {}),
        (2, {"use_ta_signals": True}, {"release": "daily"}),
        (3, {"max_losses": 99, "daily_loss_pct": 0.5}, {"release": "daily", "path": "by_body"}),
        (4, {"max_losses": 99, "drawdown_pct": 1.5, "max_hold_h": 1.51}, {"release": "daily"}),
        (
            5,
            {"max_losses": 99, "stop_costs": 1, "stop_atr": 0.2, "cost_share_pct": 99},
            {"release": "daily"},
        ),
        (6, {"delay_s": 41, "protect_s": 7, "max_orders_per_hour": 2}, {"latency_ms": 900}),
    ],
)
def test_leaping_gives_what_deciding_at_every_close_gives(
    seed: int, settings: dict[str, Any], model: dict[str, Any]
) -> None:
    coins = random_coins(seed, COINS, BARS)
    leapt, stepped = both(coins, replace(TraderSection(), **settings), FillModel(**model))
    assert len(leapt.trades) >= 5
    assert leapt.trades == stepped.trades
    assert np.allclose(leapt.equity, stepped.equity, rtol=1e-12, atol=0)
    assert leapt.locked == stepped.locked
    assert leapt.refusals == stepped.refusals


@pytest.mark.parametrize("path", ["adverse", "by_body"])
@pytest.mark.parametrize("seed", [7, 8])
def test_leaping_gives_the_same_with_minutes_and_recorded_funding(seed: int, path: Any) -> None:
    coins = random_coins(seed, COINS, BARS)
    coins = [with_detail(coin, seed + n) if n % 3 else coin for n, coin in enumerate(coins)]
    settings = replace(TraderSection(), max_losses=99, daily_loss_pct=0.5, max_hold_h=7.3)
    model = FillModel(release="daily", detail="1m", path=path)
    leapt, stepped = both(coins, settings, model)
    assert leapt.trades == stepped.trades
    assert np.allclose(leapt.equity, stepped.equity, rtol=1e-12, atol=0)
    assert (leapt.locked, leapt.refusals) == (stepped.locked, stepped.refusals)
    assert {trade.how for trade in leapt.trades} >= {"stop", "target"}
    assert sum(trade.funding != 0 for trade in leapt.trades) > 2
    plain, _ = both(random_coins(seed, COINS, BARS), settings, replace(model, detail="5m"))
    assert leapt.trades != plain.trades


def test_the_seeds_have_every_kind_of_exit_and_breaker() -> None:
    settings = TraderSection(max_losses=99, max_hold_h=2, daily_loss_pct=0.5)
    history, _ = both(random_coins(3, COINS, BARS), settings, FillModel(release="daily"))
    assert {trade.how for trade in history.trades} >= {"stop", "target", "time"}
    assert any("daily loss" in lock.why for lock in history.locked)
