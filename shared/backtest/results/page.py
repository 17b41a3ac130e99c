"""The result as one page that needs nothing else: no network, no script."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from shared.backtest.results.document import Result, worst
from shared.backtest.results.metrics import drawdown_pct
from shared.backtest.results.svg import Band, Line, candle_picture, chart, histogram
from shared.backtest.results.words import ASSUMED, CAVEAT, amount, assumed, pct, signed, verdict
from shared.backtest.simulation.bar_prices import BAR_MS
from shared.backtest.simulation.trades import Locked, Trade
from shared.clock import utc_text
from shared.config.sections import TraderSection
from shared.market import Timeframe
from shared.trading.breakers import DAY_MS

_TEMPLATE = Path(__file__).with_name("page.html")
MOST_LOCKS = 12
_GROUP_COLUMNS = ("", "trades", "won", "mean R", "net", "fees")
_HASHES = ("digest", "settings_hash", "data_hash", "strategy_hash")


def page_of(result: Result) -> str:
    """Return the page as HTML."""
    document, history = result.document, result.history
    first, last = _time(document["from_ms"]), _time(document["to_ms"])
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=f"Backtest: {document['net_return_pct']:+.2f} % in {document['days']:.0f} days",
        subtitle=html.escape(
            f"{len(document['symbols'])} coins, {first} to {last} UTC, strategy "
            f"{document['strategy']['name']} {document['strategy']['version']}"
        ),
        verdict=html.escape(verdict(document)),
        figures=_figures(document),
        start=f"{document['start_quote']:,.0f} USDT",
        locked_key='<span class="locked">locked by a breaker</span>' if history.locked else "",
        equity=_equity(result),
        drawdown=_drawdown(result),
        held=_held(result),
        distribution=_distribution(history.trades),
        tables="".join([_costs(document), *(_group(n, g) for n, g in document["by"].items())]),
        pictures="".join(_picture(result, trade) for trade in worst(history.trades)) or "None.",
        not_entered=_not_entered(document),
        refusals=_table(
            "Refusals", ("reason, without its numbers", "times"),
            [(_words(why), str(count)) for why, count in document["refusals"].items()],
        ),
        locks=_locks(history.locked),
        assumptions=_assumptions(result),
        caveat=html.escape(CAVEAT),
        hashes="<br>".join(f"{name} {html.escape(document[name])}" for name in _HASHES),
    )  # fmt: skip


# Figures


def _figures(document: Mapping[str, Any]) -> str:
    d = document
    between = "" if d["sharpe"] is None else f"{d['sharpe_from']:.2f} to {d['sharpe_to']:.2f}, 95 %"
    shown = [
        ("Net return", pct(d["net_return_pct"], sign=True), _of_year(d), d["net_return_pct"]),
        ("Largest drawdown", pct(d["max_drawdown_pct"]), "", None),
        ("Sharpe ratio, per year", amount(d["sharpe"]), between, None),
        ("Expectancy", f"{amount(d['expectancy_r'], 3)} R", "per trade, net", d["expectancy_r"]),
        ("Profit factor", amount(d["profit_factor"]), "won / lost", None),
        ("Trades", f"{d['trades']}", f"{d['bonus_trades']} with a bonus", None),
        ("Won", pct(d["won_pct"], 0), "", None),
        (
            "Random entries",
            f"{d['random_entries']['beaten_pct']:.0f} %",
            "of runs earned less",
            None,
        ),
        ("Buy and hold", pct(d["buy_and_hold_pct"], sign=True), "", d["buy_and_hold_pct"]),
        ("Volatility, per year", pct(d["volatility_pct"]), f"Sortino {amount(d['sortino'])}", None),
        ("Fees", f"{d['fees']:,.2f}", f"turnover {d['turnover']:.1f} ×", None),
        ("Spread, slippage", f"{d['spread']:,.2f}", "", None),
        ("Funding", signed(d["funding"]), "received", None),
        ("Exposure", pct(d["exposure_pct"], 0), "of the time", None),
        ("Locked", pct(d["locked_pct"], 0), "of the time", None),
    ]
    return "".join(
        f"<div><dt>{name}</dt><dd{_kind(value)}>{html.escape(text)}<small>{note}</small></dd></div>"
        for name, text, note, value in shown
    )


def _of_year(document: Mapping[str, Any]) -> str:
    cagr = document["cagr_pct"]
    return "" if cagr is None else f"{cagr:+.1f} % per year, Calmar {amount(document['calmar'])}"


def _kind(value: float | None) -> str:
    return "" if not value else ' class="won"' if value > 0 else ' class="lost"'


# Charts


def _equity(result: Result) -> str:
    history, runs = result.history, result.chance
    low, median, high = runs.band
    own = Line(at=history.at_ms, values=history.equity, style="own", name="this rule")
    chance = Band(at=runs.at_ms, low=low, high=high, style="chance", name="random entries")
    middle = Line(at=runs.at_ms, values=median, style="chance", name="their median")
    every = [history.equity, low, high]
    bottom, top = min(map(np.min, every)), max(map(np.max, every))
    locks = [
        Band(
            at=np.array([lock.from_ms, lock.to_ms]), low=np.full(2, bottom), high=np.full(2, top),
            style="locked", name=lock.why,
        )
        for lock in history.locked
    ]  # fmt: skip
    return chart(
        [middle, own], [*locks, chance], title="equity over time, against random entries",
        value_text=lambda value: f"{value:,.0f}", place_texts=_dates(result), height_px=320,
    )  # fmt: skip


def _drawdown(result: Result) -> str:
    history = result.history
    below = -drawdown_pct(history.equity)
    area = Band(at=history.at_ms, low=below, high=np.zeros(len(below)), style="own")
    return chart(
        [], [area], title="drawdown over time", zero=True, height_px=150,
        value_text=lambda value: f"{value:.1f} %" if value else "0 %", place_texts=_dates(result),
    )  # fmt: skip


def _held(result: Result) -> str:
    at_ms = result.history.at_ms
    lines = [
        Line(at=at_ms, values=100 * (values / values[0] - 1), style=style, name=name)
        for values, style, name in (
            (result.held, "held", "buy and hold"),
            (result.history.equity, "own", "this rule"),
        )
    ]
    return chart(
        lines, title="return of this rule and of buying and holding", zero=True, height_px=220,
        value_text=lambda value: f"{value:+.0f} %" if value else "0 %", place_texts=_dates(result),
    )  # fmt: skip


def _dates(result: Result) -> list[tuple[float, str]]:
    """Return about eight labels of days."""
    first, last = (int(result.history.at_ms[i]) for i in (0, -1))
    days = range(-(-first // DAY_MS), last // DAY_MS + 1)
    step = max(1, len(days) // 7)
    return [(day * DAY_MS, utc_text(day * DAY_MS)[5:10]) for day in days[::step]]


def _distribution(trades: Sequence[Trade]) -> str:
    if not trades:
        return '<p class="soft">No trades.</p>'
    results = [trade.r for trade in trades]
    low, high = np.floor(min(results) * 4) / 4, np.ceil(max(results) * 4) / 4
    edges = np.arange(min(low, -0.25), max(high, 0.25) + 0.125, 0.25)
    counts, _ = np.histogram(results, edges)
    return histogram(
        counts.tolist(), edges.tolist(), title="distribution of the trades' results in R",
        value_text=lambda value: f"{value:+g} R" if value else "0 R",
    )  # fmt: skip


def _picture(result: Result, trade: Trade) -> str:
    candles = result.question.recordings[trade.symbol].candles[Timeframe.M5]
    around = 12 * BAR_MS
    span = candles.open_time_ms.searchsorted([trade.entered_ms - around, trade.left_ms + around])
    prices = np.array([float(trade.entry_price), float(trade.exit_price)])
    line = Line(at=np.array([trade.entered_ms, trade.left_ms]), values=prices, style="own")
    drawn = candle_picture(
        candles[int(span[0]) : int(span[1])],
        [(float(trade.stop), "stop"), (float(trade.target), "target")], line,
    )  # fmt: skip
    held_h = (trade.left_ms - trade.entered_ms) / 3_600_000
    return (
        f'<figure class="picture"><figcaption><b>{html.escape(trade.symbol)} {trade.side}</b> '
        f'<span class="lost">{trade.r:+.2f} R</span><br><span class="soft">'
        f"{_time(trade.entered_ms)}, {held_h:.1f} h, {trade.how}</span>"
        f"</figcaption>{drawn}</figure>"
    )


# Tables


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    words = [cell.startswith('<td class="words') for cell in rows[0]]
    head = "".join(
        f"<th{' class=words' * is_words}>{html.escape(text)}</th>"
        for text, is_words in zip(heads, words, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _locks(locked: Sequence[Locked]) -> str:
    rows = [(_time(x.from_ms), _time(x.to_ms), _words(x.why)) for x in locked[:MOST_LOCKS]]
    if len(locked) > MOST_LOCKS:
        rows.append((f"and {len(locked) - MOST_LOCKS} more", "", _words("see result.json")))
    return _table("Locked", ("from", "to", "why"), rows)


def _time(at_ms: int) -> str:
    return utc_text(at_ms)[:16].replace("T", " ")


def _cell(text: str) -> str:
    return text if text.startswith("<td") else f"<td>{html.escape(text)}</td>"


def _words(text: str) -> str:
    return f'<td class="words">{html.escape(text)}</td>'


def _money(value: float) -> str:
    return f"<td{_kind(value)}>{value:+,.2f}</td>"


def _group(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (g["name"], str(g["trades"]), f"{g['won_pct']:.0f} %", f"{g['r']:+.3f}", _money(g["pnl"]),
         f"{g['fees']:,.2f}")
        for g in found
    ]  # fmt: skip
    return _table(f"By {name}", _GROUP_COLUMNS, rows)


def _costs(document: Mapping[str, Any]) -> str:
    rows = [
        (f"× {float(factor):g}", pct(net, sign=True))
        for factor, net in document["net_return_pct_at_costs"].items()
    ]
    return _table("The same trades at other costs", ("fees and spread", "net return"), rows)


def _not_entered(document: Mapping[str, Any]) -> str:
    refused = sum(document["refusals"].values())
    return (
        f"{refused} reasons against entering a side that had the score; one side may have several."
        if refused
        else "Every side that had the score was entered."
    )


def _assumptions(result: Result) -> str:
    model, trader = result.question.model, asdict(result.question.trader)
    usual = asdict(TraderSection())
    changed = {name: value for name, value in trader.items() if value != usual[name]}
    return _table(
        "Fill model", ("", "is", "means"),
        [
            *((name, str(value), _words(ASSUMED[name])) for name, value in asdict(model).items()),
            *((name, "", _words(text)) for name, text in assumed(result.document["assumptions"])),
        ],
    ) + _table(
        "Settings of the trader that differ from the defaults", ("", "is", "default"),
        [(name, str(value), str(usual[name])) for name, value in changed.items()],
    )  # fmt: skip
