"""A disk, full or read-only, on which the kill switch can create no file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest


def create_no_lock_files(monkeypatch: pytest.MonkeyPatch, code: int = errno.ENOSPC) -> None:
    """Let every new lock file be refused with `code`; files that exist can be written."""

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(code, os.strerror(code), str(path))

    for name in ("replace_at_once", "write_atomically"):
        monkeypatch.setattr(f"shared.kill_switch.{name}", refuse)
