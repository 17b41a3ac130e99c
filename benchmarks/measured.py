"""What a command took: time, processor time, and the memory of all its processes together."""

from __future__ import annotations

import contextlib
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from shared.proc_stats import pss_mb

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_S = 0.25


class Took(NamedTuple):
    """What a command took.

    Attributes:
        cpu_s: Of all its processes.
        peak_mb: The most memory (PSS) of all its processes at one time, sampled.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float


def command(*arguments: str) -> Took:
    """Run a command of this project; raise SystemExit with its last words if it fails."""
    return measured([sys.executable, str(ROOT / "supervisor.py"), *arguments])


def measured(command: Sequence[str]) -> Took:
    """Run a command to its end; raise SystemExit with its last words if it fails."""
    with tempfile.TemporaryFile("w+") as said:
        before, began, peak_mb = _cpu_s(), time.perf_counter(), 0.0
        with subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT) as process:
            while process.poll() is None:
                peak_mb = max(peak_mb, _tree_mb(process.pid))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SAMPLE_S)
        took = Took(time.perf_counter() - began, _cpu_s() - before, peak_mb)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)}: {said.read()[-600:]}")
    return took


def own_peak_mb() -> float:
    """Return the most memory (RSS) that this process ever had."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "the kernel states it"
    return int(found[1]) / 2**10


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tree_mb(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        pids = [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(pss_mb(each) or 0.0 for each in pids)
