"""The ledger of what was tried on recorded candles: one line per sweep and per opening.

`evidence-ledger.jsonl`, in the store of the candles, is only ever appended to. Each line has the
hash of the one before, so that a line that was changed or taken out is seen. (Lines missing at the
end are not: each result names the last line's hash, which shows that too.)
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from shared.codec import decode, encode
from shared.errors import BadMessage, PlatformError
from shared.files import sync_directory

NAME = "evidence-ledger.jsonl"
LARGEST_BYTES = 64 * 2**20
FIRST = "0" * 64
"""What the first line has for the hash of the one before."""

Kind = Literal["sweep", "opening"]


class LedgerBroken(PlatformError):
    """A line of a ledger was changed, taken out or put in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One sweep, or one look at held-out candles.

    Attributes:
        before: Hash of the line before.
        id: The same for the same question (code, candles, settings): tries are counted once.
        from_ms: First of the candles that were looked at; of a sweep, those before its hold-out.
        to_ms: End, not included.
        held_out_ms: End of a sweep's hold-out, which begins at `to_ms`.
        tries: Settings that looked.
        what: The command that did it, in words.
    """

    before: str
    at_ms: int
    kind: Kind
    id: str
    data_hash: str
    from_ms: int
    to_ms: int
    held_out_ms: int
    tries: int
    what: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger as it was read.

    Attributes:
        head: Hash of its last line.
    """

    lines: Sequence[LedgerLine] = ()
    head: str = FIRST

    def tries(self, from_ms: int, to_ms: int) -> int:
        """Return how many settings were tried on candles of this time, each sweep counted once."""
        found = {line.id: line.tries for line in self._overlapping(from_ms, to_ms, "sweep")}
        return sum(found.values())

    def openings(self, from_ms: int, to_ms: int) -> int:
        """Return how many settings have seen a hold-out of this time.

        An opening counts as one, a sweep that chose on these days as all settings it tried.
        """
        opened = {line.id for line in self._overlapping(from_ms, to_ms, "opening")}
        return len(opened) + self.tries(from_ms, to_ms)

    def opening(self, id_: str) -> LedgerLine | None:
        """Return the opening of this id."""
        return next((x for x in self.lines if x.kind == "opening" and x.id == id_), None)

    def touched(self, from_ms: int, to_ms: int) -> Sequence[LedgerLine]:
        """Return the sweeps that hold out candles of this time."""
        return [
            line
            for line in self.lines
            if line.kind == "sweep"
            and line.to_ms < min(to_ms, line.held_out_ms)
            and from_ms < line.held_out_ms
        ]

    def _overlapping(self, from_ms: int, to_ms: int, kind: Kind) -> list[LedgerLine]:
        return [
            line
            for line in self.lines
            if line.kind == kind and line.from_ms < to_ms and from_ms < line.to_ms
        ]


def read_ledger(directory: Path) -> Ledger | None:
    """Return the ledger of a store; None if it has none.

    Raises:
        LedgerBroken: The chain of hashes is broken, or a line is none.
        OSError: It cannot be read.
    """
    path = directory / NAME
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return _parsed(path, _whole_lines(path, file.read(LARGEST_BYTES + 1)))
    except FileNotFoundError:
        return None


def append(directory: Path, line: LedgerLine) -> Ledger:
    """Append a line, synced to disk when this returns; return the ledger with it.

    A sweep and an opening that are there already, by their id, are not appended again. `before` is
    filled in here.

    Raises:
        LedgerBroken: The chain is broken; nothing is appended.
        OSError: It cannot be written.
    """
    path = directory / NAME
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        whole = _whole_lines(path, file.read(LARGEST_BYTES + 1))
        ledger = _parsed(path, whole)
        if any((x.kind, x.id) == (line.kind, line.id) for x in ledger.lines):
            return ledger
        added = encode(replace(line, before=ledger.head))
        # a line that a crash cut short was never relied on
        file.truncate(len(whole))
        file.seek(len(whole))
        file.write(added + b"\n")
        file.flush()
        os.fsync(file.fileno())
        if is_new:
            with suppress(OSError):
                sync_directory(directory)
        return Ledger((*ledger.lines, decode(LedgerLine, added, str(path))), _hash(added))


def _whole_lines(path: Path, content: bytes) -> bytes:
    if len(content) > LARGEST_BYTES:
        raise LedgerBroken(f"{path}: larger than {LARGEST_BYTES} bytes, expected a line per sweep")
    return content[: content.rfind(b"\n") + 1]


def _parsed(path: Path, content: bytes) -> Ledger:
    head = FIRST
    lines: list[LedgerLine] = []
    for number, raw in enumerate(content.splitlines(), 1):
        try:
            line = decode(LedgerLine, raw, f"{path}:{number}")
        except BadMessage as error:
            raise LedgerBroken(f"{error}; restore the file from a copy") from None
        if line.before != head:
            raise LedgerBroken(
                f"{path}:{number}: it follows a line with the hash {shown(line.before)}, and the "
                f"one before has {shown(head)}: a line was changed, taken out or put in; restore "
                "the file from a copy. Until then nobody knows how much was tried"
            )
        lines.append(line)
        head = _hash(raw)
    return Ledger(tuple(lines), head)


def shown(hash_: str) -> str:
    """Return the beginning of a hash, as people compare it."""
    return hash_[:12]


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
