"""What an account earned, and by what: figures of a backtest's history."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from shared.backtest.simulation.bar_prices import BAR_MS
from shared.backtest.simulation.trades import AccountHistory, Trade
from shared.backtest.statistics.sharpe import sharpe, skew_and_kurtosis, standard_error
from shared.clock import utc_text
from shared.market import Floats
from shared.trading.breakers import DAY_MS, HOUR_MS

YEAR_DAYS = 365
_SURE = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Some trades: `pnl` net, `fees` and `funding` in quote currency; `r`: the mean net R."""

    name: str
    trades: int
    won_pct: float
    r: float
    pnl: float
    fees: float
    funding: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Figures of one run; None where there is too little to tell.

    Attributes:
        sharpe: Of net returns per UTC day, times the square root of 365; `sharpe_from`,
            `sharpe_to`: what 95 of 100 such intervals hold the truth within.
        volatility_pct: Standard deviation of those returns, per year.
        exposure_pct: Share of the time with something open.
        turnover: Value bought and sold, in first equities.
        cagr_pct, calmar: From one year on.
        locked_pct: Share of the time without entries because a breaker was latched.
    """

    trades: int
    bonus_trades: int
    net_return_pct: float
    max_drawdown_pct: float
    sharpe: float | None
    sharpe_from: float | None
    sharpe_to: float | None
    sortino: float | None
    volatility_pct: float | None
    profit_factor: float | None
    expectancy_r: float | None
    won_pct: float | None
    exposure_pct: float
    turnover: float
    fees: float
    funding: float
    spread: float
    locked_pct: float
    cagr_pct: float | None
    calmar: float | None
    days: float


def metrics_of(history: AccountHistory) -> Metrics:
    """Return the figures of a run."""
    trades, first, last = history.trades, history.start, final_equity(history)
    span_ms = int(history.at_ms[-1] - history.at_ms[0]) + BAR_MS
    days = span_ms / DAY_MS
    daily = daily_returns(history)
    net = last / first - 1
    worst = float(drawdown_pct(np.append(first, history.equity)).max())
    per_year, error = sharpe_ratio(daily)
    losing = float(np.sqrt(np.mean(np.minimum(daily, 0.0) ** 2))) if len(daily) else 0.0
    grows = days >= YEAR_DAYS and last > 0
    cagr = (last / first) ** (YEAR_DAYS / days) - 1 if grows else None
    return Metrics(
        trades=len(trades),
        bonus_trades=sum(t.bonus > 0 for t in trades),
        net_return_pct=100 * net,
        max_drawdown_pct=worst,
        sharpe=per_year,
        sharpe_from=None if per_year is None else per_year - _SURE * error,
        sharpe_to=None if per_year is None else per_year + _SURE * error,
        sortino=float(daily.mean()) / losing * math.sqrt(YEAR_DAYS) if losing else None,
        volatility_pct=(
            100 * float(daily.std(ddof=1)) * math.sqrt(YEAR_DAYS) if len(daily) > 1 else None
        ),
        profit_factor=_profit_factor(trades),
        expectancy_r=_mean([t.r for t in trades]),
        won_pct=_mean([100.0 * (t.pnl > 0) for t in trades]),
        exposure_pct=100 * _covered_ms([(t.entered_ms, t.left_ms) for t in trades]) / span_ms,
        turnover=sum(float(t.turnover) for t in trades) / first,
        fees=sum(float(t.fees) for t in trades),
        funding=sum(float(t.funding) for t in trades),
        spread=sum(float(t.spread) for t in trades),
        locked_pct=100 * _covered_ms([(x.from_ms, x.to_ms) for x in history.locked]) / span_ms,
        cagr_pct=None if cagr is None else 100 * cagr,
        calmar=100 * cagr / worst if cagr is not None and worst else None,
        days=days,
    )


def final_equity(history: AccountHistory) -> float:
    """Return the equity after everything was closed."""
    return history.start + sum(float(t.pnl) for t in history.trades)


def daily_returns(history: AccountHistory) -> Floats:
    """Return the net return of each whole UTC day.

    Shapes: (days,).
    Units:  share of the equity at the day's begin.
    """
    begins = np.flatnonzero(history.at_ms % DAY_MS == 0)
    equity = history.equity[begins]
    if len(begins) and not begins[0]:
        equity[0] = history.start
    if len(begins) and int(history.at_ms[-1]) % DAY_MS == DAY_MS - BAR_MS:
        equity = np.append(equity, final_equity(history))
    found: Floats = np.diff(equity) / equity[:-1]
    return found


def drawdown_pct(equity: Floats) -> Floats:
    """Return how far equity is below its highest so far.

    Shapes: (closes,) -> (closes,).
    Units:  percent of that highest.
    """
    highest = np.maximum.accumulate(equity)
    found: Floats = 100 * (highest - equity) / highest
    return found


def sharpe_ratio(daily: Floats) -> tuple[float | None, float]:
    """Return the Sharpe ratio per year of daily returns, and its standard error.

    Shapes: (days,).
    Units:  per year of 365 days; None with fewer than 10 days, or if they do not differ.
    Source: `sharpe` and `standard_error`, per day.
    """
    if len(daily) < 10 or not np.ptp(daily):
        return None, math.nan
    ratio = float(sharpe(daily[:, None])[0])
    year = math.sqrt(YEAR_DAYS)
    return ratio * year, standard_error(ratio, len(daily), *skew_and_kurtosis(daily)) * year


def groups(trades: Sequence[Trade], name: Callable[[Trade], str]) -> list[Group]:
    """Return the trades grouped by a name, in order of the names."""
    by: dict[str, list[Trade]] = {}
    for trade in trades:
        by.setdefault(name(trade), []).append(trade)
    return [_group(key, by[key]) for key in sorted(by)]


BREAKDOWNS: dict[str, Callable[[Trade], str]] = {
    "month": lambda trade: utc_text(trade.entered_ms)[:7],
    "coin": lambda trade: trade.symbol,
    "side": lambda trade: trade.side,
    "exit": lambda trade: trade.how,
    "bonus": lambda trade: "with bonus" if trade.bonus else "base alone",
    "hour (UTC)": lambda trade: f"{trade.entered_ms % DAY_MS // (4 * HOUR_MS) * 4:02d}:00",
}
"""By what trades are grouped, the hour in steps of four."""


def net_at_costs(history: AccountHistory, factor: float) -> float:
    """Return the net return of the same trades at other costs.

    Units: percent of the first equity; `factor` of fees and of what fills cost beyond the price.
    """
    first = history.start
    costs = sum(float(t.fees + t.spread) for t in history.trades)
    return 100 * ((final_equity(history) - (factor - 1) * costs) / first - 1)


def _group(name: str, trades: Sequence[Trade]) -> Group:
    return Group(
        name=name,
        trades=len(trades),
        won_pct=100 * sum(t.pnl > 0 for t in trades) / len(trades),
        r=sum(t.r for t in trades) / len(trades),
        pnl=sum(float(t.pnl) for t in trades),
        fees=sum(float(t.fees) for t in trades),
        funding=sum(float(t.funding) for t in trades),
    )


def _profit_factor(trades: Sequence[Trade]) -> float | None:
    won = sum(float(t.pnl) for t in trades if t.pnl > 0)
    lost = -sum(float(t.pnl) for t in trades if t.pnl < 0)
    return won / lost if lost else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _covered_ms(spans: Sequence[tuple[int, int]]) -> int:
    """Return how long at least one of some spans lasts."""
    covered, until = 0, 0
    for begin, end in sorted(spans):
        covered += max(0, end - max(begin, until))
        until = max(until, end)
    return covered
