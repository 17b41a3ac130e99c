"""A report as Markdown tables, with their limitations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from shared.backtest.bootstrap import INTERVAL_PCT, MIN_BLOCKS
from shared.backtest.outcomes import STOP_ATR, TAKER_FEE, TARGET_ATR
from shared.backtest.report import ALL, BASELINE, HORIZONS, TRADE_BLOCK_DAYS, Forward, Report
from shared.clock import utc_text

NOTHING = "–"


def as_markdown(report: Report) -> str:
    """Return the whole report as text that reads well on a terminal too."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield (
        f"# {report.closes} signals of {report.coins} coins, "
        f"{utc_text(report.first_ms)} to {utc_text(report.last_ms)}"
    )
    yield ""
    yield "These figures describe the past of these candles. No profit is claimed."
    yield ""
    yield "## How often"
    yield ""
    yield from _table(
        ("state", "share of time", "starts per coin per day"),
        (
            (o.state, f"{100 * o.share:.2f} %", f"{o.starts_per_coin_day:.2f}")
            for o in report.occupancy
        ),
    )
    yield ""
    yield "## What the price did afterwards"
    yield ""
    drawn = ", ".join(f"{blocks} blocks for {name}" for name, blocks in report.blocks.items())
    yield (
        f"Mean return in basis points (1/100 %), in brackets its {INTERVAL_PCT:g} % interval: a "
        f"bootstrap of whole days of all coins together ({drawn}). Tenths are of all coins' "
        f"values. Compare with `{ALL}`, which is how the market moved anyway. [{NOTHING}]: it "
        f"occurred in fewer than {MIN_BLOCKS} blocks."
    )
    for variable, rows in groupby(report.forward, key=lambda row: row.variable):
        yield ""
        yield from _forward_table(variable, list(rows))
    yield ""
    yield "## What entering would have brought"
    yield ""
    yield (
        f"In R, the distance of the stop. Entered at the close where a state begins; stop "
        f"{STOP_ATR:g} ATR14 of 1h, target {TARGET_ATR:g} ATR, out after 24 h; fees "
        f"{100 * TAKER_FEE:g} % per side; no spread, slippage or funding. A candle that touches "
        f"stop and target counts as stopped. Interval: blocks of {TRADE_BLOCK_DAYS} days. "
        f"`against no signal`: net R less that of `{BASELINE}` on the same side and days."
    )
    yield ""
    yield from _table(
        ("rule", "side", "trades", "per coin day", "gross R", "fees R", "net R", "interval",
         "against no signal", "won", "stopped", "target"),
        (
            (
                e.rule, e.side, str(e.count), f"{e.per_coin_day:.2f}", _shown(e.gross, "+.3f"),
                _shown(e.fees, ".3f"), _shown(e.net, "+.3f"), _interval(e.low, e.high, "+.3f"),
                NOTHING if e.rule == BASELINE
                else f"{_shown(e.edge, '+.3f')} {_interval(e.edge_low, e.edge_high, '+.3f')}",
                *(
                    _shown(100 * share, ".0f", " %")
                    for share in (e.win_share, e.stopped_share, e.target_share)
                ),
            )
            for e in report.entries
        ),
    )  # fmt: skip
    yield ""
    yield _verdict(report)


def _forward_table(variable: str, rows: Sequence[Forward]) -> Iterator[str]:
    of: dict[int, dict[str, Forward]] = {}
    for row in rows:
        of.setdefault(row.group, {})[row.horizon] = row
    yield from _table(
        (variable, "closes", *HORIZONS),
        (
            (
                NOTHING if variable == ALL else _span(found["1 h"]),
                str(found["1 h"].count),
                *(
                    f"{_shown(f.mean_bps, '+.1f')} {_interval(f.low_bps, f.high_bps, '+.1f')}"
                    for f in found.values()
                ),
            )
            for found in of.values()
        ),
    )


def _shown(value: float, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if math.isfinite(value) else NOTHING


def _interval(low: float, high: float, form: str) -> str:
    return f"[{low:{form}}, {high:{form}}]" if math.isfinite(low) else f"[{NOTHING}]"


def _span(row: Forward) -> str:
    if row.lowest == row.highest:
        return f"{row.lowest:g}"
    return f"{row.lowest:.4g} to {row.highest:.4g}"


def _verdict(report: Report) -> str:
    ruled = [e for e in report.entries if e.rule != BASELINE]
    above = [f"{e.rule}, {e.side}" for e in ruled if e.low > 0]
    better = [f"{e.rule}, {e.side}" for e in ruled if e.edge_low > 0]
    return (
        f"Of {len(ruled)} rules and sides tried on the same candles, with its whole interval: "
        f"above zero after fees {_listed(above)}; better than no signal {_listed(better)}. One in "
        "forty is expected there by chance alone."
    )


def _listed(names: Sequence[str]) -> str:
    return "; ".join(names) or "none"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    body = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    yield line(head)
    yield f"|{'|'.join(['-' * (widths[0] + 2), *('-' * (w + 1) + ':' for w in widths[1:])])}|"
    yield from map(line, body)
