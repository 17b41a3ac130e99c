"""`make install` takes a package only as it was when its hash was pinned."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

WHEEL = "tiny-1.0-py3-none-any.whl"
SDIST = "tiny-1.0.tar.gz"


def make_wheel(path: Path, content: str) -> None:
    files = {
        "tiny.py": content,
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
        "tiny-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)


def make_sdist(path: Path, mark: Path) -> None:
    """Make a source distribution whose build leaves a mark."""
    files = {
        "tiny-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0/setup.py": f"open({str(mark)!r}, 'w')\n",
    }
    with tarfile.open(path, "w:gz") as sdist:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            sdist.addfile(entry, io.BytesIO(text.encode()))


def hash_of(path: Path) -> str:
    return f"--hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


class Checkout:
    """The Makefile, one package in a directory, and requirements that a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages = folder / "packages"
        (folder / "deploy").mkdir()
        self.packages.mkdir()
        (folder / "node_modules").mkdir()
        venv.create(folder / ".venv")  # pip comes from the environment of these tests
        (own,) = (folder / ".venv").glob("lib/*/site-packages")
        (own / "pip.pth").write_text(sysconfig.get_path("purelib"))
        for name in ("Makefile", "deploy/find_python.sh", "deploy/coinex"):
            shutil.copy(ROOT / name, folder / name)
        for name in ("package-lock.json", "node_modules/.lock"):  # nothing to do for npm
            (folder / name).touch()

    def install(self, requirements: str) -> tuple[int, str]:
        (self.folder / "requirements.txt").write_text(requirements)
        local = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        local["PIP_FIND_" + "LINKS"] = str(self.packages)
        done = subprocess.run(
            ["make", "-s", "install"], cwd=self.folder, env=os.environ | local,
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def installed(self) -> list[str]:
        return [path.name for path in self.folder.glob(".venv/lib/*/site-packages/tiny*")]


@pytest.mark.timeout(300)
def test_make_install_refuses_what_has_another_hash_or_none_and_names_it(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    wheel, sdist, mark = (checkout.packages / WHEEL, checkout.packages / SDIST, tmp_path / "built")
    make_wheel(wheel, "x = 1\n")
    published, content = hash_of(wheel), wheel.read_bytes()
    make_wheel(wheel, "x = 'tampered'\n")
    make_sdist(sdist, mark)
    for requirements, words in (
        (f"tiny==1.0 {published}\n", ("DO NOT MATCH THE HASHES", "tiny==1.0")),
        ("tiny==1.0\n", ("Hashes are required", "tiny==1.0")),
        (f"tiny==1.0 {hash_of(sdist)}\n", ("tiny==1.0",)),
    ):
        code, said = checkout.install(requirements)
        assert code == 2, said
        assert [word for word in words if word not in said] == [], said
        assert checkout.installed() == []
        assert not (tmp_path / ".venv" / "requirements.txt").exists()
    assert not mark.exists()  # no code of a source distribution was run
    wheel.write_bytes(content)
    requirements = f"tiny==1.0 {published} {hash_of(sdist)}\n"
    assert checkout.install(requirements) == (0, "")
    assert "tiny.py" in checkout.installed()
    shutil.rmtree(checkout.packages)
    assert checkout.install(requirements) == (0, "")  # nothing changed: nothing is asked for
