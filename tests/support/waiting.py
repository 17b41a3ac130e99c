"""Wait for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any


async def eventually(
    condition: Callable[[], object | Awaitable[object]],
    within_s: float = 15.0,
    every_s: float = 0.01,
) -> Any:
    """Return the first true value of `condition`, plain or async.

    Raises:
        AssertionError: It was never true within the time; names the last value.
    """
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            source = getattr(condition, "__qualname__", repr(condition))
            raise AssertionError(f"not within {within_s} s: {source} (last value: {value!r})")
        await asyncio.sleep(every_s)
