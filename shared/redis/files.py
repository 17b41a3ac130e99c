"""The embedded Redis' directory: its configuration, its version, damaged files set aside."""

from __future__ import annotations

import re
from pathlib import Path

from shared.config.sections import RedisSection
from shared.errors import ConfigError
from shared.files import write_atomically
from shared.redis.acl import CONFINES_WRITERS, Version
from shared.redis.users import Users, given_users, read_users
from shared.schema import Role

OPERATOR_URL = "operator.url"
USERS = "users"


class RedisFiles:
    """The directory `state_dir/redis`, readable by its owner only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()

    def prepare(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write_config(self, *, port: int, users: Users, maxmemory_mb: int, version: Version) -> Path:
        """Write `redis.conf`, the users with hashed passwords in it."""
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            "protected-mode yes",
            *users.acl(version),
            f"dir {_quoted(str(self.directory))}",
            "daemonize no",
            'logfile ""',
            'save ""',
            "appendonly yes",
            "appendfsync everysec",
            f"maxmemory {maxmemory_mb}mb",
            "maxmemory-policy noeviction",
        ]
        if version >= CONFINES_WRITERS:
            lines += [
                "enable-protected-configs no",
                "enable-debug-command no",
                "enable-module-command no",
                'proc-title-template "coinex: redis"',
            ]
        path = self.directory / "redis.conf"
        write_atomically(path, "\n".join([*lines, ""]).encode())
        return path

    def write_logins(self, operator_url: str, users: Users | None = None) -> None:
        """Write the operator's URL for the command line, and logins for actors run by hand."""
        write_atomically(self.directory / OPERATOR_URL, f"{operator_url}\n".encode())
        if users is None:
            (self.directory / USERS).unlink(missing_ok=True)
        else:
            users.write(self.directory / USERS)

    def remove_logins(self) -> None:
        """Remove them: the server has stopped."""
        for name in (OPERATOR_URL, USERS):
            (self.directory / name).unlink(missing_ok=True)

    def has_data(self) -> bool:
        """Return whether a server has written something here."""
        return bool(self._written())

    def claim_version(self, version: Version) -> None:
        """Record the server version that writes here from now on.

        Raises:
            ConfigError: A newer version has written here. An older one would refuse the files
                or, worse, start empty.
        """
        path = self.directory / "server-version"
        if path.exists() and self.has_data():
            text = path.read_text().strip()
            found = re.fullmatch(r"(\d+)\.(\d+)", text)
            if not found:
                raise ConfigError(
                    [f"{path}: found {text!r}, expected a version such as 7.0; write the version "
                     f"of the redis-server that made the files beside it"]
                )  # fmt: skip
            written_by = int(found[1]), int(found[2])
            if written_by > version:
                raise ConfigError(
                    [f"redis.embedded: the files in {self.directory} were written by Redis {text}, "
                     f"the redis-server found is {version[0]}.{version[1]}, which cannot read "
                     f"them; install Redis {text} or newer, or move the directory away"]
                )  # fmt: skip
        write_atomically(path, f"{version[0]}.{version[1]}\n".encode())

    def set_aside(self, utc: str) -> Path:
        """Move the server's files to `damaged-<utc>` and return that directory."""
        target = self.directory / f"damaged-{utc}"
        target.mkdir(mode=0o700, exist_ok=True)
        for path in self._written():
            path.rename(target / path.name)
        return target

    def _written(self) -> list[Path]:
        patterns = ("appendonly*", "dump.rdb", "temp-*")
        return [path for pattern in patterns for path in self.directory.glob(pattern)]


def read_operator_url(state_dir: Path) -> str | None:
    """Return the URL written by the running supervisor; None when there is none."""
    try:
        return (state_dir / "redis" / OPERATOR_URL).read_text().strip()
    except FileNotFoundError:
        return None


def foreground_url(
    state_dir: Path, section: RedisSection, role: Role, credentials: Path | None
) -> str:
    """Return the URL for an actor of `role` run without a supervisor, beside one or alone.

    Args:
        credentials: As for `given_users`.

    Raises:
        ConfigError: The users of Redis cannot be read, or not all are there.
    """
    url = read_operator_url(state_dir) or section.url
    embedded = state_dir / "redis" / USERS
    if embedded.exists():
        users: Users | None = read_users(embedded, section.namespace)
    else:
        users = given_users(section, credentials)
    return url if users is None else users.into_url(url, role)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
