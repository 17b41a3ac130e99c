"""What a sweep's result says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.backtest.simulation.fill_model import FillModel
from shared.backtest.sweep import document as made
from shared.backtest.sweep.folds import WalkForward, time_plan
from shared.backtest.sweep.grid import grid
from shared.backtest.sweep.ledger import Ledger, LedgerLine
from shared.backtest.sweep.run import FoldResult, Question, Tried
from shared.backtest.sweep.stored import PartResult
from shared.config.sections import Config, IndicatorsSection
from shared.console.sweep_text import lines

DAY_MS = 86_400_000
FIRST_MS = 19_700 * DAY_MS
PLAN = time_plan(FIRST_MS, FIRST_MS + 125 * DAY_MS, 0.2, WalkForward(30, 10))
SETTINGS = grid(["trader.entry_score=80:91:1"], Config(groups={"majors": ["BTCUSDT"]})).settings
QUESTION = Question(SETTINGS, PLAN, FillModel(), "sharpe", IndicatorsSection(), "d" * 64)
BEST = 3


def result(daily: Any, results_r: Any = (), first_ms: int = FIRST_MS) -> PartResult:
    r = np.asarray(results_r, dtype=np.float64)
    entered = first_ms + np.linspace(0, (len(daily) - 1) * DAY_MS, len(r)).astype(np.int64)
    return PartResult(np.asarray(daily, dtype=np.float64), entered, r, f"{len(r)}")


def tried(mean_r: float, edge: float) -> Tried:
    """Return a sweep of which one setting earns `edge` a day, and `mean_r` per trade later."""
    rng = np.random.default_rng(5)
    daily = rng.normal(0.0, 0.01, (PLAN.selection.days, len(SETTINGS)))
    daily -= daily.mean(axis=0)
    daily[:, BEST] += edge
    folds = [
        FoldResult(
            fold, BEST,
            result(np.full(fold.test.days, mean_r / 100),
                   np.tile([mean_r - 0.5, mean_r + 0.5], 10), fold.test.from_ms),
        )
        for fold in PLAN.folds
    ]  # fmt: skip
    return Tried([result(column, [0.1, -0.1]) for column in daily.T], folds, BEST, "e" * 64)


def ledger(tries: int, *, opened: bool = False) -> Ledger:
    selection, held = PLAN.selection, PLAN.hold_out
    assert held is not None
    line = LedgerLine(
        before="", at_ms=1, kind="sweep", id="x", data_hash="", from_ms=selection.from_ms,
        to_ms=selection.to_ms, held_out_ms=held.to_ms, tries=tries, what="",
    )  # fmt: skip
    look = LedgerLine(
        before="", at_ms=2, kind="opening", id="y", data_hash="", from_ms=held.from_ms,
        to_ms=held.to_ms, held_out_ms=held.to_ms, tries=1, what="",
    )  # fmt: skip
    return Ledger((line, look) if opened else (line,), "f" * 64)


def document(found: Tried, known: Ledger | None) -> made.Document:
    verdict = made.verdict_on(QUESTION, found, known, None)
    return made.document(QUESTION, found, verdict, known, "c" * 64)


@pytest.mark.parametrize(
    ("mean_r", "edge", "known", "outcome"),
    [
        (0.3, 0.01, ledger(12), "edge"),
        (0.3, 0.01, None, "undecided"),
        (0.3, 0.0005, ledger(12), "no_edge"),
        (0.0, 0.01, ledger(12), "no_edge"),
        (0.3, 0.004, ledger(12), "edge"),
        (0.3, 0.004, ledger(10**9), "no_edge"),
    ],
)
def test_an_edge_needs_a_ledger_and_stands_only_against_all_tries(
    mean_r: float, edge: float, known: Ledger | None, outcome: str
) -> None:
    found = document(tried(mean_r, edge), known)
    assert found["verdict"] == outcome, found["reasons"]
    assert found["tries"] == (None if known is None else known.lines[0].tries)


def test_the_document_has_the_names_that_do_not_change(tmp_path: Path) -> None:
    found = document(tried(0.3, 0.01), ledger(12))
    names = {"verdict", "sentence", "tries", "settings", "deflated_sharpe", "pbo", "spa_p",
             "hold_out", "digest"}  # fmt: skip
    assert names <= found.keys()
    assert found["sentence"].startswith("the chosen one earned 0.300 (")
    assert [each.keys() >= {"parameters", "in_sample", "out_of_sample"}
            for each in found["settings"]] == [True] * len(SETTINGS)  # fmt: skip
    chosen = found["settings"][BEST]
    assert chosen["parameters"] == {"trader.entry_score": 83} == found["chosen"]["parameters"]
    assert chosen["out_of_sample"]["folds"] == len(PLAN.folds)
    assert chosen["out_of_sample"]["trades"] == 20 * len(PLAN.folds)
    assert chosen["settings_hash"] == found["chosen"]["settings_hash"]
    assert found["chosen"]["trader"]["entry_score"] == 83
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    text = list(lines(found, tmp_path))
    assert text[-1] == found["sentence"]
    assert any("held out" in line and "open-hold-out" in line for line in text)


def test_figures_are_those_of_the_days_and_trades() -> None:
    found = made.figures(result([0.1, -0.1, 0.0], [1.0, -0.5]))
    assert found["trades"] == 2
    assert found["net_return_pct"] == pytest.approx(-1.0)
    assert found["daily_drawdown_pct"] == pytest.approx(10.0)
    assert found["expectancy_r"] == 0.25
    assert found["sharpe"] == pytest.approx(0.0)
    lost = made.figures(result([-0.1, 0.1]))
    assert lost["daily_drawdown_pct"] == pytest.approx(10.0)
    assert lost["expectancy_r"] is None


def test_a_hold_out_that_others_have_seen_is_counted_and_ours_is_kept(tmp_path: Path) -> None:
    found = document(tried(0.3, 0.01), ledger(12, opened=True))
    assert (found["hold_out"]["opened"], found["hold_out"]["trades"]) == (1, [])
    assert any("looked at once" in line for line in lines(found, tmp_path))
    held = PLAN.hold_out
    assert held is not None
    seen = made.opened(found, result([0.01] * 25, [0.5, -0.5, 1.5], held.from_ms), 2)
    assert seen["hold_out"]["mean_r"] == pytest.approx(0.5)
    assert seen["hold_out"]["low_r"] is None
    assert [r for _, r in seen["hold_out"]["trades"]] == [0.5, -0.5, 1.5]
    assert made.still_opened(found, seen)["hold_out"] == seen["hold_out"] | {"opened": 1}
    assert made.still_opened(found, seen | {"digest": "other"}) == found
    text = "\n".join(lines(seen, tmp_path))
    assert "earned 0.500 R per trade (no interval: trades in 3 blocks of 3 days" in text
    assert "3 trades; looked at 2 times" in text
