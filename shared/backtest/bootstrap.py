"""Means with confidence intervals: a bootstrap of blocks of days, because samples overlap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.market import Floats

DAY_MS = 86_400_000
DRAWS = 2000
INTERVAL_PCT = 95.0
MIN_BLOCKS = 10
"""With fewer blocks there is no meaningful interval."""

Counts = npt.NDArray[np.int64]


class Means(NamedTuple):
    """One mean per group, with the ends of its interval; NaN if there is none."""

    counts: Counts
    mean: Floats
    low: Floats
    high: Floats


def block_means(
    values: Floats,
    groups: Counts,
    times: Counts,
    group_count: int,
    rng: np.random.Generator,
    *,
    block_days: int = 1,
    draws: int = DRAWS,
) -> Means:
    """Return the mean of each group and its 95 % interval, by a bootstrap of whole blocks.

    A block is `block_days` UTC days of all coins together: coins move together, and overlapping
    samples are in one or two blocks. Blocks are drawn with replacement; a mean is the sum over
    its draws divided by their count. A group in fewer than `MIN_BLOCKS` blocks has no interval.

    Shapes: values, groups, times (n,) -> four times (group_count,). NaN values are left out.
    Units:  those of values; times in epoch ms.
    Raises: ValueError: a group outside 0..group_count - 1.
    Source: Efron's percentile bootstrap, blocks as Kuensch 1989 without their overlap. With few
        blocks it is too narrow, so report their number.
    """
    drawn = _draw(values, groups, times, group_count, rng=rng, block_days=block_days, draws=draws)
    intervals = [
        _interval(drawn.means[:, group], int(drawn.blocks[group])) for group in range(group_count)
    ]
    low, high = np.array(intervals, dtype=np.float64).reshape(-1, 2).T
    return Means(drawn.counts, drawn.mean, low, high)


def block_difference(
    values: Floats,
    times: Counts,
    base: Floats,
    base_times: Counts,
    rng: np.random.Generator,
    *,
    block_days: int = 1,
    draws: int = DRAWS,
) -> tuple[float, float, float]:
    """Return the mean of `values` minus that of `base`, and its 95 % interval.

    Both means are over the same drawn blocks, so common moves of the market cancel.

    Shapes: values, times (n,); base, base_times (m,).
    Units:  those of values; times in epoch ms.
    Source: as `block_means`.
    """
    groups = np.repeat(np.array([0, 1], dtype=np.int64), [len(values), len(base)])
    drawn = _draw(
        np.concatenate([values, base]), groups, np.concatenate([times, base_times]), 2,
        rng=rng, block_days=block_days, draws=draws,
    )  # fmt: skip
    low, high = _interval(drawn.means[:, 0] - drawn.means[:, 1], int(drawn.blocks.min()))
    return float(drawn.mean[0] - drawn.mean[1]), low, high


def block_count(times: Counts, block_days: int = 1) -> int:
    return len(np.unique(times // (DAY_MS * block_days)))


class _Drawn(NamedTuple):
    """Per group: count of values, of their blocks, their mean; and the means of the draws."""

    counts: Counts
    blocks: Counts
    mean: Floats
    means: Floats


def _draw(
    values: Floats,
    groups: Counts,
    times: Counts,
    group_count: int,
    *,
    rng: np.random.Generator,
    block_days: int,
    draws: int,
) -> _Drawn:
    known = np.isfinite(values)
    values, groups, times = values[known], groups[known], times[known]
    if len(groups) and not (groups.min() >= 0 and groups.max() < group_count):
        raise ValueError(
            f"groups run from {groups.min()} to {groups.max()}, not below 0 nor to {group_count}"
        )
    _, block = np.unique(times // (DAY_MS * block_days), return_inverse=True)
    blocks = int(block.max()) + 1 if len(block) else 1
    cell, shape = block * group_count + groups, (blocks, group_count)
    count = np.bincount(cell, minlength=blocks * group_count).reshape(shape)
    total = np.bincount(cell, values, minlength=blocks * group_count).reshape(shape)
    weight = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=draws).astype(np.float64)
    counts: Counts = count.sum(axis=0)
    return _Drawn(
        counts,
        (count > 0).sum(axis=0),
        _over(total.sum(axis=0), counts),
        _over(weight @ total, weight @ count),
    )


def _interval(means: Floats, blocks: int) -> tuple[float, float]:
    if blocks < MIN_BLOCKS:
        return float("nan"), float("nan")
    tail = (100.0 - INTERVAL_PCT) / 2.0
    low, high = np.percentile(means[np.isfinite(means)], [tail, 100.0 - tail])
    return float(low), float(high)


def _over(total: Floats, count: Floats | Counts) -> Floats:
    means = np.full(total.shape, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
