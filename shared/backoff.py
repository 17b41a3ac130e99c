"""When a lost connection may be tried again. Pure: time and randomness are arguments."""

from __future__ import annotations

import random
from collections import deque

FIRST_S, CAP_S = 0.5, 30.0
AT_ONCE_S = 0.25  # many clients lose one server together: they should not come back in one instant
MOST_ATTEMPTS, WITHIN_S = 100, 300.0  # of the 300 in 5 minutes that one address may make


class Backoff:
    """Pauses between attempts: none to speak of after data, then doubling, capped, with jitter.

    A connection that opens and brings nothing counts as failed: only data reset it.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.failures = 0

    def pause_s(self) -> float:
        """Return how long to wait before the next attempt, and count it as failed until data."""
        self.failures += 1
        if self.failures == 1:
            return self._rng.uniform(0.0, AT_ONCE_S)
        longest = min(CAP_S, FIRST_S * 2.0 ** min(self.failures - 2, 20))
        return longest * self._rng.uniform(0.5, 1.0)

    def data_came(self) -> None:
        """Forget the failures."""
        self.failures = 0


class AttemptBudget:
    """At most so many attempts in any stretch of time, whoever makes them."""

    def __init__(self, most: int = MOST_ATTEMPTS, within_s: float = WITHIN_S) -> None:
        self._most = most
        self._within_s = within_s
        self._times: deque[float] = deque()

    def take(self, now_s: float) -> float:
        """Spend one attempt and return 0, or return the seconds to wait."""
        while self._times and now_s - self._times[0] >= self._within_s:
            self._times.popleft()
        if len(self._times) >= self._most:
            return self._within_s - (now_s - self._times[0])
        self._times.append(now_s)
        return 0.0
