"""`coinex sweep` as a user runs it: killed, interrupted, with more processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.backtest.sweep.ledger import read_ledger
from tests.support import sweep_run
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for
from tests.support.sweep_run import SETTINGS, command, result, same, stored

CLOSES = sweep_run.CLOSES
WITHIN_S = 60


@pytest.fixture(scope="module")
def undisturbed(candles: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the result with one process."""
    out = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(
        [sys.executable, "supervisor.py", *command(candles, out, 1)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = result(out)
    assert len(found["settings"]) == SETTINGS
    assert min(each["in_sample"]["trades"] for each in found["settings"]) > 0
    assert len({each["in_sample"]["net_return_pct"] for each in found["settings"]}) > 5
    assert done.stdout.rstrip().endswith(found["sentence"])
    return found


def worker(run: subprocess.Popen[str]) -> int:
    """Return a process that carries out jobs."""
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    found = [int(p) for p in children if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return found[0]


def ended(run: subprocess.Popen[str]) -> None:
    _, errors = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 0, errors


def test_a_killed_worker_changes_nothing_and_neither_do_more_processes(
    started: Callable[..., subprocess.Popen[str]],
    undisturbed: dict[str, Any],
    candles: Path,
    tmp_path: Path,
) -> None:
    run = started(*command(candles, tmp_path, 2))
    wait_for(lambda: stored(tmp_path) >= 2, WITHIN_S)
    os.kill(worker(run), signal.SIGKILL)
    ended(run)
    same(result(tmp_path), undisturbed)


def test_a_killed_sweep_goes_on_where_it_was_and_counts_once(
    started: Callable[..., subprocess.Popen[str]],
    undisturbed: dict[str, Any],
    candles: Path,
    tmp_path: Path,
) -> None:
    run = started(*command(candles, tmp_path, 2))
    wait_for(lambda: stored(tmp_path) >= 2, WITHIN_S)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=WITHIN_S)
    assert not (tmp_path / "sweep.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("settings/*.npz")}
    assert 2 <= len(kept) < SETTINGS
    ended(started(*command(candles, tmp_path, 2)))
    same(result(tmp_path), undisturbed)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    ledger = read_ledger(candles)
    assert ledger is not None
    assert [line.kind for line in ledger.lines] == ["sweep"]
