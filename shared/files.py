"""Atomic writes of small files and directories: a reader, or a crash, sees the old or the new.

Also, whether an open file still has its name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_at(path: Path, fd: int) -> bool:
    """Return whether the open file `fd` is still the one at `path`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at `path`, mode 600 and synced to disk when this returns.

    Raises:
        OSError: Not writable, or the disk is full; the old file is then untouched.
    """
    _write(path, content, sync_first=True)


def replace_at_once(path: Path, content: bytes) -> None:
    """Do as `write_atomically`, but let readers see the file before it is synced.

    After a power failure it may be there and cut short.
    """
    _write(path, content, sync_first=False)


def _write(path: Path, content: bytes, *, sync_first: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if not sync_first:
                temporary.replace(path)
            os.fsync(file.fileno())
        if sync_first:
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


@contextmanager
def directory_at_once(path: Path) -> Iterator[Path]:
    """Yield an empty directory to write to; it takes its name when all of it is there.

    What a process that was killed had begun is removed.

    Raises:
        OSError: There is one of this name that is not empty, not writable, or the disk is full.
    """
    unfinished = path.with_name(f"{path.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    yield unfinished
    unfinished.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Sync the entries of a directory to disk."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
