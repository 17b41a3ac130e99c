"""A whole platform that tells people what is broken on purpose."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import psutil
import pytest

from tests.chaos.conftest import LIGHT, Make, is_well
from tests.support.alert_receiver import receiver
from tests.support.platform_run import Platform, wait_for
from tests.support.waiting import eventually

HIDDEN = "hidden-webhook-token"


def shown_by(platform: Platform) -> str:
    """Return all that processes, files and logs of a platform show to a reader."""
    texts = []
    for process in platform.tree():
        for name in ("environ", "cmdline", "comm"):
            try:
                path = Path(f"/proc/{process.pid}/{name}")
                # what the supervisor was started with is its own
                if (process.pid, name) != (platform.tree()[0].pid, "environ"):
                    texts.append(path.read_text(errors="replace"))
            except (OSError, psutil.Error):
                continue
    for path in platform.state_dir.rglob("*"):
        if path.is_file() and "redis" not in path.parts:
            with contextlib.suppress(FileNotFoundError):  # replaced meanwhile
                texts.append(path.read_text(errors="replace"))
    return "\n".join(texts)


def forget_the_start(platform: Platform) -> None:
    """Let alerts begin anew once all is well: what was starting would count as the same problem."""
    wait_for(lambda: is_well(platform), 60, "all well")
    for verb in ("stop", "start"):
        done = platform.run(verb, "alerts")
        assert done.returncode == 0, done.stderr
        if verb == "stop":
            (platform.state_dir / "alerts.json").unlink(missing_ok=True)


async def test_a_stopped_actor_is_told_and_its_return_and_the_url_is_shown_nowhere(
    platform: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiver() as hook:
        monkeypatch.setenv("COINEX_ALERT_URLS", hook.url(HIDDEN))
        running = platform(
            *LIGHT, "alerts.enabled=true", "alerts.after_s=1", "alerts.max_per_hour=1000"
        )
        await asyncio.to_thread(running.start)
        await asyncio.to_thread(forget_the_start, running)
        stopped = await asyncio.to_thread(running.run, "stop", "scanner")
        assert stopped.returncode == 0, stopped.stderr

        async def told(words: str) -> None:
            try:
                await eventually(lambda: any(words in body for body in hook.bodies(HIDDEN)), 60)
            except AssertionError:
                raise AssertionError(f"no {words!r} in {hook.bodies(HIDDEN)}") from None

        # "stopping" where that takes a second
        await told("): scanner: stopp")
        started = await asyncio.to_thread(running.run, "start", "scanner")
        assert started.returncode == 0, started.stderr
        await told("It was: scanner: stopp")
        alerts_pid = await asyncio.to_thread(running.kill_actor, "alerts")
        await asyncio.to_thread(running.wait_replaced, "alerts", alerts_pid, 60)
        assert all(hook.bodies(HIDDEN).count(body) == 1 for body in hook.bodies(HIDDEN))
        assert HIDDEN not in await asyncio.to_thread(shown_by, running)
        await asyncio.to_thread(running.stop)
