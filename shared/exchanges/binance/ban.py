"""The ban file: a restarted process obeys a ban too."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from shared import codec
from shared.errors import BadMessage
from shared.files import write_atomically
from shared.messages.candles import Ban

UNREADABLE_BAN_MS = 120_000


class BanFile:
    """One ban, shared by all processes on this machine; times are of its own clock.

    Reading costs one `stat` while the file is unchanged.
    """

    def __init__(self, path: Path, log: logging.Logger | None = None) -> None:
        self._path = path
        self._log = log or logging.getLogger(__name__)
        self._seen: tuple[int, int, int] | None = None
        self._ban: Ban | None = None

    def read(self) -> Ban | None:
        """Return the ban last written, over or not, or None.

        An unreadable file counts as a ban of two minutes from its last change.
        """
        try:
            state = self._path.stat()
            version = (state.st_ino, state.st_mtime_ns, state.st_size)
            if version == self._seen:
                return self._ban
        except FileNotFoundError:
            self._seen = self._ban = None
            return None
        try:
            self._ban = codec.decode(Ban, self._path.read_bytes(), str(self._path))
        except (BadMessage, OSError) as error:
            changed_ms = state.st_mtime_ns // 1_000_000
            self._ban = Ban(until_ms=changed_ms + UNREADABLE_BAN_MS, status=418, at_ms=changed_ms)
            self._log.error("ban file unreadable, counts as a ban of 120 s: %s", error)
        self._seen = version
        return self._ban

    def write(self, ban: Ban) -> None:
        """Write a ban atomically; it is on disk when this returns.

        Root's is the directory's owner's, who must be able to read it.

        Raises:
            OSError: The file cannot be written.
        """
        write_atomically(self._path, codec.encode(ban))
        if os.geteuid() == 0:
            owner = self._path.parent.stat()
            os.chown(self._path, owner.st_uid, owner.st_gid)
