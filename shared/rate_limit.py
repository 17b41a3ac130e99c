"""A rate limit that refuses instead of waiting."""

from __future__ import annotations


class RateLimit:
    """A token bucket: `burst` at once, and `per_s` a second from then on."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at_s: float | None = None

    def allows(self, now_s: float) -> bool:
        """Take a token if there is one; return whether there was."""
        back_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        self._at_s = now_s
        self._tokens = min(self._burst, self._tokens + back_s * self._per_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
