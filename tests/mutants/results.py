"""What mutmut found: the mutants of each file, and which of them no test noticed."""

from __future__ import annotations

import ast
import difflib
import json
import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).parent / "survivors.toml"

UNNOTICED = {0: "survived", 5: "no tests", 33: "no tests"}
UNCHECKED = (None, 2)
"""Not run, or interrupted. All other exit codes are kills and timeouts."""


CONTEXT = 40
"""So many characters before and after a change tell where in its function it is."""


@dataclass(frozen=True, slots=True, order=True)
class Survivor:
    """A change that no test noticed; `was` and `becomes` are code as `ast.unparse` writes it.

    Attributes:
        where: Module and function, such as `shared.trading.exits._below`.
    """

    where: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.where}\n    - {self.was}\n    + {self.becomes}"


@dataclass(frozen=True, slots=True)
class Result:
    """The mutants of one file."""

    file: str
    mutants: int
    unchecked: int
    survivors: tuple[Survivor, ...]

    @property
    def killed(self) -> int:
        return self.mutants - self.unchecked - len(self.survivors)

    @property
    def killed_pct(self) -> float:
        return 100 * self.killed / self.mutants


def results(tree: Path, patterns: Collection[str] = ()) -> Iterator[Result]:
    """Yield the result of every mutated file below mutmut's directory.

    Args:
        patterns: If any, only files whose path contains one of them.
    """
    for meta in sorted(tree.rglob("*.py.meta")):
        file = meta.relative_to(tree).as_posix().removesuffix(".meta")
        codes = json.loads(meta.read_text())["exit_code_by_key"]
        if codes and (not patterns or any(pattern in file for pattern in patterns)):
            functions = _functions(ast.parse(meta.with_suffix("").read_text()))
            yield Result(
                file=file,
                mutants=len(codes),
                unchecked=sum(code in UNCHECKED for code in codes.values()),
                survivors=tuple(
                    _survivor(key, functions) for key, code in codes.items() if code in UNNOTICED
                ),
            )


def _functions(tree: ast.Module) -> dict[str, list[str]]:
    """Return the lines of every function and method by name; mutmut's names are unique."""
    return {
        node.name: ast.unparse(node).splitlines()[1:]
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _survivor(key: str, functions: dict[str, list[str]]) -> Survivor:
    module, _, name = key.rpartition(".")
    mangled = name.rpartition("__mutmut_")[0]
    before, after = functions[f"{mangled}__mutmut_orig"], functions[name]
    changed = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    was, becomes = (
        " ".join(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+"
    )
    was, becomes = _cut(was, becomes)
    return Survivor(
        # of `x_exposure`, or `xǁExposureǁcount`
        where=f"{module}.{mangled[2:].replace('ǁ', '.')}",
        was=was,
        becomes=becomes,
    )


def _cut(was: str, becomes: str) -> tuple[str, str]:
    """Return both without most of what they have in common."""
    first = max(0, _common(was, becomes) - CONTEXT)
    last = max(0, _common(was[::-1], becomes[::-1]) - CONTEXT)
    return was[first : len(was) - last], becomes[first : len(becomes) - last]


def _common(one: str, other: str) -> int:
    """Return the length of the prefix that both have."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def listed() -> dict[Survivor, str]:
    """Return the survivors that are accepted, each with the reason."""
    return {
        Survivor(entry["where"], entry["was"], entry["becomes"]): entry["why"]
        for entry in tomllib.loads(LIST.read_text())["survivor"]
    }


def report(found: Iterable[Result], accepted: Collection[Survivor], least_pct: float) -> list[str]:
    """Print figures per file and what to do; return what is wrong, empty if nothing is."""
    wrong: list[str] = []
    everything = list(found)
    survivors = {survivor for result in everything for survivor in result.survivors}
    print(f"{'file':42} mutants  killed       %")
    for result in everything:
        print(f"{result.file:42} {result.mutants:7} {result.killed:7} {result.killed_pct:7.1f}")
        if result.unchecked:
            wrong.append(f"{result.file}: {result.unchecked} mutants were not tried")
        if result.killed_pct < least_pct:
            wrong.append(f"{result.file}: {result.killed_pct:.1f} %, expected {least_pct:g}")
    mutants, killed = (sum(getattr(r, name) for r in everything) for name in ("mutants", "killed"))
    print(f"{'all':42} {mutants:7} {killed:7} {100 * killed / max(1, mutants):7.1f}")
    files = {result.file.removesuffix(".py").replace("/", ".") for result in everything}
    for survivor in sorted(set(accepted) - survivors):
        if any(survivor.where.startswith(f"{file}.") for file in files):
            print(f"killed now, take it off {LIST.name}: {survivor}")
    wrong += [f"survived: {survivor}" for survivor in sorted(survivors - set(accepted))]
    return wrong if everything else ["no file was mutated"]
