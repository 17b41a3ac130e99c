"""The journal's SQLite file: opening it, transactions, events and notes.

Money is TEXT, as exact as the venue sent it. A change and its events are one transaction, so
neither ever exists without the other.
"""

from __future__ import annotations

import dataclasses
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import orjson

from shared import codec
from shared.errors import JournalUnavailable, PermanentError
from shared.journal.tables import SCHEMA, SCHEMA_VERSION
from shared.messages.trading import TradeEvent

BUSY_S = 2.0
"""How long a call waits for a lock of another process."""


class JournalFile:
    """One open file. Calls are short and block for one `fsync` at most.

    Used by one thread at a time, so that a slow disk delays the trader's work but never its beat.
    Every call raises JournalUnavailable when the file cannot be read or written now,
    PermanentError when it is damaged.

    Args:
        path: The file; made if absent.
        owner: Its mode and venue, such as `demo`: a file of another owner is refused.
        identity: Of a new file; random by default. Part of the ids of its orders.

    Attributes:
        identity: Made with the file.
        failing: Why it cannot be used, until it was written again; "" while it can.
        is_misplaced: Another file, or none, is at its path; writes still go to the one opened.

    Raises:
        PermanentError: The file is damaged, of another version, or of another owner.
    """

    failing = ""
    is_misplaced = False

    def __init__(self, path: Path, owner: str, *, identity: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._open(f"{path.resolve().as_uri()}?mode=rwc")
        with self._closed_if_refused():
            with self._reporting():
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute("PRAGMA foreign_keys=ON")
                (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise self._damaged(found)
            self._make(owner, identity or secrets.token_hex(4))
        self._file = _identity_of_file(path)

    @classmethod
    def read_only(cls, path: Path) -> Self:
        """Open the journal for reading, while the trader writes it.

        Raises:
            FileNotFoundError: There is none yet.
            PermanentError: It is damaged or of another version.
        """
        if not path.exists():
            raise FileNotFoundError(f"{path}: no journal yet; the trader makes it when it starts")
        journal = cls.__new__(cls)
        journal.path = path
        journal._open(f"{path.resolve().as_uri()}?mode=ro")
        with journal._closed_if_refused(), journal._reporting():
            journal._check_version()
        return journal

    def close(self) -> None:
        self._db.close()

    # Opening

    def _open(self, uri: str) -> None:
        try:
            self._db = sqlite3.connect(
                uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise PermanentError(
                f"{self.path}: the journal cannot be opened ({error}); without it nothing may be "
                "traded; make it and its directory writable for the user that runs this"
            ) from error

    @contextmanager
    def _closed_if_refused(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._db.close()
            raise

    def _make(self, owner: str, identity: str) -> None:
        with self.writing():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in SCHEMA:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                self.set_note("owner", owner)
            self._check_version()
            written = self.note("owner")
            if written == owner and self.note("identity") is None:
                self.set_note("identity", identity)
            self.identity: str = self.note("identity")
        if written != owner:
            raise PermanentError(
                f"{self.path}: this is the journal of {written}, and the trader now runs as "
                f"{owner}; positions of one mean nothing to the other: give it a state_dir of its "
                "own, or move the file away"
            )

    def _check_version(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            raise PermanentError(
                f"{self.path}: a journal of version {version}, expected {SCHEMA_VERSION}; it was "
                "written by another release: run that one, or move the file away once it holds no "
                "open position"
            )

    def _damaged(self, why: object) -> PermanentError:
        return PermanentError(
            f"{self.path}: the journal is damaged ({why}). It says which positions are ours, so "
            "nothing is traded without it: restore it from a backup, or move it away after closing "
            "every position at the venue by hand"
        )

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            self.failing = f"{self.path}: {error}"
            raise JournalUnavailable(self.failing) from error
        except sqlite3.IntegrityError:
            raise  # a bug of ours
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the block in one transaction, synced to disk when it ends."""
        with self._reporting():
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.rollback()
                raise
            self._db.execute("COMMIT")
            self.failing = ""

    def probe(self, at_ms: int) -> None:
        """Write, so that `failing` is current, and look whether the file is still in its place."""
        self.set_note("alive", at_ms)
        self.is_misplaced = _identity_of_file(self.path) != self._file

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._reporting():
            return self._db.execute(query, values).fetchall()

    def _insert(self, table: str, row: dict[str, Any], verb: str = "INSERT") -> int:
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        values = [str(v) if isinstance(v, Decimal) else v for v in row.values()]
        done = self._db.execute(f"{verb} INTO {table} ({names}) VALUES ({marks})", values)
        return done.rowcount

    # Events

    def add_events(self, *events: TradeEvent) -> None:
        """Add events and number them."""
        with self.writing():
            self._add_events(events)

    def _add_events(self, events: Iterable[TradeEvent]) -> None:
        for event in events:
            row = dataclasses.asdict(event)
            del row["event_id"], row["v"]
            self._insert("events", row)

    def events(self, after_id: int = 0, limit: int = 1000) -> list[TradeEvent]:
        """Return events by their number, oldest first."""
        return [
            TradeEvent(**row)
            for row in self._dicts(
                "SELECT * FROM events WHERE event_id > ? ORDER BY event_id LIMIT ?", after_id, limit
            )
        ]

    def newest_events(self, limit: int, before_id: int | None = None) -> list[TradeEvent]:
        return [
            TradeEvent(**row)
            for row in self._dicts(
                "SELECT * FROM events WHERE event_id < ? ORDER BY event_id DESC LIMIT ?",
                2**62 if before_id is None else before_id,
                limit,
            )
        ]

    def last_event_id(self) -> int:
        """Return the number of the newest event; 0 when there is none."""
        ((newest,),) = self._rows("SELECT coalesce(max(event_id), 0) FROM events")
        return int(newest)

    def _dicts(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with self._reporting():
            cursor = self._db.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    # Notes

    def note(self, name: str) -> Any:
        """Return the note under a name, as plain values; None if there is none."""
        rows = self._rows("SELECT value FROM notes WHERE name = ?", name)
        return orjson.loads(rows[0][0]) if rows else None

    def set_note(self, name: str, value: Any, *events: TradeEvent) -> None:
        """Store plain values or a message under a name."""
        with self.writing():
            self._insert(
                "notes", {"name": name, "value": codec.encode(value).decode()}, "INSERT OR REPLACE"
            )
            self._add_events(events)


def _identity_of_file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
