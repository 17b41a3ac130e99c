"""What one call of a service tells: delivered, not delivered, or perhaps."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from actors.alerts.http_calls import LONGEST_BODY, LONGEST_PAUSE_S, retry_after_s
from actors.alerts.services import MOST_RUNNING, Service, ServiceFailed, open_services
from shared.alert_urls import parse_urls
from shared.clock import SystemClock
from shared.errors import ConfigError
from tests.support.alert_receiver import Receiver, receiver
from tests.support.certificates import certificates
from tests.support.hostile_server import bomb
from tests.support.ports import free_port
from tests.support.waiting import eventually

CLOCK = SystemClock()
SECRET = "hunter2-token"


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as here:
        yield here


def opened(url: str, timeout_s: float = 5.0) -> Service:
    (service,) = open_services([url], timeout_s, CLOCK)
    return service


async def failure(service: Service) -> ServiceFailed:
    with pytest.raises(ServiceFailed) as caught:
        await service.send("title", "body")
    return caught.value


def test_a_url_of_no_known_service_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_urls(["json://127.0.0.1/good", "nonsense://hunter2/x", "hunter2"])
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "service 2 (nonsense) of COINEX_ALERT_URLS (credential alert_urls)",
        "service 3 (no scheme) of COINEX_ALERT_URLS (credential alert_urls)",
    ]
    assert "hunter2" not in str(caught.value)


async def test_a_service_nobody_listens_at_fails_in_words_without_its_address() -> None:
    failed = await failure(opened(f"json://user:hunter2@127.0.0.1:{free_port()}/token1"))
    assert "onnection error" in str(failed) and not failed.perhaps_delivered
    assert "hunter2" not in str(failed) and "127.0.0.1" not in str(failed)


async def test_a_host_without_an_address_gets_nothing() -> None:
    assert not (await failure(opened("json://no-such-host.invalid/x"))).perhaps_delivered


@pytest.mark.parametrize(
    ("status", "perhaps"), [(400, False), (404, False), (429, False), (500, False), (502, False),
                            (503, False), (504, True), (524, True), (408, True)],
)  # fmt: skip
async def test_an_error_says_whether_the_message_may_have_been_delivered(
    hook: Receiver, status: int, perhaps: bool
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "7"})

    hook.odd["one"] = answer
    failed = await failure(opened(hook.url("one")))
    assert (failed.perhaps_delivered, failed.retry_after_s) == (perhaps, 7.0)
    assert str(status) in str(failed)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_no_delivery(hook: Receiver, status: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    hook.odd["one"] = answer
    failed = await failure(opened(hook.url("one")))
    assert f"error={status}" in str(failed) and not failed.perhaps_delivered
    assert "elsewhere" not in hook.asked


@pytest.mark.parametrize("size", [1024 * 1024, 1], ids=["fast", "slow"])
async def test_an_endless_body_is_read_for_a_while_and_the_status_counts(
    hook: Receiver, size: int
) -> None:
    sent = [0]

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * size)
                sent[0] += size
                await asyncio.sleep(0.02 if size == 1 else 0)
        return response

    hook.odd["one"] = answer
    await opened(hook.url("one"), 0.5).send("title", "body")
    assert sent[0] < LONGEST_BODY + 100 * 1024 * 1024


async def test_a_gzip_bomb_is_read_for_a_while_and_the_status_counts(hook: Receiver) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bomb(500), headers={"Content-Encoding": "gzip"})

    hook.odd["one"] = answer
    service = opened(hook.url("one"))
    before = psutil.Process().memory_info().rss
    await service.send("title", "body")
    assert psutil.Process().memory_info().rss - before < 40 * 2**20


async def test_an_answer_cannot_move_the_cursor_of_who_reads_the_log(hook: Receiver) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=500, text="\x1b[31mred\x07")

    hook.odd["one"] = answer
    assert str(await failure(opened(hook.url("one")))).isprintable()


async def test_a_body_that_stops_halfway_is_not_waited_for_before_the_status_counts(
    hook: Receiver,
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        await hook.over.wait()
        return response

    hook.odd["one"] = answer
    await opened(hook.url("one"), 0.3).send("title", "body")


@contextlib.contextmanager
def hangs_up() -> Iterator[int]:
    """Serve a port that reads a request and closes the connection without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer:
                        peer.recv(65_536)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


