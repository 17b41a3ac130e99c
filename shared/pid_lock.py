"""A lock file that the kernel releases when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from shared.files import is_at


class AlreadyLocked(Exception):
    """Another process has locked the file; `holder` is its host and pid."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is locked by {holder}")
        self.holder = holder


class PidLock:
    """A lock held until it is closed.

    Raises:
        AlreadyLocked: Another process has locked the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = acquire(path)

    def restore(self) -> bool:
        """Lock the file anew if it was removed; return whether it was.

        Raises:
            AlreadyLocked: Another process was faster.
        """
        if is_at(self._path, self._file.fileno()):
            return False
        fresh = acquire(self._path)
        self._file.close()
        self._file = fresh
        return True

    def close(self) -> None:
        """Release it."""
        self._file.close()


def acquire(path: Path) -> IO[str]:
    """Lock a file until the returned file object is closed.

    Raises:
        AlreadyLocked: Another process has locked it.
        OSError: It cannot be opened, or is a symbolic link: what one leads to is not truncated.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags, 0o600), "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise AlreadyLocked(path, holder) from None
    with contextlib.suppress(OSError):  # on a full disk it is locked all the same, without a name
        file.truncate(0)
        os.pwrite(file.fileno(), f"host {socket.gethostname()} pid {os.getpid()}".encode(), 0)
    return file
