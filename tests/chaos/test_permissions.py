"""Files are for their owner alone, whatever umask a start or a restore had."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from shared.journal.journal import Journal
from shared.pid_lock import acquire
from tests.chaos.conftest import Make
from tests.support.ordinary_user import ANOTHER_USER, as_ordinary_user, need_another_user
from tests.support.paths import ROOT
from tests.support.platform_run import wait_for
from tests.support.venue import simulated_owner

SMALL = ("groups={majors: [BTCUSDT, ETHUSDT]}", "auditor.enabled=false", "account.interval_s=1")
NO_UMASK = ("sh", "-c", 'umask 000; exec "$@"', "sh")


def open_to_others(state_dir: Path) -> list[str]:
    """Return what anybody but its owner has a right to."""
    found = {path: path.lstat().st_mode for path in [state_dir, *state_dir.rglob("*")]}
    return [
        f"{stat.filemode(mode)} {path.relative_to(state_dir.parent)}"
        for path, mode in found.items()
        if mode & 0o077 and not stat.S_ISLNK(mode)
    ]


def runs(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NO_UMASK, sys.executable, *command],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_nothing_a_platform_makes_is_open_to_others(platform: Make) -> None:
    running = platform(*SMALL)
    running.start(through=NO_UMASK)
    for end in ("", "-wal", "-shm"):
        wait_for((running.state_dir / f"trader.db{end}").exists, 30, f"trader.db{end}")
    assert running.run("trader", "kill", "--reason", "odd").returncode == 0
    assert running.run("stop", "trader").returncode == 0
    settings = [option for option in running.options if option != "--set"]
    port = running.actor("exchange-sim")["port"]
    given = [*settings, f"simulator.port={port}", "trader.wait_s=1"]
    once = runs("-m", "actors", "trader", "--once", *given)
    assert once.returncode == 0, once.stdout + once.stderr
    running.wait_replaced("fetcher", running.kill_actor("fetcher"), 40)
    assert (running.state_dir / "trader.lock").exists()
    assert open_to_others(running.state_dir) == []


def test_modes_that_a_restore_got_wrong_are_corrected_and_named(platform: Make) -> None:
    running = platform(*SMALL)
    var = running.state_dir
    for folder in (var, var / "log", var / "redis"):
        folder.mkdir()
    Journal(var / "trader.db", simulated_owner(), identity="restored").close()
    token = "t" * 43
    (var / "api.token").write_text(token)
    wrong = {
        "trader.db": 0o666, "trader.pid": 0o000, "supervisor.lock": 0o444, "log/trader.log": 0o000,
        "api.token": 0o644, "log": 0o777, "redis": 0o000, "../var": 0o755,
    }  # fmt: skip
    for name, mode in wrong.items():
        if not (var / name).exists():
            (var / name).touch()
        (var / name).chmod(mode)
    checked = running.run("check").stdout
    assert f"note: {var} is for its owner alone" in checked and "trader.db (mode 666)" in checked
    running.start(through=as_ordinary_user())
    assert open_to_others(var) == []
    (line,) = [line for line in running.output().splitlines() if "is for its owner alone" in line]
    for name, mode in wrong.items():
        assert f"{name.removeprefix('../')} (mode {mode:03o}" in line
    assert (var / "api.token").read_text().strip() != token  # others could have read it
    restored = Journal.read_only(var / "trader.db")
    assert restored.note("identity") == "restored"
    restored.close()
    wait_for(lambda: running.health()[1]["status"] == "ok", 30, "all well")
    for name, mode, corrected in (("trader.db", 0o000, 0o600), ("../var", 0o755, 0o700)):
        (var / name).chmod(mode)
        wait_for(lambda: stat.S_IMODE((var / name).stat().st_mode) == corrected, 30, name)  # noqa: B023
    said = "changed while running, corrected: var (mode 755) at "
    wait_for(lambda: said in str(running.health()[1]["problems"]), 30, "modes on /health")


def test_state_dir_that_others_may_write_is_refused_in_the_same_words(platform: Make) -> None:
    running = platform(*SMALL)
    running.state_dir.mkdir()
    running.state_dir.chmod(0o777)
    words = f"state_dir: found {running.state_dir} with mode 777, expected 700"
    refused = running.run("run", "--set", "health.port=-1")
    assert refused.returncode == 78
    assert "2 faults" in refused.stderr and words in refused.stderr, refused.stderr
    assert words in running.run("doctor").stdout
    assert list(running.state_dir.iterdir()) == []


def test_lock_that_somebody_holds_keeps_nothing_open(platform: Make) -> None:
    running = platform(*SMALL)
    running.state_dir.mkdir(mode=0o700)
    with acquire(running.state_dir / "supervisor.lock"):
        for path in (running.state_dir / "supervisor.lock", running.state_dir):
            path.chmod(path.stat().st_mode | 0o055)
        assert running.run("run").returncode == 1
    assert open_to_others(running.state_dir) == []


@pytest.mark.parametrize("name", ["supervisor.lock", "redis"])
def test_what_belongs_to_somebody_else_is_named_and_left_alone(platform: Make, name: str) -> None:
    need_another_user()
    running = platform(*SMALL)
    path = running.state_dir / name
    running.state_dir.mkdir(mode=0o700)
    if name == "redis":
        path.mkdir()
    path.touch()
    path.chmod(0o700)
    os.chown(path, ANOTHER_USER, ANOTHER_USER)
    running.start(ready=False, through=as_ordinary_user())
    assert running.process is not None
    assert running.process.wait(30) == 78
    assert f"{name} (mode 700, of user {ANOTHER_USER})" in running.output()
    assert "Traceback" not in running.output()
    assert path.stat().st_uid == ANOTHER_USER


def test_fifos_are_refused_by_name_instead_of_opened_for_ever(platform: Make) -> None:
    running = platform(*SMALL)
    log = running.state_dir / "log"
    log.mkdir(parents=True, mode=0o700)
    for name in ("../supervisor.lock", "../supervisor.id", "../trader.db", "redis.log"):
        os.mkfifo(log / name, 0o600)
    words = f"state_dir: found FIFOs or devices in {running.state_dir}"
    for verb in ("run", "check"):
        refused = running.run(verb)
        assert refused.returncode == 78
        assert words in refused.stderr and "log/redis.log" in refused.stderr, refused.stderr
    assert words in running.run("doctor").stdout
