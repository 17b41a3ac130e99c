"""Who may supervise a namespace, though every supervisor here has the same host and pid."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.bus import Bus
from shared.clock import SystemClock
from shared.schema import LEASE
from shared.supervision.lease import SupervisorLease, boot_id
from tests.support.private_redis import PrivateRedis
from tests.support.waiting import eventually

Make = Callable[..., SupervisorLease]


@pytest.fixture
def lease_of(bus: Bus, tmp_path: Path) -> Make:
    starts = iter(range(100))

    def make(state: str = "var", boot: str = "boot") -> SupervisorLease:
        directory = tmp_path / state
        directory.mkdir(exist_ok=True)
        return SupervisorLease(
            bus, directory, instance=f"start-{next(starts)}", boot=boot, mode="demo",
            clock=SystemClock(), log=logging.getLogger("supervisor"),
        )  # fmt: skip

    return make


async def claimed(lease: SupervisorLease) -> bool:
    return await asyncio.wait_for(lease.claim(), 10) is None


async def holder(bus: Bus) -> str | None:
    lease = await bus.get(LEASE)
    return None if lease is None else lease.instance


async def test_killed_supervisors_lease_is_taken_over_at_once_on_its_state_dir(
    bus: Bus, lease_of: Make, shared_redis: PrivateRedis
) -> None:
    assert await claimed(lease_of())
    successor = lease_of()
    assert await asyncio.wait_for(successor.claim(), 0.4) is None
    assert await holder(bus) == "start-1"
    assert await successor.renew() is None
    await successor.release()
    assert await holder(bus) is None


async def test_living_holder_keeps_its_lease_though_host_and_pid_are_the_same(
    bus: Bus, lease_of: Make
) -> None:
    living, other = lease_of(), lease_of("other")
    assert await claimed(living)

    async def renew() -> None:
        while True:
            await asyncio.sleep(0.2)
            assert await living.renew() is None

    renewing = asyncio.create_task(renew())
    found = await asyncio.wait_for(other.claim(), 10)
    renewing.cancel()
    assert found is not None and found.instance == "start-0"
    assert await other.renew() == await bus.get(LEASE)
    await other.release()
    assert await holder(bus) == "start-0"


@pytest.mark.parametrize(("state", "boot"), [("other", "boot"), ("var", "another boot")])
async def test_unknown_holder_that_does_not_renew_is_waited_for(
    bus: Bus, lease_of: Make, shared_redis: PrivateRedis, state: str, boot: str
) -> None:
    assert await claimed(lease_of())
    claiming = asyncio.create_task(lease_of(state, boot).claim())
    shared_redis.run("PEXPIRE", LEASE.name(), 1200)
    await eventually(lambda: shared_redis.run("PTTL", LEASE.name()) < 600)  # type: ignore[operator]
    assert not claiming.done()
    assert await asyncio.wait_for(claiming, 10) is None
    assert await holder(bus) == "start-1"


async def test_lease_that_cannot_be_read_is_nobodys(
    bus: Bus, lease_of: Make, shared_redis: PrivateRedis
) -> None:
    shared_redis.run("SET", LEASE.name(), "not JSON")
    assert await claimed(lease_of())
    assert await holder(bus) == "start-0"


def test_boot_id_is_that_of_the_kernel() -> None:
    assert len(boot_id()) == 36
