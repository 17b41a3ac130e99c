"""`coinex backtest` as a user runs it, on files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from shared.clock import utc_text
from tests.support.candle_series import START_MS
from tests.support.paths import ROOT
from tests.support.recordings import generated, write_detail, write_recording

COINS = ("BTCUSDT", "ETHUSDT")
BARS = 6_000
"""1h candles are warm after 3 600 of 5m."""

OFTEN = ("--set", "trader.entry_score=55", "--set", "trader.base_floor=50",
         "--set", "trader.margin=0")  # fmt: skip


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of two recorded coins."""
    directory = tmp_path_factory.mktemp("candles")
    for coin in COINS:
        write_recording(directory, generated(coin, BARS))
    return directory


def run(
    *arguments: object, code: int = 0, verb: str = "backtest"
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "supervisor.py", verb, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def test_result_is_the_same_of_one_process_and_of_two(candles: Path, tmp_path: Path) -> None:
    since = utc_text(START_MS + 5_000 * 300_000)[:19]
    found = {}
    for processes in (1, 2):
        out = tmp_path / str(processes)
        done = run("--candles", candles, "--from", since, "--release", "daily", *OFTEN,
                   "--processes", processes, "--out", out)  # fmt: skip
        assert "of random entries earned less" in done.stdout
        assert f"written to {out}: result.json, run.json, report.html" in done.stderr
        assert (out / "report.html").read_text().startswith("<!doctype html>")
        found[processes] = (out / "result.json").read_bytes()
    assert found[1] == found[2]
    result = orjson.loads(found[1])
    assert result["trades"] > 5
    assert utc_text(result["from_ms"])[:19] == since
    assert str(candles) not in found[1].decode()


def test_minutes_and_recorded_funding_are_used_where_they_are_and_said(
    candles: Path, tmp_path: Path
) -> None:
    for coin in COINS:
        write_recording(tmp_path, generated(coin, BARS))
    since = utc_text(START_MS + 5_000 * 300_000)[:19]
    asked = ("--candles", tmp_path, "--from", since, "--release", "daily", *OFTEN,
             "--processes", 1)  # fmt: skip
    done = run(*asked, "--detail", "1m", "--out", tmp_path / "x", code=2)
    assert "no 1m candles of these coins" in done.stderr
    write_detail(tmp_path, generated("BTCUSDT", BARS))
    found = {}
    for name, options in {
        "plain": ("--funding", "made"), "rates": (), "both": ("--detail", "1m"),
        "none": ("--funding", "none"), "no": ("--no-funding",),
    }.items():  # fmt: skip
        done = run(*asked, *options, "--out", tmp_path / name)
        found[name] = orjson.loads((tmp_path / name / "result.json").read_bytes())
    assert found["none"] == found["no"]
    assert found["none"]["funding"] == 0
    assert found["none"]["assumptions"] == {"detail": None, "funding": None}
    hashes = [[found[n][h] for n in ("plain", "rates", "both", "none")]
              for h in ("settings_hash", "data_hash", "digest")]  # fmt: skip
    assert [len(set(each)) for each in hashes] == [4, 3, 4]
    both = found["both"]["assumptions"]
    assert both["funding"] == {"recorded": ["BTCUSDT"], "partly": [], "made": ["ETHUSDT"]}
    assert both["detail"] == {"bars": 2000, "by_1m": 1000, "differing": 0}
    done = run(*asked, "--detail", "1m", "--out", tmp_path / "both")
    assert "recorded rates of 1 coin, made-up rates of 1 coin" in done.stdout
    assert (
        "in 1,000 of 2,000 5m candles; the path of 1,000 is its own: 1,000 without 1m candles, 0 "
        "that these do not agree with"
    ) in done.stdout


def test_result_lands_with_the_state_and_is_printed_for_programs(
    candles: Path, tmp_path: Path
) -> None:
    state = tmp_path / "var"
    done = run("--candles", candles, "--symbols", "ETHUSDT", "--json", "--processes", 1,
               "--set", f"state_dir={state}")  # fmt: skip
    result = orjson.loads(done.stdout)
    assert result["symbols"] == ["ETHUSDT"]
    directory = state / "results" / f"backtest-{result['digest'][:12]}"
    assert orjson.loads((directory / "result.json").read_bytes()) == result


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--set", "trader.warn_pct=70"), 2, "trader.warn_pct: does not count in a backtest"),
        (
            ("--set", "indicators.interval_s=5", "--set", "indicators.coin_failures=1"),
            2,
            "--set indicators.interval_s, indicators.coin_failures: does not count in a backtest",
        ),
        (("--set", "alerts.enabled=true"), 2, "alerts: does not count in a backtest"),
        (("--set", "trader.entry_scor=70"), 78, "did you mean trader.entry_score"),
        (("--from", "2025-02-01", "--to", "2025-01-01"), 2, "is not before --to"),
        (("--from", "2035-01-01"), 2, "no candle of 2 coins"),
        (("--from", "2023-11-20T00:01", "--to", "2023-11-20T00:04"), 2, "nothing to decide on"),
        (("--symbols", "XRPUSDT"), 2, "no 5m candles of XRPUSDT"),
        (("--processes", "0"), 2, "expected at least 1"),
        (("--latency-ms", "-1"), 2, "expected 0 or more"),
        (("--start", "0"), 2, "expected more than 0"),
        (("--latency-ms", "99000"), 2, "expected less than 100 s together"),
    ],
)
def test_question_without_an_answer_is_refused_in_words(
    candles: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = run("--candles", candles, "--out", tmp_path / "x", *arguments, code=code)
    assert says in done.stderr
    assert not (tmp_path / "x").exists()
