"""How often the verdict on a sweep is right, on made sweeps whose truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shared.backtest.bootstrap import DAY_MS
from shared.backtest.statistics.sharpe import sharpe
from shared.backtest.sweep.verdict import Outcome, judge
from shared.market import Floats, Times

FIRST_TEST_DAY, TEST_DAYS = 30, 10
HOLD_OUT = 0.2
LEAST_DAYS = 50
"""Enough for one test before the hold-out."""
DRAWS = 300
"""Fewer samples than a sweep takes: its p-value is within 0.01 of theirs at 0.05."""


@dataclass(frozen=True, slots=True)
class Made:
    """A made sweep: settings that win by chance, of which the last may have an edge.

    A trade loses 1 R or wins what makes its mean and standard deviation as asked. Settings are
    independent of each other.

    Attributes:
        trades: About how many each setting makes in all days, the hold-out included.
        edge_r: Mean result of the last setting's trades, R, net of costs; that of the others is 0.
        together: Correlation of two trades of one setting on one day, 0 to below 1.
        chosen_on: The last so many days, on which settings are chosen; None for all so far.
    """

    trades: int
    settings: int = 200
    edge_r: float = 0.0
    sd_r: float = 1.3
    together: float = 0.0
    days: int = 120
    chosen_on: int | None = None

    def __post_init__(self) -> None:
        for name, value, holds, expected in (
            ("trades", self.trades, self.trades > 0, "above 0"),
            ("settings", self.settings, self.settings > 0, "above 0"),
            ("sd", self.sd_r, 0.0 < self.sd_r < 100.0, "above 0 and below 100"),
            ("edge", self.edge_r, -1.0 < self.edge_r < 100.0, "above -1 and below 100"),
            ("together", self.together, 0.0 <= self.together < 1.0, "from 0 to below 1"),
            ("days", self.days, self.days >= LEAST_DAYS, f"at least {LEAST_DAYS}"),
            (
                "chosen on",
                self.chosen_on,
                self.chosen_on is None or self.chosen_on >= 2,
                "at least 2 days",
            ),
        ):
            if not holds:
                raise ValueError(f"{name} {value}: expected {expected}")

    def sweep(self, rng: np.random.Generator) -> tuple[Floats, Floats, Times]:
        """Return what `judge` takes: days by settings, and the chosen settings' trades.

        The days before the hold-out. From `FIRST_TEST_DAY` on, every `TEST_DAYS`, the setting with
        the best Sharpe ratio so far is chosen, and traded for as long.

        Shapes: (days, settings), (trades,), (trades,).
        Units:  R per day (a share of the equity when each trade risks the same), R, epoch ms.
        """
        days = int(self.days * (1.0 - HOLD_OUT))
        number = rng.poisson(self.trades / self.days, (days, self.settings))
        edge = np.zeros(self.settings)
        edge[-1] = self.edge_r
        # Two outcomes, -1 and the gain, that have this mean and this standard deviation.
        gain = self.sd_r**2 / (1.0 + edge) + edge
        chance = (1.0 + edge) / (1.0 + gain)
        if self.together:
            weight = 1.0 / self.together - 1.0
            wins = rng.binomial(
                number, rng.beta(weight * chance, weight * (1.0 - chance), number.shape)
            )
        else:
            wins = rng.binomial(number, chance)
        daily = ((1.0 + gain) * wins - number).astype(np.float64)
        results, times = [], []
        for first in range(FIRST_TEST_DAY, days, TEST_DAYS):
            since = 0 if self.chosen_on is None else max(first - self.chosen_on, 0)
            best = int(np.argmax(sharpe(daily[since:first])))
            for day in range(first, min(first + TEST_DAYS, days)):
                won, all_ = wins[day, best], number[day, best]
                results.append(np.repeat([gain[best], -1.0], [won, all_ - won]))
                times.append(np.full(all_, day * DAY_MS, dtype=np.int64))
        return daily, np.concatenate(results), np.concatenate(times)


def outcomes(made: Made, runs: int, seed: int) -> Mapping[Outcome, float]:
    """Return how often each outcome is the verdict on made sweeps.

    Units:  shares of the runs.
    Raises: ValueError: no run.
    """
    if runs < 1:
        raise ValueError(f"{runs} runs: expected at least 1")
    found: Counter[Outcome] = Counter()
    for child in np.random.SeedSequence(seed).spawn(runs):
        rng = np.random.default_rng(child)
        found[judge(*made.sweep(rng), made.settings, rng, draws=DRAWS).outcome] += 1
    names: tuple[Outcome, ...] = ("edge", "no_edge", "undecided")
    return {name: found[name] / runs for name in names}
