"""`coinex candles import` and `check`, on files."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.candles.parquet import (
    FundingRates,
    read_series,
    write_funding,
    write_series,
)
from shared.candles.stored_series import StoredSeries, store_file
from shared.console import command_line
from shared.market import COLUMNS, Candles, StoredTimeframe
from tests.support.archives import csv_of, write_archive
from tests.support.candle_series import walk
from tests.support.recordings import write_candles

M5 = StoredTimeframe.M5
JANUARY_2025 = 1_735_689_600_000
WALK = walk(3, 600, start_ms=JANUARY_2025)
Run = Callable[..., Any]


def options(*arguments: object) -> argparse.Namespace:
    return command_line.parser(lambda _: 0).parse_args(["candles", *map(str, arguments)])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty directory; return its exit code, JSON document and complaints."""
    monkeypatch.chdir(tmp_path)

    def run_it(*arguments: object) -> tuple[int, Any, str]:
        capsys.readouterr()
        given = options(*arguments, "--json")
        code = given.carry_out(given)
        said = capsys.readouterr()
        return code, json.loads(said.out or "null"), said.err

    return run_it


def stored(store: Path, timeframe: StoredTimeframe = M5) -> StoredSeries:
    return read_series(store_file(store, "BTCUSDT", timeframe), "BTCUSDT", timeframe)


def test_archives_of_months_and_days_become_one_series_in_ms(run: Run, tmp_path: Path) -> None:
    files = tmp_path / "files"
    (files / "deeper").mkdir(parents=True)
    write_archive(files / "BTCUSDT-5m-2024-12.zip", csv_of(WALK[:300], M5))
    us = csv_of(WALK[290:], M5, per_ms=1000, header=True)
    write_archive(files / "deeper" / "BTCUSDT-5m-2025-01.zip", us, checksum=False)
    code, document, _ = run("import", files)
    assert code == 0
    found = stored(tmp_path / "candles")
    assert found.candles.same_as(WALK) and found.source == "binance"
    assert (document["files"], document["rows"], document["known"]) == (2, 600, 10)
    assert document["unverified"] == ["BTCUSDT-5m-2025-01.zip"]
    whole = (tmp_path / "candles" / "BTCUSDT-5m.parquet").read_bytes()
    assert run("import", files)[:1] == (0,)
    other = tmp_path / "other"
    for path in sorted(files.rglob("*.zip"), reverse=True):
        run("import", path, "--store", other)
    assert (other / "BTCUSDT-5m.parquet").read_bytes() == whole


def test_gzip_csv_is_taken_too(run: Run, tmp_path: Path) -> None:
    write_candles(
        tmp_path / "BTCUSDT-1m.csv.gz", minutes := walk(1, 50, timeframe=StoredTimeframe.M1)
    )
    assert run("import", tmp_path / "BTCUSDT-1m.csv.gz", "--store", tmp_path / "s")[0] == 0
    found = stored(tmp_path / "s", StoredTimeframe.M1)
    assert found.candles.same_as(minutes) and found.source is None


def test_a_file_that_changes_its_unit_is_refused_by_name_and_the_others_are_taken(
    run: Run, tmp_path: Path
) -> None:
    text = csv_of(WALK[:20], M5) + csv_of(WALK[20:40], M5, per_ms=1000)
    write_archive(tmp_path / "BTCUSDT-5m-2025-01.zip", text)
    write_archive(tmp_path / "ETHUSDT-5m-2025-01.zip", csv_of(WALK, M5))
    code, document, complaint = run("import", tmp_path, "--store", tmp_path / "s")
    assert code == 1 and document["rows"] == 600
    assert "BTCUSDT-5m-2025-01.zip: times in milliseconds, but from row 21 on in micro" in complaint
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["ETHUSDT-5m.parquet"]


@pytest.mark.parametrize(("per_ms", "unit"), [(10**6, "nanoseconds"), (0.001, "seconds")])
def test_an_archive_in_another_unit_is_refused(
    run: Run, tmp_path: Path, per_ms: float, unit: str
) -> None:
    first, last = (round(ms * per_ms) for ms in (JANUARY_2025, JANUARY_2025 + M5.ms))
    write_archive(tmp_path / "BTCUSDT-5m-2025-01.zip", f"{first},1,1,1,1,1,{last},1,1,1,1,0\n")
    code, document, complaint = run("import", tmp_path)
    assert code == 1 and f"times in {unit}" in complaint
    assert document["files"] == 0


