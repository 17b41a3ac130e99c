"""From candles to evidence: what each step takes, with what it should take at most.

Four months of 29 coins, recorded (`--candles`) or made; then a year of 100 coins made of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measured import command, own_peak_mb
from benchmarks.recordings import one_year, recordings, write_store
from benchmarks.tables import in_turns, table, verdict
from benchmarks.whole_series import CLOSES, COINS, by_series, by_talib, has_talib
from shared.backtest.recording import chosen_symbols, read_recording
from shared.backtest.replay import Recording
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.prepared import Prepared
from shared.backtest.sweep.engines import LocalExecutor
from shared.backtest.sweep.folds import WalkForward, time_plan
from shared.backtest.sweep.grid import grid
from shared.backtest.sweep.prepared import write_prepared
from shared.backtest.sweep.run import Question, run_sweep
from shared.backtest.whole_series.signal_series import signal_series
from shared.config.sections import Config, IndicatorsSection, TraderSection
from shared.market import Timeframe

SETTINGS = IndicatorsSection()
ALL_TIME = (0, 2**52)
FREQTRADE_CLOSES = 26_600
"""Closes per processor second of freqtrade 2026.9, a comparable rule on recorded candles."""

PARAMS = ("trader.entry_score=75:94:1", "trader.target_r=1:3.25:0.25", "trader.stop_costs=10:14:1")
STRATEGY_PARAMS = ("strategy_parameters.bars=12:50:2", "strategy_parameters.hours=8:40:8")
"""100 settings of the strategy that `coinex strategy new` writes; 2 where it is to be quick."""

YEAR_COINS = 100


class Size(NamedTuple):
    coins: int
    closes: int
    rounds: int
    settings: int
    year_coins: int


FULL = Size(COINS, CLOSES, 7, 1_000, YEAR_COINS)
QUICK = Size(4, CLOSES // 2, 2, 20, 4)


class Row(NamedTuple):
    """One step: what it took, and the most it should take, if that is said."""

    step: str
    took: float
    aim: float | None
    unit: str = "s"

    def cells(self, *, quick: bool) -> tuple[str, str, str, str]:
        digits = 2 if self.unit == "s" and self.took < 100 else 0
        took = f"{self.took:.{digits}f} {self.unit}"
        if self.aim is None:
            return self.step, took, "", ""
        held = "" if quick else verdict(self.took <= self.aim)
        return self.step, took, f"{self.aim:g} {self.unit}", held


def scores_rows(found: Sequence[Recording], store: Path, size: Size) -> tuple[list[Row], float]:
    """Return the rows of kernels and scores, and TA-Lib's seconds, 0 without it."""

    def from_store() -> None:
        for symbol in chosen_symbols(store, []):
            signal_series(read_recording(store, symbol), SETTINGS)

    work: dict[str, Callable[[], object]] = {
        "memory": lambda: by_series(found), "store": from_store,
    }  # fmt: skip
    if has_talib():
        work["TA-Lib"] = lambda: by_talib(found)
    took = {name: min(each) for name, each in in_turns(work, size.rounds).items()}
    rows = [
        Row("kernels and scores, candles in memory", took["memory"], 0.35),
        Row("from the store (Parquet) to scores", took["store"], 1.2),
    ]
    return rows, took.get("TA-Lib", 0.0)


class Backtest(NamedTuple):
    cpu_s: float
    added_mb: float
    peak_mb: float
    trades: int


def one_backtest(store: Path, rounds: int) -> Backtest:
    """Return what the default rule takes in a process that has read candles and made scores."""
    ready = Prepared.read(store, chosen_symbols(store, []), SETTINGS, ALL_TIME)
    process = psutil.Process(os.getpid())
    before_mb, seconds, trades = process.memory_info().rss / 2**20, [], 0
    for _ in range(rounds):
        began = time.process_time()
        trades = len(ready.run(TraderSection(), FillModel()).trades)
        seconds.append(time.process_time() - began)
    added_mb = process.memory_info().rss / 2**20 - before_mb
    return Backtest(min(seconds), max(0.0, added_mb), own_peak_mb(), trades)


def backtest_rows(store: Path, size: Size) -> list[Row]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        found = process.submit(one_backtest, store, size.rounds).result()
    return [
        Row(
            f"one backtest of the default rule on scores ({found.trades} trades)", found.cpu_s, 0.5
        ),
        Row("memory that it adds", found.added_mb, 20, "MB"),
        Row("most memory of its process, candles and scores included", found.peak_mb, 500, "MB"),
    ]


def report_row(store: Path, directory: Path) -> Row:
    took = command(
        "replay", "--candles", str(store), "--report", str(directory), "--processes", "1"
    )
    return Row("full report, plots included (processor time)", took.cpu_s, 10)


