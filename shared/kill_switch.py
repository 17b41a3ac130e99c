"""The kill switch: a lock file that outlives every process.

`state_dir/trader.lock` is JSON of a `Lock`. While it exists, no position is opened; one that
cannot be read counts as set. The trader reads it, the trader's API and the command line write it
before they send a command, and a person may remove it by hand.

Beside it lie two files prepared ahead, as large as a lock needs. Where no file can be created (the
disk or its inodes are used up, the directory is not writable), one of them is overwritten in place
and renamed, which takes no new block. A prepared file that no longer is as it was prepared counts
as a lock as well, so it holds even where the rename fails.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared import codec
from shared.errors import BadMessage
from shared.files import replace_at_once, sync_directory, write_atomically

PREPARED = {False: "trader.lock.prepared", True: "trader.lock.prepared-flatten"}
"""Names of the files prepared for a kill or disable, and for a flatten."""

PREPARED_SIZE = 4096
SHORTEST_REASON, SHORTEST_WHO = 500, 100
"""Characters that fit into a prepared file, however they are escaped."""

LARGEST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Why there are no entries, who decided it, and when (epoch ms, our clock).

    Attributes:
        flatten: Also close every own position, until the lock is released.
        mode: `locked` by a kill, which only a release ends; `disabled` by a disable, which an
            enable ends too.
    """

    reason: str
    who: str
    at_ms: int
    flatten: bool = False
    mode: Literal["locked", "disabled"] = "locked"

    @property
    def is_unstored(self) -> bool:
        """Return whether it holds although neither reason nor author could be written."""
        return self == UNSTORED[self.flatten]


UNSTORED = {
    flatten: Lock(
        reason="set while nothing could be written: who set it, and why, could not be stored",
        who="nobody",
        at_ms=0,
        flatten=flatten,
    )
    for flatten in PREPARED
}


class KillSwitch:
    """The lock file of one state_dir."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "trader.lock"
        self._prepared = {flatten: state_dir / name for flatten, name in PREPARED.items()}

    def read(self) -> Lock | None:
        """Return the lock that is set; None only if there is certainly none.

        An unreadable file is a lock of mode `locked`, by `nobody`, at 0, with the error as its
        reason.
        """
        found = [_read(self.path)]
        found += [_read(path, unless=_content(f)) for f, path in self._prepared.items()]
        locks = [lock for lock in found if lock is not None]
        if not locks:
            return None
        strictest = next((lock for lock in locks if lock.mode == "locked"), locks[0])
        return dataclasses.replace(strictest, flatten=any(lock.flatten for lock in locks))

    def set(self, lock: Lock) -> Lock:
        """Set the lock, synced to disk when this returns; return the lock now in force.

        A lock is never weakened: a disable leaves a kill as it is, a kill keeps an earlier
        flatten. The same command (by `who` and `at_ms`) set again keeps its first reason.
        Where no file can be written, a prepared one becomes the lock; see `Lock.is_unstored`.

        Raises:
            OSError: It cannot be set; an earlier lock is untouched.
        """
        before = self.read()
        lock = strengthened(before, lock)
        if lock is before:
            return before
        try:
            # in force before it is synced: one that a power failure cuts short counts as set
            replace_at_once(self.path, codec.encode(lock))
        except OSError as error:
            return self._set_prepared(lock, error)
        return lock

    def _set_prepared(self, lock: Lock, error: OSError) -> Lock:
        """Set the lock without creating a file."""
        short = dataclasses.replace(
            lock, reason=lock.reason[:SHORTEST_REASON], who=lock.who[:SHORTEST_WHO]
        )
        prepared = [self._prepared[lock.flatten], self._prepared[not lock.flatten]]
        # the lock file itself may be a prepared one
        for path in (*prepared, self.path):
            if _overwrite(path, codec.encode(short).ljust(PREPARED_SIZE)):
                if path != self.path:
                    self._rename(path)  # without it, the prepared file is the lock
                return short
        if lock.flatten and not prepared[0].exists():
            prepared.reverse()
        for path in prepared:
            if self._rename(path):
                return UNSTORED[path == self._prepared[True]]
        why = f"{error.strerror or error}, and no prepared file could take its place"
        raise OSError(error.errno or 0, why, str(self.path)) from error

    def _rename(self, path: Path) -> bool:
        try:
            path.replace(self.path)
            sync_directory(self.path.parent)
        except OSError:
            return False
        return True

    def prepare(self) -> str:
        """Prepare the files that become the lock when none can be created; those there are stay.

        Returns:
            Why there are not both, or "".
        """
        try:
            for flatten, path in self._prepared.items():
                if _raw(path) is None:
                    write_atomically(path, _content(flatten))
        except OSError as error:
            return (
                f"no lock file could be prepared ({error.strerror or error}): if the disk is still "
                "full, or its directory not writable, at the next kill, that cannot hold"
            )
        return ""

    def release(self) -> None:
        """Remove the lock, if there is one; synced to disk when this returns.

        Raises:
            OSError: It cannot be removed.
        """
        for flatten, path in self._prepared.items():
            if _read(path, unless=_content(flatten)) is not None:
                path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        sync_directory(self.path.parent)


def strengthened(before: Lock | None, lock: Lock) -> Lock:
    """Return the lock in force once `lock` is set over `before`: see `KillSwitch.set`."""
    if before is None:
        return lock
    if before.mode == "locked":
        if lock.mode == "disabled" and before.who != "nobody":
            return before
        lock = dataclasses.replace(lock, mode="locked", flatten=lock.flatten or before.flatten)
    if (before.who, before.at_ms) == (lock.who, lock.at_ms):
        lock = dataclasses.replace(lock, reason=before.reason)
    return lock


def not_locked(path: Path, error: OSError) -> str:
    """Return in words that a lock could not be set, and what to do."""
    why = error.strerror or str(error)
    return (
        f"NOT LOCKED: {path} cannot be written ({why}). Make room or make its directory writable "
        "and repeat the command; until then `coinex stop trader` keeps it from entering (stops and "
        "targets stay at the venue)"
    )


def _content(flatten: bool) -> bytes:
    return codec.encode(UNSTORED[flatten]).ljust(PREPARED_SIZE)


def _read(path: Path, unless: bytes | None = None) -> Lock | None:
    """Return the lock in a file; None if there is no file, or its content is `unless`."""
    try:
        content = _raw(path)
        if content is None or content == unless:
            return None
        return codec.decode(Lock, content, str(path))
    except (BadMessage, OSError) as error:
        return Lock(reason=f"unreadable, which counts as set: {error}", who="nobody", at_ms=0)


def _raw(path: Path) -> bytes | None:
    """Return what is in a file; None if there is certainly none.

    Raises:
        OSError: It cannot be read, or is no file.
    """
    try:
        # a pipe with no writer must not block
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if path.is_symlink():
            raise OSError(0, "a symbolic link to nothing", str(path)) from None
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a file; remove it by hand", str(path))
        return os.read(descriptor, LARGEST)
    finally:
        os.close(descriptor)


def _overwrite(path: Path, content: bytes) -> bool:
    """Replace the content of a prepared file, block by block; return whether it is on disk."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        kind = os.fstat(descriptor)
        if not stat.S_ISREG(kind.st_mode) or kind.st_size != len(content):
            return False
        written = os.pwrite(descriptor, content, 0)
        os.fsync(descriptor)
    except OSError:
        return False
    else:
        return written == len(content)
    finally:
        os.close(descriptor)
