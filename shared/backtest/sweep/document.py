"""What a sweep found, as `sweep.json` has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from shared.backtest.bootstrap import MIN_BLOCKS, Blocks, coverage_pct
from shared.backtest.results.metrics import YEAR_DAYS, drawdown_pct
from shared.backtest.statistics.lower_bound import BLOCK_DAYS
from shared.backtest.statistics.sharpe import sharpe
from shared.backtest.sweep.folds import Part
from shared.backtest.sweep.ledger import FIRST, Ledger
from shared.backtest.sweep.run import FoldResult, Question, Tried
from shared.backtest.sweep.stored import PartResult
from shared.backtest.sweep.verdict import Verdict, judge
from shared.backtest.user_strategy.points import Tally
from shared.codec import number
from shared.errors import count
from shared.evidence.hashes import tested_indicators
from shared.exchanges.sim.rules import TAKER_FEE
from shared.market import Floats
from shared.trading.strategy import BASE

FORM = 1
Document = dict[str, Any]


def verdict_on(
    question: Question, tried: Tried, ledger: Ledger | None, random_entries: Floats | None
) -> Verdict:
    """Return what a sweep shows; without a ledger never an edge, as the tries are unknown.

    Args:
        random_entries: Net return per day of the best setting's trades, entered at random.
    """
    results = [fold.test for fold in tried.folds if fold.test is not None]
    tries = len(question.settings)
    if ledger is not None:
        plan = question.plan
        tries = max(tries, ledger.tries(plan.selection.from_ms, plan.selection.to_ms))
    found = judge(
        np.stack([result.daily for result in tried.selection], axis=1),
        np.concatenate([np.empty(0), *(r.results_r for r in results)]),
        np.concatenate([np.empty(0, dtype=np.int64), *(r.entered_ms for r in results)]),
        tries,
        _rng(question.id),
        random_entries=random_entries,
    )
    if ledger is None and found.outcome == "edge":
        why = "tries unknown: there is no ledger of them"
        return replace(found, outcome="undecided", sentence=f"too little to tell: {why}",
                       reasons=(why,))  # fmt: skip
    return found


def document(
    question: Question,
    tried: Tried,
    verdict: Verdict,
    ledger: Ledger | None,
    data_hash: str,
    *,
    tally: Tally | None = None,
) -> Document:
    """Return `sweep.json`; nothing in it depends on a clock, a host, a path or a duration.

    Args:
        data_hash: Of all candles, the hold-out included.
        tally: How the scores of a user's strategy came about.
    """
    tested = question.strategy
    selection, out = verdict.selection, verdict.out_of_sample
    return {
        "v": FORM,
        "verdict": verdict.outcome,
        "sentence": verdict.sentence,
        "reasons": list(verdict.reasons),
        "tries": None if ledger is None else verdict.tries,
        "ledger_head": FIRST if ledger is None else ledger.head,
        "strategy": asdict(BASE) if tested is None else tested.document(tally or Tally()),
        "objective": question.objective,
        "fill_model": asdict(question.model),
        "taker_fee": str(TAKER_FEE),
        "indicators": tested_indicators(question.indicators),
        "data_hash": data_hash,
        "selection": {**_span(question.plan.selection), "data_hash": question.data_hash},
        "deflated_sharpe": None if selection is None else number(selection.deflated_sharpe),
        "pbo": None if selection is None or selection.pbo is None else number(selection.pbo),
        "spa_p": None if selection is None else number(selection.spa_p),
        "spa_p_random": (
            None
            if selection is None or selection.spa_p_random is None
            else number(selection.spa_p_random)
        ),
        "never_traded": verdict.never_traded,
        "out_of_sample": {
            "trades": out.trades,
            "blocks": out.blocks,
            "mean_r": number(out.mean_r),
            "low_r": number(out.low_r),
            "high_r": number(out.high_r),
            "coverage_pct": coverage_pct(out.blocks) if out.blocks >= MIN_BLOCKS else None,
        },
        "folds": [_fold(question, fold) for fold in tried.folds],
        "settings": _settings(question, tried),
        "chosen": _chosen(question, tried),
        "hold_out": _closed(question, data_hash, ledger),
        "digest": tried.digest,
    }


def figures(result: PartResult) -> Document:
    """Return the figures of one setting in one part; None where there is no such number."""
    grown = np.cumprod(np.concatenate([[1.0], 1.0 + result.daily]))
    per_day = float(sharpe(result.daily[:, None])[0]) if len(result.daily) > 1 else math.nan
    return {
        "trades": len(result.results_r),
        "net_return_pct": 100.0 * float(grown[-1] - 1.0),
        "daily_drawdown_pct": float(drawdown_pct(grown).max()),
        "sharpe": number(per_day * math.sqrt(YEAR_DAYS)),
        "expectancy_r": float(result.results_r.mean()) if len(result.results_r) else None,
    }


def opened(found: Document, result: PartResult, openings: int) -> Document:
    """Return `sweep.json` with what the chosen setting did on the hold-out."""
    trades = [
        [int(at_ms), float(r)]
        for at_ms, r in zip(result.entered_ms, result.results_r, strict=True)
    ]  # fmt: skip
    hold_out = {**found["hold_out"], "opened": openings, "trades": trades, "digest": result.digest}
    return {**found, "hold_out": {**hold_out, **_mean(result, found["digest"]), **_rest(result)}}


def still_opened(found: Document, before: Document) -> Document:
    """Return `sweep.json` with what was seen of the hold-out by the same sweep before."""
    if any(found[name] != before.get(name) for name in ("digest", "data_hash", "chosen")):
        return found
    seen = {**(before["hold_out"] or {}), "opened": (found["hold_out"] or {}).get("opened")}
    return {**found, "hold_out": seen} if "digest" in seen else found


def hold_out_sentence(hold_out: Document, closed: str) -> str:
    """Return in words what a hold-out shows.

    Args:
        closed: What to say of one that was not opened by this sweep.
    """
    seen = "once" if hold_out["opened"] == 1 else f"{hold_out['opened']} times"
    if "digest" not in hold_out:
        return closed + (f" (its days were looked at {seen})" if hold_out["opened"] else "")
    if not hold_out["trades"]:
        return f"on the hold-out the chosen one never traded (looked at {seen})"
    interval = (
        f"no interval: trades in {count(hold_out['blocks'], 'block')} of {BLOCK_DAYS} days, "
        f"{MIN_BLOCKS} are needed"
        if hold_out["low_r"] is None
        else f"{hold_out['low_r']:.3f} to {hold_out['high_r']:.3f}"
    )
    return (
        f"on the hold-out the chosen one earned {hold_out['mean_r']:.3f} R per trade ({interval}; "
        f"{count(len(hold_out['trades']), 'trade')}; looked at {seen})"
    )


def _rest(result: PartResult) -> Document:
    return {name: value for name, value in figures(result).items() if name != "trades"}


def _mean(result: PartResult, seed: str) -> Document:
    if not len(result.results_r):
        return {"blocks": 0, "mean_r": None, "low_r": None, "high_r": None}
    blocks = Blocks(result.entered_ms, BLOCK_DAYS, _rng(seed))
    everything = np.zeros(len(result.results_r), dtype=np.int64)
    found = blocks.means(result.results_r, everything, blocks.at(result.entered_ms), 1)
    return {
        "blocks": int(found.blocks[0]),
        "mean_r": number(found.mean[0]),
        "low_r": number(found.low[0]),
        "high_r": number(found.high[0]),
    }


def _settings(question: Question, tried: Tried) -> list[Document]:
    tested: dict[int, list[PartResult]] = {}
    for fold in tried.folds:
        if fold.chosen is not None and fold.test is not None:
            tested.setdefault(fold.chosen, []).append(fold.test)
    return [
        {
            "parameters": dict(setting.parameters),
            "settings_hash": question.hash_of(setting),
            "in_sample": figures(result),
            "out_of_sample": _stitched(tested[place]) if place in tested else None,
        }
        for place, (setting, result) in enumerate(
            zip(question.settings, tried.selection, strict=True)
        )
    ]


def _stitched(tests: Sequence[PartResult]) -> Document:
    """Return the figures of the test parts that a setting was chosen for, one after the other."""
    together = PartResult(
        daily=np.concatenate([test.daily for test in tests]),
        entered_ms=np.concatenate([test.entered_ms for test in tests]),
        results_r=np.concatenate([test.results_r for test in tests]),
        digest="",
    )
    return {"folds": len(tests), **figures(together)}


def _fold(question: Question, fold: FoldResult) -> Document:
    chosen = None if fold.chosen is None else dict(question.settings[fold.chosen].parameters)
    return {
        "training": _span(fold.fold.training),
        "test": _span(fold.fold.test),
        "chosen": chosen,
        "out_of_sample": None if fold.test is None else figures(fold.test),
    }


def _chosen(question: Question, tried: Tried) -> Document | None:
    if tried.chosen is None:
        return None
    setting = question.settings[tried.chosen]
    return {
        "parameters": dict(setting.parameters),
        "trader": asdict(setting.trader),
        "strategy_parameters": dict(setting.strategy_parameters),
        "settings_hash": question.hash_of(setting),
    }


def _closed(question: Question, data_hash: str, ledger: Ledger | None) -> Document | None:
    part = question.plan.hold_out
    if part is None:
        return None
    openings = 0 if ledger is None else ledger.openings(part.from_ms, part.to_ms)
    return {"opened": openings, **_span(part), "data_hash": data_hash, "trades": []}


def _span(part: Part) -> Document:
    return {"from_ms": part.from_ms, "to_ms": part.to_ms}


def _rng(seed: str) -> np.random.Generator:
    return np.random.default_rng(int(seed[:16], 16))
