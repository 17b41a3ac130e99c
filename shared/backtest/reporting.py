"""Prints the report of a replay, and writes it with its plots."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import orjson

from shared.backtest.report import Report, ReportCoin, make_report
from shared.backtest.report_text import as_markdown
from shared.backtest.series import Series
from shared.backtest.workers import recording_of
from shared.config.sections import TraderSection
from shared.errors import NotInstalled
from shared.market import Timeframe

SEED = 20250201
"""Seed of the bootstrap: the same candles give the same intervals."""


def report_coins(candles_dir: Path, series: Mapping[str, Series]) -> dict[str, ReportCoin]:
    """Return each coin's signals with the recorded candles they came from.

    Raises:
        BadCandle: A file of candles cannot be read any more.
    """
    return {
        symbol: ReportCoin(signals, recording_of(candles_dir, symbol).candles[Timeframe.M5])
        for symbol, signals in series.items()
    }


def report(coins: Mapping[str, ReportCoin], directory: Path, settings: TraderSection) -> None:
    """Print the report and write `report.md`, `report.json` and, with matplotlib, plots.

    Raises:
        OSError: The directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    made = make_report(coins, np.random.default_rng(SEED), settings)
    text = as_markdown(made)
    print(text)
    (directory / "report.md").write_text(text, encoding="utf-8")
    (directory / "report.json").write_bytes(orjson.dumps(asdict(made), option=orjson.OPT_INDENT_2))
    written = ["report.md", "report.json", *_plots(made, directory)]
    print(f"written to {directory}: {', '.join(written)}")


def _plots(made: Report, directory: Path) -> list[str]:
    try:
        from shared.backtest.report_plots import draw  # noqa: PLC0415  # loads matplotlib
    except NotInstalled as error:
        print(f"no plots: {error}", file=sys.stderr)
        return []
    return [path.name for path in draw(made, directory)]
