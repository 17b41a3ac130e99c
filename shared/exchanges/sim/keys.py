"""Keys of the simulated venue: new at every start of the platform, in a file for other clients."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import orjson

from shared.errors import ConfigError
from shared.files import write_atomically


@dataclass(frozen=True, slots=True, repr=False)
class SimKeys:
    """A pair that only the simulated venue accepts."""

    access_id: str
    secret_key: str

    def __repr__(self) -> str:
        return "SimKeys(hidden)"


def new_keys() -> SimKeys:
    """Return a random pair."""
    return SimKeys(secrets.token_hex(16).upper(), secrets.token_hex(24).upper())


class KeyFile:
    """`simulator/venue-keys.json` in a state_dir: mode 600 in a directory of mode 700."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "simulator" / "venue-keys.json"

    def write(self, keys: SimKeys) -> None:
        """Replace the keys in the file.

        Raises:
            OSError: Not writable, or the disk is full.
        """
        self._prepare()
        write_atomically(self.path, _text(keys))

    def restore(self, keys: SimKeys) -> bool:
        """Write the keys unless they are there; return whether they were not.

        Raises:
            OSError: As `write`.
        """
        try:
            if self.path.read_bytes() == _text(keys):
                return False
        except FileNotFoundError:
            pass
        self.write(keys)
        return True

    def read_or_make(self) -> SimKeys:
        """Return the keys of the platform that runs here, or ran; new ones if there are none.

        Actors that are run by hand at the same time get the same keys.

        Raises:
            ConfigError: The file cannot be read or made.
        """
        try:
            self._prepare()
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(directory, fcntl.LOCK_EX)
                if not self.path.exists():
                    self.write(new_keys())
                return SimKeys(**orjson.loads(self.path.read_bytes()))
            finally:
                os.close(directory)
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(
                [f"{self.path}: the keys of the simulated venue cannot be read "
                 f"({type(error).__name__}); fix its permissions, or remove it and start again"]
            ) from None  # fmt: skip

    def _prepare(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.parent.chmod(0o700)


def _text(keys: SimKeys) -> bytes:
    return orjson.dumps({"access_id": keys.access_id, "secret_key": keys.secret_key}) + b"\n"
