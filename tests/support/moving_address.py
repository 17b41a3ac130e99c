"""An address that leads to one Redis, later to another: what a failover does with a name."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

from tests.support.private_redis import PrivateRedis


class MovingAddress:
    """A TCP relay; connections made before a move stay where they are, as behind a DNS name.

    Args:
        target: Where new connections lead; may be changed.
    """

    def __init__(self, target: PrivateRedis) -> None:
        self.target = target
        self.url = ""
        self._writers: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve on the running loop; yields the URL."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        try:
            yield self.url
        finally:
            for writer in self._writers:
                writer.close()
            server.close()
            await server.wait_closed()

    @contextlib.contextmanager
    def serve_in_thread(self) -> Iterator[str]:
        """Serve beside a test that has no loop; yields the URL."""
        loop, serving = asyncio.new_event_loop(), threading.Event()
        over = asyncio.Event()

        async def serve() -> None:
            async with self.serve():
                serving.set()
                await over.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        try:
            assert serving.wait(10)
            yield self.url
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(str(self.target.socket))
        self._writers += [writer, far_writer]
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
    writer.close()
