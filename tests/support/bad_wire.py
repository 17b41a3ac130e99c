"""A wire between clients and a server that is slow, loses connections, or swallows everything."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from pathlib import Path

CHUNK = 65_536
TURN_S = 0.05


class BadWire:
    """Listens on a TCP port of its own and passes everything on to a unix socket.

    Attributes:
        delay_s: How late each chunk arrives, in either direction.
        drops_s: Connections are cut after a random time of this mean; None: never.
        swallows: Connections stay open, but nothing arrives.
        swallowed: Client ports for which alone that holds.
    """

    def __init__(self, target: Path, rng: random.Random) -> None:
        self.delay_s = 0.0
        self.drops_s: float | None = None
        self.swallows = False
        self.swallowed: set[int] = set()
        self.cut = 0
        self._target = target
        self._rng = rng
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bad wire", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._port

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        if not self._listening.wait(10):
            raise OSError("the wire does not listen within 10 s")

    def stop(self) -> None:
        """Cut everything."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self._port)
        )
        self._port = server.sockets[0].getsockname()[1]
        self._listening.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # asyncio's callback cannot bear it
            await self._connect(reader, writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        client = writer.get_extra_info("peername")[1]
        jobs = [
            asyncio.create_task(self._pass_on(reader, far_writer, client)),
            asyncio.create_task(self._pass_on(far_reader, writer, client)),
            asyncio.create_task(self._cut_some_time()),
        ]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            for end in (writer, far_writer):
                end.close()

    async def _cut_some_time(self) -> None:
        while True:
            mean_s = self.drops_s
            if mean_s is not None and self._rng.random() < TURN_S / mean_s:
                self.cut += 1
                return
            await asyncio.sleep(TURN_S)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: int
    ) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(self._arrive(waiting, writer, client))
        loop = asyncio.get_running_loop()
        try:
            while chunk := await reader.read(CHUNK):
                waiting.put_nowait((loop.time() + self.delay_s, chunk))
        except OSError:
            pass
        finally:
            arriving.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await arriving

    async def _arrive(
        self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, client: int
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if (
                self.swallows or client in self.swallowed
            ):  # for good: a connection that lost bytes is of no use any more
                await asyncio.get_running_loop().create_future()
            writer.write(chunk)
            await writer.drain()
