"""When a redis-server counts as hung: only its own silence counts, in turns of the loop."""

from __future__ import annotations

import asyncio

import pytest

from shared.redis.hang import HangWatch
from tests.support.manual_clock import ORIGINS

ALIVE, SILENT, HANGS_UP = "alive", "silent", "hangs up"
TURN_S = 0.5


class Server:
    """Answers a ping, hangs up, or keeps it until it is to answer again."""

    def __init__(self, state: str = ALIVE) -> None:
        self.state = state
        self._speaks = asyncio.Event()

    async def answers(self, _: int) -> bool:
        if self.state == SILENT:
            await self._speaks.wait()
        return self.state == ALIVE

    def speak(self) -> None:
        self.state = ALIVE
        self._speaks.set()


async def turns(watch: HangWatch, now_s: float, count: int, pid: int = 1) -> float:
    """Make turns and return the time after them."""
    for _ in range(count):
        watch.turn(pid, 6379, now_s)
        for _ in range(5):
            await asyncio.sleep(0)
        now_s += TURN_S
    return now_s


async def test_answering_server_is_never_silent_and_a_silent_one_is_counted() -> None:
    server = Server()
    watch = HangWatch(server.answers)
    now_s = await turns(watch, 1000.0, 40)
    assert watch.silent_s == 0
    server.state = SILENT
    now_s = await turns(watch, now_s, 40)
    assert 15 < watch.silent_s <= 20
    server.speak()
    await turns(watch, now_s, 2)
    assert watch.silent_s == 0
    watch.close()


async def test_server_that_hangs_up_on_every_ping_is_counted_too() -> None:
    watch = HangWatch(Server(HANGS_UP).answers)
    await turns(watch, 1000.0, 41)
    assert 15 < watch.silent_s <= 20


async def test_suspended_supervisor_counts_one_turn_however_long_it_slept() -> None:
    server = Server()
    watch = HangWatch(server.answers)
    now_s = await turns(watch, 1000.0, 10)
    server.state = SILENT
    now_s = await turns(watch, now_s, 6)
    before_s = watch.silent_s
    await turns(watch, now_s + 3600, 1)
    assert watch.silent_s <= before_s + 1
    watch.close()


@pytest.mark.parametrize("origin_s", ORIGINS)
async def test_new_server_starts_from_zero(origin_s: float) -> None:
    watch = HangWatch(Server(SILENT).answers)
    now_s = await turns(watch, origin_s, 40)
    assert 15 < watch.silent_s <= 20
    await turns(watch, now_s, 1, pid=2)
    assert watch.silent_s == 0
    watch.close()
