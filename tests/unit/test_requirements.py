"""What is installed: every package is needed, pinned, and has hashes; nothing else is installed."""

from __future__ import annotations

import configparser
import json
import re
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT
from tests.support.pins import lines_of, pinned

EXTRAS = "options.extras_require"
FILES = sorted(path.name for path in ROOT.glob("requirements*.txt"))


def declared(section: str, option: str) -> set[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = (line.partition("#")[0].strip() for line in setup[section][option].splitlines())
    return {canonicalize_name(Requirement(line).name) for line in lines if line}


def brought_along(names: set[str]) -> set[str]:
    """Return `names` and all they need, as the installed packages declare it."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return found


def test_every_pin_is_a_dependency_and_every_dependency_is_pinned() -> None:
    below = set(pinned("requirements.txt"))
    assert brought_along(declared("options", "install_requires")) == below
    for extra in ("evidence", "cluster", "dev"):
        pins, direct = set(pinned(f"requirements-{extra}.txt")), declared(EXTRAS, extra)
        needed = brought_along(direct) - below
        assert direct <= pins <= needed <= pins | below, extra
        below |= pins


@pytest.mark.parametrize("extra", ["bench", "mutants", "lock"])
def test_every_tool_is_pinned_apart_from_what_runs(extra: str) -> None:
    tools = declared(EXTRAS, extra)
    assert tools <= set(pinned(f"requirements-{extra}.txt"))
    assert not tools & (set(pinned("requirements.txt")) | set(pinned("requirements-dev.txt")))


def test_of_the_referees_only_pandas_ta_is_needed_to_run() -> None:
    runtime = set(pinned("requirements.txt"))
    assert {"pandas", "pandas-ta"} <= runtime
    assert not {"pandas-ta-classic", "ta-lib"} & runtime


@pytest.mark.parametrize("file", FILES)
def test_every_line_is_a_version_with_hashes_and_no_other_place(file: str) -> None:
    lines = lines_of(file)
    options = {line for line in lines if line.startswith("-")}
    assert options <= {f"-r requirements{below}.txt" for below in ("", "-evidence", "-cluster")}
    pins = pinned(file)
    assert len(pins) == len(lines) - len(options) > 3
    for name, pin in pins.items():
        assert [spec.operator for spec in pin.requirement.specifier] == ["=="], name
        assert (pin.requirement.url, pin.requirement.marker) == (None, None), name
        assert pin.hashes, f"{name}: no hash: run `make lock`"
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in pin.hashes), name


def test_a_package_is_pinned_once() -> None:
    for file in set(FILES) - {"requirements.txt", "requirements-lock.txt"}:
        pins, below = set(pinned(file)), file
        while below != "requirements.txt":
            below = lines_of(below)[0].removeprefix("-r ")
            assert not pins & set(pinned(below))


def test_whatever_installs_takes_only_files_whose_hashes_are_pinned() -> None:
    scripts = [ROOT / "Makefile", ROOT / ".ci/run", *ROOT.glob("deploy/*"), *ROOT.glob("*.md")]
    scripts += [*ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.py")]
    found = []
    for path in scripts:
        logical = re.sub(r"\\?\n\s+(?=-|\[)", " ", path.read_text())
        for line in logical.splitlines():
            if re.search(r"pip install\b(?!`)", line):
                found.append(path.name)
                for option in ("--require-hashes", "--only-binary=:all:"):
                    assert option in line, (path.name, line)
    assert sorted(found) == ["Makefile", "Makefile", "install.sh", "peer_venv.py"]


def test_every_package_of_the_page_has_a_hash() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    unknown = [at for at, each in packages.items() if at and not each.get("integrity")]
    assert (len(packages) > 50, unknown) == (True, [])
    assert "NPM_CI := npm ci " in (ROOT / "Makefile").read_text()
