"""Authenticates requests to the trader's API with the token in the state_dir."""

from __future__ import annotations

import hmac

from aiohttp import hdrs, web

from shared.clock import Clock

MOST_GUESSES = 20
WITHIN_S = 60.0
MOST_PEERS = 1000


class RequestGate:
    """Accepts requests with the token, and rate-limits wrong ones.

    The right token is never refused because of wrong ones from the same address: on one machine
    all clients share it, and none may lock the owner out of the kill switch.
    """

    def __init__(self, token: bytes, clock: Clock) -> None:
        self._token = token
        self._clock = clock
        self._guesses: dict[str, list[float]] = {}
        self.refused = 0

    def refusal(self, request: web.Request) -> web.HTTPException | None:
        """Return the refusal of a request; None if it is accepted."""
        given = request.headers.getall(hdrs.AUTHORIZATION, [])
        scheme, _, shown = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        is_bearer = scheme.lower() == "bearer"
        if is_bearer and hmac.compare_digest(shown.strip().encode("utf-8", "replace"), self._token):
            return None
        self.refused += 1
        # A request without a token is no guess.
        wait_s = self._wait_s(request.remote or "unknown") if is_bearer else 0.0
        if wait_s > 0:
            return web.HTTPTooManyRequests(
                text=f"too many wrong tokens; try again in {wait_s:.0f} s",
                headers={"Retry-After": f"{wait_s:.0f}"},
            )
        return web.HTTPUnauthorized(
            text="expected `Authorization: Bearer TOKEN` with what stands in state_dir/api.token"
            + ("; this is another token" if is_bearer else ""),
            headers={
                "WWW-Authenticate": 'Bearer realm="trader"'
                + (', error="invalid_token"' if is_bearer else "")
            },
        )

    def _wait_s(self, peer: str) -> float:
        """Count one guess of a peer; return for how long it is refused, 0 if not."""
        now = self._clock.monotonic()
        recent = [at for at in self._guesses.pop(peer, []) if now - at < WITHIN_S]
        if len(recent) < MOST_GUESSES:
            recent.append(now)
            wait_s = 0.0
        else:
            wait_s = max(1.0, recent[0] + WITHIN_S - now)
        if len(self._guesses) >= MOST_PEERS:
            del self._guesses[next(iter(self._guesses))]
        self._guesses[peer] = recent
        return wait_s
