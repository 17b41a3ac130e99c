"""gunicorn's configuration: each worker beats as soon as it is forked."""

from __future__ import annotations

import os
from typing import Any


def post_fork(_server: Any, _worker: Any) -> None:
    """Start beating; the module is loaded already, before the fork."""
    from benchmarks.peers import gunicorn_app  # noqa: PLC0415

    gunicorn_app.BEAT(os.environ["BEATS_URL"])
