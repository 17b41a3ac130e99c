"""A running health actor, a client that asks it, and what makes it content."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from actors.base import Context
from actors.health.actor import Health
from shared import schema
from shared.bus import Bus
from shared.clock import Clock, SystemClock
from shared.supervision.status_pipe import StatusPipe
from tests.support.ports import free_port
from tests.support.running_actor import answering
from tests.support.sightings import heartbeat, lease, put_field, signal, status, supervisor_state

COINS = [f"COIN{letter}USDT" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ123"]
ACTORS = ["exchange-sim", "fetcher", "indicators-majors", "auditor", "health"]
CLOCK = SystemClock()


class Site:
    """A running health actor and a client that asks it."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self.port = port
        self._base, self._session = f"http://127.0.0.1:{port}", session

    async def ask(self, path: str) -> tuple[int, Any]:
        async with self._session.get(self._base + path) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
            return response.status, await response.json()

    async def health(self) -> dict[str, Any]:
        body = (await self.ask("/health"))[1]
        assert isinstance(body, dict)
        return body

    async def status(self) -> str:
        return str((await self.health())["status"])

    async def says(self, words: str) -> bool:
        return any(words in problem for problem in (await self.health())["problems"])

    async def metrics(self) -> list[str]:
        async with self._session.get(self._base + "/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain")
            return (await response.text()).splitlines()


@contextlib.asynccontextmanager
async def site(
    url: str,
    tmp_path: Path,
    *,
    actors: Sequence[str] = ACTORS,
    timeout_s: float = 0.5,
    trader: Mapping[str, Any] | None = None,
    clock: Clock = CLOCK,
) -> AsyncIterator[Site]:
    port = free_port()
    bus = Bus(url, name="health", clock=clock, timeout_s=timeout_s)
    context = Context(
        name="health",
        mode="demo",
        source="sim",
        state_dir=tmp_path,
        section={
            "health": {"host": "127.0.0.1", "port": port},
            "symbols": COINS,
            "actors": list(actors),
            "fetcher": {},
            "account": {},
            "trader": dict(trader or {}),
            "timer_min": None,
        },
        bus=bus,
        clock=clock,
        log=logging.getLogger("health"),
        rng=random.Random(1),
        status=StatusPipe(None),
        probation=False,
        quarantined_coins={},
    )
    async with answering(Health(context), f"http://127.0.0.1:{port}/livez") as session:
        yield Site(port, session)


async def tell_all_is_well(bus: Bus, **fetcher_detail: Any) -> None:
    now_ms = CLOCK.now_ms()
    for name in ACTORS:
        await put_field(bus, schema.ACTORS, name, status(name, since_ms=now_ms))
        if name != "health":
            detail = fetcher_detail if name == "fetcher" else {}
            await bus.put(schema.HEARTBEAT, heartbeat(name, now_ms, **detail), name=name)
    await bus.put(schema.LEASE, lease(now_ms))
    await bus.put(schema.SUPERVISOR, replace(supervisor_state(), started_ms=now_ms - 90_000))
    for symbol in COINS:
        await bus.put(schema.TA_LATEST, signal(symbol, now_ms), symbol=symbol)
