"""What carries out a sweep's jobs: the processes of this machine, or another engine behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.backtest.executor import carry_out


class Executor(Protocol):
    """Interface of an engine. What comes out does not depend on which one it is."""

    def carry_out[J, R](self, work: Callable[[J], R], jobs: Sequence[J]) -> Iterator[R]:
        """Yield `work` of each job, in the order of the jobs.

        A job whose process dies is carried out anew; what a job raises is raised here.

        Raises:
            JobFailed: The processes that carried out a job died, each of them.
        """


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Processes of this machine; with one, this process."""

    processes: int

    def carry_out[J, R](self, work: Callable[[J], R], jobs: Sequence[J]) -> Iterator[R]:
        return carry_out(work, jobs, self.processes)
