"""Whether a sweep says "edge" where there is one, and not where there is none, end to end.

Five coins walk at random for 120 days; signals come at random times with a score from 80 to 99.
Without an edge nothing follows them. With one, the price drifts after those of 90 and more, by
about half of what a trade risks. 100 settings are swept over them, as `coinex sweep` does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.tables import table, verdict
from shared.backtest.bootstrap import DAY_MS
from shared.backtest.series import Series
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.sweep.document import verdict_on
from shared.backtest.sweep.engines import LocalExecutor
from shared.backtest.sweep.folds import WalkForward, time_plan
from shared.backtest.sweep.grid import grid
from shared.backtest.sweep.ledger import Ledger
from shared.backtest.sweep.prepared import write_prepared
from shared.backtest.sweep.run import Question, Tried, run_sweep
from shared.backtest.sweep.verdict import Verdict
from shared.config.sections import Config, IndicatorsSection
from shared.market import Candles, Timeframe

COINS = ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT", "EEEUSDT")
DAYS, BEGIN_MS, BAR_MS = 120, 19_700 * DAY_MS, Timeframe.M5.ms
PARAMS = ("trader.entry_score=80,84,88,90", "trader.target_r=1:3:0.5", "trader.stop_costs=10:14:1")
OFTEN, SD, DRIFT, DRIFT_BARS = 0.018, 0.0015, 0.009, 36
NOISE, EDGES = 10, 5
LEAST_FOUND = 0.8
LEAST_TRADES = 300
"""Of every setting: with fewer, its result would say little either way."""
QUICK_PARAMS = ("trader.entry_score=80,90", "trader.target_r=1:3:1")


def market(seed: int, *, has_edge: bool) -> Sequence[CoinScores]:
    """Return coins that walk at random, with signals that mean something or nothing."""
    return [_coin(symbol, np.random.default_rng([seed, number]), has_edge=has_edge)
            for number, symbol in enumerate(COINS)]  # fmt: skip


def _coin(symbol: str, rng: np.random.Generator, *, has_edge: bool) -> CoinScores:
    bars = DAYS * DAY_MS // BAR_MS
    fires, side = rng.random(bars) < OFTEN, rng.choice([-1.0, 1.0], bars)
    score = np.where(fires, rng.integers(80, 100, bars), 0)
    pushed = np.where(score >= 90, side, 0.0) if has_edge else np.zeros(bars)
    # known at a candle's close, so it works from the next candle on
    drift = np.convolve(np.concatenate([[0.0], pushed[:-1]]), np.ones(DRIFT_BARS))[:bars]
    moves = rng.normal(0.0, SD, bars) + drift * DRIFT / DRIFT_BARS
    close = np.round(100.0 * np.exp(np.cumsum(moves)), 3)
    open_ = np.concatenate([[100.0], close[:-1]])
    wick = 1.0 + np.abs(rng.normal(0.0, SD / 2, (2, bars)))
    high = np.round(np.maximum(open_, close) * wick[0], 3)
    low = np.round(np.minimum(open_, close) / wick[1], 3)
    times = BEGIN_MS + BAR_MS * np.arange(bars, dtype=np.int64)
    columns = {
        "close": close, "atr_1h": close * SD * 3.5, "long": np.zeros(bars), "short": np.zeros(bars),
        "base_long": np.where(side > 0, score, 0.0), "base_short": np.where(side < 0, score, 0.0),
    }  # fmt: skip
    candles = Candles.of(times, open_, high, low, close, np.ones(bars))
    return CoinScores.of(symbol, Series(times + BAR_MS, columns), candles)


def swept(seed: int, params: Sequence[str], *, has_edge: bool) -> tuple[Tried, Verdict]:
    """Return what a sweep finds in a made market."""
    plan = time_plan(BEGIN_MS + DAY_MS, BEGIN_MS + DAYS * DAY_MS, 0.2, WalkForward(30, 10))
    settings = grid(params, Config(groups={"made": list(COINS)})).settings
    question = Question(
        settings, plan, FillModel(release="daily"), "sharpe", IndicatorsSection(),
        f"made {seed} {has_edge}",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        scores, stored = Path(directory) / "prepared", Path(directory) / "settings"
        write_prepared(scores, market(seed, has_edge=has_edge))
        tried = run_sweep(question, scores, stored, LocalExecutor(2), lambda done, total: None)
    return tried, verdict_on(question, tried, Ledger(), None)


def main() -> int:
    """Print a row per sweep; return 1 if a verdict is wrong too often, or trades are few."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one market of each, fewer settings")
    parser.add_argument("--noise", type=int, default=NOISE, help="markets without an edge")
    parser.add_argument("--edges", type=int, default=EDGES, help="markets with one")
    options = parser.parse_args()
    params = QUICK_PARAMS if options.quick else PARAMS
    seeds = {False: options.noise, True: options.edges}
    if options.quick:
        seeds = {False: 1, True: 1}
    rows, found, fewest = [], {False: 0, True: 0}, []
    for has_edge, number in seeds.items():
        for seed in range(number):
            began = time.perf_counter()
            tried, said = swept(seed, params, has_edge=has_edge)
            found[has_edge] += said.outcome == "edge"
            out = said.out_of_sample
            fewest.append(min(len(result.results_r) for result in tried.selection))
            rows.append((
                "edge" if has_edge else "noise", str(seed), said.outcome,
                str(fewest[-1]),
                f"{out.mean_r:.2f} ({out.low_r:.2f} to {out.high_r:.2f})",
                f"{time.perf_counter() - began:.0f} s",
            ))  # fmt: skip
            print(rows[-1], file=sys.stderr)
    print("## Sweeps of made markets, five coins, 120 days\n")
    names = ("market", "seed", "verdict", "least trades", "R out of sample", "took")
    print(table(names, rows))
    often = min(fewest) >= LEAST_TRADES
    holds = often and not found[False] and found[True] >= LEAST_FOUND * seeds[True]
    print(
        f"\nNoise gave {found[False]} edges, {found[True]} of {seeds[True]} were found; every "
        f"setting traded {min(fewest)} times or more (aim: {LEAST_TRADES}): {verdict(holds)}."
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
