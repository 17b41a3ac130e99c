"""docs/architecture.md names places in the code; every one of them exists."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)))
WALKS = PAGE.partition("## Five walks")[2].partition("## Glossary")[0]


@pytest.mark.parametrize(("path", "name"), PLACES)
def test_place_exists(path: str, name: str) -> None:
    node: ast.AST = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for part in name.split("."):
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, kinds) and child.name == part
        ]
        assert found, f"docs/architecture.md: no {part} in {path}"
        node = found[0]


def test_there_are_five_walks_of_at_least_six_places() -> None:
    walks = WALKS.split("\n### ")[1:]
    assert len(walks) == 5
    assert all(len(re.findall(r"^\d+\. ", walk, re.MULTILINE)) >= 6 for walk in walks)
    assert len(PLACES) > 50


def test_glossary_is_in_order_and_has_each_word_once() -> None:
    words = re.findall(r"^\| \*\*([^*]+)\*\*", PAGE, re.MULTILINE)
    assert words == sorted(set(words), key=str.lower)
