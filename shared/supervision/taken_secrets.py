"""Takes the secrets out of a process's environment, also where the kernel shows it to others."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

from shared.config import SECRET_VARIABLES, Secrets, secrets_from

# In /proc/PID/stat, counted from the field behind the command's name.
_ENV_START, _ENV_END = 47, 48


def credentials_folder(environment: Mapping[str, str]) -> Path | None:
    """Return where systemd has put this process's credentials; None where it has not."""
    given = environment.get("CREDENTIALS_DIRECTORY")
    return Path(given) if given else None


def take_secrets(environment: MutableMapping[str, str]) -> Secrets:
    """Return the secrets given to this process; no child of it will be given them.

    Args:
        environment: `os.environ`, from which they are removed.

    Raises:
        ConfigError: As `secrets_from` says.
    """
    secrets = secrets_from(environment, credentials_folder(environment))
    environment.pop("CREDENTIALS_DIRECTORY", None)
    for name in SECRET_VARIABLES.values():
        environment.pop(name, None)
    _wipe(SECRET_VARIABLES.values())
    return secrets


def _wipe(names: Iterable[str]) -> None:
    """Overwrite variables in the block this process began with, shown in /proc/PID/environ.

    Unsetting a variable leaves it there for as long as the process lives.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    if end <= start:  # the kernel does not tell
        return
    block = ctypes.string_at(start, end - start)
    for name in names:
        for found in re.finditer(rb"(?:^|\0)%s=([^\0]*)" % re.escape(name).encode(), block):
            ctypes.memset(start + found.start(1), ord("x"), len(found[1]))
