"""The request weight one client may use in a clock minute."""

from __future__ import annotations

DEFAULT_LIMIT = 6000
MINUTE_MS = 60_000


class WeightBudget:
    """Counts weight per clock minute of exchange time and keeps below a share of the limit.

    The larger counts of what was sent from here and what the exchange reports for our address,
    which others may share.

    Args:
        share: Of the limit that may be used, above 0 and at most 1.
    """

    def __init__(self, share: float) -> None:
        self.limit = DEFAULT_LIMIT
        self.share = share
        self._minute = 0
        self._used = 0

    def used(self, now_ms: int) -> int:
        """Return the weight known to be used in the minute of `now_ms`."""
        return self._used if now_ms // MINUTE_MS == self._minute else 0

    def take(self, weight: int, now_ms: int) -> float:
        """Use `weight` if it fits and return 0, else return the seconds to wait.

        The first request of a minute always fits, however small the share.
        """
        minute = now_ms // MINUTE_MS
        # One minute back is a correction of the clock offset, not a new minute.
        if minute > self._minute or minute < self._minute - 1:
            self._minute, self._used = minute, 0
        if self._used and self._used + weight > self.share * self.limit:
            return max(0.05, ((self._minute + 1) * MINUTE_MS - now_ms) / 1000)
        self._used += weight
        return 0.0

    def report(self, used: int, sent_ms: int, now_ms: int) -> None:
        """Adopt the exchange's count, unless the reply crossed the end of a minute."""
        if sent_ms // MINUTE_MS == now_ms // MINUTE_MS == self._minute:
            self._used = max(self._used, used)
