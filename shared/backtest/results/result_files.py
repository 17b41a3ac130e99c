"""Writes a result: `result.json`, `run.json`, `report.html`, and two tables as Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from shared.backtest.results.document import Result
from shared.backtest.results.metrics import drawdown_pct
from shared.backtest.results.page import page_of
from shared.errors import NotInstalled
from shared.files import write_atomically

_EXACT = ("entry_price", "exit_price", "size")
_MONEY = ("pnl", "fees", "funding")


def write_result(result: Result, run: Mapping[str, Any], directory: Path) -> list[str]:
    """Write the files of a result; return their names, and why there are no tables if so.

    Args:
        run: What depends on machine and time; written apart.

    Raises:
        OSError: The directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pretty = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
    write_atomically(directory / "result.json", orjson.dumps(result.document, option=pretty))
    write_atomically(directory / "run.json", orjson.dumps(run, option=pretty))
    write_atomically(directory / "report.html", page_of(result).encode())
    written = ["result.json", "run.json", "report.html"]
    try:
        from shared.backtest.results.tables import write_table  # noqa: PLC0415  # loads pyarrow
    except NotInstalled as error:
        return [*written, f"no trades.parquet and equity.parquet: {error}"]
    write_table(directory / "trades.parquet", trade_columns(result))
    write_table(directory / "equity.parquet", equity_columns(result))
    return [*written, "trades.parquet", "equity.parquet"]


def trade_columns(result: Result) -> dict[str, Any]:
    """Return the trades as columns; prices and sizes as decimal text, money as floats."""
    trades = result.history.trades
    return {
        **{name: [getattr(t, name) for t in trades]
           for name in ("symbol", "side", "entered_ms", "left_ms")},
        **{name: [f"{getattr(t, name).normalize():f}" for t in trades] for name in _EXACT},
        "how": [t.how for t in trades],
        **{name: [float(getattr(t, name)) for t in trades] for name in _MONEY},
        "r": [t.r for t in trades],
        "base": [t.base for t in trades],
        "bonus": [t.bonus for t in trades],
    }  # fmt: skip


def equity_columns(result: Result) -> dict[str, Any]:
    """Return equity at each close as columns."""
    history = result.history
    return {
        "at_ms": history.at_ms,
        "equity": history.equity,
        "drawdown_pct": drawdown_pct(history.equity),
    }
