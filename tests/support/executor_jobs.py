"""Jobs whose processes die, for tests of what carries them out; loaded by each process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, NamedTuple


class Job(NamedTuple):
    """A number to square.

    `deaths`: so often its process dies first, or raises, by `how`. `scores`: as of any job that an
    engine carries out; nothing is read there.
    """

    number: int
    notes: Path
    deaths: int = 0
    how: str = "SIGKILL"
    scores: Path = Path()


def work(job: Job) -> Any:
    with job.notes.open("a") as notes:
        notes.write(f"{job.number}\n")
    if job.notes.read_text().split().count(str(job.number)) <= job.deaths:
        if job.how == "exit":
            os._exit(7)
        if job.how == "no pickle":
            return lambda: job.number
        if job.how == "raise":
            raise ValueError(f"job {job.number}")
        os.kill(os.getpid(), signal.SIGKILL)
    return job.number**2
