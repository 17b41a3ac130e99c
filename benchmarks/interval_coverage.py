"""How often the "95 %" interval of a report holds the true mean, on made trades.

`COVERAGE_PCT` in `shared/backtest/bootstrap.py` has these numbers, which every report prints.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.tables import table, verdict
from shared.backtest import bootstrap
from shared.backtest.bootstrap import COVERAGE_PCT, INTERVAL_PCT
from shared.backtest.report import TRADE_BLOCK_DAYS
from tests.support.made_trades import coverage_pct, intervals

SEED, RUNS, QUICK_RUNS, DRAWS = 1, 4000, 400, 1000
TOLERANCE_PCT = 1.5
QUICK_TOLERANCE_PCT = 4.0


def measured(blocks: int, runs: int) -> float:
    found = intervals(blocks, TRADE_BLOCK_DAYS, runs, np.random.default_rng(SEED), DRAWS)
    return coverage_pct(found)


def main() -> int:
    """Print the table; return 1 if a printed coverage is not the measured one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    quick = parser.parse_args().quick
    runs, tolerance = (QUICK_RUNS, QUICK_TOLERANCE_PCT) if quick else (RUNS, TOLERANCE_PCT)
    rows, holds = [], True
    expanded = bootstrap.tail_pct
    for blocks, said in COVERAGE_PCT.items():
        ours = measured(blocks, runs)
        bootstrap.tail_pct = lambda blocks: (100.0 - INTERVAL_PCT) / 2.0
        plain = measured(blocks, runs)
        bootstrap.tail_pct = expanded
        held = abs(ours - said) <= tolerance
        holds &= held
        rows.append((str(blocks), f"{plain:.1f} %", f"{ours:.1f} %", f"{said} %", verdict(held)))
    print(f"## Intervals: {runs} runs of made trades, blocks of {TRADE_BLOCK_DAYS} days\n")
    print(table(("blocks", "plain percentiles", "expanded", "a report says", ""), rows))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
