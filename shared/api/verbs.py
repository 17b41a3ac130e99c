"""The trader's verbs, as its API and the command line both know them."""

from __future__ import annotations

from shared.kill_switch import Lock
from shared.messages.trading import TraderVerb

ANSWER_S = 10.0
"""How long the API waits for the trader."""

LOCKING: frozenset[TraderVerb] = frozenset({"kill", "disable", "flatten"})
"""These work without Redis and without a trader: they write the lock file first."""


def lock_of(verb: TraderVerb, who: str, reason: str, at_ms: int) -> Lock:
    """Return the lock that a command of `LOCKING` sets."""
    return Lock(
        reason=reason or f"{verb} asked for",
        who=who,
        at_ms=at_ms,
        flatten=verb == "flatten",
        mode="disabled" if verb == "disable" else "locked",
    )
