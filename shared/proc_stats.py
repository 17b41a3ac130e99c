"""Memory and processor time of processes, read from /proc."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LEAST_FREE_BYTES = 1_000_000


def pss_mb(pid: int) -> float | None:
    """Return a process's proportional set size in MB, or None when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        return None
    return None


def rss_mb(pid: int) -> float:
    """Return a process's resident set size in MB; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * PAGE_BYTES / 2**20


def cpu_s(pid: int) -> float | None:
    """Return the processor seconds a process has used, or None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def disk_is_full(folder: Path) -> bool:
    """Return whether the disk of `folder` is full."""
    try:
        return shutil.disk_usage(folder).free < LEAST_FREE_BYTES
    except FileNotFoundError:
        return False
    except OSError:
        return True


def newest_change(root: Path) -> float:
    """Return when a Python file of this project last changed (seconds since the epoch)."""
    newest = 0.0
    folders = [str(root / "actors"), str(root / "shared")]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:  # removed just now
            continue
        for entry in entries:
            if entry.name.endswith(".py"):
                with contextlib.suppress(OSError):  # replaced by an editor just now
                    newest = max(newest, entry.stat().st_mtime)
            elif entry.is_dir() and entry.name != "__pycache__":
                folders.append(entry.path)
    return newest
