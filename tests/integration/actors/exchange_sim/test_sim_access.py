"""Who may ask the simulated exchange: no page of another site, and nobody with other keys."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from actors.base import Context
from actors.exchange_sim.actor import ExchangeSim
from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.defaults import UNNAMED_VENUE
from shared.errors import VenueDenied
from shared.exchanges.ports import Venue
from shared.exchanges.venue_keys import VenueKeys
from shared.supervision.status_pipe import StatusPipe
from tests.support.running_actor import answering
from tests.support.venue import ACCESS_ID, KEYS, SECRET, simulated_client

PATHS = (
    "/api/v3/ping", "/api/v3/klines?symbol=BTCUSDT&interval=5m", "/ws", "/ws/btcusdt@kline_5m",
    "/stream?streams=btcusdt@kline_5m", "/v2/time", "/v2/futures/ticker?market=BTCUSDT",
    "/v2/assets/futures/balance", "/v2/futures/order", "/v2/nothing", "/sim/faults",
    "/sim/requests", "/sim/venue", "/sim/venue/transfer", "/", "/nothing",
)  # fmt: skip
UPGRADE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)  # fmt: skip


@pytest.fixture(scope="module", params=["demo", "paper"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def port(redis_url: str, tmp_path: Path, mode: str) -> AsyncIterator[int]:
    """Run the simulated exchange, as the platform does."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
    clock, log = SystemClock(), logging.getLogger("exchange-sim")
    context = Context(
        name="exchange-sim",
        mode=mode,
        source="sim",
        state_dir=tmp_path,
        section={
            "simulator": {"port": port, "allowed_hosts": ["Sim.Example"]},
            "symbols": ["BTCUSDT"],
            "venue": UNNAMED_VENUE,
        },
        bus=Bus(redis_url, name="exchange-sim", clock=clock, log=log),
        clock=clock,
        log=log,
        rng=random.Random(1),
        status=StatusPipe(None),
        probation=False,
        quarantined_coins={},
        keys=KEYS,
    )
    async with answering(ExchangeSim(context), f"http://127.0.0.1:{port}/v2/time"):
        yield port


async def ask(port: int, method: str, path: str, *headers: str) -> tuple[int, str]:
    """Send just these headers; return status and body, of a stream no more than its start."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = (f"{method} {path} HTTP/1.1", *headers, "", "")
        writer.write("\r\n".join(lines).encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode()
        status = int(head.split()[1])
        length = [line for line in head.lower().split("\r\n") if line.startswith("content-length")]
        is_short = not length or method == "HEAD" or status == 101
        body = b"" if is_short else await reader.readexactly(int(length[0].split(":")[1]))
        return status, body.decode()
    finally:
        writer.transport.abort()


async def test_page_that_points_its_own_name_here_is_refused_on_every_path(port: int) -> None:
    for path in PATHS:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
            for extra in ((), UPGRADE) if method == "GET" else ((),):
                status, body = await ask(port, method, path, "Host: evil.example", *extra)
                assert status == 421, (method, path, extra)
                assert "does not go by the name 'evil.example'" in body
                assert "simulator.allowed_hosts" in body


async def test_another_sites_page_is_refused_on_every_path(port: int) -> None:
    pages = (
        ("Origin: http://evil.example",),
        ("Origin: null",),
        (f"Origin: http://127.0.0.1:{port + 1}",),
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
    )
    for path in PATHS:
        for page in pages:
            for method, extra in (("GET", ()), ("GET", UPGRADE), ("POST", ())):
                headers = (f"Host: 127.0.0.1:{port}", *page, *extra)
                status, body = await ask(port, method, path, *headers)
                assert (status, "another site" in body) == (403, True), (method, path, headers)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["Host: 127.0.0.1"], 200),
        (["Host: 127.0.0.1:8899"], 200),
        (["Host: LOCALHOST:8899"], 200),
        (["Host: [::1]:8899"], 200),
        (["Host: sim.example"], 200),
        (["Host: localhost:8899", "Origin: http://localhost:8899"], 200),
        ([], 400),
        (["Host: localhost", "Host: evil.example"], 400),
        (["Host: "], 421),
        (["Host: localhost."], 421),
        (["Host: evil.example."], 421),
        (["Host: 127.0.0.1.evil.example"], 421),
        (["Host: evil.example:8899"], 421),
        (["Host: [2001:db8::1]:8899"], 421),
        (["Host: evil.example@127.0.0.1"], 421),
        (["Host: 127.0.0.1/evil.example"], 421),
    ],
)
async def test_names_that_the_simulator_goes_by(
    port: int, headers: list[str], expected: int
) -> None:
    status, body = await ask(port, "GET", "/v2/time", *headers)
    assert status == expected, body


async def test_only_the_given_keys_sign_for_the_account(port: int) -> None:
    clock = SystemClock()
    async with aiohttp.ClientSession() as session:

        def client(key: str = ACCESS_ID, secret: str = SECRET) -> Venue:
            keys = VenueKeys(key, secret)
            return simulated_client(f"http://127.0.0.1:{port}", session, clock, keys=keys)

        assert await client().balance()
        for denied in (client("simulated", "simulated-venue-takes-this-key"),
                       client(secret="simulated-venue-takes-this-key")):  # fmt: skip
            with pytest.raises(VenueDenied):
                await denied.balance()
