"""Jobs on every core: each process carries out one at a time, their results come in order.

A process that dies, killed or out of memory, costs nothing but time: its job is given to another.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from shared.errors import PlatformError

MOST_DEATHS = 3
"""A job whose process died so often is not carried out."""

AHEAD = 8
"""Jobs per process that may be done before the one whose result is due: bounds the memory."""

EXIT_S = 5.0
"""For a process that has closed its connection to exit."""

# forking a process whose numerical library has threads may deadlock
_spawn = multiprocessing.get_context("spawn")


class JobFailed(PlatformError):
    """The processes that carried out a job died, each of them."""


def carry_out[J, R](work: Callable[[J], R], jobs: Sequence[J], processes: int) -> Iterator[R]:
    """Yield `work` of each job, in the order of the jobs.

    A job whose process dies is carried out anew, so `work` must depend on nothing but the job. The
    processes end with the iterator, and with this process, however it ends.

    Args:
        work: A function of a module.
        processes: With one, the jobs are carried out in this process.

    Raises:
        JobFailed: The process of one job died `MOST_DEATHS` times.
        Exception: From a job.
    """
    processes = min(processes, len(jobs))
    if processes <= 1:
        yield from map(work, jobs)
        return
    pool = _Pool(work, jobs, processes)
    try:
        for due in range(len(jobs)):
            yield pool.result_of(due)
    finally:
        pool.end()


class _Pool:
    def __init__(self, work: Callable[[Any], Any], jobs: Sequence[Any], processes: int) -> None:
        self._work = work
        self._jobs = jobs
        self._waiting = list(range(len(jobs)))[::-1]
        self._deaths: Counter[int] = Counter()
        self._results: dict[int, Any] = {}
        self._workers = [_Worker(work) for _ in range(processes)]

    def result_of(self, due: int) -> Any:
        while due not in self._results:
            for worker in self._workers:
                if worker.index is None and self._waiting and self._is_near(self._waiting[-1], due):
                    index = self._waiting.pop()
                    worker.start(index, self._jobs[index])
            busy = {w.connection: w for w in self._workers if w.index is not None}
            for ready in wait(list(busy)):
                self._collect(busy[ready])  # type: ignore[index]  # these are what it waits for
        return self._results.pop(due)

    def end(self) -> None:
        for worker in self._workers:
            worker.end()

    def _is_near(self, index: int, due: int) -> bool:
        return index < due + AHEAD * len(self._workers)

    def _collect(self, worker: _Worker) -> None:
        index = worker.index
        assert index is not None
        try:
            self._results[index] = worker.result()
        except _Died as died:
            self._deaths[index] += 1
            if self._deaths[index] == MOST_DEATHS:
                raise JobFailed(
                    f"{self._jobs[index]}: its process died {MOST_DEATHS} times, at last {died}; "
                    "if memory ran out, use fewer processes"
                ) from None
            self._waiting.append(index)
            self._workers[self._workers.index(worker)] = _Worker(self._work)


class _Died(Exception):
    """A process died; says how."""


class _Worker:
    """One process. `index`: of the job that it carries out, None if it has none."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.index: int | None = None
        self.connection, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(theirs, work), daemon=True)
        # its own first start, within that of a process, would unblock SIGINT again
        resource_tracker.ensure_running()
        # inherited: Ctrl-C is for this process, which ends the others
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def start(self, index: int, job: Any) -> None:
        self.index = index
        with contextlib.suppress(ConnectionError):  # it is dead: to be read from `result`
            self.connection.send(job)

    def result(self) -> Any:
        """Return the result of its job, once the connection is ready.

        Raises:
            _Died: There will be none.
            Exception: From the job.
        """
        try:
            result, error = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(EXIT_S)
            self.end()
            code = self._process.exitcode or 0
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            raise _Died(how) from None
        self.index = None
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        self._process.kill()
        self._process.join()


def _serve(connection: Connection[Any, Any], work: Callable[[Any], Any]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):  # the other process is gone
        while True:
            job = connection.recv()
            try:
                answer = ForkingPickler.dumps((work(job), None))
            except Exception as error:  # noqa: BLE001  # raised in the other process
                error.add_note("".join(traceback.format_exception(error)))
                answer = ForkingPickler.dumps((None, error))
            connection.send_bytes(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
