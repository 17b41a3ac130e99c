"""An exchange that refuses our address: nothing is asked for a growing while, by any client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from shared.errors import ExchangeUnavailable, RateLimited
from shared.exchanges.binance.ban import BanFile
from shared.exchanges.binance.client import BinanceClient
from shared.messages.candles import Ban
from tests.support.exchange import client_of, served
from tests.support.manual_clock import ManualClock

NOW = 1_700_000_000_000
MINUTE_MS = 60_000


@dataclass
class Gate:
    """An exchange that answers with `status`, and counts."""

    clock: ManualClock
    directory: Path
    url: str = ""
    status: int = 403
    asked: int = 0
    most_at_once: int = 0
    _at_once: int = 0

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0.01)
        self._at_once -= 1
        if self.status == 200:
            return web.json_response({"serverTime": self.clock.now_ms()})
        return web.Response(status=self.status, text="<html>no</html>", content_type="text/html")

    @property
    def ban(self) -> Ban:
        ban = BanFile(self.directory / "ban" / "binance-ban").read()
        assert ban is not None
        return ban

    async def refused_ms(self, client: BinanceClient) -> int:
        """Ask once, and return for how long nothing may be asked from now on."""
        with pytest.raises(RateLimited) as caught:
            await client.sync_time()
        assert caught.value.status == self.status
        return caught.value.until_ms - self.clock.now_ms()


@asynccontextmanager
async def gate(tmp_path: Path, clients: int = 1) -> AsyncIterator[tuple[Gate, list[BinanceClient]]]:
    async with AsyncExitStack() as stack:
        here = Gate(ManualClock(NOW), tmp_path)
        app = web.Application()
        app.router.add_get("/{anything:.*}", here.answer)
        here.url = await stack.enter_async_context(served(app))
        made = [
            await stack.enter_async_context(client_of(here.url, here.clock, tmp_path / "ban"))
            for _ in range(clients)
        ]
        yield here, made


@pytest.mark.parametrize("status", [403, 451])
async def test_pauses_double_up_to_half_an_hour_and_begin_anew_after_an_answer(
    tmp_path: Path, status: int
) -> None:
    async with gate(tmp_path) as (here, (client,)):
        here.status = status
        minutes = []
        for _ in range(7):
            pause_ms = await here.refused_ms(client)
            minutes.append(pause_ms // MINUTE_MS)
            await here.clock.advance(pause_ms / 1000 - 1)
            await here.refused_ms(client)
            await here.clock.advance(1)
        assert minutes == [1, 2, 4, 8, 16, 30, 30]
        assert here.asked == 7
        here.status = 200
        await client.sync_time()
        here.status = status
        assert await here.refused_ms(client) == MINUTE_MS


async def test_every_process_is_silent_and_what_one_learns_counts_for_all(tmp_path: Path) -> None:
    async with gate(tmp_path, clients=3) as (here, clients):
        for minutes in (1, 2, 4):
            for client in clients:
                assert await here.refused_ms(client) == minutes * MINUTE_MS
            await here.clock.advance(60 * minutes)
        assert here.asked == 3
        here.status = 200
        await clients[1].sync_time()
        here.status = 403
        for client in clients:
            assert await here.refused_ms(client) == MINUTE_MS


async def test_pause_goes_on_growing_after_a_restart(tmp_path: Path) -> None:
    async with gate(tmp_path) as (here, (client,)):
        await here.refused_ms(client)
        await here.clock.advance(60)
        async with client_of(here.url, here.clock, tmp_path / "ban") as restarted:
            assert await here.refused_ms(restarted) == 2 * MINUTE_MS


async def test_many_requests_refused_at_once_are_one_refusal(tmp_path: Path) -> None:
    async with gate(tmp_path) as (here, (client,)):
        calls = [client.sync_time() for _ in range(20)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {RateLimited}
        assert here.ban.until_ms == NOW + MINUTE_MS


async def test_one_request_probes_after_the_pause_and_the_others_wait_for_its_answer(
    tmp_path: Path,
) -> None:
    async with gate(tmp_path) as (here, (client,)):
        await here.refused_ms(client)
        await here.clock.advance(60)
        asked = here.asked
        calls = [client.sync_time() for _ in range(20)]
        await asyncio.gather(*calls, return_exceptions=True)
        assert here.asked == asked + 1
        await here.clock.advance(120)
        here.status, here.most_at_once = 200, 0
        await asyncio.gather(*(client.sync_time() for _ in range(5)))
        assert here.most_at_once == 1
        await asyncio.gather(*(client.sync_time() for _ in range(5)))
        assert here.most_at_once > 1


async def test_fault_of_the_exchange_is_no_answer(tmp_path: Path) -> None:
    async with gate(tmp_path) as (here, (client,)):
        await here.refused_ms(client)
        await here.clock.advance(60)
        here.status = 503
        with pytest.raises(ExchangeUnavailable):
            await client.sync_time()
        here.status = 403
        assert await here.refused_ms(client) == 2 * MINUTE_MS


async def test_another_host_is_asked_at_once(tmp_path: Path) -> None:
    async with gate(tmp_path) as (here, (client,)):
        here.status = 451
        await here.refused_ms(client)
        here.status = 200
        other = here.url.replace("127.0.0.1", "localhost")
        async with client_of(other, here.clock, tmp_path / "ban") as moved:
            assert moved.forbidden_until_ms() is None
            await moved.sync_time()
        assert client.forbidden_until_ms() == NOW + MINUTE_MS


async def test_longer_ban_stays_in_force(tmp_path: Path) -> None:
    async with gate(tmp_path) as (here, (client,)):
        ban = Ban(until_ms=NOW + 3 * MINUTE_MS, status=418, at_ms=NOW)
        BanFile(tmp_path / "ban" / "binance-ban").write(ban)
        client.heed(403, "")
        assert here.ban == ban


@pytest.mark.parametrize("step_ms", [-86_400_000, -30_000, 86_400_000])
async def test_clock_that_jumps_makes_no_pause_longer(tmp_path: Path, step_ms: int) -> None:
    async with gate(tmp_path) as (here, (client,)):
        for minutes in (1, 2):
            await here.refused_ms(client)
            await here.clock.advance(60 * minutes)
        here.clock.step_wall(step_ms)
        left_ms = await here.refused_ms(client)
        assert left_ms <= 4 * MINUTE_MS
        await here.clock.advance(left_ms / 1000)
        here.status = 200
        await client.sync_time()


async def test_refusal_is_said_once_with_its_number_and_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with gate(tmp_path) as (here, (client,)):
        here.status = 451
        for minutes in (1, 2, 4):
            await here.refused_ms(client)
            await here.refused_ms(client)
            await here.clock.advance(60 * minutes)
        here.status = 200
        await client.sync_time()
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "HTTP 451" in warnings[0]
    assert "data-api.binance.vision" in warnings[0]
    assert "answers this address again" in caplog.records[-1].getMessage()


async def test_refused_websocket_silences_requests_unless_they_are_answered(
    tmp_path: Path,
) -> None:
    async with gate(tmp_path) as (here, (client,)):
        here.status = 200
        await client.sync_time()
        client.heed(403, "")
        assert client.forbidden_until_ms() is None
        await here.clock.advance(61)
        client.heed(403, "")
        assert client.forbidden_until_ms() == here.clock.now_ms() + MINUTE_MS
        assert client.awaits_answer()
