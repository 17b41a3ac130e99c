"""The lock file: what sets it, what never weakens it, and that doubt counts as set."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from shared.kill_switch import KillSwitch, Lock, not_locked
from tests.support.full_disk import create_no_lock_files

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


# Where no file can be created


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    create_no_lock_files(monkeypatch)


def prepared(directory: Path) -> KillSwitch:
    switch = KillSwitch(directory)
    assert switch.prepare() == ""
    assert switch.read() is None
    return switch


@pytest.fixture
def switch(tmp_path: Path) -> KillSwitch:
    """Return a switch prepared before the disk is full: name it before `full`."""
    return prepared(tmp_path)


@pytest.mark.parametrize("lock", [KILL, FLATTEN, DISABLE])
def test_prepared_file_becomes_the_lock_where_none_can_be_created(
    tmp_path: Path, switch: KillSwitch, full: None, lock: Lock
) -> None:
    assert switch.set(lock) == lock
    assert KillSwitch(tmp_path).read() == lock
    assert (tmp_path / "trader.lock").exists()


def test_one_command_after_another_holds_on_a_full_disk(switch: KillSwitch, full: None) -> None:
    for lock in (DISABLE, KILL, FLATTEN, replace(KILL, at_ms=9)):
        switch.set(lock)
    found = switch.read()
    assert found is not None
    assert (found.mode, found.flatten, found.at_ms) == ("locked", True, 9)


def test_reason_too_long_for_a_prepared_file_is_cut(switch: KillSwitch, full: None) -> None:
    switch.set(replace(KILL, reason="\x01" * 60_000, who="\x01" * 200))
    found = switch.read()
    assert found is not None
    assert set(found.reason) == {"\x01"}
    assert (found.mode, found.at_ms) == ("locked", KILL.at_ms)


@pytest.mark.parametrize("lock", [KILL, FLATTEN])
def test_lock_holds_without_its_reason_where_not_even_old_blocks_take_any(
    switch: KillSwitch, full: None, monkeypatch: pytest.MonkeyPatch, lock: Lock
) -> None:
    monkeypatch.setattr("shared.kill_switch._overwrite", lambda path, content: False)
    now = switch.set(lock)
    assert now == switch.read()
    assert (now.is_unstored, now.mode, now.flatten) == (True, "locked", lock.flatten)
    assert "could not be stored" in now.reason
    assert not lock.is_unstored


def test_prepared_file_that_cannot_be_renamed_is_the_lock(
    switch: KillSwitch, full: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KillSwitch, "_rename", lambda self, path: False)
    switch.set(FLATTEN)
    assert switch.read() == FLATTEN
    assert not switch.path.exists()
    switch.release()
    assert switch.read() is None


def test_directory_in_the_place_of_the_lock_takes_neither_a_kill_nor_its_reason(
    tmp_path: Path,
) -> None:
    switch = prepared(tmp_path)
    switch.path.mkdir()
    switch.set(FLATTEN)
    found = switch.read()
    assert found is not None
    assert found.flatten
    with pytest.raises(OSError, match=r"trader\.lock"):
        switch.release()
    found = switch.read()
    assert found is not None
    assert "not a file; remove it by hand" in found.reason


@pytest.mark.parametrize("kind", ["symlink", "pipe"])
def test_what_is_no_file_counts_as_set_and_is_replaced_by_a_kill(tmp_path: Path, kind: str) -> None:
    switch = KillSwitch(tmp_path)
    if kind == "symlink":
        switch.path.symlink_to(tmp_path / "nothing")
    else:
        os.mkfifo(switch.path)
    found = switch.read()
    assert found is not None
    assert (found.mode, found.who) == ("locked", "nobody")
    assert switch.set(KILL) == KILL
    assert switch.read() == KILL
    switch.release()
    assert switch.read() is None


def test_nothing_prepared_and_nothing_written_says_so(tmp_path: Path, full: None) -> None:
    switch = KillSwitch(tmp_path)
    why = switch.prepare()
    assert "No space left on device" in why
    assert "no lock file could be prepared" in why
    with pytest.raises(OSError, match="No space left on device, and no prepared") as refused:
        switch.set(KILL)
    text = not_locked(switch.path, refused.value)
    assert text.startswith("NOT LOCKED: ")
    assert "coinex stop trader" in text
    assert switch.read() is None


def test_release_makes_room_for_what_is_prepared_anew(tmp_path: Path, switch: KillSwitch) -> None:
    names = {path.name for path in tmp_path.iterdir()}
    (tmp_path / "trader.lock.prepared").rename(switch.path)
    assert switch.read() is not None
    switch.release()
    assert switch.prepare() == ""
    assert {path.name for path in tmp_path.iterdir()} == names


def test_damaged_prepared_file_counts_as_set_until_released(
    tmp_path: Path, switch: KillSwitch
) -> None:
    (tmp_path / "trader.lock.prepared").write_bytes(b"{")
    assert switch.prepare() == ""
    found = switch.read()
    assert found is not None
    assert "unreadable" in found.reason
    switch.release()
    assert switch.prepare() == ""
    assert switch.read() is None
