"""Commands over Redis, when Redis goes away in the middle of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import orjson
import pytest

from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.messages.actors import ControlCommand, ControlReply
from shared.supervision.control import serve_channel
from tests.support.private_redis import PrivateRedis
from tests.support.waiting import eventually


async def test_an_outcome_that_redis_could_not_take_is_told_once_it_is_back(
    own_redis: Callable[..., PrivateRedis], caplog: pytest.LogCaptureFixture
) -> None:
    server = own_redis()
    go_on = asyncio.Event()

    async def answer(command: ControlCommand) -> AsyncIterator[ControlReply]:
        yield ControlReply(id=command.id, outcome="accepted")
        await go_on.wait()
        yield ControlReply(id=command.id, outcome="done", reason="fetcher ready")

    def replies() -> list[str]:
        found = server.run("LRANGE", schema.CONTROL_REPLIES.name(id="c1"), 0, -1)
        assert isinstance(found, list)
        return [orjson.loads(raw)["outcome"] for raw in found]

    bus = Bus(server.url, name="supervisor", clock=SystemClock(), timeout_s=0.5)
    serving = asyncio.create_task(serve_channel(bus, answer, logging.getLogger("test")))
    try:
        command = orjson.dumps({"id": "c1", "command": "restart", "actor": "fetcher"})
        await eventually(lambda: server.run("PUBLISH", schema.CONTROL.name(), command))
        await eventually(lambda: replies() == ["accepted"])
        server.kill()
        go_on.set()
        await eventually(lambda: "no reply to control command c1 yet" in caplog.text, 10)
        server.start()
        await eventually(lambda: replies() == ["done"], 10)
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        await bus.close()
