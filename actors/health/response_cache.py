"""An answer that many ask for is made once and handed to all of them for a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer over HTTP, ready to be sent."""

    body: bytes
    status: int
    content_type: str


class ResponseCache:
    """Makes an answer when it is asked for, but not again within `held_s` seconds.

    Args:
        make: Makes it, as of now.
        held_s: How old the answer may be that somebody is given.
    """

    def __init__(self, make: Callable[[], Response], max_age_s: float, clock: Clock) -> None:
        self._make = make
        self._max_age_s = max_age_s
        self._clock = clock
        self._response: Response | None = None
        self._made_s = 0.0

    def get(self) -> Response:
        """Return the newest answer; one that is too old is made anew."""
        now_s = self._clock.monotonic()
        if self._response is None or now_s - self._made_s >= self._max_age_s:
            self._response, self._made_s = self._make(), now_s
        return self._response
