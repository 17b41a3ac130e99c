"""Atomic writes of small files: a reader, or a crash, sees either the old or the new content.

Also, whether an open file still has its name.
"""

from __future__ import annotations

import os
import tempfile
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
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
