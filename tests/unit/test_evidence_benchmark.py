"""What the benchmark of evidence measures on, and how it judges."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evidence import Row
from benchmarks.measured import measured, own_peak_mb
from benchmarks.recordings import YEAR, one_year, recordings, write_store
from shared.backtest.recording import read_recording
from shared.market import COLUMNS, Timeframe

M5 = Timeframe.M5


def test_a_made_year_is_whole_and_every_coin_differs() -> None:
    found = recordings(None, 1, 3_000)
    years = [year.candles[M5] for year in one_year(found, 2)]
    for candles in years:
        assert len(candles) == YEAR and not list(candles.gaps(M5))
        assert (candles.low <= np.minimum(candles.open, candles.close)).all()
        assert (candles.high >= np.maximum(candles.open, candles.close)).all()
        moved = np.abs(np.diff(np.log(candles.close)))
        assert moved.max() < 2 * np.abs(np.diff(np.log(found[0].candles[M5].close))).max()
    assert not np.array_equal(years[0].close, years[1].close)
    again = next(one_year(found, 1)).candles[M5]
    assert all(np.array_equal(getattr(again, c), getattr(years[0], c)) for c in COLUMNS)


def test_a_written_store_holds_the_recording(tmp_path: Path) -> None:
    (found,) = recordings(None, 1, 600)
    stored = read_recording(write_store(tmp_path / "store", [found]), found.symbol)
    for timeframe, candles in found.candles.items():
        for column in COLUMNS:
            np.testing.assert_array_equal(
                getattr(stored.candles[timeframe], column), getattr(candles, column)
            )


def test_a_row_says_whether_its_aim_was_held() -> None:
    assert Row("it", 1.5, 2.0).cells(quick=False) == ("it", "1.50 s", "2 s", "held")
    assert Row("it", 2.5, 2.0).cells(quick=False)[-1] == "**missed**"
    assert Row("it", 2.5, 2.0).cells(quick=True)[-1] == ""
    assert Row("it", 812.4, None, "MB").cells(quick=False) == ("it", "812 MB", "", "")


def test_a_command_is_measured_with_its_children_and_its_failure_named() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', '{}'], check=True)"
    took = measured([sys.executable, "-c", child.format("sum(range(10**6))")])
    assert took.cpu_s > 0.0 and took.wall_s > 0.0 and own_peak_mb() > 0.0
    with pytest.raises(SystemExit, match="no such luck"):
        measured([sys.executable, "-c", "raise SystemExit('no such luck')"])
