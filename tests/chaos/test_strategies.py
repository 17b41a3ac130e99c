"""A user's strategy in a whole platform: what it breaks is said, and everything else goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import psutil

from tests.chaos.conftest import LIGHT, Make, is_well
from tests.support.platform_run import Platform, wait_for
from tests.support.strategies import TRIAL, record, written

TITLE = "coinex: strategy of "


def doing(what: str) -> str:
    """Return a strategy that misbehaves so with every coin."""
    return TRIAL.replace('badly: str = ""', f"badly: str = {what!r}")


def key(platform: Platform, name: str) -> dict[str, Any]:
    with platform.redis() as client:
        found: dict[str, Any] = orjson.loads(client.get(name) or "{}")
    return found


def problems(platform: Platform) -> list[str]:
    found: list[str] = platform.health()[1]["problems"]
    return found


def wait_said(platform: Platform, words: str) -> None:
    def said() -> bool:
        return any(words in problem for problem in problems(platform))

    wait_for(said, 20, f"{words!r} on /health")


def scan(platform: Platform) -> dict[str, Any]:
    return key(platform, "scan:latest")


def is_scored(platform: Platform) -> bool:
    coins = scan(platform).get("coins", [])
    return bool(coins) and all(coin["fault"] == "" for coin in coins)


def processes(platform: Platform) -> list[psutil.Process]:
    return [each for each in platform.tree() if " ".join(each.cmdline()).startswith(TITLE)]


def take(platform: Platform, path: Path, source: str) -> None:
    """Change the file, record that it passed, and have it taken."""
    record(platform.state_dir, written(path, source))
    done = platform.run("reload")
    assert done.returncode == 0 and "scanner" in done.stdout, done.stdout + done.stderr
    wait_for(platform.all_ready, 20, "every actor ready again")


def test_whatever_a_strategy_does_is_said_and_the_rest_goes_on(
    platform: Make, tmp_path: Path
) -> None:
    path = tmp_path / "trial.py"
    file = written(path, TRIAL)
    running = platform(*LIGHT, f"strategy={path}:Trial", "strategy_timeout_s=1")
    running.start()
    wait_for(lambda: is_scored(running), 20, "scored by the strategy")
    named = {"name": "trial", "version": "3", "hash": file.digest, "class_name": "Trial"}
    assert scan(running)["strategy"] == named

    # unchecked: shown, never traded
    wait_said(running, "trader: the strategy trial.py:Trial has not passed its check")
    assert key(running, "state:trader:status")["mode"] == "reducing"
    record(running.state_dir, file)
    wait_for(lambda: is_well(running), 15, "all well")
    assert key(running, "state:trader:status")["mode"] == "enabled"

    # a file that is broken is refused, changes nothing, and no crash takes it
    path.write_text("class Trial(:\n")
    done = running.run("reload")
    assert done.returncode == 1 and "trial.py, line 1: no Python" in done.stdout + done.stderr
    running.wait_replaced("scanner", running.kill_actor("scanner"))
    wait_for(lambda: is_scored(running), 20, "scored as before")
    assert scan(running)["strategy"] == named

    # it hangs: the others do not notice
    pids = {row["name"]: row["pid"] for row in running.actors()}
    others = {name: pid for name, pid in pids.items() if name not in ("scanner", "trader")}
    take(running, path, doing("HANG"))
    wait_said(running, "scanner: strategy trial.py:Trial: ")
    assert any("no answer within 1 s" in problem for problem in problems(running))
    assert running.health()[1]["status"] == "degraded"

    # it is mended
    take(running, path, TRIAL)
    wait_for(lambda: is_scored(running) and is_well(running), 20, "all well")
    assert others == {name: running.pid(name) for name in others}
    left = processes(running)
    assert left
    running.stop()
    psutil.wait_procs(left, timeout=5)
    assert not any(each.is_running() for each in left)
