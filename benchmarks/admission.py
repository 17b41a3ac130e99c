"""What it costs to let candles in: admission, breaks of the price scale, and reading an answer."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.tables import in_turns, ratio, table, verdict
from shared.candles.admission import admit, scale_breaks
from shared.exchanges.binance.kline_rows import parse_klines
from shared.market import COLUMNS, Candles, Timeframe
from tests.support.candle_series import walk

M5 = Timeframe.M5
BARS, TIMES = 500, 200
AIM_US, AIM_SHARE = 50.0, 0.1
ALL = "read and admit an answer"


def answer(candles: Candles) -> list[list[Any]]:
    """Return candles as Binance sends them."""
    columns = zip(*(getattr(candles, name).tolist() for name in COLUMNS), strict=True)
    return [
        [time, *(f"{value:.8f}" for value in row), time + M5.ms - 1, "9.5", 42, "1.5", "2.5", "0"]
        for time, *row in columns
    ]


def spoilt(candles: Candles) -> Candles:
    low = candles.low.copy()
    low[7] = 0.0
    return replace(candles, low=low)


def holed(candles: Candles) -> Candles:
    """Return candles with holes and a wide range, so that breaks are looked for."""
    rise = np.linspace(1.0, 4.0, len(candles))
    prices = {name: getattr(candles, name) * rise for name in COLUMNS[1:5]}
    return replace(candles, **prices)[np.arange(len(candles)) % 50 != 7]


def repeated(work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(TIMES):
            work()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 3 if parser.parse_args().quick else 15
    window = walk(1, BARS)
    rows, bad, holes = answer(window), spoilt(window), holed(window)
    clean = parse_klines(rows, "BTCUSDT", M5).candles
    assert clean.same_as(admit(clean, "BTCUSDT", M5).candles)
    work: dict[str, Callable[[], object]] = {
        "admit a clean window": lambda: admit(window, "BTCUSDT", M5),
        "admit one with a bad row": lambda: admit(bad, "BTCUSDT", M5),
        "look for breaks": lambda: scale_breaks(window, M5),
        "look for breaks beside holes": lambda: scale_breaks(holes, M5),
        ALL: lambda: parse_klines(rows, "BTCUSDT", M5),
    }
    took = in_turns({name: repeated(call) for name, call in work.items()}, rounds)
    us = {name: 1e6 * statistics.median(seconds) / TIMES for name, seconds in took.items()}
    share = ratio(took["admit a clean window"], took[ALL])
    print(f"## Admission, windows of {BARS} candles\n")
    print(table(("work", "µs", "of reading an answer"), [
        (name, f"{us[name]:.0f}", f"{ratio(seconds, took[ALL]):.2f}")
        for name, seconds in took.items()
    ]))  # fmt: skip
    both = us["admit a clean window"] + us["look for breaks"]
    print(
        f"\nAim: admission and breaks of a clean window in at most {AIM_US:.0f} µs: {both:.0f} µs, "
        f"{verdict(both <= AIM_US)}; at most a tenth of reading an answer: {share:.2f}, "
        f"{verdict(share <= AIM_SHARE)}."
    )


if __name__ == "__main__":
    main()
