"""What trials do to an actor from inside: clocks step, loops block, memory grows, in demo only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from shared import proc_stats
from shared.clock import SystemClock
from shared.config.load import load
from shared.supervision.launch import launch_message
from shared.supervision.specs import child_specs, configured_ports
from shared.supervision.test_hooks import Hooks, SteppedClock
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for
from tests.support.waiting import eventually

HOUR_MS = 3_600_000


def test_clock_steps_by_what_stands_in_the_file_and_back(tmp_path: Path) -> None:
    clock, real = SteppedClock(tmp_path), SystemClock()
    assert abs(clock.now_ms() - real.now_ms()) < 1000
    for offset_ms in (HOUR_MS, -HOUR_MS, 0):
        (tmp_path / "clock").write_text(str(offset_ms))
        assert abs(clock.now_ms() - real.now_ms() - offset_ms) < 1000


Leave = Callable[[str], object]


@pytest.fixture
async def leave(tmp_path: Path) -> AsyncIterator[Leave]:
    """Leave an order for an actor that looks for one."""
    hooks = Hooks(tmp_path, "one", logging.getLogger("one"))
    obeying = asyncio.create_task(hooks.run(SystemClock()))
    yield (tmp_path / "one.json").write_text
    obeying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await obeying


async def test_an_order_to_block_holds_up_the_loop_once(leave: Leave, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    leave('{"block_s": 0.6}')
    pauses, before = [0.0], loop.time()
    async with asyncio.timeout(20):
        while max(pauses) < 0.6:
            await asyncio.sleep(0.01)
            pauses.append(loop.time() - before)
            before = loop.time()
    await eventually(lambda: not list(tmp_path.iterdir()))


def test_an_order_to_bloat_takes_memory_for_real(tmp_path: Path) -> None:
    # in a process of its own: in this one, what other tests leave is freed at the same time
    code = (
        "import asyncio, logging, sys; from pathlib import Path; "
        "from shared.clock import SystemClock; "
        "from shared.supervision.test_hooks import Hooks; "
        "hooks = Hooks(Path(sys.argv[1]), 'one', logging.getLogger('one')); "
        "asyncio.run(hooks.run(SystemClock()))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    try:
        wait_for(lambda: proc_stats.rss_mb(process.pid) > 10, 10)
        assert proc_stats.rss_mb(process.pid) < 150
        (tmp_path / "one.json").write_text('{"bloat_mb": 200}')
        wait_for(lambda: proc_stats.rss_mb(process.pid) > 200, 20)
    finally:
        process.kill()
        process.wait()


async def test_rubbish_is_left_alone(leave: Leave, caplog: pytest.LogCaptureFixture) -> None:
    leave("nonsense")
    await eventually(lambda: "not JSON" in caplog.text, within_s=10)


def test_no_actor_is_hooked_unless_asked_for_and_the_exchange_keeps_its_clock() -> None:
    for given, hooked in (([], False), (["testing.hooks=true"], True)):
        config = load(ROOT / "config.yaml", given)
        found = {
            spec.name: launch_message(spec, config, lambda _: "redis://x")["trial"]
            for spec in child_specs(config, configured_ports(config))
        }
        assert all((trial is not None) is hooked for trial in found.values())
        if hooked:
            own = {name for name, trial in found.items() if trial["clock"] != "clock"}
            assert own == {"exchange-sim"}