def sweep_rows(found: Sequence[Recording], directory: Path, size: Size) -> Iterator[Row]:
    scores = directory / "prepared"
    write_prepared(scores, (
        CoinScores.of(r.symbol, signal_series(r, SETTINGS), r.candles[Timeframe.M5]) for r in found
    ))  # fmt: skip
    config = Config(groups={"coins": [recording.symbol for recording in found]})
    settings = grid(PARAMS, config, draw=size.settings).settings
    first = max(int(recording.closes[0]) for recording in found)
    last = min(int(recording.closes[-1]) for recording in found)
    kinds = (("one pass each", None, 300), ("30d/10d folds", WalkForward(30, 10), 720))
    for text, fold, aim in kinds:
        question = Question(
            settings, time_plan(first, last, 0.2, fold), FillModel(release="daily"), "sharpe",
            SETTINGS, text,
        )  # fmt: skip
        began = time.perf_counter()
        stored = directory / text.split()[0].replace("/", "-")
        run_sweep(question, scores, stored, LocalExecutor(2), lambda done, total: None)
        took_s = time.perf_counter() - began
        yield Row(f"sweep of {len(settings):,} trader settings, {text}, two processes", took_s, aim)


def strategy_row(store: Path, directory: Path, *, quick: bool) -> Row:
    file, own = directory / "trial.py", f"state_dir={directory / 'state'}"
    command("strategy", "new", "trial", "--out", str(file))
    command("strategy", "check", str(file), "--candles", str(store), "--set", own)
    varied = ("strategy_parameters.bars=12,24",) if quick else STRATEGY_PARAMS
    took = command(
        "sweep", "--candles", str(store), "--out", str(directory / "strategies"), "--set", own,
        "--set", f"strategy={file}:Trial", "--release", "daily", "--walk-forward", "none",
        "--processes", "2", *(each for param in varied for each in ("--param", param)),
    )  # fmt: skip
    what = f"`coinex sweep` of {2 if quick else 100} settings of a user's strategy, two processes"
    return Row(what, took.wall_s, 300)


def year_rows(found: Sequence[Recording], directory: Path, size: Size) -> list[Row]:
    store = write_store(directory / "year", one_year(found, size.year_coins))
    took = command(
        "backtest", "--candles", str(store), "--out", str(directory / "result"), "--processes", "2"
    )
    what = f"{size.year_coins} coins, one year of 5m: `coinex backtest`, two processes"
    memory = Row("most memory of all its processes", took.peak_mb, None, "MB")
    return [Row(what, took.wall_s, 60), memory]


def rows(options: argparse.Namespace, size: Size) -> Iterator[tuple[Sequence[Row], str]]:
    """Yield the rows of each step, and what is to be said beside them."""
    found = recordings(options.candles, size.coins, size.closes)
    closes = sum(len(recording.closes) for recording in found)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        store = write_store(directory / "store", found)
        made, talib_s = scores_rows(found, store, size)
        speed = closes / made[0].took
        ratio = f"{speed / FREQTRADE_CLOSES:.0f} times freqtrade's {FREQTRADE_CLOSES:,}"
        beside = f"{closes:,} closes: {speed:,.0f} per processor second, {ratio} (aim: 100)."
        if talib_s:
            beside += f" TA-Lib takes {talib_s:.2f} s for the kernels that both have."
        yield made, beside
        yield [report_row(store, directory / "report")], ""
        yield backtest_rows(store, size), ""
        if not options.without_sweeps:
            for row in sweep_rows(found, directory, size):
                yield [row], ""
            yield [strategy_row(store, directory, quick=options.quick)], ""
        yield year_rows(found, directory, size), ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer coins, settings and rounds")
    parser.add_argument("--candles", type=Path, metavar="DIR", help="recorded ones; else made")
    parser.add_argument("--without-sweeps", action="store_true", help="they take most of the time")
    options = parser.parse_args()
    given = os.environ.get("COINEX_DATA_DIR")
    if options.candles is None and given and (Path(given) / "candles").is_dir():
        options.candles = Path(given) / "candles"
    cells, said = [], []
    for found, beside in rows(options, QUICK if options.quick else FULL):
        for row in found:
            cells.append(row.cells(quick=options.quick))
            print("  ".join(cells[-1]), file=sys.stderr, flush=True)
        said += [beside] if beside else []
    market = "recorded candles" if options.candles else "a made market: no recorded candles given"
    print(f"## From candles to evidence, on {market}\n")
    print(table(("", "takes", "aim: at most", ""), cells))
    print("\n" + "\n".join(said))


if __name__ == "__main__":
    main()
