"""A report as plots (PNG). Loads matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.backtest.report import ALL, HORIZONS, Forward, Report
from shared.clock import utc_text
from shared.evidence_packages import needed_for

with needed_for("a plot"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"long": "C2", "short": "C3", "both": "C0"}
PIXELS_PER_INCH = 120


def draw(report: Report, directory: Path) -> list[Path]:
    """Write the plots into a directory; return their files."""
    title = (
        f"{report.coins} coins, {utc_text(report.first_ms)[:10]} to {utc_text(report.last_ms)[:10]}"
    )
    figures = {
        "occupancy.png": _occupancy(report, title),
        "forward-returns.png": _forward(report, title),
        "entries.png": _entries(report, title),
    }
    # without it the file has the time of drawing
    with mpl.rc_context({"savefig.dpi": PIXELS_PER_INCH}):
        for name, figure in figures.items():
            figure.savefig(directory / name, metadata={"Software": None})
    return [directory / name for name in figures]


def _figure(title: str, width: float, height: float, left: float, between: float = 0.2) -> Figure:
    """Return an empty figure; sizes and margins in inches.

    The margins are fixed: a layout that finds them draws every text several times.
    """
    figure = Figure(figsize=(width, height))
    figure.suptitle(title, y=1 - 0.2 / height, va="center")
    figure.subplots_adjust(
        left=left / width, right=1 - 0.2 / width, bottom=0.6 / height, top=1 - 0.7 / height,
        hspace=0.35, wspace=between,
    )  # fmt: skip
    return figure


def _occupancy(report: Report, title: str) -> Figure:
    figure = _figure(f"How often, {title}", 11, 7, left=2.4, between=0.05)
    left, right = figure.subplots(1, 2, sharey=True)
    states = [o for o in reversed(report.occupancy) if o.state != "no bonus"]
    names = [o.state for o in states]
    colours = [COLOURS["short" if "short" in name else "long"] for name in names]
    left.barh(names, [100 * o.share for o in states], color=colours)
    left.set_xlabel("% of time")
    right.barh(names, [o.starts_per_coin_day for o in states], color=colours)
    right.set_xlabel("starts per coin per day")
    return figure


def _forward(report: Report, title: str) -> Figure:
    variables = [v for v in dict.fromkeys(row.variable for row in report.forward)
                 if v != ALL]  # fmt: skip
    figure = _figure(f"Mean return afterwards, {title}", 13, 2.6 * len(variables), left=0.8)
    grid = figure.subplots(len(variables), len(HORIZONS), squeeze=False)
    for axes_row, variable in zip(grid, variables, strict=True):
        for axes, horizon in zip(axes_row, HORIZONS, strict=True):
            rows = [r for r in report.forward if (r.variable, r.horizon) == (variable, horizon)]
            base = next(r for r in report.forward
                        if (r.variable, r.horizon) == (ALL, horizon))  # fmt: skip
            _one_forward(axes, rows, base)
            axes.set_title(f"{variable}, after {horizon}", fontsize="medium")
    return figure


def _one_forward(axes: Axes, rows: Sequence[Forward], base: Forward) -> None:
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.axhline(base.mean_bps, color="grey", linestyle="--", linewidth=0.8, label=ALL)
    axes.errorbar(
        [row.group for row in rows],
        [row.mean_bps for row in rows],
        yerr=[
            [row.mean_bps - row.low_bps for row in rows],
            [row.high_bps - row.mean_bps for row in rows],
        ],
        fmt="o",
        markersize=3,
        capsize=2,
    )
    axes.set_xticks([row.group for row in rows], [f"{row.highest:.3g}" for row in rows],
                    fontsize="xx-small")  # fmt: skip
    axes.set_ylabel("bps", fontsize="small")
    axes.legend(fontsize="xx-small")


def _entries(report: Report, title: str) -> Figure:
    figure = _figure(
        f"Net R per trade after fees, 95 % interval, {title}",
        9,
        2 + 0.17 * len(report.entries),
        left=3.2,
    )
    axes = figure.subplots()
    entries = list(reversed(report.entries))
    for index, entry in enumerate(entries):
        axes.errorbar(
            entry.net, index, fmt="o", color=COLOURS[entry.side], capsize=3,
            xerr=[[entry.net - entry.low], [entry.high - entry.net]],
        )  # fmt: skip
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(entries)), [f"{e.rule}, {e.side} ({e.count})" for e in entries])
    axes.set_xlabel("R")
    return figure
