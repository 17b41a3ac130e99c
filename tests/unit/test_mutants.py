"""What `make mutants` concludes from mutmut's results, and whether its lists are true."""

from __future__ import annotations

import ast
import configparser
import json
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.mutants.results import Survivor, listed, report, results
from tests.support.paths import ROOT

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
FILES = SETUP["mutmut"]["only_mutate"].split()

MUTATED = '''
def sign(x): ...
def x_sign__mutmut_orig(x):
    """Say which."""
    if x < 0:
        return "negative"
    return "positive"
def x_sign__mutmut_1(x):
    """Say which."""
    if x <= 0:
        return "negative"
    return "positive"
def x_sign__mutmut_2(x):
    """Say which."""
    if x < 0:
        return "negative"
    return None
class Sum:
    def xǁSumǁ_add__mutmut_orig(self, x):
        return self.x + x
    def xǁSumǁ_add__mutmut_1(self, x):
        return self.x - x
'''
SURVIVOR = Survivor("shared.signs.sign", "if x < 0:", "if x <= 0:")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """mutmut's directory: of three mutants one survived."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/signs.py").write_text(MUTATED)
    codes = {"x_sign__mutmut_1": 0, "x_sign__mutmut_2": 1, "xǁSumǁ_add__mutmut_1": -24}
    return with_codes(tmp_path, **codes)


def with_codes(tree: Path, **codes: int | None) -> Path:
    found = {f"shared.signs.{name}": code for name, code in codes.items()}
    (tree / "shared/signs.py.meta").write_text(json.dumps({"exit_code_by_key": found}))
    return tree


def test_a_survivor_is_known_by_its_function_and_change(tree: Path) -> None:
    (found,) = results(tree)
    assert (found.file, found.mutants, found.killed) == ("shared/signs.py", 3, 2)
    assert found.survivors == (SURVIVOR,)
    assert [*results(tree, ["other"])] == []


def test_a_method_that_no_test_reaches_is_a_survivor(tree: Path) -> None:
    (found,) = results(with_codes(tree, **{"xǁSumǁ_add__mutmut_1": 33}))
    assert found.survivors == (
        Survivor("shared.signs.Sum._add", "return self.x + x", "return self.x - x"),
    )


def test_only_survivors_that_are_not_listed_are_wrong(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(results(tree), [SURVIVOR], least_pct=60) == []
    assert report(results(tree), [], least_pct=60) == [f"survived: {SURVIVOR}"]
    gone = Survivor("shared.signs.sign", "return 1", "return 2")
    other = Survivor("shared.others.sign", "return 1", "return 2")
    capsys.readouterr()
    assert report(results(tree), [SURVIVOR, gone, other], least_pct=60) == []
    said = capsys.readouterr().out
    assert f"killed now, take it off survivors.toml: {gone}" in said
    assert "others" not in said


def test_a_low_share_and_what_was_not_tried_are_wrong(tree: Path) -> None:
    assert report(results(tree), [SURVIVOR], least_pct=90) == [
        "shared/signs.py: 66.7 %, expected 90"
    ]
    for code in (None, 2):
        untried = with_codes(tree, x_sign__mutmut_1=1, x_sign__mutmut_2=code)
        assert report(results(untried), [], least_pct=50) == [
            "shared/signs.py: 1 mutants were not tried"
        ]
    assert report([], [], least_pct=90) == ["no file was mutated"]


def test_the_listed_files_and_tests_exist() -> None:
    tests = SETUP["mutmut"]["pytest_add_cli_args_test_selection"].split()
    assert [name for name in FILES + tests if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("survivor", listed(), ids=str)
def test_a_listed_survivor_is_in_the_code_and_has_its_reason(survivor: Survivor) -> None:
    assert listed()[survivor].strip()
    (file,) = [
        name
        for name in FILES
        if survivor.where.startswith(f"{name.removesuffix('.py').replace('/', '.')}.")
    ]
    name = survivor.where.rpartition(".")[2]
    code = [
        " ".join(line.strip() for line in ast.unparse(node).splitlines())
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    assert any(survivor.was in text for text in code)


def test_mutmut_is_pinned_and_needed_neither_to_run_nor_to_test() -> None:
    declared = SETUP["options.extras_require"]["mutants"].splitlines()
    (wanted,) = {Requirement(line).name for line in declared if line and line[0] != "#"}
    assert f"{wanted}==" in (ROOT / "requirements-mutants.txt").read_text()
    for file in ("requirements.txt", "requirements-dev.txt"):
        assert wanted not in (ROOT / file).read_text()
