"""A backtest's page as people open it: from a file, without a network, on any screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page

from shared.backtest.results.page import page_of
from tests.support.made_results import made_result


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("result") / "report.html"
    path.write_text(page_of(made_result()), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1440, 375])
def test_page_fits_and_is_legible(
    page: Page,
    report: Path,
    photograph: Callable[[str], None],
    width: int,
    scheme: Literal["dark", "light"],
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 1000})
    page.goto(report.as_uri())
    assert asked == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg").count() >= 4
    # labels beside stretched shapes are text of the page, at its size
    sizes = page.evaluate(
        "[...document.querySelectorAll('.values span, td, dd, p')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 12
    photograph(f"backtest-{scheme}-{width}")
