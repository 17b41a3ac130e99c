"""A journal of an older release, whose change is cut off at any moment, or finds no room."""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.errors import JournalUnavailable
from shared.journal.journal import Journal
from tests.support.old_journal import dump, old_journal
from tests.support.venue import simulated_owner

OWNER = simulated_owner()
PAGE = 4096
LARGEST = 400 * 1024  # of all files that are written
NO_ROOM = 3  # exit code: refused in words


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A directory whose `fsync` costs nothing, where the machine has one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


class SteppedJournal(Journal):
    """A journal that calls `step` before each statement."""

    step: Callable[[], None]

    def _open(self, uri: str) -> None:
        super()._open(uri)
        self._db.set_trace_callback(lambda _: type(self).step())


def in_child(work: Callable[[], object]) -> int:
    """Run in a process of its own; return its exit code, below 0 for a signal."""
    with warnings.catch_warnings():
        # threads of earlier tests own no lock that the child needs
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except JournalUnavailable:
            code = NO_ROOM
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(path: Path, moment: int) -> Callable[[], None]:
    """Return an opening that is killed before its n-th statement, or change of a directory."""

    def work() -> None:
        left = moment

        def step() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        SteppedJournal.step = step
        directories = ("open", "os.rename", "os.remove", "sqlite3.connect")
        sys.addaudithook(lambda event, _: step() if event in directories else None)
        SteppedJournal(path, OWNER)

    return work


def with_room(path: Path, size: int, on_excess: signal.Handlers) -> Callable[[], None]:
    """Return an opening that can write no file beyond a size."""

    def work() -> None:
        signal.signal(signal.SIGXFSZ, on_excess)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        Journal(path, OWNER)

    return work


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What the journal says before and after."""
    path = old_journal(tmp_path_factory.mktemp("whole"))
    before = dump(path)
    Journal(path, OWNER).close()
    return before, dump(path)


def is_whole(path: Path, versions: tuple[str, str]) -> bool:
    """Check that a journal is of one version, and that the next start brings it up to date.

    Returns:
        Whether it was up to date before.
    """
    before, after = versions
    found = dump(path)
    assert found in versions
    Journal(path, OWNER).close()
    assert dump(path) == after
    assert dump(path.with_name("trader.db.v1")) == before
    assert {each.name for each in path.parent.iterdir()} == {"trader.db", "trader.db.v1"}
    return found == after


def test_change_killed_before_any_of_its_steps_is_whole_or_not_begun(
    in_memory: Path, versions: tuple[str, str]
) -> None:
    outcomes = []
    for moment in range(1, 1000):
        path = old_journal(in_memory / f"{moment}")
        code = in_child(killed_at(path, moment))
        assert code in (0, -signal.SIGKILL)
        outcomes.append(is_whole(path, versions))
        if code == 0:
            break
    assert len(outcomes) > 80
    assert outcomes == sorted(outcomes)  # never old again
    assert outcomes[-2:] == [True, True]


@pytest.mark.parametrize("on_excess", [signal.SIG_DFL, signal.SIG_IGN], ids=["killed", "no room"])
def test_change_killed_or_without_room_in_the_middle_of_a_write_is_whole_or_not_begun(
    in_memory: Path, versions: tuple[str, str], on_excess: signal.Handlers
) -> None:
    outcomes, codes = [], []
    for size in range(PAGE // 2, LARGEST, 2 * PAGE + 100):
        path = old_journal(in_memory / f"{size}")
        codes.append(in_child(with_room(path, size, on_excess)))
        outcomes.append(is_whole(path, versions))
    cut_off = -signal.SIGXFSZ if on_excess is signal.SIG_DFL else NO_ROOM
    assert set(codes) == {cut_off, 0}
    assert codes == sorted(codes, key=lambda code: code == 0)
    assert set(outcomes) == {False, True}
    assert [code == 0 for code in codes] == outcomes


def test_missing_room_for_the_copy_is_said_and_leaves_none(in_memory: Path) -> None:
    path = old_journal(in_memory / "full")
    said = in_memory / "said"

    def work() -> None:
        try:
            with_room(path, 20 * PAGE, signal.SIG_IGN)()
        except JournalUnavailable as error:
            said.write_text(str(error))

    before = dump(path)
    assert in_child(work) == 0
    assert "the copy to make before it is brought up to date cannot be written" in said.read_text()
    assert dump(path) == before
    assert {each.name for each in path.parent.iterdir()} == {"trader.db"}
