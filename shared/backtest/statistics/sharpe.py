"""Sharpe ratios: what the best of many tries proves, once the tries are counted."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from shared.market import Floats

EULER_GAMMA = 0.5772156649015329
ENOUGH_SETTINGS = 10
"""Sharpe ratios of fewer settings do not say how much those of tries vary."""


def sharpe(returns: Floats) -> Floats:
    """Return the Sharpe ratio per day of each column: mean over standard deviation.

    Shapes: returns (days, settings) -> (settings,). A column that never changes gives 0.
    Units:  per day; times the square root of 365 for a year.
    Raises: ValueError: fewer than 2 days, or a return is not finite.
    Source: Sharpe 1994, against cash at no interest; the sample's standard deviation (n - 1).
    """
    if returns.ndim != 2 or len(returns) < 2 or not np.isfinite(returns).all():
        raise ValueError(
            f"returns of shape {returns.shape}: expected finite numbers, (days, settings), and at "
            "least 2 days"
        )
    moved = np.ptp(returns, axis=0) > 0.0
    ratios = np.zeros(returns.shape[1])
    np.divide(returns.mean(axis=0), returns.std(axis=0, ddof=1), out=ratios, where=moved)
    return ratios


def probability_above(
    ratio: float, benchmark: float, days: int, skew: float, kurtosis: float
) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark (PSR).

    Fat tails and losses larger than gains make a Sharpe ratio less certain.

    Shapes: numbers.
    Units:  ratios per day; kurtosis 3 for the normal distribution; result 0 to 1.
    Raises: ValueError: fewer than 2 days.
    Source: Bailey and Lopez de Prado 2012, "The Sharpe Ratio Efficient Frontier", eq. 11.
    """
    return NormalDist().cdf((ratio - benchmark) / standard_error(ratio, days, skew, kurtosis))


def standard_error(ratio: float, days: int, skew: float, kurtosis: float) -> float:
    """Return the standard error of a Sharpe ratio.

    Shapes: numbers.
    Units:  ratio and result per day; kurtosis 3 for the normal distribution.
    Raises: ValueError: fewer than 2 days.
    Source: Mertens 2002, as Bailey and Lopez de Prado 2012 have it; days are taken to be
        independent.
    """
    if days < 2:
        raise ValueError(f"{days} days: expected at least 2")
    variance = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    return math.sqrt(max(variance, 0.0) / (days - 1))


def skew_and_kurtosis(returns: Floats) -> tuple[float, float]:
    """Return the third and the fourth standardised moment.

    Shapes: (days,), which must change at least once.
    Units:  none; the normal distribution has 0 and 3.
    """
    normed = (returns - returns.mean()) / returns.std()
    return float(np.mean(normed**3)), float(np.mean(normed**4))


def best_by_chance(tries: int, spread: float) -> float:
    """Return the Sharpe ratio to expect of the best of so many tries without skill.

    Shapes: numbers.
    Units:  those of `spread`, the standard deviation of the tries' Sharpe ratios. One try: 0.
    Raises: ValueError: no try.
    Source: Bailey and Lopez de Prado 2014, "The Deflated Sharpe Ratio", eq. 1: the mean of the
        largest of independent normal draws. Tries that resemble each other vary less, which
        `spread` shows; that is all that allows for it.
    """
    if tries < 1:
        raise ValueError(f"{tries} tries: expected at least 1")
    if tries == 1:
        return 0.0
    quantile = NormalDist().inv_cdf
    return spread * (
        (1.0 - EULER_GAMMA) * quantile(1.0 - 1.0 / tries)
        + EULER_GAMMA * quantile(1.0 - 1.0 / (tries * math.e))
    )


def deflated_sharpe(returns: Floats, tries: int) -> float:
    """Return the probability that the best Sharpe ratio is more than the luck of many tries.

    Shapes: returns (days, settings), each of which must change at least once.
    Units:  share of the equity (any scale gives the same); result 0 to 1.
    Raises: ValueError: fewer tries than columns, or as `sharpe` and `best_by_chance`.
    Source: Bailey and Lopez de Prado 2014. Their N is `tries`, all that were made on these data and
        not only these columns. Their V, the variance of the tries' Sharpe ratios, is that of the
        columns; where these are fewer than `ENOUGH_SETTINGS`, or others were tried before, at least
        what Sharpe ratios without skill have, 1 / (days - 1): columns close to the best of those
        others vary little, and say nothing of how much the others did.
    """
    days, settings = returns.shape
    if tries < settings:
        raise ValueError(f"{tries} tries for {settings} settings: expected at least as many")
    ratios = sharpe(returns)
    best = int(np.argmax(ratios))
    variance = float(np.var(ratios, ddof=1)) if settings > 1 else 0.0
    if settings < ENOUGH_SETTINGS or tries > settings:
        variance = max(variance, 1.0 / (days - 1))
    luck = best_by_chance(tries, math.sqrt(variance))
    return probability_above(float(ratios[best]), luck, days, *skew_and_kurtosis(returns[:, best]))
