"""The clients of `/ws`: each gets the newest state, without a queue.

All that is kept per client is the last version sent. A slow client gets fewer, larger patches;
one that takes nothing is dropped. Clients of `/ws?flat=1` get no patches but the whole each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

from aiohttp import WSCloseCode, WSMsgType, web

from actors.dashboard.versions import DocumentVersions
from shared.clock import Clock
from shared.token_bucket import TokenBucket

PAUSE_S = 0.25
"""Between two messages to one client: at most four a second."""

QUIET_S = 10.0
"""After which an empty patch is sent, so that the client knows the connection is alive."""

PING_S = 20.0
LONGEST_MESSAGE = 4096
MESSAGES_PER_S, MESSAGES_BURST = 5.0, 50
"""Taken from one client, who has no reason to send any but pings and pongs."""

SEND_BUFFER = 65_536
"""Kernel send buffer per client, in bytes; a larger one would queue old states."""


class Clients:
    """Serves document versions over websockets.

    Args:
        max_clients: Further ones are refused with 503.
        send_timeout_s: Per message; a client that exceeds it is dropped.

    Attributes:
        refused: Clients refused because there were too many.
        dropped: Clients dropped because they took nothing, or sent too much.
        sent: Messages sent.
    """

    def __init__(
        self,
        versions: DocumentVersions,
        *,
        clock: Clock,
        max_clients: int,
        send_timeout_s: float,
        log: logging.Logger,
    ) -> None:
        self._versions = versions
        self._clock = clock
        self._max_clients = max_clients
        self._send_timeout_s = send_timeout_s
        self._log = log
        self._open: set[web.WebSocketResponse] = set()
        self._count = 0
        self._changed = asyncio.Event()
        self.refused = 0
        self.dropped = 0
        self.sent = 0

    def __len__(self) -> int:
        return self._count

    def notify(self) -> None:
        """Wake all clients: there is a new version."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it disconnects."""
        if self._count >= self._max_clients:
            self.refused += 1
            raise web.HTTPServiceUnavailable(
                text=f"{self._max_clients} browsers are connected, which is all that dashboard."
                "max_clients allows; close one, or raise it",
                headers={"Retry-After": "10"},
            )
        # Compression would cost 1 MB and a separate encoding per connection.
        ws = web.WebSocketResponse(
            heartbeat=PING_S,
            compress=False,
            max_msg_size=LONGEST_MESSAGE,
            timeout=1.0,
            autoping=False,  # pongs would pile up for a client that reads none of them
        )
        self._count += 1
        try:
            await ws.prepare(request)
            self._open.add(ws)
            _limit_send_buffer(request)
            await self._serve_client(ws, request)
        finally:
            self._count -= 1
            self._open.discard(ws)
        return ws

    async def close(self) -> None:
        closing = [ws.close(code=WSCloseCode.GOING_AWAY) for ws in self._open]
        await asyncio.gather(*closing, return_exceptions=True)

    async def _serve_client(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        pushing = asyncio.create_task(self._push(ws, request))
        limit = TokenBucket(MESSAGES_PER_S, MESSAGES_BURST)
        try:
            async for message in ws:
                if not limit.allows(self._clock.monotonic()):
                    self.dropped += 1
                    self._log.warning("a browser sends too many messages: let go")
                    if request.transport is not None:
                        request.transport.abort()
                    break
                if message.type is WSMsgType.PING:
                    await ws.pong(message.data)
        except ConnectionError:
            pass  # disconnected before its ping was answered
        finally:
            pushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pushing

    async def _push(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        try:
            async with asyncio.timeout(None) as deadline:
                await self._push_updates(ws, deadline, flat=request.query.get("flat") == "1")
        except TimeoutError:
            self.dropped += 1
            self._log.info("a browser took nothing for %g s: let go", self._send_timeout_s)
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # disconnected while sending; the reading side ends

    async def _push_updates(
        self, ws: web.WebSocketResponse, deadline: asyncio.Timeout, *, flat: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        sequence, version = 1, self._versions.version
        now_ms = self._clock.now_ms
        message = self._versions.flat() if flat else self._versions.snapshot(sequence, now_ms())
        while True:
            deadline.reschedule(loop.time() + self._send_timeout_s)
            await ws.send_frame(message, WSMsgType.TEXT)
            deadline.reschedule(None)
            self.sent += 1
            await self._clock.sleep(PAUSE_S)
            if version == self._versions.version:
                await self._wait_for_change()
            sequence += 1
            message = (
                self._versions.flat() if flat else self._versions.patch(version, sequence, now_ms())
            )
            version = self._versions.version

    async def _wait_for_change(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                await self._changed.wait()


def _limit_send_buffer(request: web.Request) -> None:
    if request.transport is not None and (sock := request.transport.get_extra_info("socket")):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
