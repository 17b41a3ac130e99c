"""The worker under the other supervisors: the imports of one of our actors, then a heartbeat.

It first pushes its pid onto the list `beats`, then beats once a second.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import aiohttp
import hiredis
import numpy as np
import orjson
import prometheus_client
import pydantic
import redis

import actors.indicators.actor

IMPORTED = (aiohttp, hiredis, np, orjson, prometheus_client, pydantic, actors.indicators.actor)


def beat(url: str) -> None:
    """Send heartbeats for ever."""
    client = redis.Redis.from_url(url)
    client.rpush("beats", os.getpid())
    while True:
        time.sleep(1)
        client.set(f"beat:{os.getpid()}", time.monotonic_ns(), ex=10)


def beat_beside(url: str) -> None:
    """Beat in a thread, for a process that has its own loop."""
    threading.Thread(target=beat, args=(url,), daemon=True).start()


if __name__ == "__main__":
    beat(sys.argv[1])
