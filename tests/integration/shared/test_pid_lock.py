"""The lock of a state_dir whose file is removed while it is held."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.pid_lock import AlreadyLocked, PidLock


def test_removed_lock_is_locked_anew(tmp_path: Path) -> None:
    path = tmp_path / "var" / "supervisor.lock"
    lock = PidLock(path)
    assert not lock.restore()
    path.unlink()
    path.parent.rmdir()
    assert lock.restore()
    with pytest.raises(AlreadyLocked):
        PidLock(path)
    lock.close()
    PidLock(path).close()


def test_removed_lock_that_another_has_taken_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.lock"
    lock = PidLock(path)
    path.unlink()
    other = PidLock(path)
    with pytest.raises(AlreadyLocked):
        lock.restore()
    other.close()
    lock.close()


def test_link_to_a_file_is_refused_and_the_file_kept(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "trader.pid").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        PidLock(tmp_path / "trader.pid")
    assert (tmp_path / "precious").read_text() == "precious"
