"""A file that one process holds for as long as it lives, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import IO


class AlreadyLocked(Exception):
    """Another process holds the file; `holder` names it by host and pid."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by {holder}")
        self.holder = holder


def acquire(path: Path) -> IO[str]:
    """Take a file; it is held for as long as it stays open here.

    Raises:
        AlreadyLocked: Another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise AlreadyLocked(path, holder) from None
    file.truncate(0)
    file.write(f"host {socket.gethostname()} pid {os.getpid()}")
    file.flush()
    return file
