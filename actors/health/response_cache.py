"""Caches an HTTP response for a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    body: bytes
    status: int
    content_type: str


class ResponseCache:
    """Builds a response on demand, at most once per `max_age_s`."""

    def __init__(self, make: Callable[[], Response], max_age_s: float, clock: Clock) -> None:
        self._make = make
        self._max_age_s = max_age_s
        self._clock = clock
        self._response: Response | None = None
        self._made_s = 0.0

    def get(self) -> Response:
        """Return the cached response, or a new one if it is too old."""
        now_s = self._clock.monotonic()
        if self._response is None or now_s - self._made_s >= self._max_age_s:
            self._response, self._made_s = self._make(), now_s
        return self._response
