"""What a sweep looks at, counts and says; in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.backtest.sweep.ledger import NAME, read_ledger
from shared.console.command_line import parser
from shared.market import Timeframe
from tests.support.recordings import generated, write_recording
from tests.support.sweep_run import in_process, result

DAY_MS = 86_400_000
CLOSES = 6_000
SMALL = (
    "--set", "trader.base_floor=0", "--set", "trader.margin=0", "--release", "daily",
    "--walk-forward", "10d/4d", "--processes", "1", "--param", "trader.entry_score=75,80",
)  # fmt: skip


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    directory = tmp_path / "candles"
    directory.mkdir()
    write_recording(directory, generated("BTCUSDT", CLOSES))
    return directory


def swept(candles: Path, out: Path, *more: object) -> dict[str, Any]:
    assert in_process("--candles", candles, "--out", out, *SMALL, *more) == 0
    return result(out)


def kinds(candles: Path) -> list[str]:
    ledger = read_ledger(candles)
    assert ledger is not None
    return [line.kind for line in ledger.lines]


def test_nothing_in_the_hold_out_changes_what_a_sweep_says(candles: Path, tmp_path: Path) -> None:
    found = swept(candles, tmp_path / "a")
    cut_ms = found["hold_out"]["from_ms"]
    for path in (tmp_path / "a").glob("prepared/*/*-opens.npy"):
        assert np.load(path).max() < cut_ms
    changed = generated("BTCUSDT", CLOSES)
    m5 = changed.candles[Timeframe.M5]
    held = m5.open_time_ms >= cut_ms
    for column in (m5.open, m5.high, m5.low, m5.close):
        column[held] *= 1.5
    write_recording(candles, changed)
    again = swept(candles, tmp_path / "b")
    differing = {name for name in found if found[name] != again[name]}
    assert differing == {"data_hash", "hold_out", "ledger_head"} - (
        {"ledger_head"} if found["ledger_head"] == again["ledger_head"] else set()
    )
    assert found["hold_out"]["data_hash"] != again["hold_out"]["data_hash"]


def test_a_hold_out_is_looked_at_once_and_noted(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    before = swept(candles, out)
    assert (before["hold_out"]["opened"], before["hold_out"]["trades"]) == (0, [])
    capsys.readouterr()
    for _ in range(2):  # the second look shows the same
        assert in_process("open-hold-out", out, "--json") == 0
        assert json.loads(capsys.readouterr().out) == result(out)
        assert kinds(candles) == ["sweep", "opening"]
    found = result(out)
    assert found["hold_out"]["opened"] == 1
    assert found["hold_out"]["trades"]
    for entered_ms, _ in found["hold_out"]["trades"]:
        assert before["hold_out"]["from_ms"] <= entered_ms < before["hold_out"]["to_ms"]
    assert found["digest"] == before["digest"]
    again = swept(candles, out)
    assert again["hold_out"] == found["hold_out"]
    # a later sweep that chooses on these days has looked at them with all its settings
    other = swept(candles, tmp_path / "other", "--hold-out", "0%")
    assert other["hold_out"] is None
    assert other["tries"] == 4
    assert "it counts as openings of that hold-out" in capsys.readouterr().err
    assert swept(candles, out)["hold_out"]["opened"] == 3


def test_other_indicators_are_another_question_and_another_look(
    candles: Path, tmp_path: Path
) -> None:
    out, wider = tmp_path / "out", ("--set", "indicators.squeeze.kc_mult=2")
    for more in ((), wider):
        assert swept(candles, out, *more)["hold_out"]["opened"] == len(more) // 2
        assert in_process("open-hold-out", out) == 0
    assert kinds(candles) == ["sweep", "opening"] * 2
    assert len(list(out.glob("prepared/hold-out-*"))) == 2
    seen = result(out)["hold_out"]
    again = swept(candles, out, *wider, "--set", "indicators.interval_s=5")
    assert (again["hold_out"], len(kinds(candles))) == (seen, 4)


def test_other_candles_than_those_of_the_sweep_open_nothing(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swept(candles, tmp_path / "out")
    write_recording(candles, generated("BTCUSDT", CLOSES - 300))
    assert in_process("open-hold-out", tmp_path / "out") == 1
    assert "other candles than those of the sweep" in capsys.readouterr().err
    assert kinds(candles) == ["sweep"]


def test_tries_are_counted_across_sweeps_and_unknown_without_a_sound_ledger(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert swept(candles, tmp_path / "a")["tries"] == 2
    assert swept(candles, tmp_path / "a")["tries"] == 2
    assert swept(candles, tmp_path / "b", "--set", "trader.target_r=3")["tries"] == 4
    ledger = candles / NAME
    ledger.write_bytes(ledger.read_bytes().replace(b'"tries":2', b'"tries":1', 1))
    capsys.readouterr()
    found = swept(candles, tmp_path / "a")
    assert (found["tries"], found["verdict"]) == (None, "undecided")
    printed = capsys.readouterr()
    assert "tries unknown" in printed.out
    assert "a line was changed, taken out or put in" in printed.err
    assert in_process("open-hold-out", tmp_path / "a") == 1


def test_a_ledger_that_lost_its_end_is_seen_by_what_a_result_knows(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swept(candles, tmp_path / "a")
    (candles / NAME).unlink()
    swept(candles, tmp_path / "b", "--set", "trader.target_r=3")
    capsys.readouterr()
    assert in_process("open-hold-out", tmp_path / "a") == 1
    assert "lines are missing at its end" in capsys.readouterr().err
    assert kinds(candles) == ["sweep"]
    assert swept(candles, tmp_path / "a")["tries"] is None
    assert swept(candles, tmp_path / "b", "--set", "trader.target_r=3")["tries"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--candles DIR is missing"),
        (("--candles", "CANDLES", "--processes", "0"), "--processes 0: expected at least 1"),
        (("--candles", "CANDLES", "--walk-forward", "3"), "--walk-forward 3: expected days"),
        (("--candles", "CANDLES", "--to", "2023-11-16"), "expected at least 31 before the hold"),
        (("--candles", "CANDLES", "--symbols", "ETHUSDT"), "no 5m candles of ETHUSDT"),
        (("open-hold-out", "CANDLES"), "no sweep.json there"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(
    arguments: tuple[str, ...], said: str, candles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert in_process(*(str(candles) if each == "CANDLES" else each for each in arguments)) == 2
    assert said in capsys.readouterr().err
    assert not (candles / NAME).exists()


def test_a_backtest_over_held_out_candles_says_so_and_counts_as_a_look(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = swept(candles, tmp_path / "out")["hold_out"]
    cut = np.datetime64(held["from_ms"], "ms")
    for end, looked in ((cut, 0), (cut + np.timedelta64(5, "m"), 1), (None, 2), (None, 2)):
        until = () if end is None else ("--to", str(end))
        options = parser(lambda _: 1).parse_args(
            ["backtest", "--candles", str(candles), "--out", str(tmp_path / "test"), *until]
        )
        assert options.carry_out(options) == 0
        assert ("the ledger notes that it was looked at" in capsys.readouterr().err) == bool(looked)
        assert kinds(candles) == ["sweep", *["opening"] * looked]
    assert swept(candles, tmp_path / "out")["hold_out"]["opened"] == 2


def test_a_timer_that_runs_less_often_than_the_test_decides_is_named(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = tmp_path / "slow.yaml"
    slow.write_text("groups: {one: [BTCUSDT]}\ntrader: {timer_min: 15}\n")
    swept(candles, tmp_path / "out", "--config", slow)
    assert "sweep: it is of a trader that decides at each 5m close" in capsys.readouterr().err
    options = parser(lambda _: 1).parse_args(
        ["backtest", "--candles", str(candles), "--out", str(tmp_path / "b"), "--config", str(slow)]
    )
    assert options.carry_out(options) == 0
    said = "backtest: it is of a trader that decides at each 5m close, and one by trader.timer_min"
    assert f"{said}: 15 at one of 3" in capsys.readouterr().err
