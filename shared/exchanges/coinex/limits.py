"""How often CoinEx may be asked: token buckets by group of calls, per account and second."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class LimitGroup(StrEnum):
    """Calls that share a limit."""

    PUBLIC = "public"
    TRADE = "trade"
    CANCEL = "cancel"
    ORDERS = "orders"
    HISTORY = "history"
    ACCOUNT = "account"


# Requests a second that the venue allows. Public calls have only the limit of 400 per address,
# of which the groups below already take 130.
PER_S: Mapping[LimitGroup, int] = {
    LimitGroup.PUBLIC: 200,
    LimitGroup.TRADE: 20,
    LimitGroup.CANCEL: 40,
    LimitGroup.ORDERS: 50,
    LimitGroup.HISTORY: 10,
    LimitGroup.ACCOUNT: 10,
}


class TokenBucket:
    """Tokens that come back at a steady rate and never number more than a second's worth.

    Args:
        per_s: Tokens that come back in a second, above 0.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._tokens = self._most
        self._at_s = 0.0

    def take(self, now_s: float) -> float:
        """Take one token and return the seconds to wait until it is there.

        Whoever came first is served first: a token that is waited for is already taken.
        """
        self._refill(now_s)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_s)

    def report(self, remaining: int, now_s: float) -> None:
        """Learn how many the venue says are left; others may share the account."""
        self._refill(now_s)
        self._tokens = min(self._tokens, remaining)

    def exhaust(self, now_s: float) -> None:
        """Take a second's worth more than is there: the venue said "too many"."""
        self._refill(now_s)
        self._tokens = min(self._tokens, 0.0) - self._most

    def _refill(self, now_s: float) -> None:
        back = max(0.0, now_s - self._at_s) * self._per_s
        self._tokens = min(self._most, self._tokens + back)
        self._at_s = now_s
