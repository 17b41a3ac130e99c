"""The divergence rules told once more, one bar at a time, as slowly and plainly as possible."""

from __future__ import annotations

import math

from shared.market import Floats

Found = tuple[int, float, int, int]
NONE: Found = (0, 0.0, -1, -1)


def divergence_at(
    high: Floats,
    low: Floats,
    k: Floats,
    atr14: Floats,
    *,
    left: int,
    right: int,
    window: int,
    fresh: int,
) -> Found:
    """Return side, strength, A and B as known after the last of these bars."""
    if math.isnan(k[-1]):
        return NONE
    bull = _bullish(list(low), list(k), atr14, left, right, window, fresh)
    bear = _bullish([-x for x in high], [100 - x for x in k], atr14, left, right, window, fresh)
    if bull[3] > bear[3]:
        return bull
    if bear[3] > bull[3]:
        return (-1, *bear[1:])
    return NONE


def _bullish(  # noqa: PLR0917
    low: list[float],
    k: list[float],
    atr14: Floats,
    left: int,
    right: int,
    window: int,
    fresh: int,
) -> Found:
    last = len(low) - 1
    pivots = [
        j
        for j in range(left, last - right + 1)
        if all(low[j] < low[i] for i in range(j - left, j))
        and all(low[j] <= low[i] for i in range(j + 1, j + right + 1))
    ]
    if not pivots:
        return NONE
    b = pivots[-1]
    earlier = [j for j in pivots if j <= b - 5 and j > last - window]
    if not earlier:
        return NONE
    a = earlier[-1]
    around_a, around_b = k[a - 1 : a + 2], k[b - 1 : b + 2]
    if any(math.isnan(x) for x in around_a + around_b) or math.isnan(atr14[b]):
        return NONE
    k_a, k_b = min(around_a), min(around_b)
    unbroken = all(low[i] >= low[b] for i in range(b + 1, last + 1))
    if not (low[b] < low[a] and k_b >= k_a + 1 and k_a < 50 and last - b <= fresh and unbroken):
        return NONE
    p = min(1.0, abs(low[b] - low[a]) / (2 * float(atr14[b])))
    q = min(1.0, abs(k_b - k_a) / 40)
    z = min(1.0, (50 - k_a) / 50)
    return 1, math.sqrt(p * q) * (0.5 + 0.5 * z), a, b
