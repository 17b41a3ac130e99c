"""Token buckets: what may be done at once, and how often from then on."""

from __future__ import annotations


class TokenBucket:
    """A token bucket, full at first.

    Args:
        per_s: Refill rate, above 0.
        most: Its capacity; by default one second's tokens, at least one.

    Attributes:
        tokens: How many are left; negative while somebody waits for his.
    """

    def __init__(self, per_s: float, most: float | None = None) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s) if most is None else most
        self.tokens = float(self._most)
        self._at_s: float | None = None

    def allows(self, now_s: float) -> bool:
        """Take a token if there is one; return whether there was."""
        self._refill(now_s)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def take(self, now_s: float) -> float:
        """Take one token, in order of arrival, and return the seconds to wait for it."""
        self._refill(now_s)
        self.tokens -= 1
        return max(0.0, -self.tokens / self._per_s)

    def report(self, remaining: int, now_s: float) -> None:
        """Adopt another count of the tokens left, if it is less: other clients may share them."""
        self._refill(now_s)
        self.tokens = min(self.tokens, remaining)

    def exhaust(self, now_s: float) -> None:
        """Go into debt by the whole capacity: whoever keeps the count answered "too many"."""
        self._refill(now_s)
        self.tokens = min(self.tokens, 0.0) - self._most

    def _refill(self, now_s: float) -> None:
        back_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self.tokens = min(self._most, self.tokens + back_s * self._per_s)
        self._at_s = now_s
