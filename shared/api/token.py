"""The token of the trader's API: made once, readable by its owner only."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from shared.errors import ConfigError
from shared.files import write_atomically

TOKEN_BYTES = 32
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43,200}")


def token_path(state_dir: Path) -> Path:
    return state_dir / "api.token"


def read_token(path: Path) -> bytes:
    """Return the token.

    Raises:
        FileNotFoundError: There is none yet.
        ConfigError: It cannot be read, others may read it, or it is no token.
    """
    remedy = f"remove {path} and start trader-api again, which makes a new one"
    try:
        # fstat of the open file: the path may be replaced between stat and open
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError([f"{path}: not readable ({error.strerror}); {remedy}"]) from None
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        found = file.read(1024).strip()
    if mode & 0o077:
        raise ConfigError(
            [
                f"{path}: its mode is {mode:03o}, expected 600: others could have read the token; "
                f"{remedy}"
            ]
        )
    if not _TOKEN.fullmatch(found):
        raise ConfigError([f"{path}: holds no token of 43 to 200 letters and digits; {remedy}"])
    return found


def make_token(path: Path) -> bytes:
    """Return the token, made now if there is none.

    Raises:
        ConfigError: As for `read_token`. A file that others may read is refused, not chmodded:
            it may have been read already.
        OSError: It cannot be written.
    """
    try:
        return read_token(path)
    except FileNotFoundError:
        token = secrets.token_urlsafe(TOKEN_BYTES).encode()
        write_atomically(path, token + b"\n")  # mode 600, as a temporary file has it
        return token
