"""A result in words, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.errors import count

ASSUMED = {
    "path": "adverse: within a candle, of a position the price that hurts comes first",
    "detail": "candles that the price's path is made of",
    "latency_ms": "between a plan's prices and its order at the venue",
    "funding": "recorded: recorded rates where there are, else made-up ones; made: these alone",
    "start_quote": "first equity, USDT",
    "release": "when latched breakers are released",
    "fills": "number of the code that fills",
}
"""What each assumption means; see `FillModel`."""

CAVEAT = (
    "Prices are candles of a spot market, and stand in for a perpetual's last, mark and index "
    "price. Inside a candle only its four prices are known; book and spread are the simulated "
    "venue's. The past earned this, at these assumptions; it says nothing certain of "
    "the future, and less the more settings were tried."
)


def amount(value: float | None, places: int = 2) -> str:
    """Return a number, or a dash for what cannot be told."""
    return "–" if value is None else f"{value:.{places}f}"


def pct(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if sign else ''}.{places}f} %"


def signed(value: float) -> str:
    return f"{value:+,.2f}"


def assumed(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what paths and funding were made of, each with its name; see `assumptions`."""
    rows = []
    if detail := found["detail"]:
        own = detail["bars"] - detail["by_1m"]
        rows.append((
            "1m candles",
            f"in {detail['by_1m']:,} of {detail['bars']:,} 5m candles; the path of {own:,} is its "
            f"own: {own - detail['differing']:,} without 1m candles, {detail['differing']:,} that "
            "these do not agree with",
        ))  # fmt: skip
    if by := found["funding"]:
        texts = {
            "recorded": "recorded rates of",
            "partly": "recorded rates for a part of the time of",
            "made": "made-up rates of",
        }
        shown = [
            f"{texts[kind]} {count(len(coins), 'coin')}" for kind, coins in by.items() if coins
        ]
        rows.append(("funding rates", ", ".join(shown) or "none"))
    return rows


def verdict(document: Mapping[str, Any]) -> str:
    """Return in two sentences what the result says, and what it does not."""
    trades, net = document["trades"], document["net_return_pct"]
    if not trades:
        return "Nothing was traded: see below what kept it from entering."
    gained = "gained" if net > 0 else "lost"
    found = (
        f"{trades} trades {gained} {abs(net):.2f} % after all costs, "
        f"{document['expectancy_r']:+.3f} R each."
    )
    beaten = document["random_entries"]["beaten_pct"]
    chance = f"{beaten:.0f} % of random entries earned less"
    if beaten >= 95:
        return f"{found} {chance}: more than chance explains, if nothing else was tried on them."
    if beaten <= 5:
        return f"{found} Only {chance}: it did worse than chance."
    return f"{found} {chance}: it cannot be told from chance."


def as_text(document: Mapping[str, Any]) -> str:
    """Return the result for a terminal."""
    d = document
    between = "" if d["sharpe"] is None else f" ({d['sharpe_from']:.2f} to {d['sharpe_to']:.2f})"
    rows = [
        ("net return", pct(d["net_return_pct"], sign=True)),
        ("largest drawdown", pct(d["max_drawdown_pct"])),
        ("Sharpe per year", amount(d["sharpe"]) + between),
        ("expectancy", f"{amount(d['expectancy_r'], 3)} R"),
        ("profit factor", amount(d["profit_factor"])),
        ("trades", f"{d['trades']}, {pct(d['won_pct'], 0)} won, {d['bonus_trades']} with a bonus"),
        ("fees, spread, funding", f"{d['fees']:.2f}, {d['spread']:.2f}, {d['funding']:+.2f} USDT"),
        ("random entries", f"{d['random_entries']['beaten_pct']:.0f} % of runs earned less"),
        ("buy and hold", pct(d["buy_and_hold_pct"], sign=True)),
        ("costs × 0.5, 1, 2", ", ".join(
            pct(net, sign=True) for net in d["net_return_pct_at_costs"].values())),
        *assumed(d["assumptions"]),
        ("exits", ", ".join(f"{g['trades']} {g['name']}" for g in d["by"]["exit"]) or "none"),
        ("locked", _locked(d)),
        ("digest", d["digest"][:16]),
    ]  # fmt: skip
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {text}" for name, text in rows]
    refused = list(d["refusals"].items())
    lines += [f"not entered, {count} times: {why}" for why, count in refused[:8]]
    lines += scored_by(d["strategy"])
    if len(refused) > 8:
        lines.append(f"and {len(refused) - 8} more reasons")
    return "\n".join([verdict(d), "", *lines])


def scored_by(strategy: Mapping[str, Any]) -> list[str]:
    """Return how a user's strategy was asked, in lines; none of the built-in one."""
    if "closes" not in strategy:
        return []
    closes, because = strategy["closes"], strategy["because"]
    found = [
        f"scored by {strategy['name']} {strategy['version']} ({strategy['hash'][:12]}), computed "
        f"{strategy['computed']}{': ' if because else ''}{because}"
    ]
    if closes["failed"]:
        found.append(
            f"not scored, as the strategy failed: {closes['failed']} of {closes['asked']} closes; "
            f"first {closes['first']}"
        )
    return found


def _locked(document: Mapping[str, Any]) -> str:
    locks = document["locked"]
    if not locks:
        return "never"
    times = "once" if len(locks) == 1 else f"{len(locks)} times"
    return f"{times}, {pct(document['locked_pct'], 0)} of the time: first by {locks[0]['why']}"
