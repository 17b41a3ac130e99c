"""`coinex sweep --engine ray` as a user runs it: on a Ray of its own, and on a cluster."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from shared.backtest.executor import MOST_DEATHS, JobFailed
from shared.backtest.sweep import ray_engine
from shared.backtest.sweep.ray_engine import ON_LOOPBACK, QUIET, EngineFailed, RayExecutor
from tests.support import sweep_run
from tests.support.executor_jobs import Job, work
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for
from tests.support.ports import free_port
from tests.support.sweep_run import command, result, same, stored

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="no Ray here: make install-cluster"),
    pytest.mark.xdist_group("ray"),
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
CLOSES = sweep_run.CLOSES
WITHIN_S = 100


@pytest.fixture(scope="module")
def undisturbed(candles: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the result without Ray."""
    out = tmp_path_factory.mktemp("undisturbed")
    sweep_run.started(command(candles, out, 2)).communicate(timeout=WITHIN_S)
    return result(out)


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    """Return a directory whose path leaves room for those of sockets."""
    directory = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def start(candles: Path, tmp_path: Path, short: Path) -> Iterator[Callable[..., Any]]:
    runs = []

    def start(*more: str, **environment: str) -> subprocess.Popen[str]:
        arguments = command(candles, tmp_path, 2, "--engine", "ray", *more)
        given = os.environ | {"TMPDIR": str(short)} | environment
        runs.append(sweep_run.started(arguments, given))
        return runs[-1]

    yield start
    for run in runs:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def below(run: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(run.pid).children(recursive=True)


def busy_worker(run: subprocess.Popen[str]) -> psutil.Process | None:
    """Return a process of Ray in which a job runs, by the title that Ray gives it."""
    for process in below(run):
        try:
            if process.cmdline()[:1] == ["ray::carry_out"]:
                return process
        except psutil.Error:
            continue
    return None


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() for process in processes)


def listening(processes: list[psutil.Process]) -> list[tuple[str, int]]:
    every = []
    for process in processes:
        with contextlib.suppress(
            psutil.NoSuchProcess
        ):  # one that looked at the machine, and is done
            every += process.net_connections("inet")
    return [(c.laddr.ip, c.laddr.port) for c in every if c.status == psutil.CONN_LISTEN]


def ended(run: subprocess.Popen[str]) -> str:
    _, errors = run.communicate(timeout=WITHIN_S)
    assert run.returncode == 0, errors
    return errors


def test_killed_with_its_worker_it_leaves_nothing_and_goes_on_to_the_same_result(
    start: Callable[..., Any], undisturbed: dict[str, Any], tmp_path: Path, short: Path
) -> None:
    run = start()
    wait_for(lambda: stored(tmp_path) >= 2, WITHIN_S)
    (directory,) = short.glob("sweep-*")
    assert directory.stat().st_mode & 0o777 == 0o700
    processes = below(run)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=WITHIN_S)
    wait_for(lambda: gone(processes) and not directory.exists(), WITHIN_S)
    kept = stored(tmp_path)
    assert 2 <= kept < sweep_run.SETTINGS

    run = start()
    wait_for(lambda: stored(tmp_path) > kept, WITHIN_S)
    wait_for(lambda: busy_worker(run), WITHIN_S).kill()
    processes = below(run)
    ended(run)
    same(result(tmp_path), undisturbed)
    assert json.loads((tmp_path / "run.json").read_text())["engine"] == "ray"
    assert gone(processes) and list(short.iterdir()) == []


def test_listens_on_loopback_alone_and_ctrl_c_ends_all_of_it_in_words(
    start: Callable[..., Any], tmp_path: Path, short: Path
) -> None:
    run = start()
    wait_for(lambda: stored(tmp_path) >= 2, WITHIN_S)
    os.killpg(run.pid, signal.SIGSTOP)  # so that it does not end meanwhile
    processes = below(run)
    ports = listening(processes)
    assert len(ports) > 3 and {ip for ip, _ in ports} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert not {port for _, port in ports} & {6379, 8265}
    os.killpg(run.pid, signal.SIGINT)
    os.killpg(run.pid, signal.SIGCONT)
    _, said = run.communicate(timeout=WITHIN_S)
    *progress, last = said.splitlines()
    assert (run.returncode, last) == (
        130, "sweep: interrupted; the same command goes on where it was",
    )  # fmt: skip
    assert progress.pop(0).startswith("sweep: funding rates: made-up")
    assert all(line.endswith(f"of {sweep_run.SETTINGS} backtests") for line in progress)
    assert gone(processes) and list(short.iterdir()) == []


# A cluster


TWO_NODES = """
import sys
from pathlib import Path
from ray.cluster_utils import Cluster
at = sys.argv[1]
given = dict(object_store_memory=100 * 2**20, plasma_directory=at, include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args=given | dict(num_cpus=0))
cluster.add_node(num_cpus=2, **given)
Path(at, "part").write_text(cluster.address)
Path(at, "part").rename(Path(at, "address"))
sys.stdin.read()
"""
ON_CLUSTER = ON_LOOPBACK | QUIET | {"RAY_AUTH_MODE": "disabled"}


