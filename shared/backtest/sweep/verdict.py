"""What a sweep shows: the rule that turns its figures into one word and one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from shared.backtest.bootstrap import MIN_BLOCKS, Blocks
from shared.backtest.statistics.lower_bound import BLOCK_DAYS
from shared.backtest.statistics.overfitting import overfitting_probability
from shared.backtest.statistics.sharpe import deflated_sharpe
from shared.backtest.statistics.superiority import DRAWS, superiority_p
from shared.errors import count
from shared.market import Floats, Times

Outcome = Literal["edge", "no_edge", "undecided"]
MIN_TRADES = 100
MIN_DAYS = MIN_BLOCKS * BLOCK_DAYS
LEAST_DEFLATED_SHARPE = 0.95
MOST_PBO = 0.2
MOST_SPA_P = 0.05


@dataclass(frozen=True, slots=True)
class Selection:
    """How settings fared where they were chosen.

    Attributes:
        deflated_sharpe: Probability that the best Sharpe ratio is more than the luck of all tries.
        pbo: Probability of overfitting; None with one setting, of which none was chosen.
        spa_p: p-value of the best against cash.
        spa_p_random: p-value of the best against random entries; None if none were given.
    """

    deflated_sharpe: float
    pbo: float | None
    spa_p: float
    spa_p_random: float | None


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """Trades of the chosen settings on days they were not chosen on.

    Attributes:
        blocks: Blocks of `BLOCK_DAYS` days in which a trade was entered.
        mean_r: Mean result in R; NaN without trades.
        low_r: Lower end of its 95 % interval; NaN with fewer than `MIN_BLOCKS` blocks.
        high_r: Upper end.
    """

    trades: int
    blocks: int
    mean_r: float
    low_r: float
    high_r: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a sweep shows.

    Attributes:
        reasons: What is missing for an edge, in words; empty if there is one.
        never_traded: Settings that never traded, and were left out.
        selection: None where there are too few days, or nothing traded.
    """

    outcome: Outcome
    sentence: str
    reasons: tuple[str, ...]
    tries: int
    never_traded: int
    selection: Selection | None
    out_of_sample: OutOfSample


def judge(
    daily: Floats,
    results_r: Floats,
    entered_ms: Times,
    tries: int,
    rng: np.random.Generator,
    *,
    random_entries: Floats | None = None,
    draws: int = DRAWS,
) -> Verdict:
    """Return what a sweep shows: an edge, none, or too little to tell.

    Args:
        daily: Net return of equity per UTC day and setting, where settings were chosen.
        results_r: Net results of the chosen settings' trades on days they were not chosen on.
        entered_ms: When these trades were entered.
        tries: All settings ever tried on these data, those of this sweep included.
        random_entries: Return per day of entries at random times; says nothing about `outcome`.
        draws: Samples of the test of the best.

    Shapes: daily (days, settings); results_r, entered_ms (trades,); random_entries (days,).
    Units:  daily as share of the equity; results in R; times epoch ms.
    Raises: ValueError: shapes do not fit, a number is not finite, or fewer tries than settings.
    Source: Bailey and Lopez de Prado 2014 (deflated Sharpe ratio), Bailey et al. 2015 (PBO), Hansen
        2005 (SPA); an edge must pass all three and have an interval above zero out of sample. What
        the rule finds and lets pass is measured by `coinex evidence power`.
    """
    if not (daily.ndim == 2 and np.isfinite(daily).all() and np.isfinite(results_r).all()):
        raise ValueError(
            f"returns of shape {daily.shape}: expected finite numbers, (days, settings), and "
            "finite results"
        )
    if results_r.shape != entered_ms.shape or tries < daily.shape[1]:
        raise ValueError(
            f"{len(results_r)} results with {len(entered_ms)} times, {tries} tries for "
            f"{daily.shape[1]} settings: expected a time for each, and at least as many tries"
        )
    if random_entries is not None and random_entries.shape != daily.shape[:1]:
        raise ValueError(f"random entries of {random_entries.shape}: expected {daily.shape[:1]}")
    out = _out_of_sample(results_r, entered_ms, rng)
    traded = daily[:, np.ptp(daily, axis=0) > 0.0]
    selection = None
    if len(daily) >= MIN_DAYS and traded.shape[1]:
        selection = _selection(traded, tries, rng, random_entries, draws)
    missing = _missing(len(daily), traded.shape[1], out)
    failed = () if selection is None else _failed(selection, out)
    outcome: Outcome = "undecided" if missing else "no_edge" if failed else "edge"
    return Verdict(
        outcome,
        _sentence(outcome, missing, out, tries),
        missing or failed,
        tries,
        daily.shape[1] - traded.shape[1],
        selection,
        out,
    )


