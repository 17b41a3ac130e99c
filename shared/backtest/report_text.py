"""A report as Markdown tables, with their limitations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from shared.backtest.bootstrap import INTERVAL_PCT, MIN_BLOCKS, coverage_pct
from shared.backtest.outcomes import ROUND_TRIP, TAKER_FEE
from shared.backtest.report import (
    ALL,
    BASELINE,
    BLOCK_DAYS,
    BOTH,
    HORIZONS,
    TRADER_RULES,
    EntryRule,
    Forward,
    Report,
)
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
    yield (
        f"Mean return in basis points (1/100 %), in brackets its {INTERVAL_PCT:g} % interval: a "
        "bootstrap of whole days of all coins together. Tenths are of all coins' values. Compare "
        f"with `{ALL}`, which is how the market moved anyway."
    )
    yield ""
    yield from _list(_about_blocks(h, report.blocks[h], BLOCK_DAYS[h]) for h in HORIZONS)
    for variable, rows in groupby(report.forward, key=lambda row: row.variable):
        yield ""
        yield from _forward_table(variable, list(rows), report)
    yield ""
    yield "## What entering would have brought"
    yield ""
    yield from _about_trades(report)
    yield ""
    yield from _entries_table(report.entries)
    yield ""
    yield from _list(_remarks(report))
    yield ""
    yield _verdict(report)


def _about_blocks(what: str, blocks: int, days: int) -> str:
    unit = "1 day" if days == 1 else f"{days} days"
    if blocks < MIN_BLOCKS:
        return (
            f"{what}: no intervals: {blocks} of at least {MIN_BLOCKS} blocks of {unit}; it takes "
            f"{(MIN_BLOCKS - blocks) * days} more days of candles"
        )
    return (
        f"{what}: {blocks} blocks of {unit}; {INTERVAL_PCT:g} % intervals from so many hold the "
        f"true mean in about {coverage_pct(blocks)} % of cases"
    )


def _seldom(what: str, blocks: int, of: int, days: int) -> str:
    """Return why something has no interval, and when it would have one."""
    if not blocks:
        return f"{what} (never)"
    more = (math.ceil(of * MIN_BLOCKS / blocks) - of) * days
    return f"{what} (in {blocks} of {of} blocks: about {more} more days)"


def _about_trades(report: Report) -> Iterator[str]:
    s = report.settings
    yield (
        "In R, the distance of the stop. Entered at the close where a state begins; stop "
        f"{s['stop_atr']:g} ATR14 of 1h, but at least {100 * s['stop_costs'] * ROUND_TRIP:g} % "
        f"away; target {s['target_r']:g} R; out after {s['max_hold_h']:g} h; fees "
        f"{100 * TAKER_FEE:g} % per side; no spread, slippage or funding. A candle that touches "
        "stop and target counts as stopped. `against no signal`: net R less that of "
        f"`{BASELINE}` on the same side and days."
    )
    yield ""
    yield from _list((
        f"`{TRADER_RULES[False]}`: where its base score crosses {s['entry_score']}, {s['margin']} "
        f"ahead of the other side; `{TRADER_RULES[True]}`: where that or the total does, with a "
        f"bonus of at most {s['bonus_cap']} on a base of at least {s['base_floor']}. As "
        f"`use_ta_signals` is {str(s['use_ta_signals']).lower()}, it enters by "
        f"`{TRADER_RULES[bool(s['use_ta_signals'])]}`.",
        f"Of section `trader` these count: {', '.join(s)}. Nothing else of it does: each entry is "
        "a trade by itself, without account, limits, cool-down and breakers.",
        "`halts`: trades before whose time was over the candles have a gap: ended before it / "
        "after it / no candle follows, valued at the last close. A position stays open through a "
        "gap; if its time is over by then, it is closed at the next open.",
        _about_blocks("Trades", report.trade_blocks, report.trade_block_days) + ".",
    ))  # fmt: skip


def _entries_table(entries: Sequence[EntryRule]) -> Iterator[str]:
    yield from _table(
        ("rule", "side", "trades", "per coin day", "gross R", "fees R", "net R", "interval",
         "against no signal", "won", "stopped", "target", "halts"),
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
                f"{e.before_halt} / {e.after_halt} / {e.at_halt}",
            )
            for e in entries
        ),
    )  # fmt: skip


def _remarks(report: Report) -> Iterator[str]:
    """Yield what the table leaves out."""
    refused = [f"{e.rule}, {e.side}: {e.refused}" for e in report.entries if e.refused]
    if refused:
        yield (
            f"Not entered, as fees of {100 * ROUND_TRIP:g} % are more than "
            f"{report.settings['cost_share_pct']:g} % of the stop, or stop and target have no "
            f"price above 0: {'; '.join(refused)}."
        )
    unfinished = sum(e.unfinished for e in report.entries if (e.rule, e.side) == (BASELINE, BOTH))
    if unfinished:
        yield (
            f"Not counted are entries of the last {report.settings['max_hold_h']:g} h of the "
            f"recordings, whatever became of them; {unfinished} of `{BASELINE}`."
        )
    seldom = [
        _seldom(f"{e.rule}, {e.side}", e.blocks, report.trade_blocks, report.trade_block_days)
        for e in report.entries
        if e.blocks < MIN_BLOCKS
    ]
    if seldom and report.trade_blocks >= MIN_BLOCKS:
        yield f"No interval with fewer than {MIN_BLOCKS} blocks: {'; '.join(seldom)}."


def _forward_table(variable: str, rows: Sequence[Forward], report: Report) -> Iterator[str]:
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
    seldom = [
        _seldom(f"{_span(r)} after {r.horizon}", r.blocks, report.blocks[r.horizon],
                BLOCK_DAYS[r.horizon])
        for r in rows
        if r.blocks < MIN_BLOCKS <= report.blocks[r.horizon]
    ]  # fmt: skip
    if seldom:
        yield ""
        yield f"No interval with fewer than {MIN_BLOCKS} blocks: {'; '.join(seldom)}."


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
    chance = len(ruled) * (1 - coverage_pct(report.trade_blocks) / 100) / 2
    return (
        f"Of {len(ruled)} rules and sides tried on the same candles, with its whole interval: "
        f"above zero after fees {_listed(above)}; better than no signal {_listed(better)}. About "
        f"{chance:.1f} of them are expected there by chance alone."
    )


def _list(items: Iterable[str]) -> Iterator[str]:
    yield from (f"- {item}" for item in items)


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
