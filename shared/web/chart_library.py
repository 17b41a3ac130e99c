"""The chart library of the page, as npm installs it."""

from __future__ import annotations

from pathlib import Path


def chart_library(root: Path) -> Path:
    """Return the path, below a checkout, of the file that a browser loads."""
    return root.joinpath(
        "node_modules", "lightweight-charts", "dist", "lightweight-charts.standalone.production.js"
    )
