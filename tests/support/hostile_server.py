"""A server whose replies no client should have to bear; each is sent to one connection."""

from __future__ import annotations

import asyncio
import functools
import gzip
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import repeat

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
TO_THE_END = b"Connection: close\r\n"
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class HostileReply:
    """Bytes to send: `head`, then `part` again and again."""

    head: bytes
    part: bytes = b""
    pause_s: float = 0.0


@functools.cache
def bomb(megabytes: int, head: bytes = b"\x1f\x8b\x08" + bytes(6) + b"\xff") -> bytes:
    """Return a gzip stream of zeros, a thousandth of their size, without its checksum."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    megabyte = packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + megabyte * megabytes


def whole(body: bytes, *headers: bytes) -> HostileReply:
    return HostileReply(OK + b"".join(headers) + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


@functools.cache
def replies() -> Mapping[str, tuple[HostileReply, str]]:
    """Return replies by name, each with a pattern of what the error says."""
    until_close = OK + GZIP + TO_THE_END + b"\r\n"
    return {
        "gzip bomb": (
            whole(bomb(1000), GZIP),
            r"bytes of gzip decompress to more than 1,048,576|,576 are read",
        ),
        "gzip bomb in chunks": (
            HostileReply(OK + GZIP + IN_CHUNKS + b"\r\n" + chunk(bomb(1000))),
            "bytes of gzip decompress to more than 1,048,576 bytes, at most 1,048,576 are read",
        ),
        "bombs one after another": (
            HostileReply(until_close, gzip.compress(b"") * 3000),
            "follow the end of its gzip",
        ),
        "gzip of nothing, without end": (
            HostileReply(until_close + gzip.compress(b"")[:10], b"\0\0\0\xff\xff" * 3000),
            "have arrived, at most 1,048,576",
        ),
        "no gzip": (whole(b"[]", GZIP), "cannot be decompressed"),
        "half a gzip": (whole(gzip.compress(b"[]")[:-4], GZIP), "ends too early"),
        "body without end": (
            HostileReply(OK + TO_THE_END + b"\r\n", bytes(MEGABYTE // 16)),
            "have arrived, at most 1,048,576",
        ),
        "chunks without end": (
            HostileReply(OK + IN_CHUNKS + b"\r\n", chunk(bytes(MEGABYTE // 16))),
            "have arrived, at most 1,048,576",
        ),
        "tiny chunks": (
            HostileReply(OK + IN_CHUNKS + b"\r\n", chunk(b" ") * 1000),
            "have arrived, at most 1,048,576|no answer",
        ),
        "announced 5 GB": (
            HostileReply(OK + b"Content-Length: 5000000000\r\n\r\n["),
            "Content-Length is 5,000,000,000 bytes, at most 1,048,576",
        ),
        "drip": (HostileReply(OK + TO_THE_END + b"\r\n", b" ", pause_s=0.02), "no answer"),
        "gzip twice": (whole(b"abc", GZIP, GZIP), "Content-Encoding is 'gzip, gzip'"),
        **{
            name: (
                whole(b"abc", b"Content-Encoding: %b\r\n" % name.encode()),
                f"Content-Encoding is '{name}', expected gzip or none",
            )
            for name in ("deflate", "br", "zstd")
        },
        "headers without end": (HostileReply(OK, b"X-A: b\r\n" * 1000), "Too many headers"),
        "header line without end": (HostileReply(OK + b"X: ", b"a" * 65536), "more than 8190"),
        "trailers without end": (
            HostileReply(OK + IN_CHUNKS + b"\r\n0\r\n", b"X-A: b\r\n" * 1000),
            "Too many headers",
        ),
        "interim replies without end": (
            HostileReply(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
            "no answer",
        ),
        "300,000 lists": (whole(b"[" + b"[]," * 299_999 + b"[]]"), "300,001 lists and objects"),
        "nested too deeply": (whole(b"[" * 2000 + b"]" * 2000), "no JSON|no reply of the API"),
        "a number of 5,000 digits": (whole(b"9" * 5000), "no JSON|no reply of the API"),
        "colours for a terminal": (whole(b"\x1b[31m\x07red"), r"\\x1b\[31m\\x07red"),
        "a redirect": (
            HostileReply(
                b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
            ),
            "redirect, which is never followed",
        ),
    }


@asynccontextmanager
async def hostile(reply: HostileReply) -> AsyncIterator[str]:
    """Serve a reply to every request, and yield the base URL."""

    answering: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply.head)
            for part in repeat(reply.part) if reply.part else ():
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(reply.pause_s)
            await reader.read()  # until the client leaves
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.create_task(answer(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