class Cluster(NamedTuple):
    """A cluster. `code`: the directory in the PYTHONPATH of its hosts."""

    address: str
    code: Path

    def executor(self) -> RayExecutor:
        return RayExecutor(1, self.address, os.environ | ON_CLUSTER)


@pytest.fixture(scope="module")
def empty_cluster() -> Iterator[Cluster]:
    """Return a head without processors, with one other node that has them, and no code of ours."""
    directory = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    (directory / "ray").mkdir()
    code = directory / "code"
    code.mkdir()
    environment = os.environ | ON_CLUSTER
    environment |= {"RAY_TMPDIR": str(directory), "PYTHONPATH": str(code)}
    run = subprocess.Popen(
        [sys.executable, "-c", TWO_NODES, directory], cwd="/", process_group=0,
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        address = directory / "address"
        wait_for(lambda: address.exists() or run.poll() is not None, WITHIN_S)
        yield Cluster(address.read_text(), code)
    finally:
        every = psutil.Process(run.pid).children(recursive=True)
        run.kill()
        run.communicate()
        for process in every:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(directory)


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("there", ["nothing", "another version"])
def test_hosts_without_this_version_of_the_project_are_refused_in_words(
    empty_cluster: Cluster, job: Callable[..., Job], there: str
) -> None:
    said = "this project cannot be imported .*: start Ray there with"
    if there == "another version":
        copy = empty_cluster.code / "shared"
        shutil.copytree(ROOT / "shared", copy, ignore=shutil.ignore_patterns("__pycache__"))
        with (copy / "market.py").open("a") as file:
            file.write("# changed\n")
        said = f"{empty_cluster.code} is another version of this project"
    executor = empty_cluster.executor()
    try:
        with pytest.raises(EngineFailed, match=said):
            next(executor.carry_out(work, [job(1)]))
    finally:
        executor.close()
        shutil.rmtree(empty_cluster.code / "shared", ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(empty_cluster: Cluster) -> Iterator[Cluster]:
    """Return a cluster whose hosts have this project."""
    ours = [empty_cluster.code / name for name in ("shared", "tests")]
    for link in ours:
        link.symlink_to(ROOT / link.name)
    yield empty_cluster
    for link in ours:
        link.unlink()


@pytest.fixture(scope="module")
def executor(cluster: Cluster) -> Iterator[RayExecutor]:
    found = cluster.executor()
    yield found
    found.close()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    (tmp_path / "symbols.txt").touch()
    return lambda number, **more: Job(number, tmp_path / "notes", scores=tmp_path, **more)


def test_the_job_of_a_killed_worker_is_carried_out_again_and_the_order_kept(
    executor: RayExecutor, job: Callable[..., Job], tmp_path: Path
) -> None:
    deaths = {0: MOST_DEATHS - 1, 5: 1}
    jobs = [job(n, deaths=deaths.get(n, 0)) for n in range(9)]
    assert list(executor.carry_out(work, jobs)) == [n**2 for n in range(9)]
    done = (tmp_path / "notes").read_text().split()
    assert [done.count(str(n)) for n in range(9)] == [MOST_DEATHS, 1, 1, 1, 1, 2, 1, 1, 1]


def test_a_job_that_kills_every_worker_ends_in_words(
    executor: RayExecutor, job: Callable[..., Job]
) -> None:
    results = executor.carry_out(work, [job(0), job(1, deaths=99)])
    assert next(results) == 0
    with pytest.raises(JobFailed, match=f"number=1.*died {MOST_DEATHS} times, at last: "):
        next(results)


def test_what_a_job_raises_is_raised_with_where_it_was(
    executor: RayExecutor, job: Callable[..., Job]
) -> None:
    with pytest.raises(ValueError, match="job 1") as found:
        list(executor.carry_out(work, [job(1, deaths=99, how="raise")]))
    assert "in work" in found.value.__notes__[0]


def test_a_sweep_on_a_cluster_has_the_same_result_and_leaves_the_cluster_running(
    start: Callable[..., Any], cluster: Cluster, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    said = ended(start("--address", cluster.address, **ON_CLUSTER))
    assert said.startswith("sweep: whoever reaches a port of the Ray cluster")
    same(result(tmp_path), undisturbed)
    assert accepts(int(cluster.address.rpartition(":")[2]))


def refused(port: int, scores: Path) -> str:
    executor = RayExecutor(1, f"127.0.0.1:{port}", os.environ)
    with pytest.raises(EngineFailed) as found:
        next(executor.carry_out(work, [Job(1, scores, scores=scores)]))
    executor.close()
    return str(found.value)


def test_an_address_of_nothing_or_of_another_program_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Connection refused; expected the HOST:PORT" in refused(free_port(), tmp_path)
    monkeypatch.setattr(ray_engine, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as another:
        assert "another program listens there, or" in refused(another.getsockname()[1], tmp_path)
