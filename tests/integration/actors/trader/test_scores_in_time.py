"""How long a cycle waits for scores: as long as there is time to trade on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.trader.cycle import ORDERS_S
from shared.strategy.live import Asked
from shared.strategy.scorer import BaseScorer, Result
from tests.support.trading import CYCLE, trader_on

COINS = ("BTCUSDT", "SOLUSDT")


class Watched(BaseScorer):
    """The built-in strategy; keeps how long it was given."""

    within_s = math.nan

    async def score(
        self, asked: Sequence[Asked], history: int, within_s: float = math.inf
    ) -> list[Result]:
        self.within_s = within_s
        return await super().score(asked, history, within_s)


@pytest.mark.parametrize("late_s", [3, 200, 280])
async def test_scores_are_waited_for_until_orders_of_that_close_are_due(
    late_s: int, tmp_path: Path
) -> None:
    scorer = Watched()
    async with trader_on(tmp_path, COINS, CYCLE + 1000 * late_s) as trader:
        trader.trading.cycle._scorer = scorer
        await trader.trading.cycle.run(CYCLE)
    assert scorer.within_s == pytest.approx(300 - late_s - ORDERS_S, abs=1)
