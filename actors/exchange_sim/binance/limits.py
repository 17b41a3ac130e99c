"""The request limits of the simulated exchange: weight per clock minute, then bans."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT_LIMIT = 6000
FIRST_BAN_MS = 120_000
LONGEST_BAN_MS = 259_200_000
# Requests in flight when the 429 went out are no reason for a ban.
GRACE = 10
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class LimitRefusal:
    """Why a request is not served: 429 or 418, and until when (epoch ms)."""

    status: int
    until_ms: int


class RequestLimits:
    """Counts weight and decides on 429 and 418, for one address.

    A minute's weight above the limit is answered 429 until the minute ends. More than `GRACE`
    requests after that are banned: 2 minutes, then twice as long each time, at most 3 days.
    Requests during a ban do not prolong it.
    """

    def __init__(self, limit: int = WEIGHT_LIMIT) -> None:
        self.limit = limit
        self.used = 0
        self.bans = 0
        self._minute = 0
        self._broken_until_ms = 0
        self._banned_until_ms = 0
        self._ignored = 0

    def refuse(self, weight: int, now_ms: int) -> LimitRefusal | None:
        """Count one request and return why it is refused, or None."""
        minute = now_ms // _MINUTE_MS
        if minute != self._minute:
            self._minute, self.used = minute, 0
        self.used += weight
        if now_ms < self._banned_until_ms:
            return LimitRefusal(418, self._banned_until_ms)
        if now_ms < self._broken_until_ms:
            self._ignored += 1
            if self._ignored > GRACE:
                return self.ban(now_ms, min(FIRST_BAN_MS << self.bans, LONGEST_BAN_MS))
            return LimitRefusal(429, self._broken_until_ms)
        if self.used > self.limit:
            return self.pause(now_ms, (minute + 1) * _MINUTE_MS - now_ms)
        return None

    def pause(self, now_ms: int, length_ms: int) -> LimitRefusal:
        self._broken_until_ms, self._ignored = now_ms + length_ms, 0
        return LimitRefusal(429, self._broken_until_ms)

    def ban(self, now_ms: int, length_ms: int) -> LimitRefusal:
        self.bans += 1
        self._banned_until_ms = now_ms + length_ms
        return LimitRefusal(418, self._banned_until_ms)

    def banned_for_ms(self, now_ms: int) -> int:
        """Return the rest of a ban; 0 or less without one."""
        return self._banned_until_ms - now_ms

    def lift(self) -> None:
        self._broken_until_ms = self._banned_until_ms = self.bans = 0
