"""Whether a user's strategy is called over weeks: what its check says of the very parameters."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.backtest.user_strategy.asking import Asked
from shared.config.sections import Config
from shared.console.tested_strategy import of_coins
from shared.market import Timeframe
from shared.strategy.contract import LoadedStrategy
from tests.support.strategies import TRIAL, record, section, written

LOADED = LoadedStrategy(
    name="trial", version="3", timeframes={Timeframe.M5: 96}, cross_section=False
)


def because(directory: Path, *sets: dict[str, Any]) -> str:
    file = written(directory / "trial.py", TRIAL)
    asked = cast(Asked, SimpleNamespace(section=section(file), loaded=LOADED))
    config = cast(Config, SimpleNamespace(state_dir=str(directory), symbols=("BTCUSDT",)))
    return of_coins(asked, config, ["BTCUSDT"], "sweep", sets).one_by_one


def test_a_set_that_its_check_refused_is_called_close_by_close(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "trial.py", TRIAL)
    assert because(tmp_path, {}) == "trial.py:Trial is not checked"
    record(tmp_path, file, broken={"truncation": "it looks ahead"}, bars=7)
    record(tmp_path, file, bars=8)  # another set, and the newest
    capsys.readouterr()
    assert because(tmp_path, {"bars": 8}, {"bars": 9, "badly": ""}) == ""
    assert capsys.readouterr().err == ""
    refused = "trial.py:Trial was refused by its check (truncation)"
    assert because(tmp_path, {"bars": 7}) == because(tmp_path, {}, {"bars": 7}) == refused
    assert f"sweep: {refused}: computed close by close" in capsys.readouterr().err
    record(tmp_path, file, broken={"truncation": "it looks ahead"}, bars=6)
    assert because(tmp_path, {"bars": 8}) == ""