def _selection(
    traded: Floats,
    tries: int,
    rng: np.random.Generator,
    random_entries: Floats | None,
    draws: int,
) -> Selection:
    pbo = overfitting_probability(traded) if traded.shape[1] > 1 else None
    against_cash = superiority_p(traded, rng, draws=draws)
    against_random = None
    if random_entries is not None:
        against_random = superiority_p(traded - random_entries[:, None], rng, draws=draws)
    return Selection(deflated_sharpe(traded, tries), pbo, against_cash, against_random)


def _out_of_sample(results_r: Floats, entered_ms: Times, rng: np.random.Generator) -> OutOfSample:
    if not len(results_r):
        return OutOfSample(0, 0, np.nan, np.nan, np.nan)
    blocks = Blocks(entered_ms, BLOCK_DAYS, rng)
    groups = np.zeros(len(results_r), dtype=np.int64)
    found = blocks.means(results_r, groups, blocks.at(entered_ms), 1)
    return OutOfSample(
        len(results_r),
        int(found.blocks[0]),
        float(found.mean[0]),
        float(found.low[0]),
        float(found.high[0]),
    )


def _missing(days: int, settings: int, out: OutOfSample) -> tuple[str, ...]:
    """Return what is too little to judge, and how much more it takes."""
    found = []
    if not settings:
        found.append("no setting ever traded")
    if days < MIN_DAYS:
        found.append(f"{count(days, 'day')} to choose on, {MIN_DAYS} are needed")
    if out.blocks < MIN_BLOCKS:
        more = (MIN_BLOCKS - out.blocks) * BLOCK_DAYS
        found.append(
            f"trades out of sample in {count(out.blocks, 'block')} of {BLOCK_DAYS} days, "
            f"{MIN_BLOCKS} are needed: at least {more} more days"
        )
    if out.trades < MIN_TRADES:
        found.append(f"{count(out.trades, 'trade')} out of sample, {MIN_TRADES} are needed")
    return tuple(found)


def _failed(selection: Selection, out: OutOfSample) -> tuple[str, ...]:
    """Return what keeps figures from showing an edge."""
    found = []
    if selection.deflated_sharpe < LEAST_DEFLATED_SHARPE:
        found.append(
            f"the best Sharpe ratio is more than luck with probability "
            f"{selection.deflated_sharpe:.3f}, {LEAST_DEFLATED_SHARPE} is needed"
        )
    if selection.pbo is not None and selection.pbo > MOST_PBO:
        found.append(f"probability of overfitting {selection.pbo:.3f}, at most {MOST_PBO} is right")
    if selection.spa_p > MOST_SPA_P:
        found.append(f"p-value against cash {selection.spa_p:.3f}, at most {MOST_SPA_P} is right")
    if not out.low_r > 0.0:
        found.append(f"mean out of sample between {out.low_r:.3f} and {out.high_r:.3f} R")
    return tuple(found)


def _sentence(outcome: Outcome, missing: tuple[str, ...], out: OutOfSample, tries: int) -> str:
    tried = "1 try" if tries == 1 else f"{tries} tries"
    if outcome == "undecided":
        return f"too little to tell ({tried}): {'; '.join(missing)}"
    if outcome == "no_edge":
        return f"no setting can be told from no signal ({tried})"
    return (
        f"the chosen one earned {out.mean_r:.3f} ({out.low_r:.3f} to {out.high_r:.3f}) R per trade "
        "out of sample"
    )
