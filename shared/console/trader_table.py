"""The trader's status as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from shared.clock import span, utc_text
from shared.console.status_table import PIPE_WIDTH
from shared.messages.trading import is_foreign, obeys

COLOURS = {"enabled": "green", "reducing": "yellow", "disabled": "yellow", "locked": "red"}
LIMIT_COLOURS = {"ok": "", "warned": "yellow", "reached": "red", "latched": "red"}


def show(found: Mapping[str, Any], now_ms: int) -> None:
    """Print the answers of `/status`, `/positions` and `/balance`; None for those that failed."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(tables_of(found, now_ms))


def tables_of(found: Mapping[str, Any], now_ms: int) -> Group:
    """Return the same as tables."""
    answer = found["status"]
    status, parts = answer["status"], list[Any](_heading(answer, now_ms))
    if found["balance"] is not None:
        parts.append(_balance(found["balance"], status, now_ms))
    if found["positions"] is not None:
        parts.append(_positions(found["positions"], status, now_ms))
    if status is not None:
        if status["limits"]:
            parts.append(_limits(status, now_ms))
        parts += [Text(f"{coin} not entered: {why}") for coin, why in status["skipped"].items()]
    return Group(*parts)


def _heading(answer: Mapping[str, Any], now_ms: int) -> Iterator[Text]:
    status, lock = answer["status"], answer["lock"]
    is_known = status is not None and answer["answering"]
    if lock is not None and not (is_known and obeys(status["mode"], lock["mode"])):
        line = Text("TRADER  ", style="bold")
        line.append(lock["mode"], style=COLOURS.get(lock["mode"], ""))
        line.append("  by its lock file")
        yield line
    elif status is not None:
        mode = status["mode"]
        line = Text("TRADER  ", style="bold")
        line.append(mode, style=COLOURS.get(mode, "") if answer["answering"] else "dim")
        line.append(f"  {status['venue']}: {status['reason']}")
        if status["uptime_s"] is not None:
            line.append(f"; up {span(status['uptime_s'])}")
        yield line
    else:
        yield Text("TRADER  unknown", style="bold red")
    if status is not None:
        cycle = status["cycle_ms"]
        last = "no cycle yet" if cycle is None else f"last cycle {utc_text(cycle)}"
        next_s = (status["next_cycle_ms"] - now_ms) / 1000
        candles = f", candles from {status['candles_from']}" if cycle is not None else ""
        found = status["strategy"]
        by = "" if found is None else f"; strategy {found['name']} {found['version']}"
        every = f", by a timer every {status['every_s'] / 60:.0f} min" if status["every_s"] else ""
        due = f"next in {span(next_s)}" if next_s > 0 else f"next due {span(-next_s)} ago"
        yield Text(f"{last}{candles}, {due}{every}{by}")
        yield from _evidence(status)
        if status["journal"]:
            yield Text(f"! journal: {status['journal']}", style="red")
        if status["trouble"]:
            yield Text(f"! {status['trouble']}", style="red")
    if answer["why"]:
        yield Text(f"! {answer['why']}", style="red")
    if lock is not None:
        ago = f", {span((now_ms - lock['at_ms']) / 1000)} ago" if lock["at_ms"] else ""
        closing = "; its positions are closed" if lock["flatten"] else ""
        text = f"! lock file: {lock['mode']} by {lock['who']}{ago}: {lock['reason']}{closing}"
        yield Text(text, style="red")


def _evidence(status: Mapping[str, Any]) -> Iterator[Text]:
    evidence = status["evidence"]
    if evidence is None:
        return
    if evidence["accepted"]:
        yield Text(f"! accepted without evidence: {evidence['accepted']}", style="yellow")
    if evidence["fits"] is not False:
        yield Text(f"evidence: {evidence['text']}")
    elif evidence["text"] not in status["reason"]:  # which comes first
        yield Text(f"! no evidence of these settings: {evidence['text']}", style="yellow")


def _balance(balance: Mapping[str, Any], status: Mapping[str, Any] | None, now_ms: int) -> Text:
    if balance["equity_quote"] is None:
        return Text(f"! balance: {balance['reason']}", style="red")
    line = Text(
        f"equity {balance['equity_quote']} {balance['currency']}, "
        f"available {balance['available_quote']}, "
        f"{_ago(balance['as_of_ms'], now_ms)}"
    )
    if status is not None and status["pnl_today_quote"] is not None:
        line.append(
            f"; today {status['pnl_today_quote']}, fees {status['fees_today_quote'] or '–'}, "
            f"{_ago(status['pnl_as_of_ms'], now_ms)}"
        )
    if balance["reason"]:
        line.append(f"; ! {balance['reason']}", style="red")
    return line


def _positions(
    positions: Mapping[str, Any], status: Mapping[str, Any] | None, now_ms: int
) -> Table | Text:
    open_positions, ago = positions["positions"], _ago(positions["as_of_ms"], now_ms)
    if not open_positions:
        return Text(f"no position open, {ago}")
    table = _table(f"positions, {ago}")
    for heading in ("coin", "side"):
        table.add_column(heading)
    for heading in ("size", "entry", "mark", "stop", "target", "PnL"):
        table.add_column(heading, justify="right")
    table.add_column("whose")
    for each in open_positions:
        stop = each["stop_loss"]
        table.add_row(
            each["symbol"],
            each["side"],
            each["size_base"],
            _price(each["entry_price"]),
            _price(each["mark_price"]),
            Text("none", style="red") if stop is None else stop,
            each["take_profit"] or "–",
            each["unrealized_pnl_quote"],
            _whose(each, status),
        )
    return table


def _whose(position: Mapping[str, Any], status: Mapping[str, Any] | None) -> str:
    found = None
    if status is not None:
        seen = {name: status[name] for name in ("looked_ms", "ours", "foreign")}
        found = is_foreign(position["symbol"], position["opened_ms"], **seen)
    return {True: "foreign", False: "ours", None: "not known yet"}[found]


def _ago(at_ms: int | None, now_ms: int) -> str:
    """Return the age of a reading; answers without any are of time 0."""
    return f"{span((now_ms - at_ms) / 1000)} ago" if at_ms else "never read"


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="", box=None, padding=(0, 1),
        header_style="bold",
    )  # fmt: skip


def _price(amount: str | None) -> str:
    """Return a price in 8 digits: an average has more than any tick."""
    return "–" if amount is None else f"{Decimal(amount):.8g}"


def _limits(status: Mapping[str, Any], now_ms: int) -> Table:
    table = _table(f"limits, {_ago(status['pnl_as_of_ms'], now_ms)}")
    table.add_column("limit")
    table.add_column("used", justify="right")
    table.add_column("of", justify="right")
    for heading in ("", "state"):
        table.add_column(heading)
    for each in status["limits"]:
        table.add_row(
            each["name"],
            each["used"],
            each["limit"],
            each["unit"],
            Text(each["state"], style=LIMIT_COLOURS.get(each["state"], "")),
        )
    return table
