"""A sweep with 1m candles and recorded funding: what it looks at, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.candles.parquet import read_funding, write_funding
from tests.support.recordings import generated, write_detail, write_recording
from tests.support.sweep_run import in_process, result

SMALL = (
    "--set", "trader.base_floor=0", "--set", "trader.margin=0", "--release", "daily",
    "--walk-forward", "none", "--processes", "1", "--param", "trader.entry_score=75,80",
)  # fmt: skip


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    directory = tmp_path / "candles"
    directory.mkdir()
    write_recording(directory, generated("BTCUSDT", 6_000))
    write_detail(directory, generated("BTCUSDT", 6_000))
    return directory


def swept(candles: Path, out: Path, *more: object) -> dict[str, Any]:
    assert in_process("--candles", candles, "--out", out, *SMALL, *more) == 0
    return result(out)


def test_detail_and_funding_count_and_nothing_of_the_hold_out_is_prepared(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = swept(candles, tmp_path / "a", "--detail", "1m")
    assert "sweep: funding rates: recorded rates of 1 coin" in capsys.readouterr().err
    cut_ms = found["hold_out"]["from_ms"]
    (minutes,) = (tmp_path / "a").glob("prepared/*/*-minute-opens.npy")
    assert np.load(minutes).max() == cut_ms - 60_000
    (paid,) = (tmp_path / "a").glob("prepared/*/*-funding-times.npy")
    assert np.load(paid).max() == cut_ms  # for the time before
    assert found["assumptions"]["funding"]["recorded"] == ["BTCUSDT"]
    days = (cut_ms - found["selection"]["from_ms"]) // 86_400_000
    assert found["assumptions"]["detail"] == {
        "bars": 288 * days, "by_1m": 288 * days, "differing": 0,
    }  # fmt: skip
    plain = swept(candles, tmp_path / "b")
    made = swept(candles, tmp_path / "c", "--funding", "made")
    assert len({each["digest"] for each in (found, plain, made)}) == 3
    assert len({each["data_hash"] for each in (found, plain, made)}) == 3
    assert len({each["settings"][0]["settings_hash"] for each in (found, plain, made)}) == 3


def test_a_hold_out_is_opened_with_the_detail_it_was_swept_with(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    swept(candles, out, "--detail", "1m")
    path = candles / "BTCUSDT-funding.parquet"
    rates = read_funding(path, "BTCUSDT")
    rates.rates[-8] *= 2
    write_funding(path, rates)
    assert in_process("open-hold-out", out) == 1
    assert "other candles than those of the sweep" in capsys.readouterr().err
    rates.rates[-8] /= 2
    write_funding(path, rates)
    assert in_process("open-hold-out", out) == 0
    found = json.loads((out / "sweep.json").read_text())
    assert found["hold_out"]["opened"] == 1
    assert found["hold_out"]["trades"]


def test_a_hold_out_is_not_opened_by_other_fills_than_it_was_swept_with(
    candles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    found = swept(candles, out)
    found["fill_model"]["fills"] += 1
    (out / "sweep.json").write_text(json.dumps(found))
    assert in_process("open-hold-out", out) == 2
    assert "filled by another version; sweep again" in capsys.readouterr().err
