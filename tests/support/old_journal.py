"""A journal that a trader of an older release has left: see `tests/tapes/journal/README.md`."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

TAPES = ROOT / "tests" / "tapes" / "journal"
LEFT_MS = 1_767_261_654_000
"""When it was left, venue time."""

TABLES = (
    "notes", "positions", "intents", "orders", "fills", "funding", "events", "equity", "commands",
)  # fmt: skip


def old_journal(directory: Path) -> Path:
    """Put it into a state_dir; return its path."""
    directory.mkdir(exist_ok=True)
    path = directory / "trader.db"
    shutil.copyfile(TAPES / "v1.db", path)
    path.chmod(0o600)
    return path


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table as the file has them, in the order they were written."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY rowid")]


def dump(path: Path) -> str:
    """Return all a file says, its version included."""
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        return "\n".join([f"version {version}", *db.iterdump()])


def run_sql(path: Path, script: str) -> None:
    """Change a file by SQL, as its owner could."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)
