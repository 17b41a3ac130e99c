"""The trader's commands that write the lock file, for its API and the command line."""

from __future__ import annotations

from shared.kill_switch import Lock
from shared.messages.trading import TraderVerb

ANSWER_S = 10.0
"""How long the API waits for the trader."""

LOCK_S = 3.0
"""How long to wait until a lock is on disk; it is in force before."""

LOCKING: frozenset[TraderVerb] = frozenset({"kill", "disable", "flatten"})
"""They write the lock file first, so they work without Redis and without a trader."""


def lock_of(verb: str, who: str, reason: str, at_ms: int) -> Lock:
    """Return the lock set by a command of `LOCKING`."""
    return Lock(
        reason=reason or f"{verb} asked for",
        who=who,
        at_ms=at_ms,
        flatten=verb == "flatten",
        mode="disabled" if verb == "disable" else "locked",
    )