def test_gzip_csv_in_microseconds_is_refused(run: Run, tmp_path: Path) -> None:
    times = WALK.open_time_ms * 1000
    write_candles(
        tmp_path / "BTCUSDT-5m.csv.gz", Candles.of(times, *(getattr(WALK, c) for c in COLUMNS[1:]))
    )
    code, _, complaint = run("import", tmp_path / "BTCUSDT-5m.csv.gz")
    assert code == 1 and "times in microseconds, expected milliseconds" in complaint


def test_a_candle_that_differs_stays_as_it_was_and_is_named(run: Run, tmp_path: Path) -> None:
    write_archive(tmp_path / "BTCUSDT-5m-2025-01.zip", csv_of(WALK, M5))
    assert run("import", tmp_path)[0] == 0
    other = Candles.of(WALK.open_time_ms, *(getattr(WALK, c).copy() for c in COLUMNS[1:]))
    other.volume[7] = 1.25
    write_archive(tmp_path / "BTCUSDT-5m-2025-01.zip", csv_of(other, M5))
    code, document, _ = run("import", tmp_path)
    assert code == 0 and stored(tmp_path / "candles").candles.same_as(WALK)
    [conflict] = document["conflicts"]
    assert "2025-01-01T00:35:00Z: volume 1.25, stored" in conflict


def test_a_bad_row_and_a_bad_checksum_are_refused(run: Run, tmp_path: Path) -> None:
    first = csv_of(WALK[:1], M5)
    text = first.replace(first.split(",")[2], "0.5", 1) + csv_of(WALK[1:], M5)
    write_archive(tmp_path / "BTCUSDT-5m-2025-01.zip", text)
    path = write_archive(tmp_path / "ETHUSDT-5m-2025-01.zip", csv_of(WALK, M5))
    path.write_bytes(path.read_bytes() + b"x")
    code, document, complaint = run("import", tmp_path)
    assert code == 1 and document["rows"] == 599
    assert "row 1: high below open, close or low" in complaint
    assert "ETHUSDT-5m-2025-01.zip: its SHA-256 is" in complaint


