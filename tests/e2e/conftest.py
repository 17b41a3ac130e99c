"""A real browser, and pages for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.conftest import missing
from tests.support.dashboard_document import document
from tests.support.page_server import PageServer
from tests.support.paths import ROOT

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--js-flags=--expose-gc",
    "--enable-precise-memory-info",
]
ARTEFACTS = ROOT / "tests" / "artefacts"


# Of a module, not of the session: the driver keeps an event loop, which others would stumble over.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return headless Chromium."""
    path = shutil.which("chromium") or CHROMIUM
    if not Path(path).exists():
        missing("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Return a browser without a past; a dark one on a wide screen."""
    fresh = browser.new_context(
        viewport={"width": 1440, "height": 1000}, color_scheme="dark", timezone_id="Asia/Tokyo"
    )
    fresh.set_default_timeout(15_000)
    yield fresh
    fresh.close()


class Watched:
    """What a page complained of."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self._hear(line.type, line.text))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(text)


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Return an empty page; an error in its console fails the test, unless that is marked."""
    opened = context.new_page()
    watched = Watched(opened)
    yield opened
    if request.node.get_closest_marker("complains") is None:
        assert watched.complaints == []


Serve = Callable[..., PageServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve the page on a document: `serve()`, `serve(with_troubles)`."""
    servers: list[PageServer] = []

    def start(
        *changes: Callable[[dict[str, Any], int], dict[str, Any]], has_library: bool = True
    ) -> PageServer:
        server = PageServer({}, has_library=has_library)
        servers.append(server)
        data = document(server.now_ms())
        for change in changes:
            data = change(data, server.now_ms())
        server.show(data)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def photograph(page: Page, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep a picture of the page beside the tests, for people; nothing compares it."""

    def take(name: str) -> None:
        ARTEFACTS.mkdir(exist_ok=True)
        page.screenshot(path=str(ARTEFACTS / f"{name}.png"))

    return take
