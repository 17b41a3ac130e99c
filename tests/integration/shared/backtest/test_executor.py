"""Jobs in real processes, some of which are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.backtest.executor import MOST_DEATHS, JobFailed, carry_out
from tests.support.executor_jobs import Job, work
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for

WITHIN_S = 60


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def test_the_job_of_a_killed_process_is_carried_out_again_and_the_order_kept(notes: Path) -> None:
    jobs = [Job(n, notes, deaths={0: MOST_DEATHS - 1, 5: 1}.get(n, 0)) for n in range(9)]
    assert list(carry_out(work, jobs, 2)) == [n**2 for n in range(9)]
    done = notes.read_text().split()
    assert [done.count(str(n)) for n in range(9)] == [MOST_DEATHS, 1, 1, 1, 1, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("how", "said"), [("SIGKILL", "by signal 9"), ("exit", "with exit code 7")]
)
def test_a_job_that_kills_every_process_ends_in_words(notes: Path, how: str, said: str) -> None:
    jobs = [Job(n, notes, deaths=99 if n == 1 else 0, how=how) for n in range(3)]
    results = carry_out(work, jobs, 2)
    assert next(results) == 0
    with pytest.raises(JobFailed, match=f"number=1.*died {MOST_DEATHS} times, at last {said}"):
        next(results)


def test_what_a_job_raises_is_raised_with_where_it_was(notes: Path) -> None:
    jobs = [Job(n, notes, deaths=99 if n == 1 else 0, how="raise") for n in range(3)]
    with pytest.raises(ValueError, match="job 1") as found:
        list(carry_out(work, jobs, 2))
    assert "in work" in found.value.__notes__[0]
    with pytest.raises(AttributeError, match="local object"):
        list(carry_out(work, [job._replace(how="no pickle") for job in jobs], 2))


DRIVER = """
import sys, time
from pathlib import Path
from shared.backtest.executor import carry_out

def pid_and_wait(path):
    import os
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    list(carry_out(pid_and_wait, sys.argv[1:], 2))
"""


def blocks_sigint(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (blocked,) = [line.split()[1] for line in status if line.startswith("SigBlk:")]
    return bool(int(blocked, 16) & 1 << (signal.SIGINT - 1))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_one_that_started_it(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    notes = [tmp_path / "a", tmp_path / "b"]
    run = subprocess.Popen(
        [sys.executable, tmp_path / "driver.py", *notes],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        process_group=0,
    )  # fmt: skip
    try:
        wait_for(lambda: all(p.exists() and p.read_text() for p in notes), WITHIN_S)
        pids = [int(path.read_text()) for path in notes]
        assert all(map(blocks_sigint, pids))
        # as a terminal does, Ctrl-C goes to all of them
        (os.killpg if how == signal.SIGINT else os.kill)(run.pid, how)
        _, said = run.communicate(timeout=WITHIN_S)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), WITHIN_S)
    assert said.count("Traceback") == (how == signal.SIGINT), said  # that of the driver itself
