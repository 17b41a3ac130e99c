"""When to stop asking for one coin that keeps failing, and when to try it again.

Pure: time is an argument, in any seconds that never go backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class CircuitBreaker:
    """Counts failures in a row; after `limit` of them nothing is asked for `pause_s`.

    When the pause is over exactly one request is let through. If it fails the pause starts
    anew, if it succeeds everything is forgotten.

    Attributes:
        failures: Failures in a row so far.
        reason: The last failure in words, "" after a success.
        open_until_s: End of the pause; None while requests may flow.
    """

    limit: int
    pause_s: float
    failures: int = 0
    reason: str = ""
    open_until_s: float | None = None
    _probing: bool = field(default=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Tell whether the coin is left out, the one try after a pause included."""
        return self.open_until_s is not None

    def allow(self, now_s: float) -> bool:
        """Tell whether to ask now; after a pause only the first to call is let through."""
        if self.open_until_s is None:
            return True
        if self._probing or now_s < self.open_until_s:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        self.failures, self.reason = 0, ""
        self.open_until_s, self._probing = None, False

    def failed(self, now_s: float, reason: str, *, at_once: bool = False) -> bool:
        """Count one failure.

        Args:
            now_s: Now.
            reason: What went wrong, in words.
            at_once: Pause after this very failure (the coin is known not to exist).

        Returns:
            True when this failure began a pause, also when it renewed one.
        """
        self.failures += 1
        self.reason = reason
        if not (at_once or self._probing or self.failures >= self.limit):
            return False
        self.open_until_s, self._probing = now_s + self.pause_s, False
        return True

    def release(self, reason: str = "") -> None:
        """Give back a try that failed for a cause outside this coin: noted, not counted."""
        self.reason = reason or self.reason
        self._probing = False
