"""The lock file: what sets it, what never weakens it, and that doubt counts as set."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from shared.kill_switch import KillSwitch, Lock

KILL = Lock(reason="looks wrong", who="ada", at_ms=1_700_000_000_000)
FLATTEN = Lock(reason="get out", who="ada", at_ms=1_700_000_000_001, flatten=True)
DISABLE = Lock(reason="holiday", who="bob", at_ms=1_700_000_000_002, mode="disabled")


def test_no_file_means_no_lock(tmp_path: Path) -> None:
    assert KillSwitch(tmp_path).read() is None


@pytest.mark.parametrize("lock", [KILL, FLATTEN, DISABLE])
def test_lock_is_read_as_it_was_set(tmp_path: Path, lock: Lock) -> None:
    assert KillSwitch(tmp_path).set(lock) == lock
    assert KillSwitch(tmp_path).read() == lock
    assert [path.name for path in tmp_path.iterdir()] == ["trader.lock"]
    assert stat.S_IMODE((tmp_path / "trader.lock").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"reason": "x"}', b"\xff\xfe", b'{"reason":1,"who":"x","at_ms":1}'],
)
def test_file_that_cannot_be_understood_counts_as_set(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trader.lock").write_bytes(content)
    lock = KillSwitch(tmp_path).read()
    assert lock is not None
    assert (lock.mode, lock.flatten, lock.who) == ("locked", False, "nobody")
    assert "counts as set" in lock.reason
    assert "trader.lock" in lock.reason


def test_file_that_cannot_be_opened_counts_as_set(tmp_path: Path) -> None:
    (tmp_path / "trader.lock").mkdir()
    lock = KillSwitch(tmp_path).read()
    assert lock is not None
    assert lock.mode == "locked"


def test_lock_made_by_hand_needs_no_more_than_reason_who_and_when(tmp_path: Path) -> None:
    (tmp_path / "trader.lock").write_text('{"reason": "by hand", "who": "ada", "at_ms": 5}')
    assert KillSwitch(tmp_path).read() == Lock(reason="by hand", who="ada", at_ms=5)


def test_disable_does_not_weaken_a_kill(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path)
    switch.set(KILL)
    assert switch.set(DISABLE) == KILL
    assert switch.read() == KILL


def test_disable_over_an_unreadable_lock_stays_locked(tmp_path: Path) -> None:
    (tmp_path / "trader.lock").write_bytes(b"{")
    lock = KillSwitch(tmp_path).set(DISABLE)
    assert (lock.mode, lock.reason) == ("locked", "holiday")
    assert KillSwitch(tmp_path).read() == lock


def test_kill_after_a_flatten_goes_on_flattening(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path)
    switch.set(FLATTEN)
    lock = switch.set(KILL)
    assert (lock.reason, lock.flatten) == (KILL.reason, True)


@pytest.mark.parametrize("lock", [KILL, FLATTEN, DISABLE])
def test_same_command_set_again_keeps_the_reason_it_was_given(tmp_path: Path, lock: Lock) -> None:
    switch = KillSwitch(tmp_path)
    switch.set(lock)
    assert switch.set(replace(lock, reason="asked for")) == lock
    assert switch.set(replace(lock, reason="asked for", at_ms=1)).reason != lock.reason


def test_kill_replaces_a_disable(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path)
    switch.set(DISABLE)
    assert switch.set(KILL) == KILL


def test_lock_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    with pytest.raises(OSError, match="state"):
        KillSwitch(tmp_path / "state").set(KILL)


def test_release_removes_the_lock_and_may_be_repeated(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path)
    switch.set(FLATTEN)
    switch.release()
    switch.release()
    assert switch.read() is None