def test_simulated_and_real_candles_stay_apart(run: Run, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    series = StoredSeries.empty("BTCUSDT", M5).merged(WALK, source="sim")
    write_series(store_file(tmp_path / "s", "BTCUSDT", M5), series)
    write_archive(tmp_path / "BTCUSDT-5m-2025-01.zip", csv_of(WALK, M5))
    code, _, complaint = run("import", tmp_path, "--store", tmp_path / "s")
    assert code == 1 and "not to be mixed" in complaint


def test_nothing_is_added_to_a_file_with_faults(run: Run, tmp_path: Path) -> None:
    planted(tmp_path / "s", "parquet", FAULTS["equal duplicate"][0])
    before = (tmp_path / "s" / "BTCUSDT-5m.parquet").read_bytes()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        write_archive(tmp_path / f"{symbol}-5m-2025-01.zip", csv_of(WALK, M5))
    code, document, complaint = run("import", tmp_path, "--store", tmp_path / "s")
    assert code == 1 and "BTCUSDT-5m.parquet: BTCUSDT 5m at" in complaint
    assert "`coinex candles check`" in complaint and document["rows"] == 600
    assert (tmp_path / "s" / "BTCUSDT-5m.parquet").read_bytes() == before


def test_what_is_no_candle_file_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.zip").touch()
    (tmp_path / "BTCUSDT-5m-2024-12.zip").touch()
    os.mkfifo(tmp_path / "ETHUSDT-5m-2024-12.zip")
    code, document, complaint = run("import", tmp_path)
    assert code == 1 and "notes.zip: its name is not" in complaint
    assert "ETHUSDT-5m-2024-12.zip: it is no file" in complaint
    assert document["unverified"] == []  # of those that were taken
    assert run("import", tmp_path / "none")[0] == 2
    (tmp_path / "empty").mkdir()
    assert run("import", tmp_path / "empty")[0] == 2


def planted(store: Path, form: str, candles: Candles) -> None:
    store.mkdir()
    if form == "parquet":
        series = StoredSeries("BTCUSDT", M5, candles, source="binance")
        write_series(store_file(store, "BTCUSDT", M5), series)
    else:
        write_candles(store / "BTCUSDT-5m.csv.gz", candles)


def changed(column: str, row: int, value: float) -> Candles:
    columns = {name: getattr(WALK, name).copy() for name in COLUMNS}
    columns[column][row] = value
    return Candles.of(**columns)


def scaled() -> Candles:
    later = np.where(np.arange(600) < 300, 1.0, 0.01)
    columns = {name: getattr(WALK, name) * later for name in COLUMNS[1:]}
    whole = Candles.of(WALK.open_time_ms, **columns)
    return whole[(np.arange(600) < 300) | (np.arange(600) >= 340)]


ROWS = np.arange(600)
FAULTS: dict[str, tuple[Candles, list[tuple[str, int]]]] = {
    "nothing": (WALK, []),
    "hole": (WALK[(ROWS < 100) | (ROWS >= 103)], [("hole", 100)]),
    "equal duplicate": (WALK[np.sort(np.append(ROWS, 50))], [("duplicate", 50)]),
    "two at once": (
        WALK[np.sort(np.append(ROWS, 50))[10:][np.r_[0:100, 101:591]]],
        [("duplicate", 50), ("hole", 109)],
    ),
    "order": (WALK[np.r_[0:10, 11, 10, 12:600]], [("order", 10)]),
    "no price": (changed("low", 20, 0.0), [("impossible", 20)]),
    "break": (scaled(), [("break", 340), ("hole", 300)]),
}


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("fault", FAULTS)
def test_check_finds_what_was_planted(run: Run, tmp_path: Path, form: str, fault: str) -> None:
    candles, expected = FAULTS[fault]
    planted(tmp_path / "s", form, candles)
    code, document, _ = run("check", tmp_path / "s")
    [file] = document["files"]
    found = sorted((f["kind"], (f["at_ms"] - JANUARY_2025) // M5.ms) for f in file["findings"])
    assert found == sorted(expected)
    assert code == (1 if expected else 0) and document["is_clean"] is not bool(expected)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_check_names_the_unit(run: Run, tmp_path: Path, form: str) -> None:
    times = WALK.open_time_ms * np.where(ROWS < 300, 1, 1000)
    candles = Candles.of(times, *(getattr(WALK, c) for c in COLUMNS[1:]))
    planted(tmp_path / "s", form, candles)
    code, document, _ = run("check", "--store", tmp_path / "s")
    [finding] = document["files"][0]["findings"]
    assert code == 1 and finding["kind"] == "unit"
    assert "microseconds" in finding["text"] and "row 301" in finding["text"]


def test_a_halt_is_listed_and_no_fault(run: Run, tmp_path: Path) -> None:
    halt = (JANUARY_2025 + 100 * M5.ms, JANUARY_2025 + 103 * M5.ms)
    traded = WALK[(ROWS < 100) | (ROWS >= 103)]
    planted(tmp_path / "csv", "csv", traded)
    assert run("check", tmp_path / "csv")[0] == 1
    columns = {name: getattr(traded, name).copy() for name in COLUMNS}
    columns["volume"][97:100] = 0
    for name in COLUMNS[1:5]:
        columns[name][97:100] = columns["close"][96]
    planted(tmp_path / "flat", "csv", Candles.of(**columns))
    (tmp_path / "s").mkdir()
    series = StoredSeries.empty("BTCUSDT", M5).merged(traded, absent=[halt])
    write_series(store_file(tmp_path / "s", "BTCUSDT", M5), series)
    for directory in ("flat", "s"):
        code, document, _ = run("check", tmp_path / directory)
        assert code == 0 and document["files"][0]["halts"] == [list(halt)], directory


def test_check_of_funding_rates(run: Run, tmp_path: Path) -> None:
    times = np.array([0, 8, 16, 40]) * 3_600_000 + JANUARY_2025
    rates = FundingRates("BTCUSDT", times, np.array([0.0001, 0.5, 0, 0]), np.ones(4))
    write_funding(store_file(tmp_path, "BTCUSDT", "funding"), rates)
    code, document, _ = run("check", tmp_path)
    assert code == 1
    assert [f["kind"] for f in document["files"][0]["findings"]] == ["hole", "impossible"]


def test_what_cannot_be_read_is_found_and_nothing_to_check_is_usage(
    run: Run, tmp_path: Path
) -> None:
    assert run("check", tmp_path / "none")[0] == 2
    assert run("check", tmp_path)[0] == 2
    (tmp_path / "BTCUSDT-5m.parquet").write_bytes(b"no parquet")
    (tmp_path / "BTCUSDT-7m.parquet").write_bytes(b"no parquet")
    os.mkfifo(tmp_path / "ETHUSDT-5m.parquet")
    code, document, _ = run("check", tmp_path)
    assert code == 1
    assert [f["findings"][0]["kind"] for f in document["files"]] == ["unreadable"] * 3


def test_the_table_shows_what_was_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    planted(tmp_path / "s", "csv", FAULTS["hole"][0])
    given = options("check", tmp_path / "s")
    assert given.carry_out(given) == 1
    said = capsys.readouterr().out
    assert "BTCUSDT-5m.csv.gz: hole at 2025-01-01T08:20:00Z: 3 candles missing until" in said
    assert "found 1 fault" in said
