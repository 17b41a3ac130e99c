"""Replies to our HTTP requests: their size is limited, compressed and decompressed.

Requests follow no redirect and keep no cookie. A reply may be plain or gzip, the one encoding
asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Never

import aiohttp
import orjson

from shared.errors import PlatformError, shortened

LARGEST_REPLY = 2**20
"""Bytes: 1,000 klines, the longest list asked for, are 180,000."""

LARGEST_LISTING = 2**22
"""Bytes: `exchangeInfo` has about 5,000 per coin."""

LARGEST_FRAME = 2**13
"""Bytes of a websocket message: a kline has 400."""

MOST_CONTAINERS = 2**16
"""Lists and objects in one document: `[]` is 2 bytes on the wire and 80 in memory."""

_GZIP = zlib.MAX_WBITS + 16


class ReplyRefused(PlatformError):
    """A reply that is too large, or not encoded as asked."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the reply is refused: {why}")


class Body:
    """The body of a reply as it arrives: at most `most` bytes of it are kept.

    Args:
        most: Bytes, as sent and decompressed.
        encoding: The reply's `Content-Encoding`.
        declared: Its `Content-Length`, if it has one.

    Raises:
        ReplyRefused: It cannot be within `most`, or has another encoding.
    """

    def __init__(self, most: int, encoding: str = "", declared: int | None = None) -> None:
        self._most = most
        self._sent = 0
        self._kept = bytearray()
        self._gzip = None
        if declared is not None and declared > most:
            raise ReplyRefused(f"its Content-Length is {declared:,} bytes, {self._limit()}")
        if encoding.lower() in ("gzip", "x-gzip"):
            self._gzip = zlib.decompressobj(_GZIP)
        elif encoding.lower() not in ("", "identity"):
            shown = shortened(encoding)
            raise ReplyRefused(f"its Content-Encoding is '{shown}', expected gzip or none")

    def add(self, part: bytes) -> None:
        """Take what has arrived.

        Raises:
            ReplyRefused: The body is too large, or is no gzip.
        """
        self._sent += len(part)
        if self._sent > self._most:
            raise ReplyRefused(f"{self._sent:,} bytes have arrived, {self._limit()}")
        if self._gzip is None:
            self._kept += part
            return
        try:
            self._kept += self._gzip.decompress(part, self._most - len(self._kept) + 1)
        except zlib.error as error:
            raise ReplyRefused(f"it cannot be decompressed: {error}") from None
        if len(self._kept) > self._most:
            raise ReplyRefused(
                f"{self._sent:,} bytes of gzip decompress to more than {self._most:,} bytes, "
                f"{self._limit()}"
            )
        if self._gzip.unused_data:
            raise ReplyRefused("bytes follow the end of its gzip stream")

    def whole(self) -> bytes:
        """Return the body after its last byte has arrived.

        Raises:
            ReplyRefused: The gzip stream has not ended.
        """
        if self._gzip is not None and self._sent and not self._gzip.eof:
            raise ReplyRefused("its gzip stream ends too early")
        return bytes(self._kept)

    def _limit(self) -> str:
        return f"at most {self._most:,} are read"


def open_session() -> aiohttp.ClientSession:
    """Return a session for requests and websockets; a loop must be running."""
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[tracing])


async def _refuse_redirect(
    _session: aiohttp.ClientSession,
    _context: SimpleNamespace,
    redirect: aiohttp.TraceRequestRedirectParams,
) -> Never:
    # ws_connect has no option for it
    redirect.response.close()
    raise aiohttp.ClientError(f"HTTP {redirect.response.status}, a redirect, never followed")


def sent(
    session: aiohttp.ClientSession,
    method: str,
    url: Any,
    *,
    headers: Mapping[str, str] | None = None,
    connect_s: float | None = None,
    **options: Any,
) -> aiohttp.client._RequestContextManager:
    """Send a request, whose reply's body is for `read_body`; the caller limits the time."""
    return session.request(
        method,
        url,
        headers={"Accept-Encoding": "gzip", **(headers or {})},
        allow_redirects=False,
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_s),
        **options,
    )


async def read_body(reply: aiohttp.ClientResponse, most: int = LARGEST_REPLY) -> bytes:
    """Return the decompressed body of a reply to `sent`.

    Raises:
        ReplyRefused: It is larger than `most`, or not encoded as asked; the connection is closed.
        aiohttp.ClientError: The connection was cut.
    """
    try:
        encodings = reply.headers.getall("Content-Encoding", [])
        body = Body(most, ", ".join(encodings), reply.content_length)
        async for part in reply.content.iter_any():
            body.add(part)
        return body.whole()
    except ReplyRefused:
        reply.close()
        raise


def document_of(body: bytes) -> Any:
    """Return the JSON document in a body; None if it is none.

    Raises:
        ReplyRefused: It has more than `MOST_CONTAINERS` lists and objects.
    """
    found = body.count(b"[") + body.count(b"{")
    if found > MOST_CONTAINERS:
        raise ReplyRefused(
            f"it has {found:,} lists and objects, at most {MOST_CONTAINERS:,} are read"
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
