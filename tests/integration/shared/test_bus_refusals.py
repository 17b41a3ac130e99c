"""The bus and a Redis that answers "no": a state of its own, and moved addresses are followed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

from shared.bus import Bus, BusStatus
from shared.clock import SystemClock
from shared.errors import BusDenied, BusNotServing, BusUnavailable
from shared.messages.actors import ControlCommand
from shared.messages.candles import Ban
from shared.redis import connections
from shared.schema import BAN_UNTIL, CONTROL
from tests.support.certificates import certificates
from tests.support.moving_address import MovingAddress
from tests.support.ports import free_port
from tests.support.private_redis import PrivateRedis
from tests.support.waiting import eventually

MakeRedis = Callable[..., PrivateRedis]
BAN = Ban(until_ms=5, status=418, at_ms=1)
ALL_MOVED_S = 30.0


@contextlib.asynccontextmanager
async def bus_on(url: str, *, name: str = "test") -> AsyncIterator[Bus]:
    bus = Bus(url, name=name, clock=SystemClock(), rng=random.Random(1))
    try:
        yield bus
    finally:
        await bus.close()


def clients(server: PrivateRedis, name: str = "test") -> int:
    return str(server.run("CLIENT", "LIST")).count(f" name={name} ")


def state(bus: Bus) -> BusStatus:
    return bus.status


async def beat(bus: Bus) -> bool:
    """Write as every actor does once a second; return whether it was accepted."""
    try:
        await bus.put(BAN_UNTIL, BAN)
    except BusNotServing:
        return False
    return True


@pytest.fixture
def primary(own_redis: MakeRedis) -> PrivateRedis:
    return own_redis("--repl-diskless-sync-delay", "0")


@pytest.fixture
def replica(own_redis: MakeRedis) -> PrivateRedis:
    return own_redis("--repl-diskless-sync-delay", "0")


async def test_read_only_server_is_a_state_of_its_own_told_once_and_over_when_it_is(
    primary: PrivateRedis, caplog: pytest.LogCaptureFixture
) -> None:
    async with bus_on(primary.url) as bus:
        assert await beat(bus)
        primary.run("REPLICAOF", "127.0.0.1", 1)
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                assert not await beat(bus)
                await bus.ping()
                assert await bus.get(BAN_UNTIL) == BAN
                assert state(bus) is BusStatus.REFUSES
            assert "refuses writes: READONLY" in bus.reason
            primary.run("REPLICAOF", "NO", "ONE")
            assert await beat(bus)
        assert (state(bus), bus.reason) == (BusStatus.UP, "")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [("min-replicas-to-write", 1, "NOREPLICAS"), ("maxmemory", 1, "OOM")],
)
async def test_every_refusal_of_writes_names_its_code(
    primary: PrivateRedis, setting: str, value: int, code: str
) -> None:
    async with bus_on(primary.url) as bus:
        primary.run("CONFIG", "SET", setting, value)
        with pytest.raises(BusNotServing, match=code) as caught:
            await bus.put(BAN_UNTIL, BAN)
        assert caught.value.code == code and bus.status in (BusStatus.REFUSES, BusStatus.FULL)


async def test_replica_without_its_primary_that_refuses_reads_too(primary: PrivateRedis) -> None:
    async with bus_on(primary.url) as bus:
        primary.run("CONFIG", "SET", "replica-serve-stale-data", "no")
        primary.run("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(BusNotServing, match="MASTERDOWN"):
            await bus.get(BAN_UNTIL)
        assert state(bus) is BusStatus.REFUSES


async def test_changed_users_refuse_and_heal(primary: PrivateRedis) -> None:
    def user(*rules: str) -> None:
        primary.run("ACL", "SETUSER", "actor", "on", ">right", "~*", "&*", *rules)

    user("+@all")
    async with bus_on(f"unix://actor:right@{primary.socket}") as bus:
        assert await beat(bus)
        user("-set")
        with pytest.raises(BusNotServing) as caught:
            await bus.put(BAN_UNTIL, BAN)
        assert caught.value.code == "NOPERM"
        await bus.ping()
        assert state(bus) is BusStatus.REFUSES
        user("+set")
        assert await beat(bus)
        assert state(bus) is BusStatus.UP
        primary.run("ACL", "DELUSER", "actor")
        await eventually(partial(_is_denied, bus))
        assert state(bus) is BusStatus.REFUSES
        user("+@all")
        assert await beat(bus)
        assert state(bus) is BusStatus.UP


async def test_loading_server_answers_no_until_it_has_loaded(own_redis: MakeRedis) -> None:
    slowly = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    server = own_redis(*slowly)
    server.run("MSET", *(part for number in range(1500) for part in (f"key{number}", "x" * 50)))
    server.run("SAVE")
    server.kill()
    async with bus_on(server.url) as bus, asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(server.start))
        await eventually(partial(_refused_as, bus, "LOADING"))
        assert state(bus) is BusStatus.REFUSES
        await eventually(partial(beat, bus), within_s=30)
        assert state(bus) is BusStatus.UP


async def _is_denied(bus: Bus) -> bool:
    try:
        await bus.ping()
    except BusUnavailable as error:  # the first finds its connection closed
        return isinstance(error, BusDenied)
    return False


async def _refused_as(bus: Bus, code: str) -> bool:
    with contextlib.suppress(Exception):
        await bus.ping()
    return code in bus.reason


async def test_all_clients_follow_an_address_whose_server_became_a_replica(
    primary: PrivateRedis, replica: PrivateRedis
) -> None:
    """Eight actors with subscriptions: all on the new primary, and nobody on the old one."""
    address = MovingAddress(primary)
    async with address.serve() as url, contextlib.AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(bus_on(url)) for _ in range(8)]
        subscriptions = [
            await stack.enter_async_context(bus.subscribe(CONTROL.name())) for bus in buses
        ]
        heard = [asyncio.create_task(_listen(each)) for each in subscriptions]
        for task in heard:
            stack.callback(task.cancel)
        await asyncio.gather(*(bus.ping() for bus in buses))
        await eventually(lambda: clients(primary) >= 16)
        moved_s = time.monotonic()
        replica.run("REPLICAOF", "NO", "ONE")
        primary.run("REPLICAOF", "127.0.0.1", 1)
        address.target = replica

        async def all_moved() -> bool:
            await asyncio.gather(*map(beat, buses))
            return clients(primary) == 0 and clients(replica) >= 16

        await eventually(all_moved, within_s=ALL_MOVED_S, every_s=0.2)
        assert time.monotonic() - moved_s < ALL_MOVED_S / 2
        assert all(state(bus) is BusStatus.UP for bus in buses)
        await buses[0].publish(CONTROL, ControlCommand(id="1", command="status"))
        async with asyncio.timeout(5):
            assert await asyncio.gather(*heard) == ["supervisor:control"] * 8


async def _listen(subscription: AsyncIterator[object]) -> str:
    async for delivery in subscription:
        channel: str = delivery.channel  # type: ignore[attr-defined]
        if channel:
            return channel
    raise AssertionError("a subscription ended")


@pytest.fixture
def sentinel(redis_binary: str, tmp_path: Path) -> Iterator[Callable[[int], redis.Redis]]:
    """Start a Sentinel that watches the primary on a port; returns a client of it."""
    processes: list[subprocess.Popen[bytes]] = []

    def watch(primary_port: int) -> redis.Redis:
        port, config = free_port(), tmp_path / "sentinel.conf"
        config.write_text(
            f"port {port}\ndir {tmp_path}\nsentinel monitor test 127.0.0.1 {primary_port} 1\n"
        )
        command = [redis_binary, str(config), "--sentinel"]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return redis.Redis(port=port, decode_responses=True)

    yield watch
    for process in processes:
        process.kill()
        process.wait()


async def test_an_address_that_follows_a_sentinel_is_followed_through_a_failover(
    own_redis: MakeRedis, sentinel: Callable[[int], redis.Redis]
) -> None:
    ports = (free_port(), free_port())
    quick = ("--repl-diskless-sync-delay", "0")
    servers = {port: own_redis("--port", str(port), *quick) for port in ports}
    servers[ports[1]].run("REPLICAOF", "127.0.0.1", ports[0])
    address = MovingAddress(servers[ports[0]])
    with sentinel(ports[0]) as watching:
        async with address.serve() as url, bus_on(url) as bus:
            assert await beat(bus)

            def failed_over() -> bool:
                with contextlib.suppress(redis.RedisError):  # until it knows the replica
                    watching.execute_command("SENTINEL", "FAILOVER", "test")
                    return True
                return False

            await eventually(failed_over, 20, every_s=0.1)

            async def followed() -> bool:
                _, port = watching.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "test")
                address.target = servers[int(port)]
                return await beat(bus) and clients(servers[ports[1]]) > 0

            await eventually(followed, ALL_MOVED_S, every_s=0.1)
            assert state(bus) is BusStatus.UP and clients(servers[ports[0]]) == 0


async def test_an_address_that_moved_is_followed_though_the_old_server_refuses_nothing(
    primary: PrivateRedis, replica: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LIFE_S", 0.5)
    address = MovingAddress(primary)
    async with (
        address.serve() as url,
        bus_on(url) as bus,
        bus.subscribe(CONTROL.name()) as deliveries,
    ):
        deliveries._quiet_s = 0.2
        listening = asyncio.create_task(_listen(deliveries))
        await bus.ping()
        await eventually(lambda: clients(primary) == 2)
        address.target = replica

        async def moved() -> bool:
            await bus.ping()
            return clients(primary) == 0 and clients(replica) == 2

        await eventually(moved)
        await bus.publish(CONTROL, ControlCommand(id="1", command="status"))
        assert await asyncio.wait_for(listening, 5) == "supervisor:control"


async def test_no_message_is_missed_while_connections_are_replaced(
    primary: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LIFE_S", 0.02)
    heard: list[bytes] = []
    async with bus_on(primary.url) as bus, bus.subscribe(CONTROL.name()) as deliveries:
        assert not (await anext(deliveries)).channel

        async def listen() -> None:
            async for delivery in deliveries:
                assert delivery.channel, "connected anew"
                heard.append(delivery.raw)

        listening = asyncio.create_task(listen())
        sent = 0
        while deliveries.connects < 5 or sent < 300:
            assert not listening.done() and sent < 10_000
            await bus.publish(CONTROL, ControlCommand(id=str(sent), command="status"))
            sent += 1
        await eventually(lambda: len(set(heard)) == sent)
        listening.cancel()


async def test_lasting_refusal_does_not_reconnect_subscribers_over_and_over(
    primary: PrivateRedis,
) -> None:
    async with bus_on(primary.url) as bus, bus.subscribe(CONTROL.name()) as deliveries:
        deliveries._quiet_s = 0.01
        assert not (await anext(deliveries)).channel
        primary.run("CONFIG", "SET", "maxmemory", "1")
        listening = asyncio.create_task(anext(deliveries))
        for _ in range(20):
            assert not await beat(bus)
        assert not (await asyncio.wait_for(listening, 5)).channel
        listening = asyncio.create_task(anext(deliveries))
        for _ in range(20):
            assert not await beat(bus)
        assert not listening.done() and deliveries.connects == 2
        listening.cancel()


# TLS


@pytest.fixture
def tls_redis(
    own_redis: MakeRedis, redis_binary: str, tmp_path: Path
) -> Iterator[tuple[int, Path]]:
    """A server with a certificate of its own CA; yields its port and the CA's file."""
    made = certificates(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    tls = ["--tls-port", port, "--tls-cert-file", made.certificate, "--tls-key-file", made.key,
           "--tls-ca-cert-file", made.authority, "--tls-auth-clients", "no"]  # fmt: skip
    probe = subprocess.run(
        [redis_binary, "--port", "0", "--tls-port", str(port), "--tls-cert-file", "/nowhere"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    if "Bad directive" in probe.stdout + probe.stderr or "finding TLS" in probe.stdout:
        pytest.skip(f"{redis_binary} was built without TLS")
    own_redis(*map(str, tls))
    yield port, made.authority


async def test_rediss_with_an_own_ca_and_not_without_it(tls_redis: tuple[int, Path]) -> None:
    port, ca = tls_redis
    async with bus_on(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={ca}") as bus:
        assert await beat(bus)
        async with bus.subscribe(CONTROL.name()) as deliveries:
            assert not (await anext(deliveries)).channel
    async with bus_on(f"rediss://127.0.0.1:{port}/0") as stranger:
        with pytest.raises(Exception, match="certificate verify failed"):
            await stranger.ping()
