"""The floor to beat: the same trades, entered at random times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.backtest.simulation.bar_prices import BAR_MS, opens_without_breaks
from shared.backtest.simulation.trades import AccountHistory, Trade
from shared.market import Candles, Floats, Times
from shared.trading.breakers import DAY_MS

RUNS = 200
SEED = 20250201
LEVELS_PCT = (5, 50, 95)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomEntries:
    """Many runs of the same coins, sides, holding times, sizes and costs at random times.

    Attributes:
        net_return_pct: Of each run, ascending. Shape: (runs,).
        at_ms: The first close, and the ends of days of 24 h from it on. Shape: (1 + days,).
        band: Equity then that 5, 50 and 95 % of runs are at most at, of trades that ended. Shape:
            (3, 1 + days).
        beaten_pct: Share of runs that earned less than the rule.
    """

    net_return_pct: Floats
    at_ms: Times
    band: Floats
    beaten_pct: float


def random_entries(
    history: AccountHistory, candles: Mapping[str, Candles], runs: int = RUNS
) -> RandomEntries:
    """Return what the trades would have earned at random times of the same span.

    Neither stops nor limits are asked: a trade is held for as long as the rule's was. Over a break
    of the price scale the price stays.

    Args:
        candles: 5m candles of the trades' coins.
    """
    rng = np.random.default_rng(SEED)
    begin_ms, first = int(history.at_ms[0]), history.start
    days = (int(history.at_ms[-1]) - begin_ms) // DAY_MS + 1
    gained = np.zeros((runs, 1 + days))
    rows = np.arange(runs)
    prices = {s: (c.open_time_ms, opens_without_breaks(c)) for s, c in candles.items()}
    for trade in history.trades:
        pnl, ended_ms = _at_random(trade, prices[trade.symbol], history, rng, runs)
        gained[rows, 1 + np.minimum((ended_ms - begin_ms) // DAY_MS, days - 1)] += pnl
    final = gained.sum(axis=1)
    equity = first + np.cumsum(gained, axis=1)
    net = 100 * final / first
    own = sum(float(trade.pnl) for trade in history.trades)
    return RandomEntries(
        net_return_pct=np.sort(net),
        at_ms=begin_ms + DAY_MS * np.arange(days + 1, dtype=np.int64),
        band=np.percentile(equity, LEVELS_PCT, axis=0),
        beaten_pct=100 * float(np.mean(final < own)),
    )


def _at_random(
    trade: Trade,
    prices: tuple[Times, Floats],
    history: AccountHistory,
    rng: np.random.Generator,
    runs: int,
) -> tuple[Floats, Times]:
    """Return a trade's P&L at random times, and when it ended."""
    times, opens = prices
    bars = max(1, round((trade.left_ms - trade.entered_ms) / BAR_MS))
    span = times.searchsorted([history.at_ms[0], history.at_ms[-1]])
    begin, end = int(span[0]), int(span[1])
    entered = rng.integers(begin, max(begin + 1, end - bars), runs)
    left = np.minimum(entered + bars, len(times) - 1)
    moved = opens[left] / opens[entered] - 1
    sign = 1 if trade.side == "long" else -1
    value = float(trade.size * trade.entry_price)
    costs = float(trade.fees + trade.spread - trade.funding)
    return sign * moved * value - costs, times[left]


def buy_and_hold(history: AccountHistory, candles: Sequence[Candles]) -> Floats:
    """Return the equity of buying all coins for equal amounts at first and keeping them.

    Shapes: (closes,), at the history's.
    Units:  quote currency; no costs. A coin without a candle yet is cash until its first.
        Over a break of the price scale the price stays.
    """
    total = np.zeros(len(history.at_ms))
    for each in candles:
        place = each.open_time_ms.searchsorted(history.at_ms, side="right") - 1
        prices = np.where(place < 0, np.nan, opens_without_breaks(each)[np.maximum(place, 0)])
        known = np.flatnonzero(np.isfinite(prices))
        bought = prices[known[0]] if len(known) else 1.0
        total += np.where(np.isfinite(prices), prices / bought, 1.0)
    return history.start * total / max(1, len(candles))
