"""Notifications to systemd (sd_notify): READY, STATUS, WATCHDOG, STOPPING."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


class Notifier:
    """Sends to the socket in NOTIFY_SOCKET; does nothing if there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)

    def notify(self, **fields: str | int) -> None:
        """Send `KEY=value` lines; errors are ignored."""
        if self._socket is not None:
            text = "\n".join(f"{key}={value}" for key, value in fields.items())
            with contextlib.suppress(OSError):
                self._socket.sendto(text.encode(), self._address)
