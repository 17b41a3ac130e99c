"""Recorded candles, and commands that are run on them and may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import sweep_run
from tests.support.recordings import generated, write_recording

COINS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def candles(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of two recorded coins, with as many closes as the module's CLOSES."""
    directory = tmp_path_factory.mktemp("candles")
    for coin in COINS:
        write_recording(directory, generated(coin, request.module.CLOSES))
    return directory


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command in a process group of its own; what still runs at the end is killed."""
    runs = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        run = sweep_run.started([str(argument) for argument in arguments])
        runs.append(run)
        return run

    yield start
    for run in runs:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
