"""The bus against a real redis-server: typing, outages, cancellation, subscriptions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from shared.bus import Bus, BusStatus, Delivery
from shared.clock import SystemClock
from shared.errors import BadMessage, BusFull, BusRefused, BusUnavailable
from shared.market import Candles, Timeframe
from shared.messages.actors import ControlCommand, ControlReply, Lease, Quarantine
from shared.messages.candles import Ban, CandleWindow
from shared.schema import (
    BAN_UNTIL,
    CANDLES,
    CONTROL,
    CONTROL_REPLIES,
    EVENTS,
    LEASE,
    QUARANTINE,
    Entry,
)
from tests.support.paths import ROOT
from tests.support.private_redis import PrivateRedis
from tests.support.sightings import put_field
from tests.support.waiting import eventually

MakeRedis = Callable[..., PrivateRedis]
BOARD = Entry("hash", "test:board", Ban, (), ())


def ban(until_ms: int = 5) -> Ban:
    return Ban(until_ms=until_ms, status=418, at_ms=1)


BEGINS_MS = 1_735_689_600_000


def window(bars: int = 20) -> CandleWindow:
    times = BEGINS_MS + np.arange(bars) * Timeframe.M5.ms
    ones = np.ones(bars)
    return CandleWindow(
        symbol="BTCUSDT",
        timeframe=Timeframe.M5,
        candles=Candles.of(times, ones, ones * 2, ones / 2, ones, ones * 0.1),
        closed_until_ms=int(times[-1]),
        fetched_at_ms=1,
        source="sim",
        absent=((BEGINS_MS, BEGINS_MS + Timeframe.M5.ms),),
    )


@contextlib.asynccontextmanager
async def bus_on(url: str, **options: object) -> AsyncIterator[Bus]:
    bus = Bus(url, name="test", clock=SystemClock(), rng=random.Random(1), **options)  # type: ignore[arg-type]
    try:
        yield bus
    finally:
        await bus.close()


async def next_message(deliveries: AsyncIterator[Delivery], within_s: float = 5) -> Delivery:
    async with asyncio.timeout(within_s):
        while True:
            delivery = await anext(deliveries)
            if delivery.channel:
                return delivery


# What is written is read back


async def test_key_round_trip_and_absence(bus: Bus) -> None:
    assert await bus.get(BAN_UNTIL) is None
    await bus.put(BAN_UNTIL, ban())
    assert await bus.get(BAN_UNTIL) == ban()
    await bus.delete(BAN_UNTIL)
    assert await bus.get(BAN_UNTIL) is None
    assert bus.status is BusStatus.UP


async def test_candle_window_round_trip_keeps_every_bit(bus: Bus) -> None:
    entry = CANDLES[Timeframe.M5]
    await bus.put(entry, window(), symbol="BTCUSDT")
    read = await bus.get(entry, symbol="BTCUSDT")
    assert read is not None
    assert read.candles.same_as(window().candles)
    assert (read.absent, read.closed_until_ms) == (window().absent, window().closed_until_ms)


async def test_ttl_comes_from_the_table_unless_given(bus: Bus, shared_redis: PrivateRedis) -> None:
    lease = Lease(host="h", pid=1, instance="i", mode="demo", at_ms=1)
    await bus.put(LEASE, lease)
    await bus.put(BAN_UNTIL, ban(), ttl_ms=1_500)
    assert 14_000 < int(str(shared_redis.run("PTTL", "supervisor:lease"))) <= 15_000
    assert 1_000 < int(str(shared_redis.run("PTTL", "market:ban_until"))) <= 1_500


async def test_ttl_that_is_already_over_removes_the_key(bus: Bus) -> None:
    await bus.put(BAN_UNTIL, ban(), ttl_ms=-5)
    await eventually(partial(_absent, bus))


async def _absent(bus: Bus) -> bool:
    return await bus.get(BAN_UNTIL) is None


async def test_get_many_keeps_the_order_and_its_holes(bus: Bus) -> None:
    def quarantine(symbol: str) -> Quarantine:
        return Quarantine(symbol=symbol, stage="fetch", reason="r", since_ms=1, until_ms=2)

    await bus.put(QUARANTINE, quarantine("C"), stage="fetch", symbol="C")
    await bus.put(QUARANTINE, quarantine("A"), stage="fetch", symbol="A")
    found = await bus.get_many(QUARANTINE, [{"stage": "fetch", "symbol": s} for s in "ABC"])
    assert [f.symbol if f else None for f in found] == ["A", None, "C"]
    assert await bus.get_many(QUARANTINE, []) == []


async def test_keys_of_several_entries_come_with_one_command(
    bus: Bus, shared_redis: PrivateRedis
) -> None:
    quarantine = Quarantine(symbol="A", stage="fetch", reason="r", since_ms=1, until_ms=2)
    await bus.put(QUARANTINE, quarantine, stage="fetch", symbol="A")
    await bus.put(BAN_UNTIL, ban())
    shared_redis.run("CONFIG", "RESETSTAT")
    parts = [{"stage": "fetch", "symbol": symbol} for symbol in "BA"]
    found = await bus.get_each((LEASE, [{}]), (QUARANTINE, parts), (CONTROL, []), (BAN_UNTIL, [{}]))
    assert found == [[None], [None, quarantine], [], [ban()]]
    commands = shared_redis.run("INFO", "commandstats")
    assert isinstance(commands, dict) and commands["cmdstat_mget"]["calls"] == 1
    assert "cmdstat_get" not in commands


async def test_hash_fields(bus: Bus) -> None:
    await put_field(bus, BOARD, "one", ban(1))
    await put_field(bus, BOARD, "two", ban(2))
    batch = bus.batch()
    batch.drop_field(BOARD, "one")
    await batch.send()
    assert await bus.fields(BOARD) == {"two": ban(2)}


async def test_stream_returns_the_newest_entries_oldest_first(bus: Bus) -> None:
    for turn in range(5):
        await bus.append(EVENTS, {"turn": turn, "what": "restarted", "who": {"pid": 7}})
    found = await bus.entries(EVENTS, 2)
    assert [fields for _, fields in found] == [
        {"turn": turn, "what": "restarted", "who": {"pid": 7}} for turn in (3, 4)
    ]


async def test_stream_is_read_on_from_where_a_reader_was(bus: Bus) -> None:
    assert await bus.entries_after(EVENTS, "0", 10) == []
    for turn in range(5):
        await bus.append(EVENTS, {"turn": turn})
    first = await bus.entries_after(EVENTS, "0", 2)
    assert [fields["turn"] for _, fields in first] == [0, 1]
    rest = await bus.entries_after(EVENTS, first[-1][0], 10)
    assert [fields["turn"] for _, fields in rest] == [2, 3, 4]
    assert await bus.entries_after(EVENTS, rest[-1][0], 10) == []


async def test_entry_with_a_place_of_its_own_is_never_there_twice(bus: Bus) -> None:
    for places in (["7-1", "7-2"], ["7-2", "7-3"]):
        batch = bus.batch()
        for place in places:
            batch.append(EVENTS, {"at": place}, entry_id=place)
        with contextlib.suppress(BusRefused):
            await batch.send()
    assert [place for place, _ in await bus.entries(EVENTS, 10)] == ["7-1", "7-2", "7-3"]


async def test_stream_is_kept_near_its_bound(bus: Bus) -> None:
    entry = Entry("stream", "test:stream", dict, (), (), max_length=100)
    for _ in range(30):
        batch = bus.batch()
        for _ in range(100):
            batch.append(entry, {"a": 1})
        await batch.send()
    assert len(await bus.entries(entry, 10_000)) < 400


async def test_list_is_popped_in_order_and_expires(bus: Bus, shared_redis: PrivateRedis) -> None:
    def reply(outcome: str) -> ControlReply:
        return ControlReply(id="x", outcome=outcome)  # type: ignore[arg-type]

    await bus.push(CONTROL_REPLIES, reply("accepted"), id="x")
    await bus.push(CONTROL_REPLIES, reply("done"), id="x")
    assert 50 < int(str(shared_redis.run("TTL", "supervisor:replies:x"))) <= 60
    first = await bus.pop(CONTROL_REPLIES, 1, id="x")
    second = await bus.pop(CONTROL_REPLIES, 1, id="x")
    assert [first and first.outcome, second and second.outcome] == ["accepted", "done"]
    assert await bus.pop(CONTROL_REPLIES, 0.05, id="x") is None


async def test_pop_waits_for_a_message_longer_than_the_call_deadline(redis_url: str) -> None:
    async with bus_on(redis_url, timeout_s=0.2) as bus:
        waiting = asyncio.create_task(bus.pop(CONTROL_REPLIES, 10, id="late"))
        await eventually(partial(_is_blocked, bus))
        before = time.monotonic()
        while time.monotonic() - before < 0.4:
            await bus.ping()
        await bus.push(CONTROL_REPLIES, ControlReply(id="late", outcome="done"), id="late")
        reply = await waiting
    assert reply is not None and reply.outcome == "done"


async def _is_blocked(bus: Bus) -> bool:
    (text,) = await bus._run([("INFO", "clients")])
    return b"blocked_clients:1" in text


async def test_batch_does_everything_in_order_and_once(bus: Bus) -> None:
    batch = bus.batch()
    batch.put(BAN_UNTIL, ban(1))
    batch.put(BAN_UNTIL, ban(2))
    batch.put_field(BOARD, "a", ban(3))
    batch.append(EVENTS, {"n": 1})
    assert len(batch) == 4
    await batch.send()
    await batch.send()
    assert await bus.get(BAN_UNTIL) == ban(2)
    assert await bus.fields(BOARD) == {"a": ban(3)}
    assert len(await bus.entries(EVENTS, 10)) == 1


async def test_names_and_show_serve_any_kind_without_the_namespace(
    redis_url: str, shared_redis: PrivateRedis
) -> None:
    async with bus_on(redis_url, namespace="one") as bus, bus_on(redis_url) as other:
        await other.put(BAN_UNTIL, ban(99))
        await bus.put(BAN_UNTIL, ban(1))
        await bus.append(EVENTS, {"a": [1, "x"]})
        await put_field(bus, BOARD, "f", ban(2))
        await bus.push(CONTROL_REPLIES, ControlReply(id="1", outcome="done"), id="1")
        shared_redis.run("SADD", "one:a-set", "7")
        shared_redis.run("SET", "one:plain", "no json")
        assert await bus.names("*") == [
            "a-set",
            "market:ban_until",
            "plain",
            "supervisor:events",
            "supervisor:replies:1",
            "test:board",
        ]
        assert await bus.names("market:*") == ["market:ban_until"]
        shown = await bus.show("market:ban_until")
        assert isinstance(shown, dict) and shown["until_ms"] == 1
        events = await bus.show("supervisor:events")
        assert isinstance(events, list) and events[0]["a"] == [1, "x"]
        board = await bus.show("test:board")
        assert isinstance(board, dict) and board["f"]["until_ms"] == 2
        assert await bus.show("a-set") == [7]
        assert await bus.show("plain") == "no json"
        assert await bus.show("nothing") is None


@pytest.mark.parametrize("spelling", ["x", "x:"])
async def test_namespace_covers_keys_and_channels(redis_url: str, spelling: str) -> None:
    async with bus_on(redis_url, namespace=spelling) as bus, bus_on(redis_url) as plain:
        await bus.put(BAN_UNTIL, ban())
        assert await plain.names("*") == ["x:market:ban_until"]
        async with bus.subscribe(CONTROL.name()) as mine, plain.subscribe(patterns=["*"]) as all_:
            assert (await anext(mine), await anext(all_)) == (Delivery("", b""), Delivery("", b""))
            await bus.publish(CONTROL, ControlCommand(id="1", command="status"))
            assert (await next_message(mine)).channel == "supervisor:control"
            assert (await next_message(all_)).channel == "x:supervisor:control"


# Bad messages


@pytest.mark.parametrize(
    "raw", ["", "{", "null", "[]", '{"until_ms": "5", "status": 1, "at_ms": 1}', "\xff\x00"]
)
async def test_bad_message_is_skipped_counted_and_logged_once(
    bus: Bus, shared_redis: PrivateRedis, caplog: pytest.LogCaptureFixture, raw: str
) -> None:
    shared_redis.run("SET", "market:ban_until", raw.encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert await bus.get(BAN_UNTIL) is None
        assert await bus.get(BAN_UNTIL) is None
    assert bus.bad_messages == 2
    assert bus.bad_message.startswith("market:ban_until: ")
    assert [r.levelname for r in caplog.records] == ["WARNING"]


async def test_bad_hash_field_leaves_the_others(bus: Bus, shared_redis: PrivateRedis) -> None:
    await put_field(bus, BOARD, "good", ban())
    shared_redis.run("HSET", "test:board", "bad", "{}")
    assert await bus.fields(BOARD) == {"good": ban()}
    assert bus.bad_messages == 1


async def test_key_of_another_kind_is_a_bad_message_to_readers(
    bus: Bus, shared_redis: PrivateRedis
) -> None:
    shared_redis.run("SET", "test:board", "a string")
    shared_redis.run("SET", "supervisor:events", "a string")
    assert await bus.fields(BOARD) == {}
    assert await bus.entries(EVENTS, 5) == []
    assert bus.bad_messages == 2
    assert bus.status is BusStatus.UP


async def test_key_of_another_kind_is_replaced_by_the_next_write(
    bus: Bus, shared_redis: PrivateRedis
) -> None:
    for name in ("test:board", "supervisor:events", "supervisor:replies:x"):
        shared_redis.run("SET", name, "a string")
    shared_redis.run("RPUSH", "market:ban_until", "a list")
    batch = bus.batch()
    batch.put_field(BOARD, "f", ban(1))
    batch.append(EVENTS, {"n": 1})
    batch.put(BAN_UNTIL, ban(2))
    batch.put_field(BOARD, "g", ban(3))
    await batch.send()
    await bus.push(CONTROL_REPLIES, ControlReply(id="x", outcome="done"), id="x")
    assert await bus.fields(BOARD) == {"f": ban(1), "g": ban(3)}
    assert [fields for _, fields in await bus.entries(EVENTS, 5)] == [{"n": 1}]
    assert await bus.get(BAN_UNTIL) == ban(2)
    assert 50 < int(str(shared_redis.run("TTL", "supervisor:replies:x"))) <= 60
    assert (bus.status, bus.bad_messages) == (BusStatus.UP, 0)


async def test_refused_write_is_an_error_but_no_outage(bus: Bus) -> None:
    batch = bus.batch()
    batch.append(EVENTS, {"n": 1}, entry_id="0-0")
    with pytest.raises(BusRefused, match="must be greater than 0-0"):
        await batch.send()
    assert bus.status is BusStatus.UP


@pytest.mark.parametrize("command", [("SET", "not JSON"), ("RPUSH", "a list")])
async def test_key_whose_absence_means_something_is_never_absent_because_it_is_bad(
    bus: Bus, shared_redis: PrivateRedis, command: tuple[str, str]
) -> None:
    assert await bus.get_strictly(BAN_UNTIL) is None
    await bus.put(BAN_UNTIL, ban())
    assert await bus.get_strictly(BAN_UNTIL) == ban()
    shared_redis.run("DEL", "market:ban_until")
    shared_redis.run(command[0], "market:ban_until", command[1])
    with pytest.raises(BadMessage):
        await bus.get_strictly(BAN_UNTIL)
    assert (bus.status, bus.bad_messages) == (BusStatus.UP, 1)


async def test_existing_keys_and_fields_are_found_whatever_is_in_them(
    bus: Bus, shared_redis: PrivateRedis
) -> None:
    shared_redis.run("SET", "quarantine:fetch:A", "not JSON")
    shared_redis.run("HSET", "test:board", "bad", "{}")
    parts = [{"stage": "fetch", "symbol": symbol} for symbol in "AB"]
    assert await bus.exist(QUARANTINE, parts) == [True, False]
    assert await bus.field_names(BOARD) == {"bad"}
    assert await bus.forget("test:board") and not await bus.forget("test:board")
    assert bus.bad_messages == 0


async def test_no_key_outlives_the_bound_of_its_entry(bus: Bus, shared_redis: PrivateRedis) -> None:
    await bus.put(BAN_UNTIL, ban(), ttl_ms=10**12)
    assert int(str(shared_redis.run("TTL", "market:ban_until"))) <= 3 * 86_400


# Outages


async def test_nothing_listening_is_unavailable_at_once(tmp_path: Path) -> None:
    async with bus_on(f"unix://{tmp_path}/none.sock", timeout_s=10) as bus:
        before = time.monotonic()
        with pytest.raises(BusUnavailable, match=r"none\.sock"):
            await bus.ping()
        assert time.monotonic() - before < 5
        assert bus.status is BusStatus.DOWN


async def test_wrong_password_never_shows_in_the_error(own_redis: MakeRedis) -> None:
    server = own_redis()
    server.run("CONFIG", "SET", "requirepass", "right")
    async with bus_on(f"unix://:wrong-secret@{server.socket}") as bus:
        with pytest.raises(BusUnavailable) as caught:
            await bus.ping()
    assert "wrong-secret" not in str(caught.value)


async def test_loss_and_return_are_logged_once_each(
    own_redis: MakeRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server = own_redis()
    async with bus_on(server.url) as bus:
        await bus.ping()
        server.kill()
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                with pytest.raises(BusUnavailable):
                    await bus.ping()
            assert (bus.status, bool(bus.reason)) == (BusStatus.DOWN, True)
            server.start()
            for _ in range(3):
                await bus.ping()
        assert (bus.status, bus.reason) == (BusStatus.UP, "")
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]


async def test_restarted_server_is_used_without_one_failed_call(own_redis: MakeRedis) -> None:
    server = own_redis()
    async with bus_on(server.url) as bus:
        await asyncio.gather(*(bus.ping() for _ in range(8)))
        server.kill()
        server.start()
        for _ in range(3):  # turns of the loop in which it sees that the old sockets ended
            await asyncio.sleep(0)
        await bus.ping()


async def test_frozen_server_is_unavailable_within_the_deadline(own_redis: MakeRedis) -> None:
    server = own_redis()
    async with bus_on(server.url, timeout_s=0.2) as bus:
        await bus.ping()
        server.freeze()
        before = time.monotonic()
        results = await asyncio.gather(
            *(bus.get(BAN_UNTIL) for _ in range(20)), return_exceptions=True
        )
        assert time.monotonic() - before < 3  # one after the other would take 4 s
        assert all(isinstance(result, BusUnavailable) for result in results)
        server.thaw()
        await bus.put(BAN_UNTIL, ban())
        assert await bus.get(BAN_UNTIL) == ban()


async def test_full_redis_refuses_writes_serves_reads_and_heals(
    own_redis: MakeRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server = own_redis()
    async with bus_on(server.url) as bus:
        await bus.put(BAN_UNTIL, ban())
        server.run("CONFIG", "SET", "maxmemory", "1")
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                batch = bus.batch()
                batch.publish(CONTROL, ControlCommand(id="1", command="status"))
                batch.put(BAN_UNTIL, ban(6))
                with pytest.raises(BusFull):
                    await batch.send()
                await bus.ping()
                assert await bus.get(BAN_UNTIL) == ban()
                await bus.publish(CONTROL, ControlCommand(id="1", command="status"))
                assert bus.status is BusStatus.FULL
            server.run("CONFIG", "SET", "maxmemory", "0")
            await bus.put(BAN_UNTIL, ban(7))
        assert bus.status is BusStatus.UP
        assert await bus.get(BAN_UNTIL) == ban(7)
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]


async def test_something_else_on_the_port_is_unavailable() -> None:
    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(chat, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, bus_on(f"redis://127.0.0.1:{port}/0", timeout_s=1) as bus:
        with pytest.raises(BusUnavailable):
            await bus.ping()


async def test_calls_after_close_are_refused(bus: Bus) -> None:
    await bus.close()
    with pytest.raises(BusUnavailable, match="closed"):
        await bus.ping()


# Cancellation


async def test_cancelled_calls_never_leave_a_reply_for_the_next_caller(
    redis_url: str, shared_redis: PrivateRedis
) -> None:
    """Cancel calls at every possible turn of the loop, then check that answers still match."""
    async with bus_on(redis_url) as bus:
        stages = [{"stage": "fetch", "symbol": str(number)} for number in range(40)]
        for number, parts in enumerate(stages):
            message = Quarantine(
                symbol=str(number), stage="fetch", reason="", since_ms=1, until_ms=number
            )
            await bus.put(QUARANTINE, message, ttl_ms=None, **parts)
        for turns in range(12):
            calls = [asyncio.create_task(bus.get(QUARANTINE, **parts)) for parts in stages[:20]]
            for _ in range(turns):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            results = await asyncio.gather(
                *calls,
                *(bus.get(QUARANTINE, **parts) for parts in stages[20:]),
                return_exceptions=True,
            )
            for number, result in enumerate(results):
                if isinstance(result, Quarantine):
                    assert result.until_ms == number
                else:
                    assert isinstance(result, asyncio.CancelledError) and number < 20
    await eventually(lambda: str(shared_redis.run("CLIENT", "LIST")).count("name=test") == 0)


async def test_no_more_than_the_pool_of_connections(
    redis_url: str, shared_redis: PrivateRedis
) -> None:
    async with bus_on(redis_url) as bus:
        await asyncio.gather(*(bus.get(BAN_UNTIL) for _ in range(100)))
        assert 1 <= str(shared_redis.run("CLIENT", "LIST")).count(" name=test ") <= 8


# Subscriptions


async def test_subscription_says_when_it_is_connected_before_any_message(bus: Bus) -> None:
    async with bus.subscribe("a", "b", patterns=["c:*"]) as deliveries:
        assert await anext(deliveries) == Delivery("", b"")
        channels = [Entry("channel", name, Ban, (), ()) for name in ("c:1", "b", "other", "a")]
        for channel in channels:
            await bus.publish(channel, ban())
        heard = [(await next_message(deliveries)).channel for _ in range(3)]
    assert heard == ["c:1", "b", "a"]


async def test_cancelled_waiting_loses_no_message(bus: Bus) -> None:
    entry = Entry("channel", "a", Ban, (), ())
    async with bus.subscribe("a") as deliveries:
        assert await anext(deliveries) == Delivery("", b"")
        heard: list[int] = []
        for number in range(30):
            waiting = asyncio.create_task(anext(deliveries))
            await asyncio.sleep(0)
            if number % 2:
                await bus.publish(entry, ban(number))
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                delivery = await waiting
                decoded = bus.decode(entry, delivery.raw, "a")
                heard.append(decoded.until_ms if decoded else -1)
        while len(heard) < 15:
            decoded = bus.decode(entry, (await next_message(deliveries)).raw, "a")
            heard.append(decoded.until_ms if decoded else -1)
    assert heard == list(range(1, 30, 2))


async def test_subscription_comes_back_after_a_long_outage(own_redis: MakeRedis) -> None:
    server = own_redis()
    entry = Entry("channel", "a", Ban, (), ())
    async with bus_on(server.url) as bus, bus.subscribe("a") as deliveries:
        assert await anext(deliveries) == Delivery("", b"")
        server.kill()
        waiting = asyncio.create_task(anext(deliveries))
        await eventually(lambda: bus.status is BusStatus.DOWN)
        # Longer than redis-py's own listener lives without a server.
        deadline = time.monotonic() + 6
        await eventually(lambda: time.monotonic() > deadline, within_s=8)
        assert not waiting.done()
        server.start()
        assert await asyncio.wait_for(waiting, 4) == Delivery("", b"")
        assert bus.status is BusStatus.UP
        await bus.publish(entry, ban())
        assert (await next_message(deliveries)).channel == "a"


async def test_half_open_socket_is_noticed_on_a_silent_channel(redis_url: str) -> None:
    """Behind a relay that swallows everything, only the unanswered ping can tell."""
    socket_path = redis_url.removeprefix("unix://")
    swallowing = asyncio.Event()
    links: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deaf = False
        while chunk := await reader.read(4096):
            deaf = deaf or swallowing.is_set()
            if not deaf:
                writer.write(chunk)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(socket_path)
        links.extend((writer, far_writer))
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, bus_on(f"redis://127.0.0.1:{port}/0", timeout_s=0.3) as bus:
        async with bus.subscribe("quiet") as deliveries:
            deliveries._quiet_s = 0.1
            assert await anext(deliveries) == Delivery("", b"")
            waiting = asyncio.create_task(anext(deliveries))
            # Some pings are answered first: silence alone is no reason to reconnect.
            deadline = time.monotonic() + 0.5
            await eventually(lambda: time.monotonic() > deadline)
            assert not waiting.done() and deliveries.connects == 1
            swallowing.set()
            await eventually(lambda: not deliveries._connection, within_s=15)
            swallowing.clear()
            assert await asyncio.wait_for(waiting, 5) == Delivery("", b"")
            assert deliveries.connects == 2
        for link in links:
            link.close()


async def test_subscription_without_channels_is_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="at least one channel"):
        bus.subscribe()


# Cost


def test_bus_costs_a_fresh_process_next_to_nothing(
    redis_url: str, shared_redis: PrivateRedis
) -> None:
    """What a restarted actor pays for the bus itself, and for its first connection."""
    script = textwrap.dedent(f"""
        import asyncio, sys
        import redis.asyncio, hiredis, orjson, numpy
        import shared.schema
        before = set(sys.modules)
        from shared.bus import Bus
        from shared.clock import SystemClock
        async def first():
            bus = Bus({redis_url!r}, name="fresh", clock=SystemClock())
            await bus.ping()
            await bus.close()
        asyncio.run(first())
        print(*sorted(set(sys.modules) - before))
    """)
    shared_redis.run("CONFIG", "RESETSTAT")
    output = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    loaded = output.split()
    assert "shared.bus" in loaded
    assert {name.partition(".")[0] for name in loaded} <= {"shared", *sys.stdlib_module_names}
    assert len(loaded) <= 12, loaded
    asked = shared_redis.run("INFO", "commandstats")
    assert isinstance(asked, dict)
    own = ("cmdstat_config|resetstat", "cmdstat_client|setinfo")  # this test's; no role may
    calls = [row["calls"] for name, row in asked.items() if name not in own]
    assert 0 < sum(calls) <= 4, asked
