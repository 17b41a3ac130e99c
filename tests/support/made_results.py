"""The result of a backtest over made scores."""

from __future__ import annotations

from shared.backtest.replay import Recording
from shared.backtest.results.document import Question, Result, result_of
from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.fill_model import FillModel
from shared.config.sections import IndicatorsSection, TraderSection
from shared.market import Timeframe
from tests.support.made_scores import BEGIN_MS, DAY_MS, random_coins

FROM_MS, TO_MS = BEGIN_MS + DAY_MS, BEGIN_MS + 12 * DAY_MS


def made_result() -> Result:
    """Return what became of three coins in eleven days, with a bonus and breakers."""
    coins = random_coins(8, ("BTCUSDT", "ETHUSDT", "SOLUSDT"), 288 * 12 + 1)
    recordings = {c.symbol: Recording(c.symbol, {Timeframe.M5: c.bars.candles}) for c in coins}
    trader, model = TraderSection(use_ta_signals=True), FillModel(release="daily")
    question = Question(
        recordings=recordings, trader=trader, indicators=IndicatorsSection(), model=model,
        from_ms=FROM_MS, to_ms=TO_MS,
    )  # fmt: skip
    return result_of(question, run_account(coins, trader, model, FROM_MS, TO_MS))
