"""A backtest's result as one plain document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from shared.backtest.replay import Recording
from shared.backtest.results.hashes import data_hash, history_digest
from shared.backtest.results.metrics import BREAKDOWNS, groups, metrics_of, net_at_costs
from shared.backtest.results.random_entries import RandomEntries, buy_and_hold, random_entries
from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.simulation.market_detail import MarketDetail, assumptions
from shared.backtest.simulation.trades import AccountHistory, Trade
from shared.config.sections import IndicatorsSection, TraderSection
from shared.evidence.hashes import settings_hash, tested_indicators
from shared.market import Floats, Timeframe
from shared.trading.strategy import BASE

COST_FACTORS = (0.5, 1.0, 2.0)
WORST = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What was asked: the rule, the assumptions, the candles.

    Attributes:
        details: By coin, what its paths and its funding were made of beside the candles.
        strategy_parameters: Defaults filled in.
        strategy: Its identity, and of a user's how it was asked.
        most_bars: Of a timeframe, that a user's strategy asks for.
    """

    recordings: Mapping[str, Recording]
    trader: TraderSection
    indicators: IndicatorsSection
    model: FillModel
    from_ms: int
    to_ms: int
    details: Mapping[str, MarketDetail] = field(default_factory=dict)
    strategy_parameters: Mapping[str, Any] = field(default_factory=dict)
    most_bars: int = 0
    strategy: Mapping[str, Any] = field(default_factory=lambda: asdict(BASE))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """The answer. `held`: equity of buying and holding; `document`: all figures, plain."""

    question: Question
    history: AccountHistory
    chance: RandomEntries
    held: Floats
    document: Mapping[str, Any]


def result_of(question: Question, history: AccountHistory) -> Result:
    """Return the figures of a run; they depend on nothing but question and history."""
    candles = {s: each.candles[Timeframe.M5] for s, each in question.recordings.items()}
    chance = random_entries(history, candles)
    held = buy_and_hold(history, list(candles.values()))
    document = {
        **asdict(metrics_of(history)),
        "from_ms": question.from_ms,
        "to_ms": question.to_ms,
        "symbols": sorted(question.recordings),
        "start_quote": question.model.start_quote,
        "locked": [asdict(lock) for lock in history.locked],
        "refusals": dict(history.refusals),
        "net_return_pct_at_costs": {str(f): net_at_costs(history, f) for f in COST_FACTORS},
        "by": {
            name: [asdict(group) for group in groups(history.trades, of)]
            for name, of in BREAKDOWNS.items()
        },
        "worst": [_plain(trade) for trade in worst(history.trades)],
        "buy_and_hold_pct": 100 * (float(held[-1]) / float(held[0]) - 1),
        "random_entries": {
            "runs": len(chance.net_return_pct),
            "net_return_pct": [float(x) for x in _levels(chance.net_return_pct)],
            "beaten_pct": chance.beaten_pct,
        },
        "fill_model": asdict(question.model),
        "assumptions": assumptions(
            question.details, question.model, question.from_ms, question.to_ms
        ),
        "trader": asdict(question.trader),
        "indicators": tested_indicators(question.indicators),
        "strategy": dict(question.strategy),
        "strategy_parameters": dict(question.strategy_parameters),
        "settings_hash": settings_hash(
            question.trader,
            question.strategy_parameters,
            question.indicators,
            asdict(question.model),
        ),
        "data_hash": data_hash(
            question.recordings,
            max(question.indicators.history, question.most_bars),
            question.from_ms,
            question.to_ms,
            question.details,
        ),
        "strategy_hash": question.strategy["hash"],
        "digest": history_digest(history),
    }
    return Result(question=question, history=history, chance=chance, held=held, document=document)


def worst(trades: Sequence[Trade]) -> list[Trade]:
    """Return the trades that lost most, in R."""
    return sorted((t for t in trades if t.pnl < 0), key=lambda t: t.r)[:WORST]


def _levels(ascending: Floats) -> list[float]:
    """Return what 5, 50 and 95 % are at most at."""
    last = len(ascending) - 1
    return [float(ascending[round(last * share)]) for share in (0.05, 0.5, 0.95)]


def _plain(trade: Trade) -> dict[str, Any]:
    return {
        "symbol": trade.symbol, "side": trade.side, "entered_ms": trade.entered_ms,
        "left_ms": trade.left_ms, "how": trade.how, "r": trade.r, "pnl": float(trade.pnl),
    }  # fmt: skip
