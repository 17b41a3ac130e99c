"""The same world twice is the same journal, row for row, also in another process."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.lockstep.made_market import BEGIN_MS, SETTINGS, made_market
from tests.lockstep.world import World
from tests.support.paths import ROOT

RECORDINGS = made_market()
HOURS = 0.1


def digest(seed: int) -> str:
    until_ms = BEGIN_MS + round(3_600_000 * HOURS)
    world = World(RECORDINGS, SETTINGS, BEGIN_MS, until_ms, seed, latency_s=(0.006, 0.06))
    outcome = world.run()
    assert len(outcome.orders) > 1
    return outcome.digest


def test_same_seed_is_one_journal_and_another_seed_is_another() -> None:
    here = digest(5)
    # strings have other hashes there, so sets have another order
    done = subprocess.run(
        [sys.executable, "-m", "tests.lockstep", "--made", "--hours", str(HOURS), "--seed", "5",
         "--latency", "0.06"],
        cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "77"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert f"journal: {here}\n" in done.stdout
    assert digest(6) != here
