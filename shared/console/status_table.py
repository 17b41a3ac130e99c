"""The status of a platform as a table."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shared.clock import SystemClock, span, utc_text

Overview = dict[str, Any]
PIPE_WIDTH = 160  # a pipe has none of its own
COLOURS = {
    "ready": "green",
    "starting": "cyan",
    "stopping": "cyan",
    "stopped": "dim",
    "backoff": "yellow",
    "stalled": "yellow",
    "quarantined": "red",
}


def show(overview: Overview) -> None:
    """Print the table once."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(table_of(overview))


def watch(read: Callable[[], Overview]) -> None:
    """Show the table again every second, until interrupted."""
    with Live(table_of(read()), refresh_per_second=2) as live:
        while True:
            time.sleep(1)
            live.update(table_of(read()))


def table_of(overview: Overview) -> Table:
    """Return the table of a `status` reply."""
    own = overview["supervisor"]
    title = (
        f"{own['mode'].upper()}  supervisor {own['pid']}  up {span(own['uptime_s'])}  "
        f"redis {own['redis']} ({own['redis_pid'] or 'external'})  zygote {own['zygote_pid']}"
    )
    problems = [Text(f"! {problem}", style="red") for problem in own["problems"]]
    table = Table(
        title=title,
        title_justify="left",
        box=None,
        padding=(0, 1),
        header_style="bold",
        caption=Text("\n").join(problems) if problems else None,
        caption_justify="left",
    )
    for heading in ("actor", "state", "pid", "up", "restarts", "memory", "cpu", "beat", "step"):
        table.add_column(
            heading, justify="left" if heading in ("actor", "state") else "right", no_wrap=True
        )
    table.add_column("last death / works on", overflow="fold")
    now_ms = SystemClock().now_ms()
    for row in overview["actors"]:
        table.add_row(*_cells(row, now_ms))
    return table


def _cells(row: dict[str, Any], now_ms: int) -> list[str | Text]:
    state = Text(row["state"], style=COLOURS.get(row["state"], ""))
    if row["old_code"]:
        state.append(" (old code)", style="yellow")
    alive = row["pid"] is not None

    def shown(value: float | None, form: str) -> str:
        return form.format(value) if value is not None and alive else "–"

    notes = []
    if row["deaths"]:
        last = row["deaths"][-1]
        ago = span((now_ms - last["at_ms"]) / 1000)
        last_line = f": {last['last_words']}" if last["last_words"] else ""
        notes.append(f"died {ago} ago, {last['cause']}{last_line}")
    if row["reason"]:
        notes.append(row["reason"])
    if row["quarantined_coins"]:
        coins = (
            f"{c} until {utc_text(until)[11:19]}" for c, until in row["quarantined_coins"].items()
        )
        notes.append("coins quarantined: " + ", ".join(coins))
    if row["doing"]:
        notes.append(row["doing"])
    return [
        row["name"],
        state,
        str(row["pid"] or "–"),
        span((now_ms - row["since_ms"]) / 1000),
        str(row["restarts"]),
        shown(row["pss_mb"], "{:.0f} MB"),
        shown(row["cpu_pct"], "{:.0f} %"),
        shown(row["beat_age_s"], "{:.0f} s"),
        shown(row["step_age_s"], "{:.0f} s"),
        "; ".join(notes),
    ]
