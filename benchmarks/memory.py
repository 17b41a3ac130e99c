"""Proportional set size of the whole demo: supervisor, zygote, Redis and every actor."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from shared.proc_stats import pss_mb
from tests.support.platform_run import Platform, wait_for


def weigh(processes: list[psutil.Process]) -> list[tuple[str, float]]:
    """Return title and PSS in MB of each process that still runs."""
    rows = []
    for process in processes:
        memory = pss_mb(process.pid)
        if memory is not None:
            title = " ".join(process.cmdline()).strip() or process.name()
            rows.append((title, memory))
    return rows


def main() -> None:
    """Run a demo of its own until it has scanned a few times, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5, help="scans to wait for (5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coinex-") as home:
        running = Platform(Path(home) / "var")
        running.start()
        try:
            with running.redis() as client:
                wait_for(
                    lambda: (
                        f'"steps":{options.steps}'
                        in str(client.get("actor:heartbeat:indicators-majors"))
                    ),
                    120,
                )
            rows = weigh(running.tree())
        finally:
            running.stop()
    for title, memory in sorted(rows, key=lambda row: -row[1]):
        print(f"{memory:8.1f} MB  {title}")
    print(f"{sum(memory for _, memory in rows):8.1f} MB  all {len(rows)} processes together (PSS)")
    scanning = [memory for title, memory in rows if title != "coinex: auditor"]
    print(f"{sum(scanning):8.1f} MB  without the auditor, which alone loads pandas-ta")


if __name__ == "__main__":
    main()
