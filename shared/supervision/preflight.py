"""What must be true before a supervisor starts: it is alone, and its ports are free."""

from __future__ import annotations

import fcntl
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import IO

from shared.config import ports
from shared.config.secrets import Secrets, credentials_folder, take_secrets
from shared.config.sections import Config
from shared.errors import ConfigError, PlatformError
from shared.pid_lock import AlreadyLocked, acquire
from shared.redis.users import Users, given_users
from shared.supervision.specs import listeners

PREDECESSOR_S = 5.0


class AlreadyRunning(PlatformError):
    """Another supervisor holds this state_dir."""


def lock(state_dir: Path) -> IO[str]:
    """Take the lock of a state_dir; it is held for as long as the file stays open.

    Raises:
        AlreadyRunning: Somebody else has it, named by host and pid.
    """
    try:
        return acquire(state_dir / "supervisor.lock")
    except AlreadyLocked as held:
        raise AlreadyRunning(
            f"another supervisor ({held.holder}) runs on {state_dir}; stop it with "
            "`coinex shutdown`, or give this one its own with --set state_dir=DIR"
        ) from None


def is_running(state_dir: Path) -> bool:
    """Tell whether a supervisor holds the lock of a state_dir now."""
    try:
        with (state_dir / "supervisor.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def wait_for_ports(config: Config) -> None:
    """Wait for a predecessor that is still ending; after that a taken port is a fault.

    Raises:
        ConfigError: A fixed port is held by somebody else.
    """
    deadline = time.monotonic() + PREDECESSOR_S
    while faults := ports.taken(listeners(config)):
        if time.monotonic() > deadline:
            raise ConfigError(faults)
        time.sleep(0.1)


def take_logins(
    config: Config, environment: MutableMapping[str, str]
) -> tuple[Secrets, Users | None]:
    """Take what this process was given to log in with, and no child of it is to find.

    Args:
        environment: `os.environ`, from which it is removed.

    Raises:
        ConfigError: Something given cannot be used, or contradicts something else.
    """
    credentials = credentials_folder(environment)
    secrets = take_secrets(environment)
    users = given_users(config.redis, credentials)
    if users is not None and secrets.redis_password is not None:
        raise ConfigError(
            ["redis.users_file: given together with a single redis_password; keep one of them"]
        )
    return secrets, users
