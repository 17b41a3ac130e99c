"""Checks before a supervisor starts: it is the only one, and its ports are free."""

from __future__ import annotations

import dataclasses
import fcntl
import logging
import os
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from shared import logs, permissions
from shared.clock import Clock
from shared.config import ports
from shared.config.secrets import Secrets, credentials_folder, take_secrets
from shared.config.sections import Config
from shared.errors import ConfigError, PlatformError
from shared.pid_lock import AlreadyLocked, PidLock
from shared.redis.server import RedisServer
from shared.redis.users import Users, given_users
from shared.schema import table
from shared.supervision.control_client import ask_status
from shared.supervision.specs import listeners

PREDECESSOR_S, ANSWER_S = 5.0, 2.0
RENEWED = ("api.token",)
"""Secrets in state_dir that are made anew when they are gone."""


class AlreadyRunning(PlatformError):
    """Another supervisor runs on this state_dir."""


def close_to_others(state_dir: Path, log: logging.Logger) -> None:
    """Close a state_dir, and all that is in it, to everybody else, and log what was open.

    Nothing is done while a supervisor answers there, which has done so when it started. Its lock
    says less: anybody may hold one on a file that he may read.

    Raises:
        ConfigError: There are files whose opening may never end.
    """
    if _answers(state_dir):
        return
    found = permissions.close_to_others(state_dir, renewed=RENEWED)
    for text in found.in_words("corrected").values():
        log.warning("%s", text)
    if fault := found.fault():
        raise ConfigError([fault])


def still_open(state_dir: Path) -> permissions.Findings:
    """Return what `close_to_others` would find."""
    return permissions.close_to_others(state_dir, renewed=RENEWED, dry=True)


def lock(state_dir: Path) -> PidLock:
    """Lock a state_dir until the returned lock is closed.

    Raises:
        AlreadyRunning: Another supervisor has locked it; named by host and pid.
        ConfigError: It cannot be made, or not be written.
    """
    try:
        return PidLock(state_dir / "supervisor.lock")
    except AlreadyLocked as locked:
        raise AlreadyRunning(
            f"another supervisor ({locked.holder}) runs on {state_dir}; stop it with "
            "`coinex shutdown`, or give this one its own with --set state_dir=DIR"
        ) from None
    except OSError as error:
        raise ConfigError(
            [f"state_dir: {error.filename} cannot be written ({error.strerror}), and user "
             f"{os.geteuid()} must be able to; correct its owner, or name another directory"]
        ) from None  # fmt: skip


def is_running(state_dir: Path) -> bool:
    """Return whether a supervisor runs on a state_dir."""
    try:
        # what is there may be a FIFO, whose opening would wait
        file = os.open(state_dir / "supervisor.lock", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError:  # a wrong mode, which a start corrects
        return _answers(state_dir)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _answers(state_dir: Path) -> bool:
    try:
        ask_status(state_dir / "supervisor.sock", ANSWER_S)
    except (OSError, PlatformError):
        return False
    return True


def wait_for_ports(config: Config) -> None:
    """Wait until the fixed ports are free, as long as a predecessor may need to end.

    Raises:
        ConfigError: A fixed port is still taken.
    """
    deadline = time.monotonic() + PREDECESSOR_S
    while faults := ports.taken(listeners(config)):
        if time.monotonic() > deadline:
            raise ConfigError(faults)
        time.sleep(0.1)


def redis_server(
    config: Config,
    secrets: Secrets,
    users: Users | None,
    *,
    clock: Clock,
    environment: Mapping[str, str],
) -> RedisServer:
    """Return the Redis of a configuration, not started; logins as of `take_logins`."""
    return RedisServer(
        dataclasses.replace(config.redis, url=secrets.into_url(config.redis.url)),
        mode=config.mode,
        state_dir=Path(config.state_dir).resolve(),
        clock=clock,
        log=logs.logger("redis"),
        users=users,
        directories=os.get_exec_path(environment),
        hung_s=config.supervisor.hung_s,
        table=table(config.trader.kind),
    )


def take_logins(
    config: Config, environment: MutableMapping[str, str]
) -> tuple[Secrets, Users | None]:
    """Return the secrets and Redis users, removed from the environment so no child inherits them.

    Args:
        environment: `os.environ`.

    Raises:
        ConfigError: They are invalid or contradict each other.
    """
    credentials = credentials_folder(environment)
    secrets = take_secrets(environment, config.venue.name)
    users = given_users(config.redis, credentials)
    if users is not None and secrets.redis_password is not None:
        raise ConfigError(
            ["redis.users_file: given together with a single redis_password; keep one of them"]
        )
    return secrets, users
