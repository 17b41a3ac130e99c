"""The journal's SQLite file: opening it, transactions, events and notes.

Money is TEXT, as exact as the venue sent it. A change and its events are one transaction, so
neither ever exists without the other.
"""

from __future__ import annotations

import dataclasses
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import orjson

from shared import codec
from shared.errors import BadMessage, JournalUnavailable, PermanentError
from shared.journal.migration import MigrationFailed, migrate
from shared.journal.rows import OPEN_STATES, JournalOwner
from shared.journal.tables import SCHEMA, SCHEMA_VERSION
from shared.messages.trading import TradeEvent

BUSY_S = 2.0
"""How long a call waits for a lock of another process."""

OPEN_POSITIONS = "SELECT symbol FROM positions WHERE closed_ms IS NULL ORDER BY own_id"
OPEN_ORDERS = f"SELECT symbol FROM intents WHERE state IN {OPEN_STATES!r} ORDER BY rowid"


class JournalFile:
    """One open file. Calls are short and block for one `fsync` at most.

    Used by one thread at a time, so that a slow disk delays the trader's work but never its beat.
    Every call raises JournalUnavailable when the file cannot be read or written now,
    PermanentError when it is damaged.

    Args:
        path: The file; made if absent.
        owner: Whose orders it has. A file of another mode is refused; one of another venue or
            environment while a position is open there, or the outcome of an order unknown.
        identity: Of a new file; random by default. Part of the ids of its orders.

    Attributes:
        identity: Made with the file.
        owner: Whose orders it has.
        failing: Why it cannot be used, until it was written again; "" while it can.
        is_misplaced: Another file, or none, is at its path; writes still go to the one opened.

    Raises:
        PermanentError: The file is damaged, of a newer release, or of another owner; or one of an
            older release cannot be brought up to date, and was left as it is.
    """

    failing = ""
    is_misplaced = False
    _noted = 0

    def __init__(self, path: Path, owner: JournalOwner, *, identity: str | None = None) -> None:
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
            with self._reporting():
                self._migrate(owner)
            self._make(owner, identity or secrets.token_hex(4))
        self._file = _identity_of_file(path)

    @classmethod
    def read_only(cls, path: Path) -> Self:
        """Open the journal for reading, while the trader writes it.

        Raises:
            FileNotFoundError: There is none yet.
            JournalUnavailable: It cannot be read now, or is of an older release: the trader has not
                brought it up to date yet.
            PermanentError: It is damaged, or of a newer release.
        """
        journal = cls._opened_for_reading(path)
        with journal._closed_if_refused(), journal._reporting():
            journal._check_version()
            journal.owner = journal._written_owner()
        return journal

    @classmethod
    def symbols_in_use(cls, path: Path) -> frozenset[str]:
        """Return the coins with an open position or an order of unknown outcome.

        That of an older release is read too: before the trader starts, others need to know.

        Raises:
            FileNotFoundError: There is no journal yet.
            JournalUnavailable, PermanentError: It cannot be read.
        """
        journal = cls._opened_for_reading(path)
        with closing(journal), journal._reporting():
            if journal._version() > SCHEMA_VERSION:
                journal._check_version()
            found = [*journal._rows(OPEN_POSITIONS), *journal._rows(OPEN_ORDERS)]
        return frozenset(symbol for (symbol,) in found)

    @classmethod
    def _opened_for_reading(cls, path: Path) -> Self:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no journal yet; the trader makes it when it starts")
        journal = cls.__new__(cls)
        journal.path = path
        journal._open(f"{path.resolve().as_uri()}?mode=ro")
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

    def _make(self, owner: JournalOwner, identity: str) -> None:
        with self.writing():
            if self._version() == 0:
                for statement in SCHEMA:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                self.set_note("owner", owner)
            self._check_version()
            written = self._written_owner()
            if written != owner:
                self._check_owner(written, owner)
                self.set_note("owner", owner)
                if ledger := self.note("ledger"):  # its money is that of the place before
                    self.set_note("ledger", {"place": written.place} | ledger)
            if self.note("identity") is None:
                self.set_note("identity", identity)
            self.identity: str = self.note("identity")
            self.owner = owner

    def _check_owner(self, written: JournalOwner, owner: JournalOwner) -> None:
        """Let the file be another's only if nothing of ours is left at the one before."""
        if written.mode != owner.mode:
            raise PermanentError(
                f"{self.path}: this is the journal of {written.mode}, and the trader now runs as "
                f"{owner.mode}; positions of one mean nothing to the other: give it a state_dir of "
                "its own, or move the file away"
            )
        left = [
            *(f"a position in {symbol}" for (symbol,) in self._db.execute(OPEN_POSITIONS)),
            *(
                f"an order in {symbol} of unknown outcome"
                for (symbol,) in self._db.execute(OPEN_ORDERS)
            ),
        ]
        if left and written != owner:
            raise PermanentError(
                f"{self.path}: our orders are at {written.place}, with {', '.join(left)}, and the "
                f"trader now has {owner.place}, which knows nothing of them: go back, close what "
                "is open and then change the venue; or give this one a state_dir of its own"
            )

    def _written_owner(self) -> JournalOwner:
        try:
            return codec.from_plain(JournalOwner, self.note("owner"), "its owner")
        except BadMessage as error:
            raise self._damaged(error) from error

    def _version(self) -> int:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _migrate(self, owner: JournalOwner) -> None:
        """Bring a file of an older release up to date, with a copy of it beside it."""
        if 0 < self._version() < SCHEMA_VERSION:
            try:
                migrate(self._db, self.path, lambda written: self._check_owner(written, owner))
            except OSError as error:
                raise JournalUnavailable(
                    f"{self.path}: of an older release, and the copy to make before it is brought "
                    f"up to date cannot be written ({error})"
                ) from error
            except MigrationFailed as failed:
                raise PermanentError(
                    f"{self.path}: a journal of an older release, which cannot be brought up to "
                    f"date ({failed}); it was left as it is: run the release it is of, and report "
                    "this"
                ) from failed

    def _check_version(self) -> None:
        version = self._version()
        if version < SCHEMA_VERSION:
            raise JournalUnavailable(
                f"{self.path}: a journal of an older release (version {version}, expected "
                f"{SCHEMA_VERSION}); the trader brings it up to date when it starts"
            )
        if version > SCHEMA_VERSION:
            raise PermanentError(
                f"{self.path}: a journal of version {version}, and this release knows no newer "
                f"one than {SCHEMA_VERSION}: run the release that wrote it. The copy beside it, "
                f"`{self.path.name}.v{SCHEMA_VERSION}`, if there is one, is from before that, and "
                "knows nothing of the orders since"
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
            row = {"name": name, "value": codec.encode(value).decode()}
            self._noted += self._insert("notes", row, "INSERT OR REPLACE")
            self._add_events(events)

    def _state(self) -> tuple[int, int]:
        """Return what is another after any change, of this process or another, but of a note."""
        ((elsewhere,),) = self._rows("PRAGMA data_version")
        return self._db.total_changes - self._noted, elsewhere


def _identity_of_file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
