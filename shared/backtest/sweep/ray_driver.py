"""Program that speaks with Ray for a sweep: `python -P ray_driver.py FD`.

The other end of the socket is the sweep's. When it closes, whatever ended the sweep, all processes
of a Ray that was started here are killed, their files removed, and this one ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import shutil
import socket
import sys
import threading
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import psutil

from shared.backtest.sweep.prepared import read_arrays
from shared.backtest.sweep.ray_worker import Failed, Job, Outcome, Ready, Setup, code_hash
from shared.errors import escaped, shortened

PR_SET_CHILD_SUBREAPER = 36

type Channel = Connection[Any, Any]
type Inbox = queue.SimpleQueue[Job | Outcome | Failed]


def carry_out(code: str, payload: bytes, scores: str, arrays: Any) -> Any:
    """Carry out a job, on a worker of any host; this function is sent there as it is.

    Returns a message for the sweep, without its number.
    """
    try:
        from shared.backtest.sweep import ray_worker  # noqa: PLC0415  # if it is there
    except ImportError as error:
        return (
            "failed",
            f"{socket.gethostname()}: this project cannot be imported ({error}): start Ray there "
            "with the project's .venv, and its directory in PYTHONPATH",
        )
    return ray_worker.carry_out(code, payload, scores, arrays)


def main(fd: int) -> None:
    channel: Channel = Connection(fd)
    # what a killed process of Ray has started becomes a child of this one, to be found
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    setup: Setup = channel.recv()
    inbox: Inbox = queue.SimpleQueue()
    listening = threading.Thread(target=_listen, args=(channel, inbox, setup.directory))
    listening.start()
    try:
        slots = _connect(setup)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # Ray raises either; said by the sweep
        channel.send(Failed(f"Ray: {_words(error)}"))
        return
    if slots < 1:
        channel.send(Failed(f"{setup.address}: this cluster of Ray has no CPU to work on"))
        return
    channel.send(Ready(slots))
    submit = _submitter(inbox)
    while True:
        message = inbox.get()
        if isinstance(message, Job):
            submit(message)
        else:
            channel.send(message)


def _listen(channel: Channel, inbox: Inbox, directory: Path) -> NoReturn:
    with contextlib.suppress(EOFError, OSError):
        while True:
            inbox.put(channel.recv())
    me = psutil.Process()
    while children := me.children(recursive=True):
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


def _connect(setup: Setup) -> int:
    """Start Ray, or connect to one; return how many jobs it carries out at a time."""
    import ray  # noqa: PLC0415  # a reason for not starting that can be said

    if setup.address is not None:
        ray.init(address=setup.address, log_to_driver=False, configure_logging=False)
        return int(ray.cluster_resources().get("CPU", 0))
    ray.init(
        address="local",
        num_cpus=setup.processes,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=setup.store_bytes,
        # files there work with any size of /dev/shm
        _plasma_directory=str(setup.directory),
        _temp_dir=str(setup.directory / "r"),
        log_to_driver=False,
        configure_logging=False,
    )
    return setup.processes


def _submitter(inbox: Inbox) -> Any:
    """Return what hands a job to Ray; its outcome comes into `inbox`."""
    import ray  # noqa: PLC0415  # as above

    code = code_hash()
    task = ray.remote(num_cpus=1, max_retries=0)(carry_out)
    stored: dict[Path, Any] = {}

    def submit(job: Job) -> None:
        if job.scores not in stored:
            stored[job.scores] = ray.put(read_arrays(job.scores))
        made = task.remote(code, job.payload, str(job.scores), stored[job.scores])
        made.future().add_done_callback(partial(_report, inbox, job.number))

    return submit


def _report(inbox: Inbox, number: int, future: Any) -> None:
    try:
        kind, value = future.result()
    except Exception as error:  # noqa: BLE001  # of Ray: the process is gone, or its host
        inbox.put(Outcome(number, None, _words(error).partition(". ")[0]))
    else:
        inbox.put(Failed(value) if kind == "failed" else Outcome(number, value))


def _words(error: BaseException) -> str:
    """Return the first line of what Ray says."""
    said = str(error).strip() or type(error).__name__
    return escaped(shortened(said.splitlines()[0], 300))


if __name__ == "__main__":
    main(int(sys.argv[1]))
