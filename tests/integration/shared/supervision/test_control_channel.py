"""Commands over Redis: when it goes away in the middle of them, and when there are too many."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial

import orjson
import pytest
import redis

from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.messages.actors import ControlCommand, ControlReply
from shared.supervision.control import (
    COMMANDS_BURST,
    IN_WORK,
    LARGEST,
    REFUSALS_BURST,
    Answer,
    ControlChannel,
)
from tests.support.private_redis import PrivateRedis
from tests.support.waiting import eventually


@contextlib.asynccontextmanager
async def serving(server: PrivateRedis, answer: Answer) -> AsyncIterator[ControlChannel]:
    """Serve the channel with an answer, from the moment it is subscribed."""
    bus = Bus(server.url, name="supervisor", clock=SystemClock(), timeout_s=5)
    channel = ControlChannel(bus, answer, SystemClock(), logging.getLogger("test"))
    task = asyncio.create_task(channel.keep())
    try:
        await eventually(lambda: server.run("PUBSUB", "NUMSUB", schema.CONTROL.name())[1])  # type: ignore[index]
        yield channel
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await bus.close()


def command(name: str) -> bytes:
    return orjson.dumps({"id": name, "command": "restart", "actor": "fetcher"})


def publish(server: PrivateRedis, messages: list[bytes]) -> None:
    with redis.Redis.from_url(server.url) as client, client.pipeline(transaction=False) as pipe:
        for message in messages:
            pipe.publish(schema.CONTROL.name(), message)
        pipe.execute()


def outcomes(server: PrivateRedis, *names: str) -> list[list[str]]:
    """Return the outcomes replied to each command."""
    with redis.Redis.from_url(server.url) as client, client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.lrange(schema.CONTROL_REPLIES.name(id=name), 0, -1)
        return [[orjson.loads(raw)["outcome"] for raw in raws] for raws in pipe.execute()]


async def test_of_many_commands_some_are_carried_out_and_the_others_are_busy(
    own_redis: Callable[..., PrivateRedis],
) -> None:
    server, go_on = own_redis(), asyncio.Event()

    async def answer(command: ControlCommand) -> AsyncIterator[ControlReply]:
        yield ControlReply(id=command.id, outcome="accepted")
        await go_on.wait()
        yield ControlReply(id=command.id, outcome="done")

    names = [uuid.uuid4().hex for _ in range(500)]

    def replied(*wanted: str) -> int:
        return outcomes(server, *names).count(list(wanted))

    async with serving(server, answer) as channel:
        publish(server, [command(name) for name in names])
        await eventually(lambda: replied("busy") >= REFUSALS_BURST, every_s=0.1)
        assert replied("accepted") == IN_WORK
        assert "the control channel is flooded: " in channel.problem()
        go_on.set()
        await eventually(lambda: replied("accepted", "done") == IN_WORK, every_s=0.1)
        later = iter(range(1000))

        async def is_served() -> bool:
            name = f"later-{next(later)}"
            publish(server, [command(name)])
            await eventually(lambda: outcomes(server, name)[0][-1:] not in ([], ["accepted"]))
            return outcomes(server, name) == [["accepted", "done"]]

        await eventually(is_served, every_s=0.1)


async def test_quick_commands_and_malformed_ones_are_answered_so_many_a_second(
    own_redis: Callable[..., PrivateRedis], caplog: pytest.LogCaptureFixture
) -> None:
    server, carried_out = own_redis(), []

    async def answer(command: ControlCommand) -> AsyncIterator[ControlReply]:
        carried_out.append(command.id)
        yield ControlReply(id=command.id, outcome="done")

    async with serving(server, answer):
        publish(server, [command(f"c{n}") for n in range(1000)])
        publish(server, [orjson.dumps({"id": f"m{n}"}) for n in range(1000)])
        publish(server, [b" " * LARGEST + b"%d" % n for n in range(100)])
        publish(server, [orjson.dumps({"id": "last", "command": "explode"})])
        await eventually(lambda: any("explode" in text for text in caplog.messages))
        assert len(carried_out) < 2 * COMMANDS_BURST
        assert not any("longer than" in text for text in caplog.messages)
        keys = server.run("DBSIZE")
        assert isinstance(keys, int)
        assert keys < 2 * (COMMANDS_BURST + REFUSALS_BURST)


async def test_replies_to_one_id_do_not_pile_up(own_redis: Callable[..., PrivateRedis]) -> None:
    server = own_redis()

    async def answer(command: ControlCommand) -> AsyncIterator[ControlReply]:
        yield ControlReply(id=command.id, outcome="accepted")
        yield ControlReply(id=command.id, outcome="done", reason=command.actor)

    def is_last(name: str, reason: str) -> bool:
        with redis.Redis.from_url(server.url) as client:
            replies = client.lrange(schema.CONTROL_REPLIES.name(id=name), -1, -1)
        return any(orjson.loads(raw)["reason"].startswith(reason) for raw in replies)

    async with serving(server, answer):
        for actor in ("fetcher", "scanner", "health"):
            message = {"id": "same", "command": "restart", "actor": actor}
            publish(server, [orjson.dumps(message)])
            await eventually(partial(is_last, "same", actor))
        assert outcomes(server, "same") == [["accepted", "done"]]
        publish(server, [b"no %d" % number for number in range(20)] + [b'{"id":1}'])
        await eventually(partial(is_last, "invalid", "id: expected"))
        assert outcomes(server, "invalid") == [["error"]]


async def test_an_outcome_that_redis_could_not_take_is_told_once_it_is_back(
    own_redis: Callable[..., PrivateRedis], caplog: pytest.LogCaptureFixture
) -> None:
    server = own_redis()
    go_on = asyncio.Event()

    async def answer(command: ControlCommand) -> AsyncIterator[ControlReply]:
        yield ControlReply(id=command.id, outcome="accepted")
        await go_on.wait()
        yield ControlReply(id=command.id, outcome="done", reason="fetcher ready")

    async with serving(server, answer):
        publish(server, [command("c1")])
        await eventually(lambda: outcomes(server, "c1") == [["accepted"]])
        server.kill()
        go_on.set()
        await eventually(lambda: "no reply to control command c1 yet" in caplog.text, 10)
        server.start()
        await eventually(lambda: outcomes(server, "c1") == [["done"]], 10)
