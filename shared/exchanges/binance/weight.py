"""The request weight one client may spend in a clock minute."""

from __future__ import annotations

DEFAULT_LIMIT = 6000
MINUTE_MS = 60_000


class WeightBudget:
    """Counts weight per clock minute of exchange time and keeps below a share of the limit.

    Counted is the larger of what was sent from here and what the exchange reports for our
    address (others may share it).

    Args:
        share: Part of the limit that may be spent, above 0 and at most 1.
    """

    def __init__(self, share: float) -> None:
        self.limit = DEFAULT_LIMIT
        self._share = share
        self._minute = 0
        self._used = 0

    def used(self, now_ms: int) -> int:
        """Return the weight known to be spent in the minute of `now_ms`."""
        return self._used if now_ms // MINUTE_MS == self._minute else 0

    def take(self, weight: int, now_ms: int) -> float:
        """Spend `weight` if it fits and return 0, or return the seconds to wait.

        The first request of a minute always fits, however small the share.
        """
        minute = now_ms // MINUTE_MS
        # One minute back is the clock offset being corrected, not a new minute.
        if minute > self._minute or minute < self._minute - 1:
            self._minute, self._used = minute, 0
        if self._used and self._used + weight > self._share * self.limit:
            return max(0.05, ((self._minute + 1) * MINUTE_MS - now_ms) / 1000)
        self._used += weight
        return 0.0

    def report(self, used: int, sent_ms: int, now_ms: int) -> None:
        """Learn what the exchange counted.

        A reply that crossed a minute's end is not used: its count may be of either minute.
        """
        if sent_ms // MINUTE_MS == now_ms // MINUTE_MS == self._minute:
            self._used = max(self._used, used)
