"""The file descriptors this process was started with, and how many it may have."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from pathlib import Path

STANDARD = (0, 1, 2)
WANTED = 4096


def open_standard_streams() -> None:
    """Open standard input, output and error on /dev/null if we were started without them.

    Else the next files opened get their numbers, and what is printed is written into them.
    """
    for fd in STANDARD:
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            os.set_inheritable(fd, True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def close_inherited() -> None:
    """Close every descriptor above standard error."""
    # not a range up to the limit: that may be a thousand million
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if fd not in STANDARD:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(fd)


def raise_limit() -> None:
    """Allow this process and its children `WANTED` descriptors, or as many as it may allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
