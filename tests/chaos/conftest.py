"""Platforms that a test may break; whatever it does to them, nothing is left afterwards."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.paths import ROOT
from tests.support.platform_run import Platform, wait_for

Make = Callable[..., Platform]

FEW_COINS = (
    "groups={majors: [BTCUSDT, ETHUSDT, BNBUSDT, SOLUSDT, XRPUSDT], payments: [LTCUSDT, XLMUSDT]}"
)
LIGHT = (FEW_COINS, "auditor.enabled=false")
"""Starts in a third of the processor time of the whole."""


@pytest.fixture(autouse=True)
def _redis_of_the_platform(redis_binary: str) -> None:
    """Skip where there is no server to run."""


@contextlib.contextmanager
def platforms() -> Iterator[Make]:
    """Make platforms: `make("supervisor.hung_s=3")`; `start()` is left to the test."""
    home = Path(tempfile.mkdtemp(prefix="coinex-"))
    made: list[Platform] = []

    def make(*settings: str, root: Path = ROOT, state: str = "var") -> Platform:
        made.append(Platform(home / state, *settings, root=root))
        return made[-1]

    try:
        yield make
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
def platform() -> Iterator[Make]:
    """Make platforms of one test."""
    with platforms() as make:
        yield make


def is_well(platform: Platform) -> bool:
    """Tell whether all actors are ready and nothing is wrong."""
    return (
        platform.all_ready()
        and not platform.status()["supervisor"]["problems"]
        and bool(platform.health()[1]["status"] == "ok")
    )


@pytest.fixture(scope="module")
def shared_platform(request: pytest.FixtureRequest, redis_binary: str) -> Iterator[Platform]:
    """One platform for all tests of a module, with the settings in its `SHARED`."""
    with platforms() as make:
        started = make(*request.module.SHARED)
        started.start()
        yield started


@pytest.fixture
def running(shared_platform: Platform) -> Platform:
    """The platform of the module, all well; a test leaves it as well as it found it."""
    wait_for(lambda: is_well(shared_platform), 30, "all well")
    return shared_platform


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the project whose files a test may spoil."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("actors", "shared"):  # compiled, too: files that a test leaves alone stay valid
        shutil.copytree(ROOT / name, root / name)
    for name in ("supervisor.py", "config.yaml"):
        shutil.copy(ROOT / name, root / name)
    return root
