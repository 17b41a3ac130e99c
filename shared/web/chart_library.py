"""Where npm puts the chart library of the page."""

from __future__ import annotations

from pathlib import Path


def chart_library(root: Path) -> Path:
    """Return the one file of it that a browser loads, below a checkout."""
    return root.joinpath(
        "node_modules", "lightweight-charts", "dist", "lightweight-charts.standalone.production.js"
    )
