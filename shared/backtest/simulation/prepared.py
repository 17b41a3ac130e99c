"""Recordings and scores of all coins over one span, ready for any number of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from shared.backtest.executor import carry_out
from shared.backtest.recording import NothingToReplay
from shared.backtest.replay import Recording
from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.trades import AccountHistory
from shared.backtest.user_strategy.points import Tally
from shared.backtest.user_strategy.scoring import ScoreJob, UserStrategy, scored
from shared.backtest.workers import jobs_of, recording_of, work
from shared.config.sections import IndicatorsSection, TraderSection
from shared.market import Timeframe

M5 = Timeframe.M5


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that runs of one span need, whatever the trader's settings. Scores do not depend on them.

    Attributes:
        from_ms, to_ms: The closes decided on lie in `[from_ms, to_ms)`.
        tally: How the scores of a user's strategy came about.
    """

    recordings: dict[str, Recording]
    coins: Sequence[CoinScores]
    indicators: IndicatorsSection
    from_ms: int
    to_ms: int
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def read(
        cls,
        directory: Path,
        symbols: Sequence[str],
        indicators: IndicatorsSection,
        span_ms: tuple[int, int],
        *,
        strategy: UserStrategy | None = None,
        processes: int = 1,
        warn: Callable[[str], None] = lambda remark: None,
    ) -> Self:
        """Read candles and compute scores.

        Args:
            span_ms: From when until when; cut to what is recorded.
            strategy: What scores, with the parameters of its section; None: the built-in one.
            warn: Called with what was left out of the files, in words.

        Raises:
            NothingToReplay: No coin has a candle in that time.
            BadCandle: A file cannot be read.
            JobFailed: A process that computes died again and again.
            NotScored: The strategy cannot be asked.
        """
        # whether the first score crosses depends on the close before it
        jobs = jobs_of(
            directory, symbols, span_ms[0] - 2 * M5.ms, span_ms[1], indicators,
            form=None, with_series=True, warn=warn,
        )  # fmt: skip
        coins, recordings = [], {}
        for done in carry_out(work, jobs, processes):
            symbol = done.job.symbol
            recordings[symbol] = recording_of(directory, symbol)
            assert done.series is not None, "it was asked for"
            candles = recordings[symbol].candles[M5]
            coins.append(CoinScores.of(symbol, done.series, candles))
        tally = Tally()
        if strategy is not None:
            parameters = strategy.section.parameters
            begin_ms = min(int(coin.series.times[0]) for coin in coins) - M5.ms
            end_ms = max(int(coin.series.times[-1]) for coin in coins)
            names = tuple(coin.symbol for coin in coins)
            job = ScoreJob(strategy, parameters, recording_of, directory, names, begin_ms, end_ms)
            points = scored(job, processes)
            tally = points.tally
            coins = [coin.scored_by(points.coins[coin.symbol].columns()) for coin in coins]
        first_ms = min(int(coin.series.times[0]) for coin in coins)
        last_ms = max(int(coin.series.times[-1]) for coin in coins)
        from_ms = M5.first_open(max(span_ms[0], first_ms))
        to_ms = M5.open_at(min(span_ms[1], last_ms))
        if from_ms >= to_ms:
            raise NothingToReplay(
                "in the time asked for no 5m candle closes with another after it: nothing to "
                "decide on; widen --from and --to"
            )
        return cls(recordings, coins, indicators, from_ms, to_ms, tally)

    def run(self, trader: TraderSection, model: FillModel) -> AccountHistory:
        """Return what the trader would have done; see `run_account`."""
        return run_account(self.coins, trader, model, self.from_ms, self.to_ms)
