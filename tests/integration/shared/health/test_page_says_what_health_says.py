"""What is wrong, in words: the page and `/health` say the same of the same platform."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from actors.account import Account
from actors.base import Context
from actors.dashboard.actor import TICK_S, Dashboard
from actors.dashboard.reader import QUICK_S
from actors.health.actor import Health
from shared import codec, schema
from shared.bus import Bus
from shared.clock import Clock, SystemClock
from shared.errors import BusUnavailable
from shared.health.problems import masked
from shared.health.verdict import Limits, Snapshot, judge
from shared.messages.candles import Listings
from shared.supervision.status_pipe import StatusPipe
from tests.support.manual_clock import ManualClock
from tests.support.ports import free_port
from tests.support.private_redis import PrivateRedis
from tests.support.problem_states import STATES, WELL
from tests.support.running_actor import answering
from tests.support.sightings import NOW_MS, heartbeat, put_field
from tests.support.waiting import eventually

NOWHERE = "http://127.0.0.1:1"
FIRST_LOOK_MS = NOW_MS - 60_000


def context(name: str, url: str, state_dir: Path, clock: Clock, section: Any) -> Context:
    return Context(
        name=name, mode="demo", source="sim", state_dir=state_dir, section=section,
        bus=Bus(url, name=name, clock=clock, timeout_s=0.5), clock=clock,
        log=logging.getLogger(name), rng=random.Random(1), status=StatusPipe(None),
        probation=False, quarantined_coins={},
    )  # fmt: skip


class Site:
    """A health actor and a dashboard on one Redis, and a client that asks both."""

    def __init__(self, url: str, tmp_path: Path, clock: Clock, seen: Snapshot) -> None:
        listens = [{"host": "127.0.0.1", "port": free_port()} for _ in range(2)]
        self.health_url, self.page_url = (
            f"http://127.0.0.1:{listen['port']}/{path}"
            for listen, path in zip(listens, ("health", "api/state"), strict=True)
        )
        coins = list(WELL.symbols)
        timer_s = seen.trading.timer_s
        common: dict[str, Any] = {"actors": list(seen.actors), "fetcher": {}, "account": {}}
        common["trader"] = {"kind": seen.trader_kind}
        common["timer_min"] = None if timer_s is None else round(timer_s / 60)
        own = {"health": listens[0], "symbols": coins}
        self.health = Health(context("health", url, tmp_path, clock, common | own))
        own = {"dashboard": listens[1], "groups": {"all": coins}, "namespace": ""}
        own |= {"indicators": {}, "binance": {"base_url": NOWHERE}}
        self.dashboard = Dashboard(context("dashboard", url, tmp_path, clock, common | own))

    async def problems(self, session: aiohttp.ClientSession) -> tuple[list[str], list[str]]:
        """Return what `/health` says and what the page says."""
        async with session.get(self.health_url) as response:
            health = (await response.json())["problems"]
        async with session.get(self.page_url) as response:
            return health, (await response.json())["errors"]


class Looks:
    """Lets both look at Redis when a test says so, at the time it says."""

    def __init__(self, site: Site, clock: ManualClock, session: aiohttp.ClientSession) -> None:
        self._site, self._clock, self._session = site, clock, session

    async def at(self, now_ms: int) -> tuple[list[str], list[str]]:
        """Return what `/health` and the page say when both have looked."""
        clock, lead_ms = self._clock, round(1000 * (QUICK_S + TICK_S))
        clock.step_wall(now_ms - lead_ms - clock.now_ms())
        await clock.advance(QUICK_S)
        await self._site.health.step()
        await self._site.dashboard.step()
        await clock.advance(TICK_S)
        return await self._site.problems(self._session)

    async def beat(self) -> None:
        """Try to write each one's heartbeat, which is how it learns that Redis is full."""
        for actor in (self._site.health, self._site.dashboard):
            with contextlib.suppress(BusUnavailable):
                await actor.bus.put(schema.HEARTBEAT, heartbeat(actor.name), name=actor.name)


@contextlib.asynccontextmanager
async def looks(url: str, tmp_path: Path, seen: Snapshot = WELL) -> AsyncIterator[Looks]:
    """Set up both actors, which do nothing by themselves but draw the page."""
    clock, others = ManualClock(seen.since_ms), asyncio.all_tasks()
    site = Site(url, tmp_path, clock, seen)
    async with aiohttp.ClientSession() as session:
        actors = (site.health, site.dashboard)
        for actor in actors:
            await actor.setup()
        own = asyncio.all_tasks() - others
        found = Looks(site, clock, session)
        try:
            yield found
        finally:
            for actor in actors:
                await actor.teardown()
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)
            for actor in actors:
                await actor.bus.close()


