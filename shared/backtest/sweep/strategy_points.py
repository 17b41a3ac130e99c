"""The points of a user's strategy for each set of its parameters, computed once and mapped by all.

They are beside what was prepared: each set's in a directory by the hash of strategy, candles and
parameters, there whole or not at all, so that a sweep that was stopped goes on with what it has.
Processes that score read candles of the days before the hold-out, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from shared.backtest.executor import carry_out
from shared.backtest.replay import Recording
from shared.backtest.simulation.coin_scores import CoinScores
from shared.backtest.sweep.prepared import until
from shared.backtest.user_strategy.points import CoinPoints, Tally
from shared.backtest.user_strategy.scoring import (
    Points,
    ScoreJob,
    UserStrategy,
    joined,
    pieces_of,
    work,
)
from shared.files import directory_at_once
from shared.market import COLUMNS, Candles, Timeframe

JOBS = 12
"""At least about so many, so that every core has some whatever the number of sets."""

_INDEX, _POINTS, _STOPS, _REFUSED = "index.json", "points.npy", "stops.npy", "refused.json"


def write_candles(directory: Path, recordings: Iterable[Recording], to_ms: int) -> None:
    """Write the candles that had closed by a time, for `read_candles`; nothing if they are there.

    Raises:
        OSError: Not writable, or the disk is full.
    """
    if directory.exists():
        return
    with directory_at_once(directory) as unfinished:
        for whole in recordings:
            recording = until(whole, to_ms)
            for timeframe, candles in recording.candles.items():
                columns = np.stack([getattr(candles, name) for name in COLUMNS[1:]])
                name = f"{recording.symbol}-{timeframe}"
                np.save(unfinished / f"{name}-opens.npy", candles.open_time_ms, allow_pickle=False)
                np.save(unfinished / f"{name}.npy", columns, allow_pickle=False)
            refused = {str(t): list(times) for t, times in recording.refused.items()}
            (unfinished / f"{recording.symbol}-{_REFUSED}").write_text(json.dumps(refused))


def read_candles(directory: Path, symbol: str) -> Recording:
    """Return what was written there of a coin."""
    candles = {}
    for timeframe in Timeframe:
        name = f"{symbol}-{timeframe}"
        opens = np.load(directory / f"{name}-opens.npy", allow_pickle=False)
        candles[timeframe] = Candles.of(opens, *np.load(directory / f"{name}.npy"))
    refused = json.loads((directory / f"{symbol}-{_REFUSED}").read_text())
    return Recording(symbol, candles, {Timeframe(t): tuple(each) for t, each in refused.items()})


def prepare_points(
    wanted: Mapping[Path, Mapping[str, Any]],
    tested: UserStrategy,
    candles: Path,
    coins: Sequence[CoinScores],
    *,
    processes: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tally:
    """Score what is not there yet; return how all scores came about.

    Args:
        wanted: Parameters, defaults filled in, by the directory for their points.
        candles: See `write_candles`.
        coins: What was prepared of each; points are of its closes.

    Raises:
        NotScored: The strategy cannot be asked.
        JobFailed: A process that computes died again and again.
        OSError: Not writable, or the disk is full.
    """
    missing = [directory for directory in wanted if not (directory / _INDEX).exists()]
    span = [int(coin.series.times[0]) - Timeframe.M5.ms for coin in coins]
    ends = [int(coin.series.times[-1]) for coin in coins]
    names = tuple(coin.symbol for coin in coins)
    jobs = {
        directory: pieces_of(
            ScoreJob(tested, wanted[directory], read_candles, candles, names, min(span), max(ends)),
            -(-JOBS // len(missing)),
        )
        for directory in missing
    }
    found = carry_out(work, [job for each in jobs.values() for job in each], processes)
    for done, (directory, pieces) in enumerate(jobs.items(), 1):
        _write(directory, joined(islice(found, len(pieces))))
        progress(done, len(missing))
    tally = Tally()
    for directory in wanted:
        tally.add(Tally(**json.loads((directory / _INDEX).read_text())["tally"]))
    return tally


def with_points(coins: Sequence[CoinScores], directory: Path) -> Sequence[CoinScores]:
    """Return coins with the points of a set of parameters."""
    index = json.loads((directory / _INDEX).read_text())
    points = np.load(directory / _POINTS, mmap_mode="r", allow_pickle=False)
    stops = None
    if index["has_stops"]:
        stops = np.load(directory / _STOPS, mmap_mode="r", allow_pickle=False)
    places, at = {}, 0
    for symbol, length in index["coins"].items():
        places[symbol] = slice(at, at + length)
        at += length
    return [
        coin.scored_by(
            CoinPoints(
                points[:, places[coin.symbol]],
                None if stops is None else stops[places[coin.symbol]].view(np.ndarray),
            ).columns()
        )
        for coin in coins
    ]


def _write(directory: Path, points: Points) -> None:
    coins = points.coins
    columns = np.concatenate([each.points for each in coins.values()], axis=1)
    has_stops = any(each.stop is not None for each in coins.values())
    index = {
        "coins": {symbol: each.points.shape[1] for symbol, each in coins.items()},
        "has_stops": has_stops,
        "tally": asdict(points.tally),
    }
    with directory_at_once(directory) as unfinished:
        np.save(unfinished / _POINTS, columns, allow_pickle=False)
        if has_stops:
            stops = [
                np.full(each.points.shape[1], np.nan) if each.stop is None else each.stop
                for each in coins.values()
            ]
            np.save(unfinished / _STOPS, np.concatenate(stops), allow_pickle=False)
        (unfinished / _INDEX).write_text(json.dumps(index))
