"""Whether the best of many settings is better than a benchmark. Loads arch."""

from __future__ import annotations

import numpy as np

from shared.evidence_packages import needed_for
from shared.market import Floats

with needed_for("the test of the best of many settings"):
    from arch.bootstrap import SPA

MEAN_BLOCK_DAYS = 3
DRAWS = 2000


def superiority_p(excess: Floats, rng: np.random.Generator, *, draws: int = DRAWS) -> float:
    """Return the p-value of Hansen's test that no setting is better than the benchmark (SPA).

    Shapes: excess (days, settings): each setting's return minus the benchmark's; against cash, the
        returns themselves.
    Units:  share of the equity (any scale, also one per column, gives the same); result 0 to 1.
    Raises: ValueError: fewer than 3 days, a number that is not finite, or a column that never
        changes: of such, the test would say anything.
    Source: Hansen 2005, "A Test for Superior Predictive Ability", the `consistent` p-value, with
        the stationary bootstrap of Politis and Romano 1994, blocks of 3 days on average, as arch
        8.0 has it. arch compares means as they are, so that the setting that varies most would
        decide; here each is divided by its standard deviation first, as in Hansen's statistic.
    """
    if excess.ndim != 2 or len(excess) < 3 or not np.isfinite(excess).all():
        raise ValueError(
            f"returns of shape {excess.shape}: expected finite numbers, (days, settings), and at "
            "least 3 days"
        )
    still = np.flatnonzero(np.ptp(excess, axis=0) == 0.0)
    if len(still):
        raise ValueError(f"setting {still[0]} never changes: leave out what never traded")
    losses = -excess / excess.std(axis=0)
    test = SPA(
        np.zeros(len(losses)),
        losses,
        block_size=MEAN_BLOCK_DAYS,
        reps=draws,
        bootstrap="stationary",
        seed=rng,
    )
    test.compute()
    return float(test.pvalues["consistent"])
