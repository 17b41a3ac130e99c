"""`coinex replay` whose processes are killed, as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from shared.proc_stats import cpu_s
from tests.support.platform_run import wait_for

WITHIN_S = 90
CLOSES = 4000
"""Some seconds of work for each process: none is over before it is seen to be busy."""


Start = Callable[..., subprocess.Popen[str]]


def replayed(started: Start, candles: Path, *arguments: object) -> subprocess.Popen[str]:
    return started("replay", "--candles", candles, *arguments)


def children(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except FileNotFoundError:
        return []


def is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def busy(pids: Sequence[int], at_least_s: float = 0.8) -> list[int]:
    return [pid for pid in pids if (cpu_s(pid) or 0.0) >= at_least_s]


def a_busy_worker(run: subprocess.Popen[str]) -> int:
    found: list[int] = wait_for(
        lambda: busy([pid for pid in children(run.pid) if is_worker(pid)]), WITHIN_S
    )
    return found[0]


def test_a_killed_worker_changes_no_byte(started: Start, candles: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    undisturbed = replayed(started, candles, "--processes", 1, "--out", whole)
    run = replayed(started, candles, "--processes", 2, "--out", killed)
    os.kill(a_busy_worker(run), signal.SIGKILL)
    _, said = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 0, said
    undisturbed.communicate(timeout=WITHIN_S)
    assert killed.read_bytes() == whole.read_bytes()


def test_workers_that_are_killed_again_and_again_end_in_words(
    started: Start, candles: Path, tmp_path: Path
) -> None:
    run = replayed(started, candles, "--processes", 2, "--out", tmp_path / "out.csv")

    def over() -> bool:
        for pid in children(run.pid):
            if is_worker(pid):
                os.kill(pid, signal.SIGKILL)
        return run.poll() is not None

    wait_for(over, WITHIN_S)
    _, said = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 1 and len(said.splitlines()) == 1, said
    assert f"USDT, closes 0 to {CLOSES}: its process died 3 times, at last by signal 9" in said
    assert not (tmp_path / "out.csv").exists()


def test_ctrl_c_ends_all_of_them_without_a_word(started: Start, candles: Path) -> None:
    run = replayed(started, candles, "--processes", 2)
    a_busy_worker(run)
    workers = children(run.pid)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 1 and not said
    wait_for(lambda: not any(map(is_worker, workers)), WITHIN_S)
