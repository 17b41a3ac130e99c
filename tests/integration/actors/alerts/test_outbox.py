"""Messages on their way to one service: in order, again until taken, the newest kept."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from aiohttp import web

from actors.alerts.outbox import (
    MOST_TRIES,
    MOST_WAITING,
    RESUME_S,
    RETRY_CAP_S,
    RETRY_FIRST_S,
    UNSURE_FACTOR,
    UNSURE_FIRST_S,
    Outbox,
)
from actors.alerts.policy import Alert
from actors.alerts.services import Service, open_services
from shared.clock import Clock, SystemClock
from tests.support.alert_receiver import Receiver, receiver
from tests.support.manual_clock import ManualClock
from tests.support.waiting import eventually

URL = "json://127.0.0.1/hunter2-token"


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as here:
        yield here


def alert(number: int) -> Alert:
    return Alert(title=f"title {number}", body="body", at_ms=number)


async def nothing() -> None:
    pass


@contextlib.asynccontextmanager
async def outbox(
    notify: Callable[[str, str], bool] | Service,
    waiting: Sequence[Alert] = (),
    *,
    clock: Clock,
    timeout_s: float = 5.0,
    save: Callable[[], Awaitable[None]] = nothing,
) -> AsyncIterator[Outbox]:
    box = Outbox(
        notify if isinstance(notify, Service) else Service("1 (json)", URL, notify, 30.0),
        waiting,
        timeout_s=timeout_s,
        clock=clock,
        rng=random.Random(1),
        log=logging.getLogger("outbox"),
        save=save,
        on_change=lambda: None,
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


async def test_a_grave_message_goes_first_and_is_dropped_last() -> None:
    grave = Alert(title="grave", body="body", at_ms=0, grave=True)
    async with outbox(lambda _, __: False, clock=ManualClock()) as box:
        await eventually(lambda: not box.waiting())
        box.put(grave)
        for number in range(MOST_WAITING + 3):
            box.put(alert(number))
        kept = [each.title for each in box.waiting()]
        assert kept[0] == "grave" and len(kept) == MOST_WAITING and box.dropped == 4
    order: list[str] = []

    def notify(title: str, _: str) -> bool:
        order.append(title)
        return True

    async with outbox(notify, [alert(1), alert(2), grave], clock=ManualClock()) as box:
        await eventually(lambda: box.sent == 3)
    assert order == ["grave", "title 1", "title 2"]


async def test_one_message_that_is_refused_stops_no_other() -> None:
    clock, taken = ManualClock(), list[str]()
    began_s = clock.monotonic()

    def notify(title: str, _: str) -> bool:
        if title != "title 0":
            taken.append(title)
        return title != "title 0"

    async with outbox(notify, [alert(number) for number in range(5)], clock=clock) as box:

        async def all_others_are_taken() -> bool:
            await clock.advance(1.0)
            return len(taken) == 4

        await eventually(all_others_are_taken, every_s=0.002)
        assert clock.monotonic() - began_s < 60
        assert taken == ["title 1", "title 2", "title 3", "title 4"]
        assert [each.title for each in box.waiting()] == ["title 0"]


async def test_a_slow_service_gets_every_message_once_and_is_logged_once(
    hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    class SlowClock(SystemClock):
        """A clock on which every answer is late."""

        def monotonic(self) -> float:
            return super().monotonic() * 1000

    hook.hanging.add("one")
    (service,) = open_services([hook.url("one")], 5.0, SystemClock())
    async with outbox(
        service, [alert(1), alert(2), alert(3)], clock=SlowClock(), timeout_s=0.05
    ) as box:
        await eventually(lambda: len(hook.bodies("one")) == 3)
        assert box.trouble == "no answer within 0.05 s" and len(box.waiting()) == 3
        hook.over.set()
        await eventually(lambda: box.sent == 3)
        assert box.waiting() == [] and box.trouble == "" and box.uncertain == 0
        box.put(alert(4))
        await eventually(lambda: box.sent == 4)
    assert hook.asked["one"] == 4
    assert caplog.text.count("takes no messages") == 1 and "again" not in caplog.text


async def test_a_service_that_never_answers_gets_each_message_a_few_times_with_growing_pauses(
    hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hook.hanging.add("one")
    clock, tries = ManualClock(), dict[str, list[float]]()

    async def answer(request: web.Request) -> web.Response:
        tries.setdefault((await request.json())["title"], []).append(clock.monotonic())
        return web.Response(status=504)

    hook.odd["one"] = answer
    (service,) = open_services([hook.url("one")], 5.0, SystemClock())
    async with outbox(service, [alert(n) for n in range(8)], clock=clock) as box:

        async def all_are_given_up() -> bool:
            await clock.advance(5.0)
            return box.uncertain == 8

        await eventually(lambda: len(tries) == 8)  # the queue moves on at once
        await eventually(all_are_given_up, 30, every_s=0.005)
        assert box.waiting() == [] and box.sent == 0
    for times in tries.values():
        assert len(times) == MOST_TRIES
        first, second = (later - earlier for earlier, later in itertools.pairwise(times))
        assert first >= UNSURE_FIRST_S and second >= UNSURE_FIRST_S * UNSURE_FACTOR
    assert "sent 3 times without an answer and perhaps delivered, not sent again: title 0" in (
        caplog.text
    )


async def test_a_service_that_asks_for_a_pause_is_left_alone_for_it(hook: Receiver) -> None:
    clock, tries = ManualClock(), list[float]()

    async def answer(request: web.Request) -> web.Response:
        tries.append(clock.monotonic())
        return web.Response(status=429, headers={"Retry-After": "900"})

    hook.odd["one"] = answer
    (service,) = open_services([hook.url("one")], 5.0, SystemClock())
    async with outbox(service, [alert(1), alert(2)], clock=clock) as box:
        await eventually(lambda: box.trouble)

        async def is_tried_again() -> bool:
            await clock.advance(10.0)
            return len(tries) > 1

        await eventually(is_tried_again, every_s=0.002)
        assert tries[1] - tries[0] >= 900
        assert len(box.waiting()) == 2


async def test_a_crash_while_sending_repeats_nothing_at_once_and_loses_nothing() -> None:
    saved: list[list[Alert]] = []
    clock, calls, over = ManualClock(), list[str](), threading.Event()
    began_s = clock.monotonic()

    def hangs(title: str, _: str) -> bool:
        calls.append(title)
        return over.wait(30)

    async def save() -> None:
        saved.append(box.waiting())

    async with outbox(hangs, [alert(1)], clock=clock, save=save) as box:
        await eventually(lambda: calls)
    over.set()
    (left,) = saved[0]
    assert left.tries == 1  # as the file had it before the message went out
    taken: list[float] = []

    def takes(_: str, __: str) -> bool:
        taken.append(clock.monotonic() - began_s)
        return True

    async with outbox(takes, saved[0], clock=clock) as box:

        async def is_taken() -> bool:
            await clock.advance(1.0)
            return bool(taken)

        await eventually(is_taken, every_s=0.002)
    assert RESUME_S <= taken[0] <= RESUME_S + 5
    async with outbox(takes, [dataclasses.replace(left, tries=MOST_TRIES)], clock=clock) as box:
        assert box.waiting() == [] and box.uncertain == 1
