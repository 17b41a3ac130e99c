"""Fixtures every kind of test shares."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from shared.bus import Bus
from shared.clock import SystemClock
from shared.errors import ConfigError
from tests.support.paths import ROOT
from tests.support.private_redis import PrivateRedis, chosen_redis

# The same examples every time, and no verdict that depends on how busy the machine is.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

# Under nohup or in the background these are ignored, and every program started here would inherit
# that. A handler is not inherited, and with this one the tests themselves go on as before.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests of one shared platform on one worker, and begin with the slow ones."""
    for item in items:
        if "shared_platform" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to go on where a group is not kept: each worker would run a platform of its own."""
    if not session.config.getoption("loadgroup", default=False):
        return
    for item in session.items:
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: pytest-xdist does not keep its group together")


def missing(what: str) -> NoReturn:
    """Skip on a laptop, fail where everything is promised to be installed (`CI=true`)."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{what}, and CI=true allows no skipping")
    pytest.skip(what)


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """Path of the server that tests run: the one the platform would start."""
    try:
        return str(chosen_redis().path)
    except ConfigError as error:
        missing(str(error))


@pytest.fixture(scope="session")
def shared_redis(redis_binary: str) -> Iterator[PrivateRedis]:
    """One server for the whole run; `redis_url` hands it out emptied."""
    server = PrivateRedis(redis_binary)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def redis_url(shared_redis: PrivateRedis) -> str:
    """URL of a running, empty Redis."""
    shared_redis.run("FLUSHALL")
    return shared_redis.url


@pytest.fixture
def own_redis(redis_binary: str) -> Iterator[Callable[..., PrivateRedis]]:
    """Make servers that one test may kill, freeze or fill: `own_redis("--maxmemory", "2mb")`."""
    servers: list[PrivateRedis] = []

    def make(*options: str) -> PrivateRedis:
        server = PrivateRedis(redis_binary, *options)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Bus]:
    """A bus on an empty Redis."""
    bus = Bus(redis_url, name="test", clock=SystemClock())
    yield bus
    await bus.close()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Directory of recorded candles, from COINEX_DATA_DIR or beside the checkout."""
    given = os.environ.get("COINEX_DATA_DIR")
    path = Path(given) if given else ROOT.parent / "shared" / "data"
    if not path.is_dir():
        # they are no part of the project, so nobody is promised them
        pytest.skip(f"no recorded candles in {path} (set COINEX_DATA_DIR)")
    return path
