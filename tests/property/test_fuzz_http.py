"""Whatever bytes come to the health actor: it answers or hangs up, and goes on answering."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.health_site import site
from tests.support.mutations import spoilt
from tests.support.ports import free_port

MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
ANSWER_S = 5.0
REQUEST = (
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: x\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
UPGRADE = (
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CHUNKED = (
    b"POST /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a health actor, without a Redis, on an event loop of its own; return its port."""
    found: list[int] = []
    up, over = threading.Event(), threading.Event()
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    folder: Path = tmp_path_factory.mktemp("health")

    async def serve() -> None:
        async with site(nobody, folder) as here:
            found.append(here.port)
            up.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert up.wait(20)
        yield found[0]
    finally:
        over.set()
        thread.join(20)
        assert not thread.is_alive(), "the actor did not end well"


def answer_to(port: int, raw: bytes) -> bytes:
    """Return all that comes back until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), ANSWER_S) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            parts = []
            while part := connection.recv(65_536):
                parts.append(part)
        except TimeoutError:
            raise
        except OSError:  # hung up on
            return b""
        return b"".join(parts)


def lives(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def is_answered_or_hung_up(port: int, raw: bytes) -> None:
    answer = answer_to(port, raw)
    assert not answer or answer.startswith(b"HTTP/"), answer[:80]
    # 503 is what /health says of a platform without a Redis; a 500 would be a bug
    assert not answer.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500")), answer
    lives(port)


@given(raw=spoilt(REQUEST) | spoilt(UPGRADE) | spoilt(CHUNKED))
@MANY
def test_requests_that_were_changed(port: int, raw: bytes) -> None:
    is_answered_or_hung_up(port, raw)


@given(raw=st.binary(min_size=1, max_size=200))
@MANY
def test_bytes_that_are_no_request(port: int, raw: bytes) -> None:
    is_answered_or_hung_up(port, raw)


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE", "OPTIONS", "TRACE", "X"]),
    path=st.sampled_from(["/health", "/metrics", "/readyz", "/livez", "/", "*", "//health"]),
    tail=st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30),
)
@MANY
def test_methods_and_paths_of_all_kinds(port: int, method: str, path: str, tail: str) -> None:
    line = f"{method} {path}{tail} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    is_answered_or_hung_up(port, line.encode("latin-1"))


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"GET /health HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS at a plain port
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        REQUEST.replace(b"Connection: close\r\n", b"") * 200,
    ],
    ids=["long path", "many headers", "long header", "huge length", "length below zero", "version",
         "TLS", "HTTP/2", "pipelined"],
)  # fmt: skip
def test_requests_as_clients_send_them_to_the_wrong_place(port: int, raw: bytes) -> None:
    is_answered_or_hung_up(port, raw)