async def publish(bus: Bus, seen: Snapshot) -> None:
    """Write to Redis whatever a snapshot was read from."""
    for name, status in seen.statuses.items():
        await put_field(bus, schema.ACTORS, name, status)
    for name, beat in seen.heartbeats.items():
        await bus.put(schema.HEARTBEAT, beat, name=name)
    for symbol, signal in seen.signals.items():
        await bus.put(schema.TA_LATEST, signal, symbol=symbol)
    for (stage, symbol), quarantine in seen.quarantines.items():
        await bus.put(schema.QUARANTINE, quarantine, stage=stage, symbol=symbol)
    await bus.put(schema.LISTINGS, Listings(coins=dict(seen.listings), at_ms=seen.since_ms))
    single: list[tuple[schema.Entry[Any], Any]] = [
        (schema.AUDIT, seen.audit),
        (schema.BAN_UNTIL, seen.ban),
        (schema.LEASE, seen.lease),
        (schema.SUPERVISOR, seen.supervisor),
        (schema.POSITIONS, seen.trading.positions),
        (schema.BALANCE, seen.trading.balance),
        (schema.TRADER_STATUS, seen.trading.status),
    ]
    for entry, message in (*single, *of_guest(seen)):
        if message is not None:
            await bus.put(entry, message)


def of_guest(seen: Snapshot) -> list[tuple[schema.Entry[Any], Any]]:
    """Return what a guest has written, what cannot be read too."""
    told = (seen.guest.positions, seen.guest.balance, seen.guest.status, seen.guest.config)
    unreadable = {"as_of_ms": NOW_MS}
    return [
        (entry, unreadable if entry.pattern in seen.guest.faults else message)
        for entry, message in zip(schema.GUEST_KEYS, told, strict=True)
    ]


# Redis itself is in its state for real below, no configuration is without a coin, and the disk is
# watched by the health actor alone.
# not read from the bus
APART = ("redis-down", "redis-full", "redis-refuses", "platform-empty", "disk-stalled")
ON_THE_BUS = [
    pytest.param(change, id=f"{number}-{kind}")
    for number, (kind, change) in enumerate(STATES)
    if kind not in APART
]


@pytest.mark.parametrize("change", [pytest.param({}, id="well"), *ON_THE_BUS])
async def test_both_say_what_the_verdict_says_of_what_is_on_the_bus(
    bus: Bus, redis_url: str, tmp_path: Path, change: dict[str, Any]
) -> None:
    seen = replace(WELL, **change)
    async with looks(redis_url, tmp_path, seen) as both:
        if seen.since_ms < FIRST_LOOK_MS:
            await both.at(seen.since_ms)
        await publish(bus, seen)
        if seen.trading.lock is not None:
            (tmp_path / "trader.lock").write_bytes(codec.encode(seen.trading.lock))
        if seen.since_ms < FIRST_LOOK_MS:
            await both.at(FIRST_LOOK_MS)
        on_health, on_page = await both.at(NOW_MS)
    assert on_health == judge(seen, NOW_MS, Limits()).problems
    assert on_page == on_health


def refuse(server: PrivateRedis) -> None:
    server.run("CONFIG", "SET", "maxmemory", "1")


@pytest.mark.parametrize(
    ("hurt", "said"),
    [
        (PrivateRedis.kill, "redis unreachable for "),
        (refuse, "redis is full for "),
    ],
)
async def test_both_say_what_is_wrong_with_redis(
    own_redis: Callable[..., PrivateRedis],
    tmp_path: Path,
    hurt: Callable[[PrivateRedis], None],
    said: str,
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=SystemClock())
    await publish(bus, WELL)
    await bus.close()
    async with looks(server.url, tmp_path) as both:
        assert await both.at(NOW_MS - 5_000) == ([], [])
        hurt(server)
        await both.beat()
        on_health, on_page = await both.at(NOW_MS)
        later_on_health, later_on_page = await both.at(NOW_MS + 60_000)
    assert on_health[0].startswith(said) and len(on_health) == 1
    # since when, each process has seen for itself
    assert [masked(text) for text in on_page] == [masked(text) for text in on_health]
    assert [masked(text) for text in later_on_page] == [masked(text) for text in later_on_health]


async def test_bad_messages_of_any_actor_are_named_on_both(
    redis_url: str, shared_redis: PrivateRedis, tmp_path: Path
) -> None:
    clock, channel = SystemClock(), schema.ACCOUNT_REFRESH.name()
    actors = ("account", "health", "dashboard")
    site = Site(redis_url, tmp_path, clock, replace(WELL, actors=actors))
    venue = {"base_url": f"{NOWHERE}/v2", "window_ms": 5000, "request_timeout_s": 1.0}
    section = {"account": {}, "symbols": list(WELL.symbols), "venue": venue}
    account = Account(context("account", redis_url, tmp_path, clock, section))
    livez = site.health_url.replace("/health", "/livez")

    def is_heard() -> bool:
        return shared_redis.run("PUBSUB", "NUMSUB", channel) == [channel.encode(), 1]

    async with (
        answering(site.health, livez) as session,
        answering(site.dashboard, site.page_url),
        answering(account, livez),
    ):
        await eventually(is_heard)
        shared_redis.run("PUBLISH", channel, "{broken")

        async def both_say() -> list[list[str]] | None:
            found = [
                [text for text in each if text.startswith("account skipped bad messages")]
                for each in await site.problems(session)
            ]
            return found if all(found) else None

        (on_health,), (on_page,) = await eventually(both_say)
    assert f"(1 so far, the newest {channel}: not JSON" in on_health
    assert on_page == on_health
