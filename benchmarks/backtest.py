"""One backtest on scores that are there: four months of 29 coins, one core.

Made coins with made scores, which cross about as often as those of recorded candles.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.tables import in_turns, table, verdict
from shared.backtest.simulation.account_run import run_account
from shared.backtest.simulation.fill_model import FillModel
from shared.config.sections import TraderSection
from tests.support.made_scores import BAR_MS, BEGIN_MS, random_coins

COINS, BARS = 29, 112 * 288
OFTEN = 0.0015
AIM_S, AIM_MB = 0.5, 20.0
KINDS = {
    "default rule": (TraderSection(), FillModel()),
    "released daily": (TraderSection(), FillModel(release="daily")),
    "released daily, with signals": (
        TraderSection(use_ta_signals=True), FillModel(release="daily"),
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer coins and rounds")
    quick = parser.parse_args().quick
    count, rounds = (4, 1) if quick else (COINS, 3)
    symbols = [f"COIN{number}USDT" for number in range(count)]
    coins = random_coins(7, symbols, BARS, often=OFTEN)

    def run(kind: str) -> int:
        settings, model = KINDS[kind]
        end_ms = BEGIN_MS + (BARS - 1) * BAR_MS
        return len(run_account(coins, settings, model, BEGIN_MS, end_ms).trades)

    process = psutil.Process(os.getpid())
    before_mb = process.memory_info().rss / 2**20
    trades = {name: run(name) for name in KINDS}
    added_mb = process.memory_info().rss / 2**20 - before_mb
    took = in_turns({name: partial(run, name) for name in KINDS}, rounds)
    seconds = {name: min(each) for name, each in took.items()}
    print(f"## A backtest: {count * BARS:,} closes of {count} coins, scores there, one core\n")
    print(table(("", "trades", "s", "closes per second"), [
        (name, str(trades[name]), f"{s:.3f}", f"{count * BARS / s:,.0f}")
        for name, s in seconds.items()
    ]))  # fmt: skip
    print(f"\nAll three add {added_mb:.0f} MB to a process with the scores.")
    if not quick:
        usual = seconds["default rule"]
        print(
            f"\nAim: the default rule in at most {AIM_S} s: {usual:.3f} s, "
            f"{verdict(usual <= AIM_S)}; at most {AIM_MB:.0f} MB more: "
            f"{verdict(added_mb <= AIM_MB)}."
        )


if __name__ == "__main__":
    main()
