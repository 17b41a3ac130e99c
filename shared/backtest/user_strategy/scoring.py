"""Scores the coins of a test by a user's strategy, on every core."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from shared.backtest.executor import carry_out
from shared.backtest.replay import Recording
from shared.backtest.user_strategy.asking import Asked
from shared.backtest.user_strategy.points import PART_MS, CoinPoints, PastScores, Tally
from shared.clock import utc_text
from shared.market import Timeframe
from shared.messages.trading import StrategyIdentity
from shared.strategy.contract import LoadedStrategy
from shared.strategy.source import StrategySection

JOBS_EACH = 3
"""Jobs per process, so that all are busy to the end; each starts the strategy's process once."""

M5 = Timeframe.M5
Reader = Callable[[Path, str], Recording]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStrategy:
    """A user's strategy as it is tested.

    Attributes:
        section: With the parameters of the configuration.
        rows: The coins of a call across coins, those tested among them.
        one_by_one: Why its scores are computed close by close; "" if calls over weeks are made.
    """

    section: StrategySection
    loaded: LoadedStrategy
    rows: tuple[str, ...]
    one_by_one: str

    @property
    def identity(self) -> StrategyIdentity:
        return self.section.file.identity(self.loaded.name, self.loaded.version)

    @property
    def key(self) -> tuple[str, ...]:
        """All that its scores depend on but candles and parameters."""
        return self.identity.key, *(self.rows if self.loaded.cross_section else ())

    @property
    def most_bars(self) -> int:
        """How many bars of a timeframe it asks for, at most."""
        return max(self.loaded.timeframes.values())

    @property
    def form(self) -> str:
        """How its scores are computed, in words."""
        return "close by close" if self.one_by_one else "in whole series"

    def document(self, tally: Tally) -> dict[str, Any]:
        """Return how it was tested, as results say it."""
        return {
            **asdict(self.identity),
            "computed": self.form,
            "because": self.one_by_one,
            "coins": list(self.rows) if self.loaded.cross_section else [],
            "closes": asdict(tally),
        }


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Score some coins at the closes of the 5m candles that opened in a time.

    Attributes:
        read: Returns a coin's recording from `candles`; a function of a module, which is the same
            for each job that a process is sent.
    """

    tested: UserStrategy
    parameters: Mapping[str, Any]
    read: Reader
    candles: Path
    coins: tuple[str, ...]
    from_ms: int
    to_ms: int

    def __str__(self) -> str:
        coins = self.coins[0] if len(self.coins) == 1 else f"{len(self.coins)} coins"
        return f"{self.tested.section.file.label}, {coins}, from {utc_text(self.from_ms)}"


@dataclass(frozen=True, slots=True)
class Points:
    """What a job gives: points by coin, and how they came about."""

    coins: Mapping[str, CoinPoints]
    tally: Tally


def work(job: ScoreJob) -> Points:
    """Carry out a job, in whichever process.

    Raises:
        NotScored: The strategy cannot be asked.
    """
    recordings = _recordings(job.read, job.candles, job.coins)
    with closing(Asked(job.tested.section, job.parameters)) as asked:
        is_whole = not job.tested.one_by_one
        scores = PastScores(asked, recordings, job.tested.rows, is_whole=is_whole)
        return Points(scores.score(job.from_ms, job.to_ms), scores.tally)


@lru_cache(maxsize=1)
def _recordings(read: Reader, candles: Path, coins: tuple[str, ...]) -> Sequence[Recording]:
    return [read(candles, symbol) for symbol in coins]


def pieces_of(job: ScoreJob, number: int) -> list[ScoreJob]:
    """Return about so many jobs that do the same; `joined` puts together what they give.

    What comes out does not depend on their number.
    """
    if not job.tested.loaded.cross_section:
        groups = np.array_split(np.arange(len(job.coins)), min(number, len(job.coins)))
        return [replace(job, coins=tuple(job.coins[i] for i in group)) for group in groups]
    # a call over weeks begins where it would in one job
    edges = np.arange(job.from_ms // PART_MS + 1, -(-job.to_ms // PART_MS)) * PART_MS - M5.ms
    groups = np.array_split(edges, max(1, number - 1))
    inner = [int(group[0]) for group in groups if len(group)]
    ends = itertools.pairwise([job.from_ms, *inner, job.to_ms])
    return [replace(job, from_ms=first, to_ms=last) for first, last in ends if first < last]


def scored(job: ScoreJob, processes: int) -> Points:
    """Carry out a job on so many processes.

    Raises:
        NotScored: The strategy cannot be asked.
        JobFailed: A process that computes died again and again.
    """
    return joined(carry_out(work, pieces_of(job, JOBS_EACH * processes), processes))


def joined(found: Iterable[Points]) -> Points:
    """Return what the pieces of a job gave, in their order, as one."""
    coins: dict[str, list[CoinPoints]] = {}
    tally = Tally()
    for given in found:
        tally.add(given.tally)
        for symbol, points in given.coins.items():
            coins.setdefault(symbol, []).append(points)
    return Points({symbol: _in_a_row(parts) for symbol, parts in coins.items()}, tally)


def _in_a_row(parts: Sequence[CoinPoints]) -> CoinPoints:
    if len(parts) == 1:
        return parts[0]
    points = np.concatenate([part.points for part in parts], axis=1)
    if all(part.stop is None for part in parts):
        return CoinPoints(points)
    stops = [
        np.full(part.points.shape[1], np.nan) if part.stop is None else part.stop for part in parts
    ]
    return CoinPoints(points, np.concatenate(stops))
