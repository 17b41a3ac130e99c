"""An embedded Redis that tests may change and empty: no user of the platform may."""

from __future__ import annotations

from pathlib import Path

from shared.config.secrets import with_login
from tests.support.private_redis import chosen_redis

NAME = "tests"
PROGRAM = """#!/bin/sh
case "$1" in --*) exec '{binary}' "$@" ;; esac
exec '{binary}' "$@" --user {name} on '>{name}' '~*' '&*' +@all
"""


def install(directory: Path) -> Path:
    """Put a redis-server there that knows one more user; return the directory, for PATH."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    program = directory / "redis-server"
    program.write_text(PROGRAM.format(binary=chosen_redis().path, name=NAME))
    program.chmod(0o700)
    return directory


def as_admin(url: str) -> str:
    """Return the URL of a server, as that user."""
    return with_login(url, NAME, NAME)
