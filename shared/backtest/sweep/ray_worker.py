"""What runs on Ray's workers, and the messages between a sweep and the process that has Ray."""

from __future__ import annotations

import hashlib
import pickle
import socket
import traceback
from functools import cache
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shared.backtest.sweep.prepared import use_arrays

SHARED = Path(__file__).resolve().parents[2]


class Setup(NamedTuple):
    """What Ray is started with, or connected to.

    Attributes:
        directory: A private one, for Ray's files.
        store_bytes: Of the object store.
    """

    address: str | None
    processes: int
    directory: Path
    store_bytes: int


class Ready(NamedTuple):
    """Ray takes jobs. `slots`: so many at a time."""

    slots: int


class Job(NamedTuple):
    """A job. `payload`: the function and its argument, pickled."""

    number: int
    payload: bytes
    scores: Path


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
        answer: Its result and what it raised, pickled; None if its process died.
        died: How, in Ray's words.
    """

    number: int
    answer: bytes | None
    died: str = ""


class Failed(NamedTuple):
    """Nothing more comes."""

    why: str


def carry_out(code: str, payload: bytes, scores: str, arrays: Any) -> tuple[str, Any]:
    """Carry out a job with what was prepared: return `done` and its answer, or `failed` and why.

    Args:
        code: `code_hash` of the sweep.
    """
    if code_hash() != code:
        return (
            "failed",
            f"{socket.gethostname()}: {SHARED.parent} is another version of this project, or has "
            "another NumPy, than where the sweep runs: the same on each host gives the same result",
        )
    use_arrays(Path(scores), arrays)
    work, job = pickle.loads(payload)
    try:
        answer = ForkingPickler.dumps((work(job), None))
    except Exception as error:  # noqa: BLE001  # raised where the sweep runs
        error.add_note("".join(traceback.format_exception(error)))
        answer = ForkingPickler.dumps((None, error))
    return "done", bytes(answer)


@cache
def code_hash() -> str:
    """Return a hash of all that a job's result depends on beside the job: this code, and NumPy."""
    found = hashlib.sha256(np.__version__.encode())
    for path in sorted(SHARED.rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(SHARED)} {len(content)}\n".encode() + content)
    return found.hexdigest()
