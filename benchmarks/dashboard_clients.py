"""What 100 browsers cost the dashboard: memory and CPU before, during and after; worst lag."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from shared.clock import SystemClock
from shared.proc_stats import pss_mb
from tests.support.platform_run import Platform

AS_OF = re.compile(rb'"asOf":(\d+)')
CLOCK = SystemClock()


class Tally:
    """What the browsers received."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.worst_lag_ms = 0
        self.worst_gap_ms = 0.0
        self.fastest = 0.0


async def browse(session: aiohttp.ClientSession, url: str, until_s: float, tally: Tally) -> None:
    """Take all messages of one browser until the time is over."""
    async with session.ws_connect(url, max_msg_size=0) as ws:
        began_s = last_s = time.monotonic()
        taken = 0
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                message = await ws.receive(timeout=left_s)
            except TimeoutError:
                break
            now_ms, now_s = CLOCK.now_ms(), time.monotonic()
            found = AS_OF.search(message.data[:100].encode())
            assert found is not None, message
            tally.worst_lag_ms = max(tally.worst_lag_ms, now_ms - int(found[1]))
            tally.worst_gap_ms = max(tally.worst_gap_ms, 1000 * (now_s - last_s))
            last_s = now_s
            taken += 1
            tally.messages += 1
            tally.bytes += len(message.data)
        tally.fastest = max(tally.fastest, (taken - 1) / (time.monotonic() - began_s))


class Dashboard:
    """Resource use of the dashboard's process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._process = psutil.Process(pid)

    def cpu_s(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    async def watch(self, what: str, seconds: float) -> None:
        """Print memory and CPU over some seconds."""
        before_s, began_s, most_mb = self.cpu_s(), time.monotonic(), 0.0
        while time.monotonic() < began_s + seconds:
            await asyncio.sleep(0.5)
            most_mb = max(most_mb, pss_mb(self.pid) or 0.0)
        cpu = 100 * (self.cpu_s() - before_s) / (time.monotonic() - began_s)
        print(f"{what:22} {most_mb:6.1f} MB (most, PSS)   {cpu:5.1f} % CPU")


async def run(platform: Platform, count: int, seconds: float) -> None:
    """Watch the dashboard without browsers, with them, and after them."""
    row = platform.actor("dashboard")
    dashboard = Dashboard(row["pid"])
    await asyncio.sleep(5)  # its own start
    await dashboard.watch("before", seconds / 4)
    tally, until_s = Tally(), time.monotonic() + seconds
    url = f"http://127.0.0.1:{row['port']}/ws"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        browsers = [browse(session, url, until_s, tally) for _ in range(count)]
        await asyncio.gather(dashboard.watch(f"{count} browsers", seconds), *browsers)
    await dashboard.watch("after", seconds / 4)
    assert platform.pid("dashboard") == dashboard.pid, "it died on the way"
    print(
        f"{tally.messages} messages, {tally.bytes / 1e6:.0f} MB; fastest browser "
        f"{tally.fastest:.2f} messages/s; worst lag {tally.worst_lag_ms} ms; "
        f"longest pause {tally.worst_gap_ms:.0f} ms"
    )


def main() -> None:
    """Run a demo that scans every 2 s, with browsers that only read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browsers", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="10 s instead of 60 s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coinex-") as home:
        running = Platform(Path(home) / "var", "auditor.enabled=false")
        running.start()
        try:
            asyncio.run(run(running, options.browsers, 10 if options.quick else 60))
        finally:
            running.stop()


if __name__ == "__main__":
    main()
