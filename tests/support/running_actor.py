"""An actor that serves HTTP, running in this process until it answers, and then until the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp

from actors.base import Actor
from tests.support.waiting import eventually


@contextlib.asynccontextmanager
async def answering(actor: Actor, url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Run an actor and yield a client session once `url` is answered with 200; then stop it.

    Raises:
        Exception: Whatever ended the actor.
    """
    running = asyncio.create_task(actor.run())
    try:
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                if running.done():
                    running.result()
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(url) as response:
                        return response.status == 200
                return False

            await eventually(answers)
            yield session
    finally:
        actor.stop()
        await running
        await actor.bus.close()
