"""The address of the trader's API, written to the state_dir for the command line."""

from __future__ import annotations

from pathlib import Path

from shared.files import write_atomically

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # compared with, not bound


class AddressFile:
    """`state_dir/api.url`: exists while the API listens, or after it was killed."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "api.url"

    def write(self, host: str, port: int) -> None:
        """Write the address.

        Raises:
            OSError: It cannot be written.
        """
        host = _EVERYWHERE.get(host, host)
        shown = f"[{host}]" if ":" in host else host
        write_atomically(self._path, f"http://{shown}:{port}\n".encode())

    def read(self) -> str | None:
        """Return the base URL; None where there is none."""
        try:
            return self._path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
