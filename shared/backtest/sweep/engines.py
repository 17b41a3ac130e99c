"""What carries out a sweep's jobs: the processes of this machine, or another engine behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, Protocol

from shared.backtest.executor import carry_out
from shared.backtest.sweep.prepared import ReadsScores
from shared.errors import NotInstalled

Engine = Literal["local", "ray"]


class Executor(Protocol):
    """Interface of an engine. What comes out does not depend on which one it is."""

    def carry_out[J: ReadsScores, R](
        self, work: Callable[[J], R], jobs: Sequence[J]
    ) -> Iterator[R]:
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


def require(engine: Engine) -> None:
    """Require that an engine is installed.

    Raises:
        NotInstalled: It is not.
    """
    if engine == "ray" and find_spec("ray") is None:
        raise NotInstalled("--engine ray needs Ray, which is not installed: `make install-cluster`")


@contextmanager
def opened(
    engine: Engine, processes: int, address: str | None, environment: Mapping[str, str]
) -> Iterator[Executor]:
    """Yield an engine, whose processes end with this context and with this process.

    Args:
        address: Of a Ray cluster that runs already; None for a Ray of our own.
        environment: For the processes of Ray.
    """
    if engine == "local":
        yield LocalExecutor(processes)
        return
    from shared.backtest.sweep.ray_engine import RayExecutor  # noqa: PLC0415  # for this alone

    executor = RayExecutor(processes, address, environment)
    try:
        yield executor
    finally:
        executor.close()
