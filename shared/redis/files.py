"""The embedded Redis' directory: its configuration, what wrote it, files set aside."""

from __future__ import annotations

import os
from pathlib import Path

from shared.config.sections import RedisSection
from shared.errors import ConfigError
from shared.files import write_atomically
from shared.redis.acl import Table
from shared.redis.binary import Release
from shared.redis.users import Users, given_users, read_users
from shared.schema import TABLE, Role

OPERATOR_URL = "operator.url"
USERS = "users"
SERVER_VERSION = "server-version"
LARGEST_VALUE_MB = 8
"""Of one key or message; readers hold them in memory. Ours are below 0.2 MB."""


class RedisFiles:
    """The directory `state_dir/redis`, readable by its owner only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._version_path = self.directory / SERVER_VERSION

    def prepare(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def check(self) -> None:
        """Check that what is there can be used.

        Raises:
            ConfigError: It is another user's, as after a restore.
        """
        wanted = {self.directory: os.R_OK | os.W_OK | os.X_OK, self._version_path: os.R_OK}
        for path, mode in wanted.items():
            if path.exists() and not os.access(path, mode):
                raise ConfigError(
                    [f"{path}: may not be used by user {os.geteuid()}; as root: chown -R "
                     f"{os.geteuid()} {self.directory}, or move the directory away"]
                )  # fmt: skip

    def write_config(
        self,
        *,
        port: int,
        users: Users,
        maxmemory_mb: int,
        release: Release,
        log_path: Path,
        table: Table = TABLE,
    ) -> Path:
        """Write `redis.conf`, the users with hashed passwords in it."""
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            "protected-mode yes",
            *users.acl(release.version, table),
            f"dir {_quoted(str(self.directory))}",
            "daemonize no",
            # opened for each line: made again when it was removed
            f"logfile {_quoted(str(log_path))}",
            'save ""',
            "appendonly yes",
            "appendfsync everysec",
            f"maxmemory {maxmemory_mb}mb",
            "maxmemory-policy noeviction",
            f"proto-max-bulk-len {LARGEST_VALUE_MB}mb",
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

    def has_logins(self) -> bool:
        """Return whether the operator's URL is there."""
        return (self.directory / OPERATOR_URL).exists()

    def remove_logins(self) -> None:
        """Remove them: the server has stopped."""
        for name in (OPERATOR_URL, USERS):
            (self.directory / name).unlink(missing_ok=True)

    def written_by(self) -> Release | None:
        """Return the server that wrote the files here; None if there are none.

        Raises:
            ConfigError: What is recorded is no release.
        """
        path = self._version_path
        if not self._written() or not path.is_file():
            return None
        text = path.read_text().strip()
        release = Release.parse(text)
        if release is None:
            raise ConfigError(
                [f"{path}: found {text!r}, expected a version such as Redis 7.0 or Valkey 9.1; "
                 f"write that of the server that made the files beside it"]
            )  # fmt: skip
        return release

    def claim(self, release: Release) -> None:
        """Record the server that writes here from now on."""
        write_atomically(self._version_path, f"{release}\n".encode())

    def set_aside(self, name: str) -> Path:
        """Move the server's files to a directory of that name in here, and return it."""
        target = self.directory / name
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
