"""What a guest trader publishes is kept, each event once, as a plain client writes it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis.asyncio

from actors.base import Context
from actors.guests import MOST_WAITING, PER_S, Guests
from shared import schema
from shared.bus import Bus
from shared.clock import Clock, SystemClock
from shared.guests.shapes import event_of_entry
from shared.messages.guests import GuestEvent
from shared.redis.acl import CONFINES_WRITERS, rules
from shared.schema import Role
from shared.supervision.status_pipe import StatusPipe
from tests.support.manual_clock import ManualClock
from tests.support.private_redis import PrivateRedis
from tests.support.waiting import eventually

AT_MS = 1_790_000_000_000
EVENT: dict[str, Any] = {"kind": "opened", "text": "long <b>0.05</b>", "at_ms": AT_MS}


class Site:
    """The running actor, a bus to look at the log, and a plain client with a guest's rights."""

    def __init__(self, actor: Guests, bus: Bus, guest: redis.asyncio.Redis) -> None:
        self.actor, self.bus, self.guest = actor, bus, guest

    async def publish(self, *events: dict[str, Any] | str | bytes) -> None:
        for event in events:
            sent = orjson.dumps(event) if isinstance(event, dict) else event
            assert await self.guest.publish("trader:events", sent) == 1

    async def log(self) -> list[GuestEvent]:
        rows = await self.bus.entries(schema.GUEST_LOG, 1000)
        return [event_of_entry(fields, identity) for identity, fields in rows]

    async def has(self, *texts: str) -> bool:
        return [event.text for event in await self.log()] == list(texts)

    def dropped(self, why: str) -> int:
        return int(self.actor.detail["events_dropped"].get(why, 0))


@contextlib.asynccontextmanager
async def running(server: PrivateRedis, clock: Clock | None = None) -> AsyncIterator[Site]:
    for role, name in ((Role.GUESTS, "guests"), (Role.GUEST_TRADER, "guest")):
        allowed = rules(role, "", CONFINES_WRITERS, schema.table("outside"))
        server.run("ACL", "SETUSER", name, "reset", "on", f">{name}", *allowed)
    clock = clock or SystemClock()
    url = server.url.replace("unix://", "unix://guests:guests@")
    context = Context(
        name="guests", mode="demo", source="sim", state_dir=Path("unused"), section={},
        bus=Bus(url, name="guests", clock=clock, timeout_s=0.5), clock=clock,
        log=logging.getLogger("guests"), rng=random.Random(1), status=StatusPipe(None),
        probation=False, quarantined_coins={},
    )  # fmt: skip
    actor = Guests(context)
    bus = Bus(server.url, name="test", clock=SystemClock())
    task = asyncio.create_task(actor.run())
    guest = redis.asyncio.Redis.from_url(server.url.replace("unix://", "unix://guest:guest@"))
    try:
        await eventually(lambda: server.run("PUBSUB", "NUMSUB", "trader:events") == [
            b"trader:events", 1])  # fmt: skip
        yield Site(actor, bus, guest)
    finally:
        await guest.aclose()
        actor.stop()
        await task
        await actor.bus.close()
        await bus.close()


@pytest.fixture
async def site(redis_url: str, shared_redis: PrivateRedis) -> AsyncIterator[Site]:
    async with running(shared_redis) as site:
        yield site


async def test_published_event_is_kept_with_all_that_it_says(site: Site) -> None:
    await site.publish(EVENT | {"symbol": "BTCUSDT", "price": 60000, "pnl": "1.5", "more": {}})
    await eventually(site.log)
    assert await site.log() == [
        GuestEvent(at_ms=AT_MS, kind="opened", text="long <b>0.05</b>", symbol="BTCUSDT",
                   price="60000", pnl_quote="1.5")
    ]  # fmt: skip
    await eventually(lambda: site.actor.detail["events_kept"] == 1)


async def test_event_that_the_guest_added_itself_is_not_doubled(site: Site) -> None:
    added = {"kind": "opened", "text": "1", "at_ms": AT_MS}
    await site.guest.xadd("trader:events:log", added)  # type: ignore[arg-type]
    await site.publish({"kind": "opened", "text": "1", "at_ms": AT_MS})
    await site.publish({"kind": "closed", "text": "2", "at_ms": AT_MS, "id": "a"})
    await site.publish({"kind": "closed", "text": "2 again", "at_ms": AT_MS + 1, "id": "a"})
    await site.publish({"kind": "closed", "text": "3", "at_ms": AT_MS})
    await eventually(lambda: site.has("1", "2", "3"))


async def test_a_restart_doubles_nothing(redis_url: str, shared_redis: PrivateRedis) -> None:
    async with running(shared_redis) as site:
        await site.publish(EVENT)
        await eventually(site.log)
    async with running(shared_redis) as site:
        await site.publish(EVENT, EVENT | {"text": "new"})
        await eventually(lambda: site.has(EVENT["text"], "new"))


async def test_what_is_beyond_the_caps_is_counted_and_named(
    redis_url: str, shared_redis: PrivateRedis
) -> None:
    clock = ManualClock()
    async with running(shared_redis, clock) as site:
        many = [EVENT | {"text": str(number)} for number in range(PER_S + 7)]
        await site.publish(*many)
        await eventually(lambda: site.dropped("too many") == 7)
        assert site.actor.detail["event_fault"] == "more than 20 a second"
        assert site.actor.detail["event_fault_ms"] == clock.now_ms()
        await clock.advance(1)
        large = {**EVENT, "text": "x" * 4096}
        await site.publish(large, "no json", '["a"]', {"kind": "x", "text": "y"})
        await eventually(lambda: site.dropped("unreadable") == 4)
        assert "trader:events: at_ms: missing, expected" in site.actor.detail["event_fault"]
        await eventually(lambda: site.has(*map(str, range(PER_S))))


async def test_events_wait_while_redis_takes_no_writes(own_redis: Any, redis_binary: str) -> None:
    server: PrivateRedis = own_redis()
    async with running(server) as site:
        server.run("CONFIG", "SET", "maxmemory", "1")
        await site.publish(EVENT, EVENT | {"text": "second"})
        await eventually(lambda: site.actor.detail.get("retrying"))
        server.run("CONFIG", "SET", "maxmemory", "0")
        await eventually(lambda: site.has(EVENT["text"], "second"))
        assert site.dropped("lost") == 0 < MOST_WAITING


async def test_log_is_bounded_also_where_the_guest_fills_it(site: Site) -> None:
    most = schema.GUEST_LOG.max_length or 0
    pipe = site.guest.pipeline(transaction=False)
    for number in range(most + 1500):
        pipe.xadd("trader:events:log", {"kind": "a", "text": f"{number}", "at_ms": AT_MS})
    await pipe.execute()
    site.actor.wake()

    async def length() -> int:
        server: Any = site.bus._connections
        (reply,) = await server.run([("XLEN", "trader:events:log")])
        return int(reply)

    await eventually(lambda: bounded(length, most + 200))


async def bounded(length: Any, most: int) -> bool:
    return bool(await length() <= most)
