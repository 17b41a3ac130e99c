"""The virtual environment of the compared programs, separate from the project's."""

from __future__ import annotations

import filecmp
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".cache" / "peers"
PINS = ROOT / "requirements-bench.txt"
PIP = (
    "-m pip install -q --disable-pip-version-check --no-input --require-hashes --only-binary=:all:"
)


class NoPeers(Exception):
    """The environment cannot be created, with the reason."""


def peer_python(home: Path = HOME, pins: Path = PINS) -> Path:
    """Return an interpreter that has the peers and, in the same versions, our own packages.

    Raises:
        NoPeers: They cannot be installed.
    """
    python, installed = home / "bin" / "python", home / pins.name
    if not (installed.exists() and filecmp.cmp(installed, pins, shallow=False)):
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        own = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
        (own / "project.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        install = [str(python), *PIP.split(), "-r", str(pins)]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
            raise NoPeers(
                f"{pins.name} cannot be installed on Python {sys.version.split()[0]}: {why}"
            )
        shutil.copyfile(pins, installed)
    return python


def version(package: str) -> str:
    """Return the pinned version of a peer."""
    pin = re.search(rf"(?m)^{re.escape(package)}==(\S+)", PINS.read_text())
    return pin[1] if pin else "?"
