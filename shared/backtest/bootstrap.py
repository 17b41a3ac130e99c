"""Means with confidence intervals: a bootstrap of blocks of days, because samples overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.market import Floats, Times

DAY_MS = 86_400_000
DRAWS = 2000
INTERVAL_PCT = 95.0
MIN_BLOCKS = 10
"""With fewer blocks there is no meaningful interval."""

COVERAGE_PCT: Mapping[int, int] = {10: 92, 20: 92, 40: 93}
"""How often an interval holds the true mean of made trades, by number of blocks; measured by
`benchmarks/interval_coverage.py`."""

Counts = npt.NDArray[np.int64]


def coverage_pct(blocks: int) -> int:
    """Return the measured coverage of the nearest number of blocks that is not above `blocks`."""
    return COVERAGE_PCT[max(least for least in COVERAGE_PCT if least <= max(blocks, MIN_BLOCKS))]


class Means(NamedTuple):
    """One mean per group, with the ends of its interval; NaN if there is none.

    `blocks`: in how many blocks the group occurs.
    """

    counts: Counts
    blocks: Counts
    mean: Floats
    low: Floats
    high: Floats


class Blocks:
    """Blocks of days, and samples of them drawn with replacement, the same for every mean.

    A block is `days` UTC days of all coins together: coins move together, and overlapping samples
    are in one or two blocks. A mean is the sum over the drawn blocks divided by their count. A
    group in fewer than `MIN_BLOCKS` blocks has no interval.

    Args:
        times: Those of all samples there will be, epoch ms.

    Source: Efron's percentile bootstrap, blocks as Kuensch 1989 without their overlap. With few
        blocks it is too narrow, so its tails are those of Student's t ("expanded percentile",
        Hesterberg 2015): at 10 blocks 1.35 % instead of 2.5 %. See `COVERAGE_PCT`.
    """

    def __init__(
        self, times: Times, days: int, rng: np.random.Generator, *, draws: int = DRAWS
    ) -> None:
        self.days = days
        block = times // (DAY_MS * days)
        self._first = int(block.min())
        occupied = np.flatnonzero(np.bincount(block - self._first))
        self._place = np.full(int(occupied.max()) + 1, -1, dtype=np.int64)
        self._place[occupied] = np.arange(len(occupied))
        share = np.full(len(occupied), 1.0 / len(occupied))
        self._drawn = rng.multinomial(len(occupied), share, size=draws).astype(np.float64)

    def __len__(self) -> int:
        return self._drawn.shape[1]

    def at(self, times: Times) -> Counts:
        """Return the block of each time, which must be in one."""
        found: Counts = self._place[times // (DAY_MS * self.days) - self._first]
        return found

    def means(self, values: Floats, groups: Counts, blocks: Counts, group_count: int) -> Means:
        """Return the mean of each group and its 95 % interval.

        Shapes: values, groups, blocks (n,) -> five times (group_count,). NaN values are left out.
        Units:  those of values; blocks as from `at`.
        Raises: ValueError: a group outside 0..group_count - 1.
        """
        sums = self._sums(values, groups, blocks, group_count)
        low, high = self._interval(self._means_of_draws(sums), sums.blocks)
        return Means(
            sums.counts, sums.blocks, _over(sums.total.sum(axis=0), sums.counts), low, high
        )

    def difference(
        self, values: Floats, blocks: Counts, base: Floats, base_blocks: Counts
    ) -> tuple[float, float, float]:
        """Return the mean of `values` minus that of `base`, and its 95 % interval.

        Both means are over the same drawn blocks, so common moves of the market cancel.

        Shapes: values, blocks (n,); base, base_blocks (m,).
        Units:  those of values; blocks as from `at`.
        """
        groups = np.repeat(np.array([0, 1], dtype=np.int64), [len(values), len(base)])
        sums = self._sums(
            np.concatenate([values, base]), groups, np.concatenate([blocks, base_blocks]), 2
        )
        mean = _over(sums.total.sum(axis=0), sums.counts)
        drawn = self._means_of_draws(sums)
        low, high = self._interval(drawn[:, :1] - drawn[:, 1:], sums.blocks.min(keepdims=True))
        return float(mean[0] - mean[1]), float(low[0]), float(high[0])

    def _sums(self, values: Floats, groups: Counts, blocks: Counts, group_count: int) -> _Sums:
        known = np.isfinite(values)
        if not known.all():
            values, groups, blocks = values[known], groups[known], blocks[known]
        if len(groups) and not (groups.min() >= 0 and groups.max() < group_count):
            found = f"groups run from {groups.min()} to {groups.max()}"
            raise ValueError(f"{found}, not below 0 nor to {group_count}")
        cell, shape = blocks * group_count + groups, (len(self), group_count)
        number = np.bincount(cell, minlength=math.prod(shape))
        total = np.bincount(cell, values, minlength=math.prod(shape)).astype(np.float64)
        return _Sums(number.reshape(shape), total.reshape(shape))

    def _means_of_draws(self, sums: _Sums) -> Floats:
        return _over(self._drawn @ sums.total, self._drawn @ sums.number)

    def _interval(self, means: Floats, blocks: Counts) -> tuple[Floats, Floats]:
        ends = np.full((2, len(blocks)), np.nan)
        for group, count in enumerate(blocks.tolist()):
            if count >= MIN_BLOCKS:
                tail, drawn = tail_pct(count), means[:, group]
                ends[:, group] = np.percentile(drawn[np.isfinite(drawn)], [tail, 100.0 - tail])
        return ends[0], ends[1]


def tail_pct(blocks: int) -> float:
    """Return the share of draws to leave out on each side, of a mean of so many blocks.

    Source: Hesterberg 2015, "What Teachers Should Know About the Bootstrap", 3.3.
    """
    wide = student_t(0.5 + INTERVAL_PCT / 200.0, blocks - 1) * math.sqrt(blocks / (blocks - 1))
    return 100.0 * NormalDist().cdf(-wide)


def student_t(share: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution.

    Source: Abramowitz and Stegun 26.7.5; within 1e-4 of tables from 9 degrees of freedom on.
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))


class _Sums(NamedTuple):
    """Number and total of the values, by block and group."""

    number: Counts
    total: Floats

    @property
    def counts(self) -> Counts:
        counts: Counts = self.number.sum(axis=0)
        return counts

    @property
    def blocks(self) -> Counts:
        blocks: Counts = (self.number > 0).sum(axis=0)
        return blocks


def _over(total: Floats, count: Floats | Counts) -> Floats:
    means = np.full(total.shape, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
