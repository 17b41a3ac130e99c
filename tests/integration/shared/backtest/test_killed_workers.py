"""`coinex replay` whose processes are killed, as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from shared.proc_stats import cpu_s
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for
from tests.support.recordings import generated, write_recording

WITHIN_S = 90
COINS = ("BTCUSDT", "ETHUSDT")
CLOSES = 4000
"""Some seconds of work for each process: none is over before it is seen to be busy."""


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("candles")
    for coin in COINS:
        write_recording(directory, generated(coin, CLOSES))
    return directory


@pytest.fixture
def started(candles: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    runs = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        run = subprocess.Popen(
            [sys.executable, "supervisor.py", "replay", "--candles", str(candles),
             *map(str, arguments)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            process_group=0,
        )  # fmt: skip
        runs.append(run)
        return run

    yield start
    for run in runs:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


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


def test_a_killed_worker_changes_no_byte(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    undisturbed = started("--processes", 1, "--out", whole)
    run = started("--processes", 2, "--out", killed)
    os.kill(a_busy_worker(run), signal.SIGKILL)
    _, said = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 0, said
    undisturbed.communicate(timeout=WITHIN_S)
    assert killed.read_bytes() == whole.read_bytes()


def test_workers_that_are_killed_again_and_again_end_in_words(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    run = started("--processes", 2, "--out", tmp_path / "out.csv")

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


def test_ctrl_c_ends_all_of_them_without_a_word(
    started: Callable[..., subprocess.Popen[str]],
) -> None:
    run = started("--processes", 2)
    a_busy_worker(run)
    workers = children(run.pid)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 1 and not said
    wait_for(lambda: not any(map(is_worker, workers)), WITHIN_S)
