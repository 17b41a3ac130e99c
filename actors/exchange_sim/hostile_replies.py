"""Replies that are too large: gzip bombs, and bodies without end."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping

from aiohttp import web

MEGABYTE = 2**20
BOMB_MB = 1000.0
FRAME_MB = 1.0
_GZIP_HEADER = b"\x1f\x8b\x08" + bytes(6) + b"\xff"


def bomb(megabytes: float, headers: Mapping[str, str]) -> web.Response:
    """Return a reply of zeros, a thousandth of what it decompresses to."""
    return web.Response(
        body=_GZIP_HEADER + _block() * round(megabytes),
        headers={"Content-Encoding": "gzip", **headers},
        content_type="application/json",
    )


@functools.cache
def _block() -> bytes:
    # it ends in a full flush, so it may be repeated: a bomb of any size is ready at once
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)


async def endless(
    request: web.Request, headers: Mapping[str, str], is_active: Callable[[], bool]
) -> web.StreamResponse:
    """Send a body of blanks until the client leaves, or the fault is over."""
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/json"
    await response.prepare(request)
    try:
        while is_active():
            await response.write(b" " * (MEGABYTE // 16))
    except ConnectionError:
        pass
    return response


def padded(frame: bytes, megabytes: float) -> bytes:
    """Return a JSON text of this size."""
    return frame.ljust(round(megabytes * MEGABYTE))
