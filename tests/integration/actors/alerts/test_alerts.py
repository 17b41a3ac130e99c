"""The alerts actor between a real Redis and a real webhook that fails, hangs and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.alerts.actor import Alerts
from actors.base import Context
from shared import schema
from shared.bus import Bus
from shared.clock import SystemClock
from shared.errors import ConfigError
from shared.messages.actors import HealthNote, NotedProblem
from shared.supervision.status_pipe import StatusPipe
from tests.support.alert_receiver import Receiver, receiver
from tests.support.private_redis import PrivateRedis
from tests.support.waiting import eventually

CLOCK = SystemClock()
SETTINGS = {"enabled": True, "after_s": 0.5, "repeat_min": 0, "timeout_s": 1.0}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.alerts.outbox.RETRY_FIRST_S", 0.2)
    monkeypatch.setattr("actors.alerts.outbox.RETRY_CAP_S", 0.2)


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as here:
        yield here


def note(*kinds: str, age_s: float = 0) -> HealthNote:
    now_ms = CLOCK.now_ms() - int(1000 * age_s)
    problems = [
        NotedProblem(
            key=f"actor:{kind}", kind="actor-backoff", text=f"{kind}: backoff", since_ms=now_ms
        )
        for kind in kinds
    ]
    return HealthNote(at_ms=CLOCK.now_ms(), status="degraded", mode="demo", problems=problems)


@contextlib.asynccontextmanager
async def alerts(
    url: str, state_dir: Path, *urls: str, **settings: Any
) -> AsyncIterator[tuple[Alerts, asyncio.Task[None]]]:
    log = logging.getLogger("alerts")
    bus = Bus(url, name="alerts", clock=CLOCK, timeout_s=0.5, log=log)
    actor = Alerts(
        Context(
            name="alerts",
            mode="demo",
            source="sim",
            state_dir=state_dir,
            section={"alerts": {**SETTINGS, **settings}},
            bus=bus,
            clock=CLOCK,
            log=log,
            rng=random.Random(1),
            status=StatusPipe(None),
            probation=False,
            quarantined_coins={},
            alert_urls=urls,
        )
    )
    running = asyncio.create_task(actor.run())
    try:
        yield actor, running
    finally:
        actor.stop()
        await running
        await bus.close()


def arrived(hook: Receiver, count: int, name: str = "one") -> Callable[[], bool]:
    return lambda: len(hook.bodies(name)) >= count


async def telling(bus: Bus, done: Callable[[], bool], *kinds: str) -> None:
    """Let health say the same every moment until something is so."""
    first = note(*kinds)

    async def told() -> bool:
        fresh = HealthNote(
            at_ms=CLOCK.now_ms(), status=first.status, mode="demo", problems=first.problems
        )
        await bus.put(schema.HEALTH, fresh)
        return done()

    await eventually(told, 30)


async def test_a_problem_and_its_end_arrive_with_what_how_long_and_why(
    bus: Bus, redis_url: str, tmp_path: Path, hook: Receiver
) -> None:
    async with alerts(redis_url, tmp_path, hook.url("one")):
        await telling(bus, arrived(hook, 1), "fetcher")
        await telling(bus, arrived(hook, 2))
    first, last = hook.arrived["one"]
    assert first["title"] == "coinex demo: 1 problem"
    assert "(actor-backoff): fetcher: backoff" in first["message"]
    assert first["message"].startswith("PROBLEM for ")
    assert last["title"] == "coinex demo: 1 ended"
    assert "It was: fetcher: backoff" in last["message"]


async def test_after_a_restart_nothing_is_told_again_and_its_end_still_is(
    bus: Bus, redis_url: str, tmp_path: Path, hook: Receiver
) -> None:
    async with alerts(redis_url, tmp_path, hook.url("one")) as (actor, _):
        await telling(bus, lambda: actor.detail.get("sent") == 1, "fetcher")
    async with alerts(redis_url, tmp_path, hook.url("one")) as (actor, _):
        await telling(bus, lambda: actor.detail.get("open") == 1, "fetcher")
        await telling(bus, arrived(hook, 2))
    assert [message["title"] for message in hook.arrived["one"]] == [
        "coinex demo: 1 problem",
        "coinex demo: 1 ended",
    ]


@pytest.mark.usefixtures("impatient")
async def test_a_failing_service_is_logged_once_tried_again_and_holds_up_no_other(
    bus: Bus, redis_url: str, tmp_path: Path, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hook.refusing.add("broken-secret")
    hook.hanging.add("hung")
    urls = [hook.url("broken-secret"), hook.url("hung"), hook.url("one")]
    with caplog.at_level(logging.INFO):
        async with alerts(redis_url, tmp_path, *urls) as (actor, _):
            await telling(bus, arrived(hook, 1), "fetcher")
            await telling(bus, lambda: hook.asked["broken-secret"] >= 3, "fetcher")
            await telling(
                bus, lambda: "2 (json): no answer" in actor.detail.get("retrying", ""), "fetcher"
            )
            assert "service 1 (json): " in actor.detail["retrying"]
            assert actor.detail["waiting"] == 2
            hook.refusing.clear()
            await telling(bus, arrived(hook, 1, "broken-secret"), "fetcher")
            await telling(
                bus, lambda: "service 1" not in actor.detail.get("retrying", ""), "fetcher"
            )
    lines = [record.getMessage() for record in caplog.records if record.name == "alerts"]
    assert sum("service 1 (json) takes no messages: " in line for line in lines) == 1
    assert sum("service 1 (json) takes messages again" in line for line in lines) == 1
    assert "broken-secret" not in caplog.text + str(actor.detail)
    assert len(hook.bodies("one")) == 1


async def test_what_a_service_has_not_taken_survives_a_restart(
    bus: Bus, redis_url: str, tmp_path: Path, hook: Receiver
) -> None:
    hook.refusing.add("one")
    async with alerts(redis_url, tmp_path, hook.url("one")) as (actor, _):
        await telling(bus, lambda: bool(actor.detail.get("waiting")), "fetcher")
        await telling(bus, lambda: hook.asked.get("one", 0) >= 1, "fetcher")
        await eventually(lambda: '"title"' in (tmp_path / "alerts.json").read_text())
    assert str(hook.port) not in (tmp_path / "alerts.json").read_text()
    hook.refusing.clear()
    async with alerts(redis_url, tmp_path, hook.url("one")):
        await telling(bus, arrived(hook, 1), "fetcher")
    assert hook.arrived["one"][0]["title"] == "coinex demo: 1 problem"


async def test_silent_health_is_told(
    bus: Bus, redis_url: str, tmp_path: Path, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.alerts.policy.SILENT_S", 1.0)
    async with alerts(redis_url, tmp_path, hook.url("one")):
        await eventually(arrived(hook, 1), 20)
    assert "(health-silent): health has not said how the platform is yet" in hook.bodies("one")[0]


async def test_a_redis_that_is_gone_is_told_and_so_is_its_return(
    tmp_path: Path, hook: Receiver, own_redis: Callable[..., PrivateRedis]
) -> None:
    server = own_redis()
    bus = Bus(server.url, name="test", clock=CLOCK)
    async with alerts(server.url, tmp_path, hook.url("one")) as (actor, _):
        await telling(bus, lambda: "open" in actor.detail)
        server.kill()
        await eventually(arrived(hook, 1), 20)
        server.start()
        await telling(bus, arrived(hook, 2))
    await bus.close()
    assert "(redis-down): redis unreachable for " in hook.bodies("one")[0]
    assert "(redis-down). It was: redis unreachable for " in hook.bodies("one")[1]


async def test_a_broken_state_file_is_said_and_started_without(
    bus: Bus, redis_url: str, tmp_path: Path, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "alerts.json").write_bytes(b'{"book": {"told": 7}}')
    async with alerts(redis_url, tmp_path, hook.url("one")):
        await telling(bus, arrived(hook, 1), "fetcher")
    assert "starting without the previous state: " in caplog.text
    assert "book.told: expected a list, found 7" in caplog.text


async def test_without_a_service_it_says_where_they_come_from(
    redis_url: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"alerts\.enabled: .*COINEX_ALERT_URLS"):
        async with alerts(redis_url, tmp_path) as (_, running):
            await asyncio.wait([running], timeout=10)
            assert running.done()
