"""The life of an actor, without Redis: what ends it, what it retries, what it says."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.base import Actor, Context
from shared.bus import Bus
from shared.errors import ExchangeUnavailable
from shared.supervision.status_pipe import StatusKind, StatusLine, StatusPipe, parse
from tests.support.manual_clock import ManualClock
from tests.support.waiting import eventually


class Counter(Actor):
    """Does what a test tells it to in each step."""

    def __init__(self, context: Context, act: Callable[[Counter], None]) -> None:
        super().__init__(context)
        self.act = act
        self.count = 0
        self.ended: list[str] = []

    async def step(self) -> float:
        self.count += 1
        self.act(self)
        return 10.0

    async def drain(self) -> None:
        self.ended.append("drain")

    async def teardown(self) -> None:
        self.ended.append("teardown")


class Heard:
    """A status pipe and what came out of it."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.pipe = StatusPipe(self.write)

    def lines(self) -> list[StatusLine]:
        raw = os.read(self.read, 65_536)
        return [line for each in raw.splitlines() if (line := parse(each))]

    def close(self) -> None:
        os.close(self.read)
        os.close(self.write)


def make(
    tmp_path: Path, act: Callable[[Counter], None], pipe: StatusPipe | None = None
) -> tuple[Counter, ManualClock]:
    clock, log = ManualClock(), logging.getLogger("test")
    nowhere = f"unix://{tmp_path}/no.sock"
    context = Context(
        name="counter", mode="demo", source="sim", state_dir=tmp_path, section={},
        bus=Bus(nowhere, name="test", clock=clock, log=log), clock=clock, log=log,
        rng=random.Random(1), status=pipe or StatusPipe(None), probation=False,
        quarantined_coins={},
    )  # fmt: skip
    return Counter(context, act), clock


async def test_steps_repeat_until_stopped_and_teardown_follows(tmp_path: Path) -> None:
    actor, clock = make(tmp_path, lambda a: a.ready())
    running = asyncio.create_task(actor.run())
    await clock.advance(25)
    assert actor.count == 3
    actor.stop()
    await running
    assert actor.ended == ["drain", "teardown"]


@pytest.mark.parametrize("turns", range(6))
async def test_a_stop_just_after_the_pause_has_ended_drains_all_the_same(
    tmp_path: Path, turns: int
) -> None:
    actor, clock = make(tmp_path, lambda a: None)
    running = asyncio.create_task(actor.run())
    await clock.advance(0)
    actor.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    actor.stop()
    await running
    assert actor.ended == ["drain", "teardown"]


async def test_a_bug_in_the_last_step_before_a_stop_drains_and_is_told(tmp_path: Path) -> None:
    def fail(actor: Counter) -> None:
        actor.stop()
        raise ZeroDivisionError("bug")

    actor, _ = make(tmp_path, fail)
    with pytest.raises(ZeroDivisionError):
        await actor.run()
    assert actor.ended == ["drain", "teardown"]


async def test_waking_ends_the_pause(tmp_path: Path) -> None:
    actor, clock = make(tmp_path, lambda a: None)
    running = asyncio.create_task(actor.run())
    await clock.advance(0)
    actor.wake()
    await eventually(lambda: actor.count == 2)
    actor.stop()
    await running


async def test_a_transient_error_is_retried_with_a_capped_pause(tmp_path: Path) -> None:
    def fail(actor: Counter) -> None:
        if actor.count < 8:
            raise ExchangeUnavailable("down")

    actor, clock = make(tmp_path, fail)
    running = asyncio.create_task(actor.run())
    for _ in range(120):
        await clock.advance(1)
    assert actor.count >= 8
    actor.stop()
    await running


async def test_one_wake_ends_one_pause_between_retries_not_all_of_them(tmp_path: Path) -> None:
    def fail(_: Counter) -> None:
        raise ExchangeUnavailable("down")

    actor, clock = make(tmp_path, fail)
    running = asyncio.create_task(actor.run())
    await clock.advance(0)
    actor.wake()
    await clock.advance(0)
    assert actor.count == 2
    actor.stop()
    await running


async def test_what_setup_opened_is_closed_before_it_is_tried_again_and_at_the_end(
    tmp_path: Path,
) -> None:
    told: list[str] = []

    class Opener(Actor):
        async def setup(self) -> None:
            for name in ("first", "second"):
                told.append(f"open {name}")
                self.resources.callback(told.append, f"close {name}")
            if len(told) == 2:
                raise ExchangeUnavailable("not yet")

        async def step(self) -> float:
            told.append("step")
            return 10.0

    counter, clock = make(tmp_path, lambda a: None)
    actor = Opener(counter.context)
    running = asyncio.create_task(actor.run())
    await clock.advance(2)
    actor.stop()
    await running
    opened, closed = ["open first", "open second"], ["close second", "close first"]
    assert told == [*opened, *closed, *opened, "step", *closed]


async def test_a_bug_in_a_step_ends_the_actor(tmp_path: Path) -> None:
    def fail(actor: Counter) -> None:
        raise ZeroDivisionError("bug")

    actor, _ = make(tmp_path, fail)
    with pytest.raises(ZeroDivisionError):
        await actor.run()
    assert actor.ended == ["teardown"]


async def test_a_crash_in_the_background_ends_the_actor_whenever_it_was_started(
    tmp_path: Path,
) -> None:
    async def crash() -> None:
        raise ZeroDivisionError("behind the scenes")

    actor, _ = make(tmp_path, lambda a: a.background(crash(), "crash"))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(actor.run(), 5)


async def test_what_the_supervisor_hears(tmp_path: Path) -> None:
    heard = Heard()

    def act(actor: Counter) -> None:
        if actor.count == 1:
            actor.not_ready("waiting for candles")
        else:
            actor.ready()

    actor, clock = make(tmp_path, act, heard.pipe)
    running = asyncio.create_task(actor.run())
    await clock.advance(11)
    actor.stop()
    await running
    words = [line.kind for line in heard.lines()]
    heard.close()
    assert words[0] is StatusKind.BEAT
    assert words.count(StatusKind.BEAT) >= 10
    assert words.index(StatusKind.NOT_READY) < words.index(StatusKind.READY)
    assert words.count(StatusKind.STEP) == 2


async def test_after_a_jump_of_the_clock_the_next_step_comes_at_once(tmp_path: Path) -> None:
    actor, clock = make(tmp_path, lambda a: a.ready())
    running = asyncio.create_task(actor.run())
    await clock.advance(1.5)
    assert actor.count == 1
    clock.step_wall(-3_600_000)
    await clock.advance(1)
    assert actor.count == 2
    actor.stop()
    await running
