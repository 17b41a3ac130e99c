"""Background tasks of the supervisor: none fails unnoticed."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from shared.supervision.tasks import CAP_S, Tasks
from tests.support.manual_clock import ManualClock


def make_tasks(clock: ManualClock | None = None) -> Tasks:
    return Tasks(clock or ManualClock(0), random.Random(1), logging.getLogger("test"))


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_a_task_raises_is_raised_again_where_it_is_asked_for() -> None:
    tasks = make_tasks()

    async def broken() -> None:
        raise ValueError("a bug")

    tasks.start(broken(), "broken")
    tasks.raise_failure()  # it has not run yet
    await turns()
    with pytest.raises(ValueError, match="a bug"):
        tasks.raise_failure()


async def test_a_task_that_ends_or_is_cancelled_is_no_failure() -> None:
    tasks = make_tasks()
    tasks.start(asyncio.sleep(0), "short")
    endless = tasks.start(asyncio.Event().wait(), "endless")  # type: ignore[arg-type]
    await turns()
    await tasks.cancel()
    assert endless.cancelled()
    tasks.raise_failure()


async def test_what_is_kept_is_begun_again_and_named_meanwhile() -> None:
    clock = ManualClock(0)
    tasks = make_tasks(clock)
    begun = 0

    async def reports() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ValueError("a bug")
        await asyncio.Event().wait()

    tasks.keep(reports, "publisher")
    await turns()
    assert begun == 1
    assert tasks.problems() == ["the publisher failed: ValueError: a bug"]
    await clock.advance(CAP_S)
    await turns()
    assert begun == 2
    assert tasks.problems() == []
    tasks.raise_failure()
    await tasks.cancel()
