"""An alert service that takes messages and does not answer, beside one that does."""

from __future__ import annotations

import asyncio

import pytest

from actors.alerts.outbox import MOST_TRIES
from tests.chaos.conftest import LIGHT, Make
from tests.support.alert_receiver import Receiver, receiver
from tests.support.platform_run import Platform
from tests.support.waiting import eventually


def waiting(platform: Platform) -> int:
    """Return how many messages are not delivered, as far as alerts knows."""
    _, text = platform.health("/metrics")
    found = [line.split()[1] for line in text.splitlines() if line.startswith("coinex_alerts_wait")]
    return int(float(found[0])) if found else -1


def has(hook: Receiver, name: str, words: str) -> bool:
    return any(words in body for body in hook.bodies(name))


async def test_it_gets_no_message_more_than_a_few_times_delays_none_and_a_crash_changes_nothing(
    platform: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiver() as hook:
        hook.hanging.add("stalled")
        monkeypatch.setenv("COINEX_ALERT_URLS", f"{hook.url('stalled')} {hook.url('good')}")
        running = platform(*LIGHT, "alerts.enabled=true", "alerts.after_s=1", "alerts.timeout_s=2")
        await asyncio.to_thread(running.start)

        locked = await asyncio.to_thread(running.run, "trader", "kill", "--reason", "trial")
        assert locked.returncode == 0, locked.stderr
        await eventually(lambda: has(hook, "good", "(trader-locked)"), 60)
        await eventually(lambda: has(hook, "stalled", "(trader-locked)"), 60)
        assert await asyncio.to_thread(waiting, running) > 0
        pid = await asyncio.to_thread(running.kill_actor, "alerts")
        await asyncio.to_thread(running.wait_replaced, "alerts", pid, 60)
        hook.hanging.clear()
        hook.over.set()
        await eventually(lambda: asyncio.to_thread(lambda: waiting(running) == 0), 60)
        for name, most in (("good", 2), ("stalled", MOST_TRIES)):
            bodies = hook.bodies(name)
            assert max(bodies.count(body) for body in bodies) <= most, name
        await asyncio.to_thread(running.stop)
