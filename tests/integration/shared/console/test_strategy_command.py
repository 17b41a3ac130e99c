"""`coinex strategy new` and `check`, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.console import command_line
from shared.strategy.records import FILE, objection, read_records
from shared.strategy.source import StrategyFile, read_strategy
from tests.support.paths import ROOT
from tests.support.recordings import generated, write_recording
from tests.support.strategies import PEEKS, STEADY, TRIAL, section, simple, written


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("store")
    for coin in ("BTCUSDT", "ETHUSDT"):
        write_recording(directory, generated(coin, 1500))
    return directory


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty directory; return its exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run_it(*arguments: object, config: Path = ROOT / "config.yaml") -> tuple[int, str, str]:
        capsys.readouterr()
        given = command_line.parser(lambda _: 0).parse_args(
            ["strategy", *map(str, arguments), "--config", str(config),
             "--set", f"state_dir={tmp_path / 'var'}"]
        )  # fmt: skip
        code = given.carry_out(given)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_it


def checked(
    run: Run, store: Path, name: str, *arguments: object, **given: Path
) -> tuple[int, dict[str, Any]]:
    code, said, complaint = run(
        "check", name, "--candles", store, "--symbols", "BTCUSDT", "--json", *arguments, **given
    )
    assert said, complaint
    return code, json.loads(said)


def refusal(tmp_path: Path, file: StrategyFile, **parameters: Any) -> str:
    return objection(tmp_path / "var", section(file, **parameters))


def test_what_new_writes_passes_its_check_and_may_trade(
    run: Run, tmp_path: Path, store: Path
) -> None:
    code, said, _ = run("new", "my-first", "--out", "mine.py")
    assert code == 0 and "mine.py: strategy MyFirst" in said
    file = read_strategy(f"{tmp_path}/mine.py:MyFirst")
    assert "has not passed" in refusal(tmp_path, file)
    code, said, complaint = run("check", "mine.py", "--candles", store)
    assert (code, complaint) == (0, "")
    for words in ("truncation  │ kept", "live call   │ kept", "passed, as SHA-256", "recorded in"):
        assert words in said
    assert refusal(tmp_path, file) == ""
    code, _, complaint = run("new", "my-first", "--out", "mine.py")
    assert code == 1 and "is there already" in complaint
    assert [each.name for each in tmp_path.iterdir() if each.name != "var"] == ["mine.py"]


def test_look_one_bar_ahead_is_found_and_the_file_refused(
    run: Run, tmp_path: Path, store: Path
) -> None:
    file = written(tmp_path / "mine.py", simple(PEEKS["one bar ahead, wrapped"]))
    code, found = checked(run, store, "mine.py:Simple")
    assert code == 1 and not found["passed"]
    assert {law["law"]: law["state"] for law in found["laws"]}["truncation"] == "broken"
    assert "was refused by its check (truncation" in refusal(tmp_path, file)


def test_parameters_of_the_configuration_are_tried_where_it_names_that_very_class(
    run: Run, tmp_path: Path, store: Path
) -> None:
    # looks ahead with some parameters only
    source = TRIAL.replace("found = scores", "m = -1 if parameters.bars > 80 else 1\n        "
                           "earlier = earlier if m > 0 else np.roll(close, m, axis=1)\n        "
                           "found = scores")  # fmt: skip
    file = written(tmp_path / "mine.py", source)
    config = tmp_path / "config.yaml"
    text = "groups: {majors: [BTCUSDT]}\nstrategy: mine.py:Trial\nstrategy_parameters: {bars: 81}\n"
    config.write_text(text)
    code, found = checked(run, store, "mine.py", config=config)
    assert code == 1 and "truncation" in found["broken"]
    assert found["tried"] == {"bars": 81, "badly": ""}
    code, found = checked(
        run, store, "mine.py", "--set", "strategy_parameters.bars=7", config=config
    )
    assert (code, found["tried"]["bars"]) == (0, 7)
    assert refusal(tmp_path, file, bars=7) == ""
    assert "was refused by its check (truncation" in refusal(tmp_path, file, bars=81)
    assert 'with these parameters (badly "", bars 5;' in refusal(tmp_path, file)
    written(tmp_path / "other.py", source)
    config.write_text(text.replace("mine.py", "other.py"))
    code, found = checked(run, store, "mine.py", config=config)
    assert (code, found["tried"]["bars"]) == (0, 5)  # those of another file
    config.write_text(text.replace("mine.py", "absent.py"))
    assert checked(run, store, "mine.py", config=config)[0] == 0


def test_records_that_cannot_be_read_are_kept_and_said(
    run: Run, tmp_path: Path, store: Path
) -> None:
    written(tmp_path / "mine.py", simple(STEADY))
    (tmp_path / "var").mkdir(mode=0o700)
    records = tmp_path / "var" / FILE
    records.write_text('{"checks": [')
    code, found = checked(run, store, "mine.py")
    assert (code, found["passed"]) == (0, True)
    assert "not recorded, so the trader does not know of it" in found["recorded"]
    assert "restore that file, or move it away" in found["recorded"]
    assert records.read_text() == '{"checks": ['
    records.unlink()
    checked(run, store, "mine.py")
    assert len(read_records(tmp_path / "var")) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('self.do("RAISE")', "ZeroDivisionError: by nothing"),
        ('self.do("EXIT")', "exit code 3"),
    ],
)
def test_strategy_that_cannot_answer_is_refused_with_the_reason(
    line: str, words: str, run: Run, tmp_path: Path, store: Path
) -> None:
    broken = TRIAL.replace("self.do(parameters.badly or series.coins[0])", line)
    written(tmp_path / "mine.py", broken)
    code, found = checked(run, store, "mine.py")
    assert code == 1 and words in found["broken"]["answers"]


def test_records_that_cannot_be_written_are_said_and_change_no_exit_code(
    run: Run, tmp_path: Path, store: Path
) -> None:
    written(tmp_path / "mine.py", simple(STEADY))
    (tmp_path / "var" / FILE).mkdir(mode=0o700, parents=True)
    code, found = checked(run, store, "mine.py")
    assert (code, found["passed"]) == (0, True)
    assert "not recorded, so the trader does not know of it" in found["recorded"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("new", "9lives", "--out", "x.py"), 2, "a letter first"),
        (("new", "none", "--out", "x.py"), 2, "a letter first"),
        (("new", "x", "--out", "x.txt"), 2, "ends in .py"),
        (("check", "absent.py", "--candles", "."), 1, "absent.py: not readable"),
        (("check", "mine.py", "--candles", "none"), 1, "no directory 'none'"),
    ],
)
def test_misuse_is_said_in_one_line(
    arguments: tuple[str, ...], code: int, words: str, run: Run, tmp_path: Path
) -> None:
    written(tmp_path / "mine.py", TRIAL)
    found, _, complaint = run(*arguments)
    assert found == code and words in complaint and len(complaint.splitlines()) == 1
