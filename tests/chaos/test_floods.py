"""Who floods the platform loses answers; the platform goes on."""

from __future__ import annotations

import time

import pytest
import redis

from shared import schema
from tests.chaos.conftest import LIGHT
from tests.support.floods import Flood, Throttle, Watch, control_messages, publishing
from tests.support.platform_run import Platform

HUNG_S = 5.0
STATUS_S, BACK_S, GROWTH_MB = 5.0, 15.0, 50.0
SHARED = (*LIGHT, f"supervisor.hung_s={HUNG_S:g}")


@pytest.mark.slow
def test_redis_takes_no_message_that_would_fill_its_readers(running: Platform) -> None:
    with running.operator() as client, pytest.raises(redis.ConnectionError):
        client.publish(schema.CONTROL.name(), bytes(9 << 20))


@pytest.mark.slow
def test_no_actor_is_taken_for_hung_where_there_is_a_tenth_of_the_processor_time(
    running: Platform,
) -> None:
    before = {row["name"]: row["pid"] for row in running.actors()}
    watch, throttle = Watch(running), Throttle(running, 0.1)
    throttle.start()
    began = time.monotonic()
    try:
        watch.until(lambda: time.monotonic() - began > 1.5 * HUNG_S, 60)
    finally:
        throttle.stop()
    assert watch.slowest_s < STATUS_S
    assert {row["name"]: row["pid"] for row in running.actors()} == before
    assert not [row for row in running.actors() if row["deaths"]]


@pytest.mark.slow
def test_a_flood_of_control_messages_costs_its_sender_answers_and_nobody_else_anything(
    running: Platform,
) -> None:
    lines, restarts = running.output().count("\n"), running.actor("scanner")["pid"]
    watch, pids = Watch(running), {restarts}
    flood = Flood(
        running.operator, publishing(schema.CONTROL.name()), control_messages("scanner"),
        count=16_000, seconds=10,
    )  # fmt: skip
    began_s = time.monotonic()
    flood.start()
    watch.until(lambda: flood.sent > 3000, 10)
    old = running.kill_actor("account")
    assert watch.until(lambda: running.is_replaced("account", old), BACK_S) < BACK_S
    while flood.is_on:
        watch.look()
        pids.add(running.pid("scanner"))
    took_s = time.monotonic() - began_s  # more than 10 s on a busy machine
    assert flood.sent == 16_000
    assert watch.slowest_s < STATUS_S
    assert watch.grown_mb < GROWTH_MB
    assert watch.redis == {"up"}
    assert len(pids - {None}) <= 12 * max(1.0, took_s / 10)
    assert running.output().count("\n") - lines < 1000
    problems = running.status()["supervisor"]["problems"]
    assert any("the control channel is flooded: " in text for text in problems), problems
    with running.redis() as client:
        assert client.dbsize() < 2500