async def test_a_connection_that_breaks_after_the_message_perhaps_delivered_it() -> None:
    with hangs_up() as port:
        assert (await failure(opened(f"json://127.0.0.1:{port}/x"))).perhaps_delivered


async def test_no_answer_perhaps_delivered_it_and_a_late_one_is_believed(hook: Receiver) -> None:
    hook.hanging.add("one")
    failed = await failure(opened(hook.url("one"), 0.1))  # patience: 0.6 s
    assert failed.perhaps_delivered
    service = opened(hook.url("one"), 5.0)
    late = asyncio.create_task(service.send("title", "body"))
    await eventually(lambda: hook.asked["one"] == 2)
    hook.over.set()
    await late


async def test_calls_that_never_come_back_are_few_and_the_service_is_free_when_they_do() -> None:
    over, calls = threading.Event(), list[str]()

    def notify(title: str, _: str) -> bool:
        calls.append(title)
        return over.wait(30)

    service = Service("1 (json)", "json://x", notify, 0.05)
    try:
        for number in range(MOST_RUNNING):
            assert service.free.is_set()
            with pytest.raises(ServiceFailed, match=r"no answer within 0\.05 s") as caught:
                await service.send(f"title {number}", "body")
            assert caught.value.perhaps_delivered
        assert not service.free.is_set()
    finally:
        over.set()
    await eventually(service.free.is_set)
    assert len(calls) == MOST_RUNNING


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", 0), ("7", 7), ("2.5", 2.5), ("-3", 0), ("nan", 0), ("inf", 0), ("1_0", 0),
     ("１", 0), ("9" * 5000, 0), ("Tue, 14 Nov 9999999 22:14:20 GMT", 0),
     ("99999999", LONGEST_PAUSE_S), ("soon", 0), ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
     ("Tue, 14 Nov 2023 22:12:20 GMT", 0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_within_bounds(header: str, seconds: float) -> None:
    assert retry_after_s(header, 1_700_000_000_000) == seconds


async def test_what_a_service_raises_is_told_without_its_url() -> None:
    def notify(_: str, __: str) -> bool:
        raise RuntimeError(f"cannot reach json://127.0.0.1/{SECRET}?x=1")

    failed = await failure(Service("1 (json)", f"json://127.0.0.1/{SECRET}", notify, 5.0))
    assert "RuntimeError: cannot reach " in str(failed)
    assert SECRET not in str(failed) and "127.0.0.1" not in str(failed)


async def test_what_a_service_raises_is_told_without_what_its_url_spells_otherwise() -> None:
    def refuse(title: str, body: str) -> bool:
        raise ValueError("login marked p@ss/word refused; p%40ss%2Fword")

    failed = await failure(
        Service("1 (json)", "json://marked:p%40ss%2Fword@127.0.0.1/hook", refuse, 5.0)
    )
    assert str(failed) == "ValueError: login *** *** refused; ***"


async def test_a_proxy_of_the_environment_is_used(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{hook.port}")
    await opened("json://somewhere.invalid/one").send("title", "body")
    assert hook.bodies("one") == ["body"]


async def test_a_service_of_an_own_ca_is_trusted_once_the_environment_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificates(tmp_path)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.certificate, made.key)
    async with receiver(tls) as hook:
        service = opened(hook.url("one").replace("json://", "jsons://"))
        assert not (await failure(service)).perhaps_delivered
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.authority))
        await service.send("title", "body")
        assert hook.bodies("one") == ["body"]
