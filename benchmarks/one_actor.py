"""Run one actor as a process of its own, without a supervisor; its launch message comes on stdin.

With a path as its only argument, its wall clock is the one of `stepping_clock`, kept in that file.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.stepping_clock import SteppingClock
from shared import logs
from shared.clock import Clock, SystemClock

ROOT = Path(__file__).resolve().parent.parent


def start(launch: Mapping[str, Any], clock_file: Path | None = None) -> subprocess.Popen[bytes]:
    """Start an actor and return its process; what it logs goes to `<state_dir>/<name>.log`."""
    log = Path(launch["state_dir"]) / f"{launch['name']}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, __file__, *([str(clock_file)] if clock_file else [])],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=ROOT,
        )
    assert process.stdin is not None
    process.stdin.write(json.dumps(dict(launch)).encode())
    process.stdin.close()
    return process


def launch(
    name: str, code: str, section: Mapping[str, Any], home: Path, url: str
) -> dict[str, Any]:
    """Return a launch message for a simulated market."""
    return {
        "name": name,
        "code": code,
        "mode": "demo",
        "source": "sim",
        "state_dir": str(home),
        "section": dict(section),
        "redis_url": url,
        "namespace": "",
        "probation": False,
        "quarantined_coins": {},
    }


def main() -> None:
    """Build the actor and run it to its end."""
    import importlib  # noqa: PLC0415  # only the started process needs these

    from actors.base import Context, run_actor  # noqa: PLC0415
    from shared.bus import Bus  # noqa: PLC0415
    from shared.supervision.status_pipe import StatusPipe  # noqa: PLC0415

    asked = json.load(sys.stdin)
    clock: Clock = SteppingClock(Path(sys.argv[1])) if len(sys.argv) > 1 else SystemClock()
    name = asked["name"]
    log = logs.logger(name)
    context = Context(
        name=name,
        mode=asked["mode"],
        source=asked["source"],
        state_dir=Path(asked["state_dir"]),
        section=asked["section"],
        bus=Bus(asked["redis_url"], name=name, clock=clock, namespace="", log=log),
        clock=clock,
        log=log,
        rng=random.Random(),
        status=StatusPipe(None),
        probation=False,
        quarantined_coins={},
    )
    module, _, kind = asked["code"].partition(":")
    run_actor(getattr(importlib.import_module(module), kind)(context))


if __name__ == "__main__":
    main()
