"""The same worker under gunicorn: imported once before the fork (`--preload`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.peers import worker

BEAT = worker.beat_beside


def app(_environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer any request; none is sent."""
    start("204 No Content", [])
    return []
