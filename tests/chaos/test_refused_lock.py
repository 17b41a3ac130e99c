"""The kill switch where nothing can be written: a real file system without blocks or inodes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from shared.kill_switch import KillSwitch
from tests.support.paths import ROOT

EXIT_NO_SUPERVISOR = 3

# In a mount namespace of its own: mounts a small file system on $1, lets it be prepared, fills it,
# and runs the rest of the arguments.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=256k,nr_inodes=24 tmpfs "$1" || exit 99
"$2" -c 'import sys; from pathlib import Path; from shared.kill_switch import KillSwitch
why = KillSwitch(Path(sys.argv[1])).prepare(); assert not why, why' "$1" || exit 98
case $3 in
  blocks) cat /dev/zero >"$1/filler" 2>/dev/null ;;
  inodes) n=0; while touch "$1/filler-$n"; do n=$((n + 1)); done 2>/dev/null ;;
  readonly) mount -o remount,ro "$1" ;;
esac
disk=$1 python=$2
shift 3
for verb; do
  "$python" supervisor.py trader "$verb" --reason "odd prices" --set state_dir="$disk" 2>&1
  echo "code $?"
done
echo "lock $(cat "$disk/trader.lock" 2>&1)"
"$python" supervisor.py trader status --set state_dir="$disk" 2>/dev/null
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("the kernel grants no mount namespace")
    folder = tmp_path / "disk"
    folder.mkdir()
    yield folder
    assert KillSwitch(folder).read() is None  # mounted in the other namespace only


def on_small_disk(disk: Path, fault: str, *verbs: str) -> list[str]:
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", disk, sys.executable, fault,
         *verbs],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode not in (98, 99), done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("fault", ["blocks", "inodes"])
def test_kill_then_flatten_hold_on_a_disk_filled_to_the_last_byte(disk: Path, fault: str) -> None:
    killed, code, flattened, _, lock, mode, *_ = on_small_disk(disk, fault, "kill", "flatten")
    assert f"the lock {disk}/trader.lock is set all the same: a trader" in killed
    assert code == f"code {EXIT_NO_SUPERVISOR}"
    assert "is set all the same" in flattened
    found = orjson.loads(lock.removeprefix("lock "))
    assert (found["mode"], found["flatten"], found["reason"]) == ("locked", True, "odd prices")
    assert mode.startswith("TRADER  locked  by its lock file")


def test_kill_on_a_read_only_file_system_says_that_it_does_not_hold(disk: Path) -> None:
    killed, *_, lock = on_small_disk(disk, "readonly", "kill")
    assert f"NOT LOCKED: {disk}/trader.lock cannot be written (Read-only file system" in killed
    assert "coinex stop trader" in killed
    assert "No such file" in lock
