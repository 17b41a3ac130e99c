"""Which files are taken as strategies, and which were checked."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shared.config.load import load
from shared.errors import ConfigError
from shared.strategy.records import (
    FILE,
    PassedCheck,
    parameter_faults,
    read_records,
    with_record,
)
from shared.strategy.source import MOST_BYTES, BadStrategy, StrategyFile, read_strategy
from tests.support.strategies import PARAMETERS, TRIAL, record, section, written

SMALL = "groups: {majors: [BTCUSDT]}\n"


def test_file_is_read_once_with_the_digest_of_its_bytes(tmp_path: Path) -> None:
    found = written(tmp_path / "mine.py", TRIAL)
    assert (found.class_name, found.source) == ("Trial", TRIAL)
    assert found.digest == hashlib.sha256(TRIAL.encode()).hexdigest()
    assert read_strategy(f"{tmp_path}/mine.py:Trial") == found


@pytest.mark.parametrize(
    ("source", "reference", "words"),
    [
        (TRIAL, "mine.txt", "expected base, or FILE.py:Class"),
        (TRIAL, "other.py", "not readable .No such file"),
        (TRIAL, "mine.py:Trail", "no class Trail with a score.*did you mean Trial"),
        (TRIAL + TRIAL.replace("Trial", "Second"), "mine.py", "no single strategy.*Trial, Second"),
        ("x = 1", "mine.py", "no single strategy; classes with one: none"),
        ("def broken(:", "mine.py", "mine.py, line 1: no Python"),
        ("#" * (MOST_BYTES + 1), "mine.py", "longer than 256 kB"),
    ],
)
def test_file_that_is_no_strategy_is_refused_in_words(
    source: str, reference: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(source)
    (tmp_path / "mine.py").chmod(0o644)
    with pytest.raises(BadStrategy, match=words):
        read_strategy(f"{tmp_path}/{reference}")


def test_file_that_others_may_write_and_what_is_no_file_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "mine.py", TRIAL)
    (tmp_path / "mine.py").chmod(0o666)
    with pytest.raises(BadStrategy, match="mode 666, expected 644"):
        read_strategy(f"{tmp_path}/mine.py")
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(BadStrategy, match="no file"):
        read_strategy(f"{tmp_path}/pipe.py")


def test_reading_runs_nothing(tmp_path: Path) -> None:
    written(tmp_path / "mine.py", TRIAL + "\nraise SystemExit('run')\n")


def test_every_fault_of_a_strategy_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        SMALL + "strategy: mine.py:Trial\nstrategy_timeout_s: 0\nhealth: {port: -1}\n"
        "strategy_parameters: {bars: 91, badly: 3, bar: 2, other: [1]}\n"
    )
    record(tmp_path, written(tmp_path / "mine.py", TRIAL))
    with pytest.raises(ConfigError) as found:
        load(config, [f"state_dir={tmp_path}"])
    text = str(found.value)
    for words in (
        "config.yaml:3 strategy_timeout_s: found 0",
        "config.yaml:4 health.port: found -1",
        "config.yaml:5 strategy_parameters.other: found a list of 1, expected a number, a text",
    ):
        assert words in text
    config.write_text(config.read_text().replace(", other: [1]", ""))
    with pytest.raises(ConfigError) as found:
        load(config, [f"state_dir={tmp_path}"])
    text = str(found.value)
    for words in (
        "config.yaml:5 strategy_parameters.bars: found 91, expected at most 90",
        "config.yaml:5 strategy_parameters.badly: found 3, expected a text",
        "config.yaml:5 strategy_parameters.bar: no parameter of this strategy; did you mean",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("strategy=absent.py:X", "strategy: .*absent.py: not readable"),
        ("strategy_parameters={x: 1}", "the strategy base takes none"),
    ],
)
def test_setting_without_sense_is_refused(setting: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SMALL)
    with pytest.raises(ConfigError, match=words):
        load(tmp_path / "config.yaml", [setting])


def test_path_starts_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SMALL + "strategy: deep/mine.py:Trial\n")
    (tmp_path / "deep").mkdir()
    written(tmp_path / "deep" / "mine.py", TRIAL)
    given = [f"state_dir={tmp_path}", "trader.evidence_file=deep/evidence.json"]
    found = load(tmp_path / "config.yaml", given)
    assert found.strategy == f"{tmp_path}/deep/mine.py:Trial"
    assert found.trader.evidence_file == f"{tmp_path}/deep/evidence.json"


@pytest.mark.parametrize(
    ("given", "is_fine"),
    [
        ({"bars": 1, "badly": "x"}, True), ({"bars": 90}, True), ({}, True),
        ({"bars": True}, False), ({"bars": 2.5}, False), ({"bars": 0}, False),
    ],
)  # fmt: skip
def test_parameters_are_held_to_what_the_check_noted(given: dict[str, Any], is_fine: bool) -> None:
    assert (list(parameter_faults(PARAMETERS, given)) == []) is is_fine


def said(state_dir: Path, file: StrategyFile, **parameters: Any) -> str:
    passed = PassedCheck(state_dir, section(file, **parameters))
    passed.look()
    return passed.objection


def test_only_the_very_same_bytes_have_passed(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", TRIAL)
    passed = PassedCheck(tmp_path, section(file))
    assert "is being read" in passed.objection
    passed.look()
    assert "has not passed its check as it is now: `coinex strategy check" in passed.objection
    record(tmp_path, file, broken={"truncation": "BTCUSDT: it looks ahead"})
    assert "has not passed" in passed.objection  # it waits for no disk
    passed.look()
    assert "refused by its check (truncation: BTCUSDT: it looks ahead)" in passed.objection
    record(tmp_path, file)
    passed.look()
    assert passed.objection == "" and len(read_records(tmp_path)) == 1
    changed = written(tmp_path / "mine.py", TRIAL + "\n")
    assert "has not passed" in said(tmp_path, changed)
    (tmp_path / FILE).write_text("{")
    passed.look()
    assert "is not known" in passed.objection


def test_only_the_very_same_parameters_have_passed(tmp_path: Path) -> None:
    file = written(tmp_path / "my mine.py", TRIAL)
    record(tmp_path, file, bars=7)
    assert said(tmp_path, file, bars=7) == said(tmp_path, file, bars=7, badly="") == ""
    assert (
        'with these parameters (badly "", bars 8; checked with badly "", bars 7): `coinex strategy '
        f"check '{tmp_path}/my mine.py:Trial' --set 'strategy_parameters={{\"bars\": 8}}' --candles"
    ) in said(tmp_path, file, bars=8)
    assert '(badly "", bars 5;' in said(tmp_path, file)
    record(tmp_path, file, broken={"truncation": "it looks ahead"})
    assert "refused by its check" in said(tmp_path, file, bars=5)
    assert said(tmp_path, file, bars=7) == ""  # another set, another record
    record(tmp_path, file, bars=8)
    assert said(tmp_path, file, bars=8.0) == ""


def test_record_that_did_not_note_the_parameters_counts_for_none(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", TRIAL)
    record(tmp_path, file)
    (old,) = read_records(tmp_path)
    raw = json.loads(with_record([], old))
    del raw["checks"][0]["tried"]
    (tmp_path / FILE).write_text(json.dumps(raw))
    assert "checked with ones that were not noted" in said(tmp_path, file)
