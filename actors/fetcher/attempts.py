"""When the next attempt to connect a stream is due and allowed. Pure."""

from __future__ import annotations

from collections import deque

from shared.backoff import backoff_s

AT_ONCE_S = 0.25  # jitter: many clients lose a server at the same time
FIRST_S, CAP_S = 0.5, 30.0
MOST_ATTEMPTS, WITHIN_S = 100, 300.0  # of the 300 in 5 minutes that one address may make


def pause_s(attempts: int, luck: float) -> float:
    """Return the pause before the next attempt, given the attempts since the last data.

    The first follows almost at once. A connection that opens without data counts as failed.

    Args:
        luck: Uniform in [0, 1).
    """
    if attempts == 1:
        return AT_ONCE_S * luck
    return backoff_s(attempts - 1, FIRST_S, CAP_S, luck)


class AttemptBudget:
    """A sliding-window rate limit on attempts, shared by all connections."""

    def __init__(self, most: int = MOST_ATTEMPTS, within_s: float = WITHIN_S) -> None:
        self._most = most
        self._within_s = within_s
        self._times: deque[float] = deque()

    def take(self, now_s: float) -> float:
        """Take one attempt and return 0, or return the seconds to wait."""
        while self._times and now_s - self._times[0] >= self._within_s:
            self._times.popleft()
        if len(self._times) >= self._most:
            return self._within_s - (now_s - self._times[0])
        self._times.append(now_s)
        return 0.0
