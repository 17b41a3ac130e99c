"""The Redis users of one platform: one per role, with passwords kept in a file."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.config.secrets import with_login
from shared.config.sections import RedisSection
from shared.errors import ConfigError
from shared.files import write_atomically
from shared.redis.acl import NOBODY, Table, Version, user_line, user_name
from shared.schema import ALL, TABLE, Role

CREDENTIAL = "redis_users"


@dataclass(frozen=True, slots=True, repr=False)
class Users:
    """One password per role. Neither it nor its URLs may be logged.

    Args:
        namespace: As in `redis.namespace`; also part of the users' names.
    """

    passwords: Mapping[Role, str]
    namespace: str

    def __repr__(self) -> str:
        return "Users(hidden)"

    def into_url(self, url: str, role: Role) -> str:
        """Return a Redis URL that logs in as a role."""
        return with_login(url, user_name(role, self.namespace), self.passwords[role])

    def acl(self, version: Version, table: Table = TABLE) -> list[str]:
        """Return an ACL file: these users, passwords hashed, and no login without a password.

        Args:
            table: Of the configuration.
        """
        lines = [
            user_line(role, self.namespace, password, version, table)
            for role, password in self.passwords.items()
        ]
        return [NOBODY, *lines]

    def write(self, path: Path) -> None:
        """Write the passwords to a file only its owner can read."""
        text = "".join(f"{role} {password}\n" for role, password in self.passwords.items())
        write_atomically(path, text.encode())


def new_users(namespace: str, known: Mapping[Role, str] | None = None) -> Users:
    """Return users of the platform's roles, with new passwords for those not in `known`."""
    kept = known or {}
    passwords = {role: kept.get(role) or secrets.token_urlsafe(24) for role in ALL}
    return Users(passwords, namespace)


def read_users(path: Path, namespace: str) -> Users:
    """Return the users whose passwords are in a file.

    Raises:
        ConfigError: It cannot be read, others may read it, or it lacks a role.
    """
    passwords = read_passwords(path)
    missing = [role for role in ALL if role not in passwords]
    if missing:
        raise ConfigError(
            [f"{path}: no password for {', '.join(missing)}; add them with "
             f"`coinex redis-acl --passwords {path}`, and load the ACL it prints into Redis"]
        )  # fmt: skip
    return Users(passwords, namespace)


def read_passwords(path: Path) -> dict[Role, str]:
    """Return the passwords in a file of lines such as `fetcher PASSWORD`.

    Raises:
        ConfigError: It cannot be read, others may read it, or a line is malformed.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            [f"{path}: the passwords of the Redis users cannot be read ({error}); make the file "
             f"with `coinex redis-acl --passwords {path}`"]
        ) from None  # fmt: skip
    if mode & stat.S_IRWXO:
        raise ConfigError(
            [f"{path}: everybody on this machine may read it (mode {mode:o}), expected 600; "
             f"chmod 600 it, and change the passwords if others work here"]
        )  # fmt: skip
    found: dict[Role, str] = {}
    for number, line in enumerate(lines, 1):
        match line.split():
            case [name, password] if name in ALL:
                found[Role(name)] = password
            case []:
                continue
            case _:
                raise ConfigError(
                    [f"{path}:{number}: expected a role and its password with a space between, the "
                     f"role one of {', '.join(ALL)}; correct or remove the line"]
                )  # fmt: skip
    return found


def given_users(section: RedisSection, credentials_dir: Path | None) -> Users | None:
    """Return the users of an external Redis; None when all share the one of `redis.url`.

    Args:
        credentials_dir: `CREDENTIALS_DIRECTORY` of systemd, if set.

    Raises:
        ConfigError: They cannot be read, or a role is missing.
    """
    if section.users_file is not None:
        return read_users(Path(section.users_file), section.namespace)
    path = credentials_dir / CREDENTIAL if credentials_dir else None
    return read_users(path, section.namespace) if path is not None and path.exists() else None
