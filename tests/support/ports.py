"""Free ports for tests: workers that run at once never choose the same one."""

from __future__ import annotations

import os
import random

from shared.config.ports import is_free

FIRST, SHARE, SHARES = 11_000, 1_000, 20
"""Below what the kernel gives to outgoing connections."""

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SHARES
_begin = FIRST + SHARE * _worker
_next = random.Random().randrange(SHARE)  # of two test runs at once


def free_port() -> int:
    """Return a port that is free, and was not returned lately."""
    global _next  # noqa: PLW0603
    for _ in range(SHARE):
        port = _begin + _next
        _next = (_next + 1) % SHARE
        if is_free(port):
            return port
    raise OSError(f"no port is free from {_begin} to {_begin + SHARE - 1}")
