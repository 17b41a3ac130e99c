"""The health actor over real HTTP, in front of a real Redis that comes and goes."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from actors.base import Context
from actors.health.actor import MAX_AGE_S, Health
from shared import schema
from shared.bus import Bus
from shared.messages.actors import NotedProblem, Quarantine
from shared.messages.candles import Ban
from shared.supervision.status_pipe import StatusPipe
from tests.support.bad_wire import BadWire
from tests.support.health_site import ACTORS, CLOCK, COINS, Site, site, tell_all_is_well
from tests.support.private_redis import PrivateRedis
from tests.support.sightings import audit, heartbeat, put_field, status
from tests.support.trading_sightings import balance, limit, position, positions, trader_status
from tests.support.waiting import eventually


async def is_status(here: Site, expected: str) -> bool:
    return await here.status() == expected


async def test_all_well_is_ok_with_every_field_people_rely_on(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus, used_weight=58, weight_limit=6000, offset_ms=3)
    async with site(redis_url, tmp_path) as here:
        await eventually(partial(is_status, here, "ok"))
        code, body = await here.ask("/health")
        assert (code, body["problems"], body["mode"]) == (200, [], "demo")
        assert 89 < body["uptime_s"] < 120
        assert body["redis"]["status"] == "up" and body["redis"]["round_trip_ms"] > 0
        assert body["last_scan"]["at"].endswith("Z")
        assert 0 <= body["last_scan"]["age_s"] < 20
        assert (body["last_scan"]["coins"], body["last_scan"]["coins_fresh"]) == (29, 29)
        assert body["exchange"]["used_weight"] == 58
        assert list(body["actors"]) == ACTORS
        for actor in body["actors"].values():
            assert actor["state"] == "ready" and actor["pid"] == 100 and actor["restarts"] == 0
            assert actor["heartbeat_age_s"] < 20
            assert isinstance(actor["detail"], dict)
        assert list(body["symbols"]) == COINS
        for coin in body["symbols"].values():
            assert coin["quarantine"] == []
            assert all(0 <= coin[k] < 20 for k in ("5m", "1h", "4h", "signal_age_s"))
        assert (await here.ask("/readyz"))[0] == 200


async def test_before_anything_is_known_it_says_starting_and_503(
    redis_url: str, tmp_path: Path
) -> None:
    async with site(redis_url, tmp_path) as here:
        code, body = await here.ask("/health")
        assert (code, body["status"]) == (503, "down")
        await eventually(partial(here.says, "starting: 0 of 29 coins scanned"))
        assert (await here.ask("/readyz"))[0] == 503
        assert (await here.ask("/livez")) == (200, {"status": "alive"})


async def test_troubles_are_named_and_go_away(bus: Bus, redis_url: str, tmp_path: Path) -> None:
    coin = COINS[0]
    await tell_all_is_well(bus, coins={coin: "HTTP 502 (3 in a row)"})
    now_ms = CLOCK.now_ms()
    await bus.put(schema.BAN_UNTIL, Ban(until_ms=now_ms + 60_000, status=418, at_ms=now_ms))
    quarantine = Quarantine(
        symbol=COINS[1], stage="compute", reason="poison", since_ms=now_ms, until_ms=now_ms + 60_000
    )
    await bus.put(schema.QUARANTINE, quarantine, stage="compute", symbol=COINS[1])
    stalled = status("indicators-majors", "stalled", doing="scan 7", since_ms=now_ms)
    await put_field(bus, schema.ACTORS, "indicators-majors", stalled)
    async with site(redis_url, tmp_path) as here:
        await eventually(partial(here.says, f"{coin}: fetch failed: HTTP 502 (3 in a row)"))
        code, body = await here.ask("/health")
        assert (code, body["status"]) == (200, "degraded")
        assert (await here.ask("/readyz"))[0] == 503
        problems = "\n".join(body["problems"])
        for words in (
            "indicators-majors: stalled",
            "forbids all requests (HTTP 418)",
            f"{COINS[1]}: quarantined until",
        ):
            assert words in problems
        (shown,) = body["symbols"][COINS[1]]["quarantine"]
        assert (shown["stage"], shown["reason"]) == ("compute", "poison")
        await tell_all_is_well(bus)
        await bus.delete(schema.BAN_UNTIL)
        await bus.delete(schema.QUARANTINE, stage="compute", symbol=COINS[1])
        await eventually(partial(is_status, here, "ok"))


async def test_other_names_and_other_sites_are_refused(redis_url: str, tmp_path: Path) -> None:
    async with site(redis_url, tmp_path) as here, aiohttp.ClientSession() as session:
        for path in ("/health", "/metrics"):
            url = f"http://127.0.0.1:{here.port}{path}"
            for headers, status in (
                ({"Host": "elsewhere.example"}, 421),
                ({"Origin": "http://elsewhere.example"}, 403),
                ({"Host": f"localhost:{here.port}"}, 200),
            ):
                async with session.get(url, headers=headers) as response:
                    found = response.status
                    assert found == status or (status == 200 and found == 503), (path, headers)


async def test_a_slow_redis_makes_nobody_look_silent(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server = own_redis()
    wire = BadWire(server.socket, random.Random(1))
    wire.start()
    wire.delay_s = 0.5
    near = Bus(server.url, name="test", clock=CLOCK)

    async def keep_beating() -> None:
        while True:
            await tell_all_is_well(near)
            await CLOCK.sleep(1)

    beating = asyncio.create_task(keep_beating())
    looks: set[float] = set()
    try:
        url = f"redis://127.0.0.1:{wire.port}/0"
        async with site(url, tmp_path, timeout_s=6) as here:
            await eventually(partial(is_status, here, "ok"), 40)

            async def looked_again_and_again() -> bool:
                body = await here.health()
                assert body["problems"] == []
                looks.add(body["redis"]["round_trip_ms"])
                return len(looks) > 2

            await eventually(looked_again_and_again, 60, every_s=0.2)
            assert min(looks) >= 1000
    finally:
        beating.cancel()
        wire.stop()
        await near.close()


async def test_audit_is_shown_measured_and_judged(bus: Bus, redis_url: str, tmp_path: Path) -> None:
    await tell_all_is_well(bus)
    async with site(redis_url, tmp_path) as here:
        await eventually(partial(is_status, here, "ok"))
        assert (await here.health())["audit"] is None
        now_ms = CLOCK.now_ms()
        await bus.put(schema.AUDIT, audit(now_ms, rsi=0.1, stoch_k=None, stoch_d=1e-9))
        await eventually(partial(here.says, "audit: BTCUSDT: rsi is 50.1, pandas-ta 1 says 50"))
        body = await here.health()
        shown = body["audit"]
        assert body["status"] == "degraded" and shown["within_tolerance"] is False
        assert (shown["coins"], shown["coins_compared"]) == (29, 5)
        assert shown["referee"] == "pandas-ta 1" and 0 <= shown["age_s"] < 20
        assert shown["fields"]["rsi"]["difference"] == 0.1
        lines = await here.metrics()
        assert 'coinex_audit_error{field="rsi"} 0.1' in lines
        assert 'coinex_audit_error{field="stoch_k"} +Inf' in lines
        assert 'coinex_audit_error{field="stoch_d"} 1e-09' in lines
        assert 'coinex_audit_tolerance{field="rsi"} 1e-06' in lines
        assert 'coinex_audit_coins_beyond{field="rsi"} 1.0' in lines
        assert any(line.startswith("coinex_audit_age_seconds ") for line in lines)
        await bus.put(schema.AUDIT, audit(now_ms, rsi=1e-9))
        await eventually(partial(is_status, here, "ok"))
        await bus.delete(schema.AUDIT)  # expired: what it said is remembered and grows old
        assert (await here.health())["audit"]["within_tolerance"] is True


async def tell_of_trading(bus: Bus) -> None:
    now_ms = CLOCK.now_ms()
    for name in ("account", "trader"):
        await put_field(bus, schema.ACTORS, name, status(name, since_ms=now_ms))
        await bus.put(schema.HEARTBEAT, heartbeat(name, now_ms), name=name)
    await bus.put(schema.POSITIONS, positions(position(), as_of_ms=now_ms))
    await bus.put(schema.BALANCE, balance(now_ms))
    await bus.put(schema.TRADER_STATUS, trader_status(now_ms, ours=["BTCUSDT"]))


async def test_account_and_trader_are_shown_measured_and_judged(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    await tell_of_trading(bus)
    async with site(redis_url, tmp_path, actors=[*ACTORS, "account", "trader"]) as here:
        await eventually(partial(is_status, here, "ok"))
        body = await here.health()
        (note,) = body["notes"]
        assert note.startswith("BTCUSDT: in no group any more")
        assert body["account"]["equity_quote"] == "10050"
        assert 0 <= body["account"]["age_s"] < 20
        assert body["account"]["positions"][0]["stop_loss"] == "59780"
        assert (body["trader"]["mode"], body["trader"]["answering"]) == ("enabled", True)
        lines = await here.metrics()
        for line in (
            "coinex_account_equity 10050.0", "coinex_account_positions 1.0",
            "coinex_account_positions_without_stop 0.0", "coinex_trader_pnl_today 12.5",
            'coinex_trader_mode{mode="enabled"} 1.0', 'coinex_trader_mode{mode="silent"} 0.0',
        ):  # fmt: skip
            assert line in lines
        assert any(line.startswith("coinex_account_age_seconds ") for line in lines)

        now_ms = CLOCK.now_ms()
        near = [limit(state="warned", used="170"), limit("drawdown", state="latched")]
        await bus.put(
            schema.TRADER_STATUS,
            trader_status(now_ms, mode="locked", reason="kill", limits=near, foreign=["BTCUSDT"]),
        )
        await eventually(partial(here.says, "trader: locked: kill"))
        body = await here.health()
        assert body["status"] == "degraded"
        assert "trader: daily loss is near its limit (170 of 200 USDT, 85 %)" in body["problems"]
        assert body["notes"][0].startswith("BTCUSDT: the position is foreign")
        lines = await here.metrics()
        assert 'coinex_trader_mode{mode="locked"} 1.0' in lines
        assert 'coinex_trader_limit_used_ratio{limit="daily loss"} 0.85' in lines
        assert 'coinex_trader_limit_latched{limit="drawdown"} 1.0' in lines

        await bus.put(schema.BALANCE, balance(now_ms - 5_000, reason="venue down: HTTP 502"))
        await eventually(partial(here.says, "account: venue down: HTTP 502 (last answer 20"))


async def test_a_trader_that_is_not_configured_is_neither_shown_nor_judged(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    await bus.put(schema.POSITIONS, positions(position(stop_loss=None), as_of_ms=1, reason="x"))
    await bus.put(schema.TRADER_STATUS, trader_status(1, mode="enabled", ours=["BTCUSDT"]))
    async with site(redis_url, tmp_path) as here:
        await eventually(partial(is_status, here, "ok"))
        body = await here.health()
        assert (body["account"], body["trader"], body["notes"]) == (None, None, [])
        assert not any("trader" in line or "account" in line for line in await here.metrics())


async def test_without_redis_it_answers_fast_from_memory_with_growing_ages(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=CLOCK)
    await tell_all_is_well(bus)
    async with site(server.url, tmp_path) as here:
        await eventually(partial(is_status, here, "ok"))
        server.freeze()  # worse than dead: every call of the actor runs into its deadline
        await eventually(partial(is_status, here, "down"))
        code, first = await here.ask("/health")
        assert code == 503
        assert first["problems"][0].startswith("redis unreachable for")
        assert first["redis"]["status"] == "down"
        first_at = time.monotonic()
        durations = []
        while time.monotonic() - first_at < 1:
            before = time.perf_counter()
            await here.ask("/health")
            durations.append(time.perf_counter() - before)
        # The median: a busy machine may hold up a few of them.
        assert sorted(durations)[len(durations) // 2] < 0.005
        later = await here.health()
        passed = time.monotonic() - first_at
        reads: list[Callable[[dict[str, Any]], float]] = [
            lambda body: body["symbols"][COINS[0]]["signal_age_s"],
            lambda body: body["symbols"][COINS[0]]["5m"],
            lambda body: body["last_scan"]["age_s"],
            lambda body: body["actors"]["fetcher"]["heartbeat_age_s"],
            lambda body: body["redis"]["since_s"],
        ]
        for read in reads:
            assert read(later) - read(first) == pytest.approx(passed, abs=0.1 + MAX_AGE_S)
        server.thaw()
        await tell_all_is_well(bus)
        await eventually(partial(is_status, here, "ok"))
    await bus.close()


async def test_redis_that_comes_back_empty_makes_no_signal_younger(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=CLOCK)
    await tell_all_is_well(bus)
    async with site(server.url, tmp_path) as here:
        await eventually(partial(is_status, here, "ok"))
        before = (await here.health())["symbols"][COINS[0]]["signal_age_s"]
        server.kill()
        await eventually(partial(is_status, here, "down"))
        server.start()

        async def redis_is_back() -> bool:
            return bool((await here.health())["redis"]["status"] == "up")

        await eventually(redis_is_back)
        assert (await here.health())["symbols"][COINS[0]]["signal_age_s"] > before
    await bus.close()


async def test_full_redis_is_a_problem_of_its_own(
    own_redis: Callable[..., PrivateRedis], tmp_path: Path
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=CLOCK)
    await tell_all_is_well(bus)
    async with site(server.url, tmp_path) as here:
        await eventually(partial(is_status, here, "ok"))
        server.run("CONFIG", "SET", "maxmemory", "1")
        await eventually(partial(here.says, "redis is full for"))
        assert (await here.ask("/health"))[0] == 200
        server.run("CONFIG", "SET", "maxmemory", "0")
        await eventually(partial(is_status, here, "ok"))
    await bus.close()


async def test_bad_messages_are_named_and_harm_nothing(
    bus: Bus, redis_url: str, shared_redis: PrivateRedis, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    shared_redis.run("SET", schema.TA_LATEST.name(symbol=COINS[0]), "{broken")
    shared_redis.run("HSET", schema.ACTORS.name(), "fetcher", "[]")
    async with site(redis_url, tmp_path) as here:
        await eventually(partial(here.says, "health skipped bad messages on the bus"))
        body = await here.health()
        assert body["status"] == "degraded"
        assert body["symbols"][COINS[0]]["signal_age_s"] is None
        assert body["symbols"][COINS[1]]["signal_age_s"] is not None
        assert body["actors"]["fetcher"]["state"] == "ready"  # from its heartbeat


async def test_metrics_show_the_same_world(bus: Bus, redis_url: str, tmp_path: Path) -> None:
    await tell_all_is_well(bus, used_weight=58, weight_limit=6000)
    down = status("exchange-sim", "backoff", restarts=4)
    await put_field(bus, schema.ACTORS, "exchange-sim", down)
    async with site(redis_url, tmp_path) as here:
        await eventually(partial(here.says, "exchange-sim: backoff"))
        scan = heartbeat("indicators-majors", CLOCK.now_ms(), steps=4, step_ms=30.0)
        await bus.put(schema.HEARTBEAT, scan, name="indicators-majors")

        async def scan_is_counted() -> bool:
            expected = 'coinex_scan_seconds_bucket{actor="indicators-majors",le="0.05"} 1.0'
            return expected in await here.metrics()

        await eventually(scan_is_counted)
        lines = await here.metrics()
        for line in (
            'coinex_health{status="degraded"} 1.0',
            'coinex_actor_up{actor="fetcher"} 1.0',
            'coinex_actor_up{actor="exchange-sim"} 0.0',
            'coinex_actor_restarts_total{actor="exchange-sim"} 4.0',
            "coinex_request_used_weight 58.0",
            "coinex_request_weight_limit 6000.0",
            "coinex_bus_up 1.0",
            'coinex_coins_quarantined{stage="fetch"} 0.0',
            "coinex_exchange_ban_seconds 0.0",
            'coinex_scan_seconds_bucket{actor="indicators-majors",le="0.025"} 0.0',
        ):
            assert line in lines, line
        for head in (
            f'coinex_signal_age_seconds{{symbol="{COINS[0]}"}}',
            f'coinex_candle_age_seconds{{symbol="{COINS[0]}",timeframe="4h"}}',
            'coinex_actor_heartbeat_age_seconds{actor="fetcher"}',
            "coinex_bus_round_trip_seconds",
        ):
            assert any(line.startswith(head) for line in lines), head


async def test_taken_port_is_retried_with_words_not_crashed_on(
    redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        bus = Bus(redis_url, name="health", clock=CLOCK)
        context = Context(
            name="health", mode="demo", source="sim", state_dir=tmp_path,
            section={"health": {"host": "127.0.0.1", "port": port}, "symbols": COINS,
                     "actors": ACTORS, "fetcher": {}, "account": {}, "trader": {},
                     "timer_min": None},
            bus=bus, clock=CLOCK, log=logging.getLogger("health"), rng=random.Random(1),
            status=StatusPipe(None), probation=False, quarantined_coins={},
        )  # fmt: skip
        actor = Health(context)
        running = asyncio.create_task(actor.run())
        await eventually(lambda: f"health.port: cannot listen on 127.0.0.1:{port}" in caplog.text)
        assert not running.done()
        actor.stop()
        await running
        await bus.close()


async def test_the_bus_is_told_each_problem_and_since_when_also_across_a_restart(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    now_ms = CLOCK.now_ms()
    ban = Ban(until_ms=now_ms + 60_000, status=418, at_ms=now_ms)
    await bus.put(schema.BAN_UNTIL, ban)

    async def told() -> list[NotedProblem]:
        note = await bus.get(schema.HEALTH)
        return [] if note is None else [p for p in note.problems if p.kind == "exchange-ban"]

    async def is_told() -> bool:
        return bool(await told())

    async with site(redis_url, tmp_path) as here:
        await eventually(is_told)
        (first,) = await told()
        assert await here.says(" forbids all requests (HTTP 418)")
    assert first.key == "exchange:" and "forbids all requests (HTTP 418)" in first.text
    assert 0 <= first.since_ms - now_ms < 20_000

    async def is_told_anew() -> bool:
        return (await told())[0].text != first.text

    async with site(redis_url, tmp_path):
        await eventually(is_told_anew)
        assert (await told())[0].since_ms == first.since_ms
    await bus.delete(schema.BAN_UNTIL)


async def test_many_questions_at_once_are_answered_with_a_handful_of_bodies(
    bus: Bus, redis_url: str, tmp_path: Path
) -> None:
    await tell_all_is_well(bus)
    async with site(redis_url, tmp_path) as here:
        started_s = time.monotonic()
        bodies = [(await here.health())["uptime_s"] for _ in range(200)]
        took_s = time.monotonic() - started_s
        assert len(set(bodies)) <= 2 + took_s / MAX_AGE_S
