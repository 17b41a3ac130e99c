"""Messages on their way to one service: in order, again until taken, the newest kept."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from actors.alerts.outbox import MOST_WAITING, RETRY_CAP_S, RETRY_FIRST_S, Outbox
from actors.alerts.policy import Alert
from actors.alerts.services import Service, ServiceFailed
from shared.clock import Clock
from tests.support.manual_clock import ManualClock
from tests.support.waiting import eventually

SECRET = "hunter2-token"


def alert(number: int) -> Alert:
    return Alert(title=f"title {number}", body="body", at_ms=number)


@contextlib.asynccontextmanager
async def outbox(
    notify: Callable[[str, str], bool], waiting: Sequence[Alert] = (), *, clock: Clock
) -> AsyncIterator[Outbox]:
    box = Outbox(
        Service("1 (json)", f"json://127.0.0.1/{SECRET}", notify),
        waiting,
        timeout_s=5.0,
        clock=clock,
        rng=random.Random(1),
        log=logging.getLogger("outbox"),
        on_sent=lambda: None,
    )
    running = asyncio.create_task(box.run())
    try:
        yield box
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_messages_are_taken_in_order_those_of_the_process_before_first() -> None:
    taken: list[str] = []

    def notify(title: str, _: str) -> bool:
        taken.append(title)
        return True

    async with outbox(notify, [alert(1), alert(2)], clock=ManualClock()) as box:
        box.put(alert(3))
        await eventually(lambda: box.sent == 3)
        assert box.waiting() == []
    assert taken == ["title 1", "title 2", "title 3"]


async def test_a_refused_message_is_tried_again_after_growing_pauses_with_a_cap() -> None:
    clock, tries = ManualClock(), list[float]()

    def notify(_: str, __: str) -> bool:
        tries.append(clock.monotonic())
        return False

    async with outbox(notify, [alert(1)], clock=clock) as box:
        for count in range(1, 12):

            async def is_tried_again(count: int = count) -> bool:
                await clock.advance(1.0)
                return len(tries) > count

            await eventually(is_tried_again, 20, every_s=0.002)
        assert box.sent == 0 and box.waiting() == [alert(1)]
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert RETRY_FIRST_S / 2 <= pauses[0] <= RETRY_FIRST_S + 10
    assert max(pauses) <= RETRY_CAP_S + 10 and pauses[-1] > RETRY_CAP_S / 2


async def test_of_too_many_messages_the_newest_are_kept_and_the_others_counted() -> None:
    async with outbox(lambda _, __: False, clock=ManualClock()) as box:
        for number in range(MOST_WAITING + 3):
            box.put(alert(number))
        await eventually(lambda: box.trouble)
        assert box.waiting() == [alert(number) for number in range(3, MOST_WAITING + 3)]
        assert box.dropped == 3


async def test_a_service_that_hangs_is_left_alone_until_it_comes_back() -> None:
    over, calls = threading.Event(), list[str]()

    def notify(title: str, _: str) -> bool:
        calls.append(title)
        return over.wait(30)

    service = Service("1 (json)", "json://x", notify)
    try:
        with pytest.raises(ServiceFailed, match=r"no answer within 0\.05 s"):
            await service.send("one", "body", 0.05)
        with pytest.raises(ServiceFailed, match="not come back"):
            await service.send("two", "body", 0.05)
        assert calls == ["one"]
    finally:
        over.set()

    async def comes_back() -> bool:
        try:
            await service.send("three", "body", 5.0)
        except ServiceFailed:
            return False
        return True

    await eventually(comes_back)
    assert calls == ["one", "three"]


async def test_what_a_service_raises_is_told_without_its_url() -> None:
    def notify(_: str, __: str) -> bool:
        raise RuntimeError(f"cannot reach json://127.0.0.1/{SECRET}?x=1")

    service = Service("1 (json)", f"json://127.0.0.1/{SECRET}", notify)
    with pytest.raises(ServiceFailed, match="RuntimeError: cannot reach ") as caught:
        await service.send("title", "body", 5.0)
    assert SECRET not in str(caught.value) and "127.0.0.1" not in str(caught.value)


async def test_what_a_service_raises_is_told_without_what_its_url_spells_otherwise() -> None:
    def refuse(title: str, body: str) -> bool:
        raise ValueError("login marked p@ss/word refused; p%40ss%2Fword")

    service = Service("1 (json)", "json://marked:p%40ss%2Fword@127.0.0.1/hook", refuse)
    with pytest.raises(ServiceFailed) as failure:
        await service.send("title", "body", 5)
    assert str(failure.value) == "ValueError: login *** *** refused; ***"
