"""Run every benchmark and write `benchmarks/RESULTS.md`.

A failing part is reported in its place; the others go on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import peer_venv
from shared.errors import EXIT_FAILED, EXIT_OK
from tests.support.private_redis import chosen_redis

HERE = Path(__file__).resolve().parent
PARTS: tuple[tuple[str, ...], ...] = (
    ("kernels.py",),
    ("whole_series.py",),
    ("backtest.py",),
    ("evidence.py",),
    ("sweep_truth.py",),
    ("admission.py",),
    ("interval_coverage.py",),
    ("latency.py",),
    ("scale.py",),
    ("recovery.py", "--peers"),
    ("health_load.py",),
)
LIBRARIES = (
    "numpy", "redis", "hiredis", "aiohttp", "orjson", "pandas", "pandas-ta", "pandas-ta-classic",
    "TA-Lib",
)  # fmt: skip
LONGEST_S = 2_400


def machine() -> str:
    """Return a description of the machine."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    lines = [
        f"- {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC",
        f"- {found[1] if found else platform.machine()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GB of memory, Linux {platform.release()}",
        f"- Load of the machine before the first part: {os.getloadavg()[0]:.1f}",
        f"- Python {platform.python_version()}, {chosen_redis().release}, "
        + ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    ]
    return "\n".join(lines)


def run(part: tuple[str, ...], *, quick: bool) -> tuple[str, bool]:
    """Return a part's output, and whether it succeeded."""
    script, *options = part
    command = [sys.executable, str(HERE / script), *options, *(["--quick"] if quick else [])]
    # Without bytecode files each measured process would start more slowly.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LONGEST_S, env=environment, check=False
        )
        text, fault, code = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired:
        text, fault, code = "", f"not done within {LONGEST_S} s", 1
    took = f"`benchmarks/{' '.join(part)}`, {time.monotonic() - started:.0f} s."
    if code:
        print(fault, file=sys.stderr)
        last = (fault.strip() or "no word").splitlines()[-1]
        return f"{text or '## ' + script}\n\nFailed: {last}\n\n{took}", False
    return f"{text.strip()}\n\n{took}", True


def main() -> int:
    """Run all parts, write the file, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    sections = [
        "# Benchmarks\n\nWritten by `make bench`; every figure is a ratio or has its floor beside"
        "\nit, and was taken in one run with what it is compared to.",
        machine(),
    ]
    if options.quick:
        sections.append("**A quick run: small sizes, few rounds. Not for quoting.**")
    try:
        peer_venv.peer_python()
    except peer_venv.NoPeers as why:
        sections.append(f"Not everything to compare with is here: {why}")
    failed = False
    for part in PARTS:
        print(f"{part[0]} ...", flush=True)
        text, well = run(part, quick=options.quick)
        print(text, flush=True)
        sections.append(text)
        failed |= not well
    options.out.write_text("\n\n".join(sections) + "\n")
    print(f"written: {options.out}")
    return EXIT_FAILED if failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
