"""Every kind of problem there is has an entry in the runbook, with the words people see."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from actors.alerts.policy import BusState, observe
from shared.health.problems import Problem, ProblemKind
from shared.health.verdict import Limits, judge
from tests.support.paths import ROOT
from tests.support.problem_states import STATES, WELL
from tests.support.sightings import NOW_MS

PAGE = (ROOT / "docs" / "runbook.md").read_text()
KINDS = set(get_args(ProblemKind))
HOME = ROOT / "shared" / "health" / "problems.py"
CHANGES = "…"


def entries() -> dict[str, str]:
    """Return the text of each entry by its heading."""
    parts = re.split(r"^### (\S+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def quoted(entry: str) -> list[str]:
    """Return the words of `/health` that an entry quotes, one pattern each."""
    lines = [line[2:].rstrip("\\") for line in entry.splitlines() if line.startswith("> ")]
    return [re.escape(line).replace(re.escape(CHANGES), ".*") for line in lines]


def literals(path: Path) -> Iterator[str]:
    """Yield the texts of a source file."""
    tree = ast.parse(path.read_text())
    # what stands between the numbers of an f-string is one of its constants
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_kind_has_an_entry_and_every_entry_a_kind() -> None:
    assert set(entries()) == KINDS


def test_every_entry_quotes_the_words_and_says_what_to_do() -> None:
    for kind, entry in entries().items():
        assert quoted(entry), kind
        said = [line for line in entry.split("## ")[0].splitlines() if line and line[0] != ">"]
        assert len(" ".join(said)) > 60, kind


def test_every_kind_is_given_to_some_problem_by_the_code() -> None:
    given = {
        text
        for path in [*ROOT.glob("shared/**/*.py"), *ROOT.glob("actors/**/*.py")]
        for text in literals(path)
        if text in KINDS and path != HOME
    }
    # those in their own home are made there, beyond the list of them
    made = {kind for kind in KINDS if HOME.read_text().count(f'"{kind}"') > 1}
    assert given | made == KINDS


def test_every_problem_is_made_with_a_kind_that_can_be_read_off() -> None:
    """A kind that is computed could be one nobody has written an entry for."""
    for path in ROOT.glob("shared/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem":
                kind = node.args[0] if node.args else None
                is_literal = isinstance(kind, ast.Constant) and kind.value in KINDS
                # a name is typed as ProblemKind, which the type checker holds to the list
                assert is_literal or isinstance(kind, ast.Name), f"{path}:{node.lineno}"


def problems(kind: ProblemKind, change: dict[str, Any]) -> list[Problem]:
    found = judge(replace(WELL, **change), NOW_MS, Limits()).found
    return [problem for problem in found if problem.kind == kind]


def test_all_is_well_without_a_change() -> None:
    assert judge(WELL, NOW_MS, Limits()).found == []


@pytest.mark.parametrize(("kind", "change"), STATES)
def test_the_words_that_people_see_stand_in_the_entry(
    kind: ProblemKind, change: dict[str, Any]
) -> None:
    found = problems(kind, change)
    assert found
    patterns = quoted(entries()[kind])
    for problem in found:
        assert any(re.fullmatch(pattern, problem.text) for pattern in patterns), problem.text


@pytest.mark.parametrize(("kind", "change"), STATES)
def test_no_two_problems_of_one_moment_are_one(kind: ProblemKind, change: dict[str, Any]) -> None:
    keys = [problem.key for problem in judge(replace(WELL, **change), NOW_MS, Limits()).found]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("kind", "change"), STATES)
def test_a_second_later_it_is_the_same_problem(kind: ProblemKind, change: dict[str, Any]) -> None:
    first = judge(replace(WELL, **change), NOW_MS, Limits()).found
    later = judge(replace(WELL, **change), NOW_MS + 1000, Limits()).found
    assert {problem.key for problem in first} <= {problem.key for problem in later}


def test_the_words_of_silent_health_stand_in_its_entry() -> None:
    up = BusState(status="up", since_ms=0, reason="", began_ms=0)
    (problem,) = observe(None, up, "demo", NOW_MS).problems
    assert problem.kind == "health-silent"
    assert any(re.fullmatch(p, problem.text) for p in quoted(entries()["health-silent"]))


def test_every_kind_was_seen_here() -> None:
    assert {kind for kind, _ in STATES} | {"health-silent"} == KINDS
