"""The kill switch: a lock file that outlives every process.

`state_dir/trader.lock` is JSON of a `Lock`. While it exists, no position is opened; one that
cannot be read counts as set. The trader reads it, the trader's API writes it before it sends a
command, and a person may remove it by hand.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared import codec
from shared.errors import BadMessage
from shared.files import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Why there are no entries, who decided it, and when (epoch ms, our clock).

    Attributes:
        flatten: Also close every own position, until the lock is released.
        mode: `locked` by a kill, which only a release ends; `disabled` by a disable, which an
            enable ends too.
    """

    reason: str
    who: str
    at_ms: int
    flatten: bool = False
    mode: Literal["locked", "disabled"] = "locked"


class KillSwitch:
    """The lock file of one state_dir."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "trader.lock"

    def read(self) -> Lock | None:
        """Return the lock that is set; None only if there is certainly no file.

        An unreadable file is a lock of mode `locked`, by `nobody`, at 0, with the error as its
        reason.
        """
        try:
            return codec.decode(Lock, self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return None
        except (BadMessage, OSError) as error:
            return Lock(reason=f"unreadable, which counts as set: {error}", who="nobody", at_ms=0)

    def set(self, lock: Lock) -> Lock:
        """Set the lock, synced to disk when this returns; return the lock now in force.

        A lock is never weakened: a disable leaves a kill as it is, a kill keeps an earlier
        flatten. The same command (by `who` and `at_ms`) set again keeps its first reason.

        Raises:
            OSError: The file cannot be written; an earlier one is untouched.
        """
        before = self.read()
        if before is not None and before.mode == "locked":
            if lock.mode == "disabled" and before.who != "nobody":
                return before
            lock = dataclasses.replace(lock, mode="locked", flatten=lock.flatten or before.flatten)
        if before is not None and (before.who, before.at_ms) == (lock.who, lock.at_ms):
            lock = dataclasses.replace(lock, reason=before.reason)
        write_atomically(self.path, codec.encode(lock))
        return lock

    def release(self) -> None:
        """Remove the lock, if there is one; synced to disk when this returns.

        Raises:
            OSError: The file cannot be removed.
        """
        self.path.unlink(missing_ok=True)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
