"""Change the code that decides, one place at a time, and see whether a test notices.

mutmut makes the changes in a copy below `.cache/mutants`; its section in `setup.cfg` lists the
files and the tests. Exit 1: a mutant survived that `survivors.toml` does not list, or less than
90 % of a file's mutants were killed.

    python -m tests.mutants             # all files
    python -m tests.mutants sizing      # those with this in their path
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peer_venv import NoPeers, peer_python
from tests.mutants.results import listed, report, results
from tests.support.paths import ROOT

HOME = ROOT / ".cache" / "mutants"
NEEDED = ("actors", "config.yaml", "setup.cfg", "shared", "supervisor.py", "tests")
LEAST_PCT = 90.0


def mutate(python: Path, patterns: list[str]) -> int:
    """Run mutmut on a new copy and return its exit code; its words go to the terminal or a log."""
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    for name in NEEDED:
        (HOME / name).symlink_to(ROOT / name)
    names = [f"*{pattern.removesuffix('.py').replace('/', '.')}*" for pattern in patterns]
    log = HOME / "mutmut.log"
    with log.open("w") as lines:
        done = subprocess.run(
            [str(python.with_name("mutmut")), "run", *names],
            cwd=HOME,
            stdout=None if sys.stdout.isatty() else lines,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        print(log.read_text()[-4000:], file=sys.stderr)
    return done.returncode


def main(patterns: list[str]) -> int:
    try:
        python = peer_python(ROOT / ".cache" / "mutmut", ROOT / "requirements-mutants.txt")
    except NoPeers as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2
    if code := mutate(python, patterns):
        print(f"mutants: mutmut ended with {code}", file=sys.stderr)
        return 2
    wrong = report(results(HOME / "mutants", patterns), listed(), LEAST_PCT)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
