"""1m bars of the simulated market, cut out of its 5m bars: they add up to them exactly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from actors.exchange_sim.market.bars import (
    BAR_MS,
    CLOSE,
    FIELDS,
    HIGH,
    LOW,
    OPEN,
    TIME,
    VOLUME,
    Bars,
    Integers,
    so_far,
)
from actors.exchange_sim.market.market import Market
from shared.market import StoredTimeframe, Timeframe

MINUTE_MS = StoredTimeframe.M1.ms
_PER_BAR = BAR_MS // MINUTE_MS


def minutes(
    market: Market,
    symbol: str,
    now_ms: int,
    *,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> Bars:
    """Return 1m bars as `Market.bars` returns longer ones; none of the open 5m bar.

    Raises:
        UnknownSymbol: No such coin.
    """
    until_ms = min(now_ms, now_ms if end_ms is None else end_ms)
    fives = market.bars(
        symbol,
        Timeframe.M5,
        now_ms,
        start_ms=None if start_ms is None else Timeframe.M5.open_at(start_ms),
        end_ms=until_ms,
        limit=limit // _PER_BAR + 2,
    )
    closed = fives[:, fives[TIME] + BAR_MS <= now_ms]
    parts = [minutes_of(bar, market.points(symbol, bar)) for bar in closed.T]
    found = np.concatenate([np.empty((FIELDS, 0), dtype=np.int64), *parts], axis=1)
    wanted = found[TIME] <= until_ms
    if start_ms is None:
        return found[:, wanted][:, -limit:]
    return found[:, wanted & (found[TIME] >= start_ms)][:, :limit]


def minutes_of(bar: Integers, points: Integers) -> Bars:
    """Return the five 1m bars of a closed 5m bar.

    Args:
        points: Its price path at equal distances, both ends included.
    """
    steps = len(points) - 1
    ends = [so_far(bar, points, minute * MINUTE_MS) for minute in range(_PER_BAR + 1)]
    cut = np.empty((FIELDS, _PER_BAR), dtype=np.int64)
    for minute, (before, after) in enumerate(pairwise(ends)):
        since_ms, until_ms = minute * MINUTE_MS, (minute + 1) * MINUTE_MS
        inner = points[-(-since_ms * steps // BAR_MS) : until_ms * steps // BAR_MS + 1]
        seen = [int(before[CLOSE]), int(after[CLOSE]), *inner.tolist()]
        cut[TIME, minute] = bar[TIME] + since_ms
        cut[[OPEN, HIGH, LOW, CLOSE], minute] = seen[0], max(seen), min(seen), seen[1]
        cut[VOLUME:, minute] = after[VOLUME:] - before[VOLUME:]
    return cut
