"""`coinex replay` as a user runs it, on files."""

from __future__ import annotations

import csv
import gzip
import io
import os
import subprocess
import sys
from dataclasses import asdict
from dataclasses import replace as with_
from pathlib import Path

import numpy as np
import orjson
import pytest

from shared.backtest import table
from shared.backtest.recording import read_recording
from shared.backtest.replay import replay
from shared.backtest.report import COUNTED
from shared.backtest.workers import JOB_CLOSES
from shared.candles.files import aggregated, candle_file, read_candles
from shared.candles.parquet import write_series
from shared.candles.stored_series import StoredSeries, store_file
from shared.clock import utc_text
from shared.config.sections import IndicatorsSection, TraderSection
from shared.market import StoredTimeframe, Timeframe
from tests.support.paths import ROOT
from tests.support.recordings import generated, write_candles, write_recording
from tests.unit.shared.candles.test_admission import changed, joined, without

M5, H1, H4 = Timeframe.M5, Timeframe.H1, Timeframe.H4
COINS = ("BTCUSDT", "ETHUSDT")
BARS = JOB_CLOSES + 400
CLOSES = 500


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of two recorded coins, the second without files of 1h and 4h."""
    directory = tmp_path_factory.mktemp("candles")
    for coin, timeframes in zip(COINS, ((M5, H1, H4), (M5,)), strict=True):
        write_recording(directory, generated(coin, BARS), *timeframes)
    return directory


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "supervisor.py", "replay", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def last_closes(directory: Path, closes: int = CLOSES) -> tuple[str, str]:
    """Return --from and --to that hold the last closes but one hour."""
    opens = read_candles(candle_file(directory, "BTCUSDT", M5), "BTCUSDT", M5).open_time_ms
    return tuple(utc_text(int(opens[i])) for i in (-closes - 12, -12))  # type: ignore[return-value]


def test_what_it_writes_are_the_signals_and_no_byte_depends_on_the_processes(
    candles: Path, tmp_path: Path
) -> None:
    since, until = last_closes(candles)
    written: dict[int, bytes] = {}
    for processes in (1, 2):
        path = tmp_path / f"{processes}.csv.gz"
        done = run("--candles", candles, "--from", since, "--to", until,
                   "--processes", processes, "--out", path)  # fmt: skip
        written[processes] = path.read_bytes()
        assert f"{2 * CLOSES} signals of 2 coins" in done.stdout and "signals/s" in done.stdout
    assert written[1] == written[2]

    expected = [list(table.COLUMNS)]
    for coin in COINS:
        recording = read_recording(candles, coin)
        places = range(BARS - CLOSES - 12, BARS - 12)
        for block in replay(recording, places, IndicatorsSection()):
            lines = table.csv_rows(map(table.row, block)).decode()
            expected += csv.reader(io.StringIO(lines))
    assert list(csv.reader(io.StringIO(gzip.decompress(written[1]).decode()))) == expected


def test_a_file_in_microseconds_is_refused_by_name_within_a_second(tmp_path: Path) -> None:
    rows = generated("BTCUSDT", 2_000).candles[M5]
    path = candle_file(tmp_path, "BTCUSDT", M5)
    write_candles(path, with_(rows, open_time_ms=rows.open_time_ms * 1000))
    done = run("--candles", tmp_path, code=1)
    assert done.stderr.startswith(f"replay: {path}: BTCUSDT 5m: times in microseconds, expected ")
    assert len(done.stderr.splitlines()) == 1 and not done.stdout


def test_what_is_left_out_of_files_is_said_and_the_rest_replayed(tmp_path: Path) -> None:
    rows = generated("BTCUSDT", 1_500).candles[M5]
    bad = changed(rows, 7, low=0.0)
    path = candle_file(tmp_path, "BTCUSDT", M5)
    written = []
    for candles in (without(rows, 7), joined(bad[:900], bad[890:])):
        write_candles(path, candles)
        done = run("--candles", tmp_path, "--out", tmp_path / "out.csv", "--processes", 1)
        written.append((tmp_path / "out.csv").read_text().splitlines())
    assert done.stderr.splitlines()[:2] == [
        "replay: BTCUSDT 5m: row 8 at 2023-11-14T22:35:00Z counts as missing: price not finite "
        f"and above 0 (open={rows.open[7]}, high={rows.high[7]}, low=0.0, "
        f"close={rows.close[7]}, volume={rows.volume[7]})",
        "replay: BTCUSDT 5m: 10 rows dropped: an equal one is there",
    ]
    assert written[0][0] == written[1][0] and written[0][600:] == written[1][600:]


def test_settings_of_the_platform_apply(candles: Path, tmp_path: Path) -> None:
    rows = {}
    since, until = last_closes(candles)
    for history in (300, 500):
        path = tmp_path / f"{history}.csv"
        run("--candles", candles, "--symbols", "ETHUSDT", "--from", since, "--to", until,
            "--out", path, "--set", f"indicators.history={history}")  # fmt: skip
        rows[history] = list(csv.DictReader(path.read_text().splitlines()))
        assert {row["bars_5m"] for row in rows[history]} == {str(history)}
        assert {row["symbol"] for row in rows[history]} == {"ETHUSDT"}
    assert rows[300] != rows[500]


def test_a_report_is_printed_and_written(candles: Path, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "report"
    since, until = last_closes(candles, 3000)
    done = run("--candles", candles, "--from", since, "--to", until, "--report", directory,
               "--set", "trader.entry_score=78", "--set", "trader.max_hold_h=6")  # fmt: skip
    text = (directory / "report.md").read_text()
    assert text in done.stdout and "No profit is claimed" in text
    figures = orjson.loads((directory / "report.json").read_bytes())
    assert "crosses 78, 15 ahead" in text and "out after 6 h" in text
    assert figures["settings"]["entry_score"] == 78 and figures["settings"]["target_r"] == 2
    assert figures["closes"] == 2 * 3000 and figures["coins"] == 2
    assert {row["state"] for row in figures["occupancy"]} >= {
        "squeeze fired long",
        "divergence short",
    }
    assert all(0 <= row["share"] <= 1 for row in figures["occupancy"])
    pictures = sorted(path.name for path in directory.glob("*.png"))
    assert pictures == ["entries.png", "forward-returns.png", "occupancy.png"]
    assert all(p.read_bytes()[:4] == b"\x89PNG" for p in directory.glob("*.png"))


def hiding(package: str, directory: Path) -> Path:
    """Return a directory that hides a package, put before others on PYTHONPATH."""
    (directory / "hidden" / package).mkdir(parents=True)
    (directory / "hidden" / package / "__init__.py").write_text("raise ImportError('hidden')")
    return directory / "hidden"


@pytest.mark.parametrize(
    "arguments",
    [
        ("candles", "check", "."),
        ("candles", "import", "x.zip"),
        ("candles", "fetch", "--from", "2025-01-01"),
        ("replay", "--candles", ".", "--out", "x.parquet", "--config", str(ROOT / "config.yaml")),
    ],
)
def test_what_needs_parquet_names_the_command_that_installs_it(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "supervisor.py", *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONPATH": str(hiding("pyarrow", tmp_path))},
    )  # fmt: skip
    assert done.returncode in {1, 2} and len(done.stderr.splitlines()) == 1
    assert "(hidden): `make install-evidence`" in done.stderr


def test_without_matplotlib_there_are_tables_and_a_word_about_it(
    candles: Path, tmp_path: Path
) -> None:
    hidden = hiding("matplotlib", tmp_path)
    since, until = last_closes(candles)
    done = subprocess.run(
        [sys.executable, "supervisor.py", "replay", "--candles", str(candles),
         "--from", since, "--to", until, "--processes", "1", "--report", str(tmp_path / "r")],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | {"PYTHONPATH": str(hidden)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "(hidden): `make install-evidence`" in done.stderr
    assert (tmp_path / "r" / "report.md").exists() and not list((tmp_path / "r").glob("*.png"))


def test_parquet_holds_the_same_rows(candles: Path, tmp_path: Path) -> None:
    since, until = last_closes(candles)
    arguments = ("--candles", candles, "--from", since, "--to", until, "--out")
    from pyarrow import parquet

    run(*arguments, tmp_path / "x.parquet")
    rows = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    recording = read_recording(candles, COINS[0])
    blocks = replay(recording, range(BARS - CLOSES - 12, BARS - 12), IndicatorsSection())
    expected = [dict(zip(table.COLUMNS, table.row(s), strict=True)) for b in blocks for s in b]
    assert len(rows) == 2 * CLOSES and rows[:CLOSES] == expected


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--candles", "nowhere"), 2, "no directory 'nowhere'"),
        (("--candles", "docs"), 2, "no file named SYMBOL-5m.parquet or SYMBOL-5m.csv.gz in 'docs'"),
        (("--symbols", "BTCUSDT,FOOUSDT"), 2, "no 5m candles of FOOUSDT"),
        (("--from", "yesterday"), 2, "--from yesterday: expected a date or time"),
        (("--from", "2025-02-02", "--to", "2025-02-02"), 2, "is not before --to"),
        (("--from", "2031-01-01"), 2, "no candle of 2 coins"),
        (("--out", "signals.xlsx"), 2, "expected one of .csv, .csv.gz, .parquet"),
        (("--out", "nowhere/signals.csv"), 2, "no directory 'nowhere'"),
        (("--processes", "0"), 2, "expected at least 1"),
        (("--set", "indicators.histroy=400"), 78, "did you mean indicators.history"),
        (("--set", "trader.target_r=3"), 2, "--set trader.target_r: no signal depends on it"),
        (
            ("--report", "never", "--set", "trader.target_r=3", "--set", "trader.risk_pct=1"),
            2,
            "--set trader.risk_pct: does not count in a report, where each entry is a trade by",
        ),
        (("--report", "never", "--set", "trader={max_losses: 9}"), 2, "--set trader.max_losses:"),
        (("--report", "never", "--set", "trader.target_r=0"), 78, "trader.target_r"),
    ],
)
def test_what_cannot_be_obeyed_is_said_in_one_line(
    candles: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = run("--candles", candles, *arguments, code=code)
    assert message in done.stderr and "Traceback" not in done.stderr


def test_no_setting_of_the_trader_is_accepted_and_does_not_count(candles: Path) -> None:
    given = TraderSection(
        enabled=True, timer_min=5, evidence="advise", evidence_file="evidence.json"
    )
    section = asdict(given)
    idle = [name for name in section if name not in COUNTED]
    assert len(idle) > 15 and set(COUNTED) < set(section)
    settings = [f"--set=trader.{name}={str(section[name]).lower()}" for name in idle]
    done = run("--candles", candles, "--report", "never", *settings, code=2)
    assert all(f"trader.{name}" in done.stderr for name in idle)
    assert not (ROOT / "never").exists()


def test_a_broken_file_is_named_and_leaves_no_output(candles: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    whole = candle_file(candles, "BTCUSDT", M5).read_bytes()
    candle_file(broken, "BTCUSDT", M5).write_bytes(whole[: len(whole) // 2])
    done = run("--candles", broken, "--out", tmp_path / "x.csv", code=1)
    assert "BTCUSDT-5m.csv.gz" in done.stderr and "expected gzip CSV" in done.stderr
    assert not (tmp_path / "x.csv").exists()


def test_added_up_candles_are_those_the_exchange_made(data_dir: Path) -> None:
    for coin in ("BTCUSDT", "SEIUSDT"):
        m5, h1 = (read_candles(candle_file(data_dir / "candles", coin, t), coin, t)
                  for t in (M5, H1))  # fmt: skip
        found = aggregated(m5, H1)
        for column in ("open_time_ms", "open", "high", "low", "close"):
            assert np.array_equal(getattr(found, column), getattr(h1, column)), column
        assert np.allclose(found.volume, h1.volume, rtol=1e-9)


def test_a_candle_store_gives_the_same_bytes_as_gzip_csv(candles: Path, tmp_path: Path) -> None:
    since, until = last_closes(candles, 40)
    store = tmp_path / "store"
    store.mkdir()
    for symbol, timeframe in (*((COINS[0], t) for t in (M5, H1, H4)), (COINS[1], M5)):
        rows = read_candles(candle_file(candles, symbol, timeframe), symbol, timeframe)
        series = StoredSeries(symbol, StoredTimeframe(timeframe), rows)
        write_series(store_file(store, symbol, timeframe), series)
    written = []
    for directory in (candles, store):
        path = tmp_path / f"{directory.name}.csv"
        run("--candles", directory, "--from", since, "--to", until, "--out", path)
        written.append(path.read_bytes())
    assert written[0] == written[1]
