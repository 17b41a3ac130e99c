"""CoinEx's rate limits: token buckets by group of calls, per account and second."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class LimitGroup(StrEnum):
    """Groups of calls that share a limit."""

    PUBLIC = "public"
    TRADE = "trade"
    CANCEL = "cancel"
    ORDERS = "orders"
    HISTORY = "history"
    ACCOUNT = "account"


# Allowed requests per second. Public calls have only the limit of 400 per address, of which the
# groups below use 130.
PER_S: Mapping[LimitGroup, int] = {
    LimitGroup.PUBLIC: 200,
    LimitGroup.TRADE: 20,
    LimitGroup.CANCEL: 40,
    LimitGroup.ORDERS: 50,
    LimitGroup.HISTORY: 10,
    LimitGroup.ACCOUNT: 10,
}


class TokenBucket:
    """A token bucket with a capacity of one second's tokens.

    Args:
        per_s: Refill rate, above 0.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._tokens = self._most
        self._at_s = 0.0

    def take(self, now_s: float) -> float:
        """Take one token, in order of arrival, and return the seconds to wait for it."""
        self._refill(now_s)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_s)

    def report(self, remaining: int, now_s: float) -> None:
        """Adopt the venue's count of tokens left; other clients may share the account."""
        self._refill(now_s)
        self._tokens = min(self._tokens, remaining)

    def exhaust(self, now_s: float) -> None:
        """Go one second's tokens into debt: the venue answered "too many"."""
        self._refill(now_s)
        self._tokens = min(self._tokens, 0.0) - self._most

    def _refill(self, now_s: float) -> None:
        back = max(0.0, now_s - self._at_s) * self._per_s
        self._tokens = min(self._most, self._tokens + back)
        self._at_s = now_s
