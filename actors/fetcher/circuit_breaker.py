"""When to stop requests for a coin that keeps failing, and when to retry. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class CircuitBreaker:
    """Opens for `pause_s` after `limit` failures in a row, then lets one probe through.

    A failed probe opens it again; a success closes it. Times are monotonic seconds.

    Attributes:
        failures: Failures in a row.
        reason: The last failure; "" after a success.
        open_until_s: End of the pause; None while closed.
    """

    limit: int
    pause_s: float
    failures: int = 0
    reason: str = ""
    open_until_s: float | None = None
    _probing: bool = field(default=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether requests are blocked; also during the probe."""
        return self.open_until_s is not None

    def allow(self, now_s: float) -> bool:
        """Return whether a request may be made; after a pause only the first caller's."""
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
            at_once: Open after this failure (the coin is known not to exist).

        Returns:
            True when this failure began or renewed a pause.
        """
        self.failures += 1
        self.reason = reason
        if not (at_once or self._probing or self.failures >= self.limit):
            return False
        self.open_until_s, self._probing = now_s + self.pause_s, False
        return True

    def release(self, reason: str = "") -> None:
        """End a request that failed for a cause outside this coin, without counting it."""
        self.reason = reason or self.reason
        self._probing = False
