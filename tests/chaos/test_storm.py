"""A short storm holds every rule; and a rule broken on purpose does not go unseen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.support.paths import ROOT

# what a minute has room for, at the speed of tests
SHORT = "kill,crash,redis-kill,redis-pause"

BEFORE = """\
        if line.kind is StatusKind.BEAT:
            life.silent_s = 0.0
"""
# The mistake this platform is built against: life and death judged by a key in Redis.
AFTER = """\
        if line.kind is StatusKind.BEAT:
            if heartbeat_is_young(self.context.launch(self)["state_dir"], self.name):
                life.silent_s = 0.0
"""
MISTAKE = """

import time as _time
import orjson as _orjson
import redis as _redis

_seen = {"at": 0.0, "keys": {}}

def heartbeat_is_young(state_dir, name):
    if _time.monotonic() - _seen["at"] > 1:
        try:
            url = open(state_dir + "/redis/operator.url").read().strip()
            with _redis.Redis.from_url(url, socket_timeout=0.3) as client:
                names = list(client.scan_iter("actor:heartbeat:*"))
                _seen["keys"] = dict(zip(names, client.mget(names)))
        except (_redis.RedisError, OSError):
            pass
        _seen["at"] = _time.monotonic()
    raw = _seen["keys"].get(b"actor:heartbeat:" + name.encode())
    return raw is None or _time.time() * 1000 - _orjson.loads(raw)["at_ms"] < 3000
"""


def storm(out: Path, *arguments: str) -> tuple[int, str]:
    """Make a storm; return its exit code, and its report and log."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.storm", "--quick", "--scene", "own", "--out", str(out),
         *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    log = out / "storm.log"
    return done.returncode, done.stdout + done.stderr + (log.read_text() if log.exists() else "")


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_short_storm_breaks_no_rule(tmp_path: Path) -> None:
    code, said = storm(
        tmp_path, "--seed", "1", "--minutes", "0.85", "--only", SHORT, "--set",
        "supervisor.hung_s=5",
    )  # fmt: skip
    assert code == 0, said
    report = orjson.loads((tmp_path / "report.json").read_bytes())
    assert len(report["faults"]) >= 3
    assert all(fault["well_s"] for fault in report["faults"])
    for rule in ("fresh", "spared", "orphans", "signals", "bounds", "orders"):
        assert "not tried" not in next(line for line in said.splitlines() if f" {rule} " in line)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_storm_sees_actors_die_that_are_judged_by_a_key_in_redis(
    tmp_path: Path, checkout: Path
) -> None:
    path = checkout / "shared" / "supervision" / "child.py"
    text = path.read_text()
    assert BEFORE in text
    path.write_text(text.replace(BEFORE, AFTER) + MISTAKE)
    code, said = storm(
        tmp_path / "out", "--seed", "1", "--minutes", "0.5", "--only", "redis-pause", "--root",
        str(checkout), "--set", "supervisor.hung_s=5",
    )  # fmt: skip
    assert code == 1, said
    report = orjson.loads((tmp_path / "out" / "report.json").read_bytes())
    deaths = [each["evidence"] for each in report["breaches"] if each["rule"] == "spared"]
    assert any("hung" in evidence and "redis-pause" in evidence for evidence in deaths), said
