"""The trader's API as it runs, and whoever asks it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from actors.base import Context
from actors.trader_api.actor import TraderApi
from shared.bus import Bus
from shared.clock import SystemClock
from shared.supervision.status_pipe import StatusPipe
from tests.support.ports import free_port
from tests.support.waiting import eventually

COINS = ["BTCUSDT", "ETHUSDT"]
CLOCK = SystemClock()


class Site:
    """A running API, and a session that knows its token."""

    def __init__(
        self, port: int, state_dir: Path, session: aiohttp.ClientSession, actor: TraderApi
    ) -> None:
        self.actor = actor
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        self.state_dir = state_dir
        self.session = session

    @property
    def token(self) -> str:
        """What lies in the token file."""
        return (self.state_dir / "api.token").read_text().strip()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> tuple[int, Any, str]:
        """Return status, body and content type; `token` "" sends none."""
        shown = self.token if token is None else token
        sent = {"Authorization": f"Bearer {shown}"} if shown else {}
        sent |= headers or {}
        async with self.session.request(
            method, self.base + path, headers=sent, **options
        ) as response:
            return response.status, await response.json(content_type=None), response.content_type

    async def get(self, path: str) -> Any:
        """Return the body of an answer that must be good."""
        status, body, _ = await self.ask("GET", path)
        assert status == 200, body
        return body


@contextlib.asynccontextmanager
async def api_site(
    url: str,
    state_dir: Path,
    *,
    log: logging.Logger | None = None,
    timer_min: int | None = None,
) -> AsyncIterator[Site]:
    """Run the actor and yield it once it answers."""
    port = free_port()
    context = Context(
        name="trader-api",
        mode="demo",
        source="sim",
        state_dir=state_dir,
        section={
            "trader_api": {"host": "127.0.0.1", "port": port},
            "symbols": COINS,
            "timer_min": timer_min,
        },
        bus=Bus(url, name="trader-api", clock=CLOCK, timeout_s=0.5),
        clock=CLOCK,
        log=log or logging.getLogger("test"),
        rng=random.Random(7),
        status=StatusPipe(None),
        probation=False,
        quarantined_coins={},
    )
    actor = TraderApi(context)
    running = asyncio.create_task(actor.run())
    async with aiohttp.ClientSession() as session:
        site = Site(port, state_dir, session, actor)
        try:

            async def listens() -> bool:
                assert not running.done(), running.exception()
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(site.base + "/openapi.json") as response:
                        return response.status == 200
                return False

            await eventually(listens)
            yield site
        finally:
            actor.stop()
            await running
            await context.bus.close()
