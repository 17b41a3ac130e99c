"""Platforms that a test may break; whatever it does to them, nothing is left afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.platform_run import ROOT, Platform

Make = Callable[..., Platform]


@pytest.fixture(autouse=True)
def _redis_of_the_platform(redis_binary_7: str) -> None:
    """Skip where nothing could ever be quite well."""


@pytest.fixture
def platform() -> Iterator[Make]:
    """Make platforms: `platform("supervisor.hung_s=3")`; `start()` is left to the test."""
    home = Path(tempfile.mkdtemp(prefix="coinex-"))
    made: list[Platform] = []

    def make(*settings: str, root: Path = ROOT, state: str = "var") -> Platform:
        made.append(Platform(home / state, *settings, root=root))
        return made[-1]

    yield make
    try:
        for each in made:
            each.stop()
    finally:
        for process in psutil.process_iter():
            try:
                if str(home) in " ".join(process.cmdline()) or process.cwd().startswith(str(home)):
                    process.kill()
            except psutil.Error:
                continue
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the project whose files a test may spoil."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("actors", "shared"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("supervisor.py", "config.yaml"):
        shutil.copy(ROOT / name, root / name)
    return root
