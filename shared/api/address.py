"""The address of the trader's API, written to the state_dir for the command line."""

from __future__ import annotations

from pathlib import Path

from shared.files import write_atomically
from shared.web.hosts import base_url


class AddressFile:
    """`state_dir/api.url`: exists while the API listens, or after it was killed."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "api.url"

    def write(self, host: str, port: int) -> None:
        """Write the address, unless it is there.

        Raises:
            OSError: It cannot be written.
        """
        address = base_url(host, port)
        if self.read() != address:
            write_atomically(self._path, f"{address}\n".encode())

    def read(self) -> str | None:
        """Return the base URL; None where there is none."""
        try:
            return self._path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
