"""What engines need, and what a job is carried out with where nothing is but what was sent."""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

import pytest

from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.sweep.engines import require
from shared.backtest.sweep.folds import Part
from shared.backtest.sweep.prepared import read_arrays, write_prepared
from shared.backtest.sweep.ray_worker import carry_out, code_hash
from shared.backtest.sweep.settings_run import Job, run_setting, work
from shared.config.sections import TraderSection
from shared.errors import NotInstalled
from tests.support.made_scores import BEGIN_MS, DAY_MS, random_coins

SETTINGS, MODEL = TraderSection(cooldown_min=0), FillModel(release="daily")
PART = Part(BEGIN_MS, BEGIN_MS + 3 * DAY_MS, BEGIN_MS + 3 * DAY_MS)


def test_an_engine_that_is_not_installed_names_the_command_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    require("local")
    with pytest.raises(NotInstalled, match="needs Ray, which is not installed: `make"):
        require("ray")


def test_a_worker_needs_no_file_to_give_the_same_result(tmp_path: Path) -> None:
    expected = []
    for seed in (1, 2):
        directory = tmp_path / f"prepared-{seed}"
        coins = random_coins(seed, ("AAAUSDT", "BBBUSDT"), 4 * 288, often=0.05)
        write_prepared(directory, coins)
        arrays = pickle.loads(pickle.dumps(read_arrays(directory)))
        shutil.rmtree(directory)
        job = Job(directory, tmp_path / "stored", "", SETTINGS, MODEL, PART)
        kind, answer = carry_out(code_hash(), pickle.dumps((work, job)), str(directory), arrays)
        result, error = pickle.loads(answer)
        assert (kind, error) == ("done", None)
        assert len(result.results_r) > 5
        expected.append(run_setting(coins, SETTINGS, MODEL, PART).digest)
        assert result.digest == expected[-1]
    assert expected[0] != expected[1]


def test_a_worker_of_another_version_carries_out_nothing() -> None:
    kind, said = carry_out("0" * 64, b"no pickle", "", {})
    assert kind == "failed"
    assert "is another version of this project" in said
