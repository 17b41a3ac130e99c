"""Replies that are too large, or refuse an address: bombs, endless bodies, 403 and 451."""

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


def forbidden() -> web.Response:
    """Return what the exchange's firewall answers: 403 and a page, before anything is counted."""
    page = "<html><head><title>403 Forbidden</title></head><body>Request blocked.</body></html>"
    return web.Response(status=403, text=page, content_type="text/html")


def restricted() -> web.Response:
    """Return what the exchange answers an address in a place that it does not serve."""
    text = (
        "Service unavailable from a restricted location according to 'b. Eligibility' in "
        "https://www.binance.com/en/terms. Please contact customer service if you believe you "
        "received this block in error."
    )
    return web.json_response({"code": 0, "msg": text}, status=451)


REFUSED_ADDRESS: Mapping[str, Callable[[], web.Response]] = {
    "forbidden": forbidden,
    "restricted": restricted,
}
"""Answers to an address that is refused as such, by kind of fault."""


def padded(frame: bytes, megabytes: float) -> bytes:
    """Return a JSON text of this size."""
    return frame.ljust(round(megabytes * MEGABYTE))
