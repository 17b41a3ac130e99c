"""Latency of `/health` under an open-loop load of 1,000 requests a second.

The real health actor as a process of its own, on a real Redis with the messages of 29 coins and
their actors, and with scrapes of `/metrics`. In turns with it the floor: a bare aiohttp server
that sends as many bytes. A request's time runs from when it was due, so that a stall counts for
every waiting request. The server's processor time does not depend on the machine's load.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.one_actor import ROOT, launch, start
from benchmarks.tables import percentile, table, verdict
from shared.bus import Bus
from shared.clock import SystemClock
from shared.config.ports import free_port
from shared.proc_stats import cpu_s
from tests.support.health_site import ACTORS, COINS, tell_all_is_well
from tests.support.private_redis import PrivateRedis, chosen_redis

RATE = 1000
CONNECTIONS = 100
AIM_MS = 50.0
UNCOUNTED_S = 1.0
TOLD_EVERY_S = 5.0
SCRAPED_EVERY_S = 1.0
LENGTH = re.compile(rb"Content-Length: (\d+)", re.IGNORECASE)
FLOOR = """
import sys
from aiohttp import web
body = b"x" * int(sys.argv[2])
async def answer(_):
    return web.Response(body=body, content_type="application/json")
app = web.Application()
app.router.add_get("/health", answer)
app.router.add_get("/metrics", answer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


@dataclass
class Measurement:
    """Measurements of one server: milliseconds of each request, by round, and its CPU time."""

    rounds_ms: list[list[float]] = field(default_factory=list)
    cpu_s: float = 0.0
    lasted_s: float = 0.0

    def p99_ms(self) -> float:
        """Return the 99th percentile of the round in the middle."""
        return statistics.median(percentile(each, 0.99) for each in self.rounds_ms)


class Connection:
    """One keep-alive client with one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, path: str) -> int:
        """Send a request and return the size of the body.

        Raises:
            ValueError: The answer is not 200 with a length.
        """
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        found = LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200") or found is None:
            raise ValueError(f"{path} answered {head[:60]!r}")
        await self._reader.readexactly(int(found[1]))
        return int(found[1])

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def connections(port: int) -> AsyncIterator[asyncio.Queue[Connection]]:
    """Open the clients of one server."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    opened = []
    for _ in range(CONNECTIONS):
        opened.append(Connection(*await asyncio.open_connection("127.0.0.1", port)))
        free.put_nowait(opened[-1])
    try:
        yield free
    finally:
        for connection in opened:
            connection.close()


async def load(port: int, seconds: float) -> list[float]:
    """Return how many milliseconds each request took, the first second's left out."""
    times_ms: list[float] = []
    loop = asyncio.get_running_loop()
    async with connections(port) as free:

        async def ask(due_s: float, path: str, *, counts: bool) -> None:
            connection = await free.get()
            await connection.ask(path)
            free.put_nowait(connection)
            if counts:
                times_ms.append(1000 * (loop.time() - due_s))

        began_s = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(RATE * (UNCOUNTED_S + seconds))):
                due_s = began_s + number / RATE
                if due_s > loop.time():
                    await asyncio.sleep(due_s - loop.time())
                tasks.create_task(ask(due_s, "/health", counts=due_s - began_s >= UNCOUNTED_S))
                if number % int(RATE * SCRAPED_EVERY_S) == 0:
                    tasks.create_task(ask(due_s, "/metrics", counts=False))
    return times_ms


async def size_once_up(port: int) -> int:
    """Return the size of `/health` once it answers 200."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
            try:
                return await connection.ask("/health")
            finally:
                connection.close()
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing answers 200 on port {port}")
        await asyncio.sleep(0.05)


def start_floor(port: int, size: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", FLOOR, str(port), str(size)], cwd=ROOT)


async def republish(bus: Bus) -> None:
    """Republish healthy messages, as a platform does."""
    while True:
        await tell_all_is_well(bus, used_weight=58, weight_limit=6000)
        await asyncio.sleep(TOLD_EVERY_S)


async def measure(
    server: PrivateRedis, home: Path, seconds: float, rounds: int
) -> tuple[dict[str, Measurement], int]:
    """Return the measurements of both servers, and the size of the body."""
    ports = {"health": free_port(), "floor": free_port()}
    section = {
        "health": {"host": "127.0.0.1", "port": ports["health"]},
        "symbols": COINS,
        "actors": ACTORS,
        "fetcher": {},
        "account": {},
        "trader": {},
    }
    bus = Bus(server.url, name="bench", clock=SystemClock())
    republishing = asyncio.create_task(republish(bus))
    message = launch("health", "actors.health.actor:Health", section, home, server.url)
    processes = {"health": start(message)}
    results = {name: Measurement() for name in ports}
    try:
        size = await size_once_up(ports["health"])
        processes["floor"] = start_floor(ports["floor"], size)
        await size_once_up(ports["floor"])
        for _ in range(rounds):
            for name, port in ports.items():
                before_s = cpu_s(processes[name].pid) or 0.0
                results[name].rounds_ms.append(await load(port, seconds))
                results[name].cpu_s += (cpu_s(processes[name].pid) or 0.0) - before_s
                results[name].lasted_s += UNCOUNTED_S + seconds
    finally:
        republishing.cancel()
        await asyncio.gather(republishing, return_exceptions=True)
        await bus.close()
        for process in processes.values():
            process.terminate()
            process.wait(10)
    return results, size


def report(results: dict[str, Measurement], size: int) -> str:
    """Return the figures as Markdown."""
    named = {"health": "`/health`", "floor": "bare aiohttp, as many bytes (floor)"}
    rows = []
    for name, measured in results.items():
        values = [value for each in measured.rounds_ms for value in each]
        figures = [
            percentile(values, 0.5),
            measured.p99_ms(),
            percentile(values, 0.99),
            max(values),
        ]
        cpu = f"{100 * measured.cpu_s / measured.lasted_s:.0f} %"
        rows.append([named[name], *(f"{figure:.1f}" for figure in figures), cpu])
    ours, floor = results["health"].p99_ms(), results["floor"].p99_ms()
    head = ("server", "p50 ms", "p99 ms, median round", "p99 ms, all", "slowest ms", "of a core")
    return "\n\n".join(
        [
            "## `/health` under load",
            f"{RATE:,} requests a second over {CONNECTIONS} connections, {size:,} bytes each, "
            f"{len(results['health'].rounds_ms)} rounds in turns; client and server share a "
            "machine, and a time runs from when its request was due.",
            table(head, rows),
            f"Aim: p99 within {AIM_MS:.0f} ms: {ours:.1f} ms, {verdict(ours <= AIM_MS)}; "
            f"{ours / floor:.1f} times the floor.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round each")
    options = parser.parse_args()
    seconds, rounds = (3.0, 1) if options.quick else (5.0, 5)
    server = PrivateRedis(str(chosen_redis().path))
    try:
        server.start()
        with tempfile.TemporaryDirectory(prefix="coinex-") as home:
            measured_of, size = asyncio.run(measure(server, Path(home), seconds, rounds))
    finally:
        server.remove()
    print(report(measured_of, size))


if __name__ == "__main__":
    main()
