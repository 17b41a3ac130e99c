"""Brings a journal of an older release up to date: first a copy, then all changes or none.

Version 1 was of one venue only, with whole numbers for ids and no plan of an entry.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import orjson

from shared.config.defaults import UNNAMED_VENUE, Mode
from shared.files import sync_directory
from shared.journal.rows import JournalOwner
from shared.journal.tables import SCHEMA, SCHEMA_VERSION

CARRIED = {
    "notes": "name, value",
    "positions": """own_id, symbol, side, entry_id, :venue, :environment, :currency,
        CAST(venue_id AS TEXT), opened_ms, why, stop_fraction, target_fraction, NULL, NULL,
        unprotected_ms, closing,
        CASE WHEN closing LIKE 'time stop:%' THEN 'time'
            WHEN closing LIKE 'close by %' OR closing LIKE 'flatten by %' THEN 'command'
            WHEN closing != '' THEN 'protection' END,
        adopted_size, adopted_price, adopted_pnl,
        closed_ms, pnl, NULL, how, judged""",
    "intents": """client_id, symbol, side, purpose, order_side, kind, size, price, cycle_ms,
        sent_ms, why, own_id, stop_fraction, target_fraction, leverage, state, end,
        NULL""",
    "orders": """:venue, :environment, symbol, CAST(order_id AS TEXT), client_id, side, kind, size,
        price, filled_size, filled_value, fee, fee_currency, coalesce(state, 'accepted'),
        created_ms, updated_ms, ''""",
    "fills": """:venue, :environment, symbol, CAST(fill_id AS TEXT), CAST(order_id AS TEXT),
        CAST(position_id AS TEXT), side, price, size, role, fee, fee_currency, at_ms, own_id,
        client_id""",
    "funding": "own_id, at_ms, amount",
    "events": """event_id, at_ms, kind, text, symbol, side, client_id, size_base, price, fee_quote,
        pnl_quote""",
    "equity": "cycle_ms, :venue, :environment, :currency, at_ms, equity, available, pnl, fees",
    "commands": "id, command, symbol, who, at_ms, outcome, text",
}
"""Each table of version 2, column by column, from that of version 1."""


class MigrationFailed(Exception):
    """The file is not what its version says; nothing was changed."""


def migrate(db: sqlite3.Connection, path: Path, allow: Callable[[JournalOwner], None]) -> None:
    """Bring an open journal of version 1 up to date.

    A copy of it stands beside it before anything is changed, as `<name>.v1`; the change itself is
    one transaction, checked before it is committed. Killed at any moment, the file is either of the
    old version or of the new one.

    Args:
        allow: Called with the file's owner before anything is written; what it raises is passed on.

    Raises:
        MigrationFailed: Nothing was changed.
        sqlite3.Error: Neither.
        OSError: The copy cannot be written.
    """
    db.execute("PRAGMA foreign_keys=OFF")  # tables are replaced one by one
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version < SCHEMA_VERSION:  # another process may have been faster
                owner = _owner(db)
                allow(owner)
                _copy(path, path.with_name(f"{path.name}.v{version}"))
                _replace(db, owner)
            db.execute("COMMIT")
        except BaseException:
            db.rollback()
            raise
    except sqlite3.IntegrityError as error:
        raise MigrationFailed(str(error)) from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        raise MigrationFailed(str(error)) from error  # a table or column that is not there
    finally:
        db.execute("PRAGMA foreign_keys=ON")


def _copy(path: Path, copy: Path) -> None:
    """Write a copy of the whole file, for its owner alone; it is on disk when this returns."""
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        _fill(path, part)
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        part.replace(copy)
    except BaseException:
        part.unlink()
        raise
    sync_directory(copy.parent)


def _fill(path: Path, part: Path) -> None:
    # a connection of its own, as one that holds the write lock cannot be read from
    source = f"{path.resolve().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(source, uri=True)) as written,
        closing(sqlite3.connect(part)) as copied,
    ):
        try:
            written.backup(copied)
            (found,) = copied.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            raise OSError(str(error)) from error
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _replace(db: sqlite3.Connection, owner: JournalOwner) -> None:
    """Replace every table by that of the new version, with the same rows."""
    old = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    missing = CARRIED.keys() - set(old)
    if missing:
        raise MigrationFailed(f"it has no table {', '.join(sorted(missing))}")
    for (name,) in db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall():
        db.execute(f'DROP INDEX "{name}"')
    counts = {}
    for name in CARRIED:
        db.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
        (counts[name],) = db.execute(f"SELECT count(*) FROM old_{name}").fetchone()
    for statement in SCHEMA:
        db.execute(statement)
    for name, columns in CARRIED.items():
        db.execute(
            f"INSERT INTO {name} SELECT {columns} FROM old_{name} ORDER BY rowid",
            asdict(owner) if ":venue" in columns else {},
        )
        (count,) = db.execute(f"SELECT count(*) FROM {name}").fetchone()
        if count != counts[name]:
            raise MigrationFailed(f"{name}: {counts[name]} rows before, {count} after")
    for name in CARRIED:
        db.execute(f"DROP TABLE old_{name}")
    written = orjson.dumps(asdict(owner)).decode()
    db.execute("UPDATE notes SET value = ? WHERE name = 'owner'", (written,))
    if broken := db.execute("PRAGMA foreign_key_check").fetchall():
        table, row, other, _ = broken[0]
        raise MigrationFailed(f"{table}: row {row} refers to none of {other}")
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise MigrationFailed(str(found))
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _owner(db: sqlite3.Connection) -> JournalOwner:
    row = db.execute("SELECT value FROM notes WHERE name = 'owner'").fetchone()
    mode = "" if row is None else row[0].strip('"')
    if mode not in get_args(Mode):
        raise MigrationFailed("it does not say of which mode it is")
    environment = "live" if mode == "live" else "simulated"
    return JournalOwner(mode=mode, venue=UNNAMED_VENUE, environment=environment, currency="USDT")
