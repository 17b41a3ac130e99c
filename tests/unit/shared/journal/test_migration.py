"""A journal of version 1 is brought up to date with nothing lost, or is left as it is."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.errors import JournalUnavailable, PermanentError
from shared.journal.journal import Journal
from shared.journal.migration import migrate
from shared.journal.rows import JournalOwner
from tests.support.old_journal import TABLES, dump, old_journal, rows, run_sql
from tests.support.venue import simulated_owner

D = Decimal
IDS = ("venue_id", "order_id", "fill_id", "position_id")
OWNER = simulated_owner()
TERMS = {"time stop": "time", "close by": "command", "flatten by": "command"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return old_journal(tmp_path / "state")


def files(path: Path) -> set[str]:
    return {found.name for found in path.parent.iterdir()}


def carried(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of version 1 as version 2 has it."""
    row = {name: str(v) if name in IDS and v is not None else v for name, v in row.items()}
    if table == "orders":
        row |= {"state": row["state"] or "accepted", "why": ""}
    if table in ("orders", "fills"):
        row |= {"venue": OWNER.venue, "environment": OWNER.environment}
    if table == "equity":
        row |= {name: getattr(OWNER, name) for name in ("venue", "environment", "currency")}
    if table == "intents":
        row["order_id"] = None
    if table == "notes" and row["name"] == "owner":
        row["value"] = json.dumps(dataclasses.asdict(OWNER), separators=(",", ":"))
    if table == "positions":
        place = dataclasses.asdict(OWNER)
        del place["mode"]
        row |= place | {"stop": None, "target": None, "ended_by": None}
        terms = [by for why, by in TERMS.items() if row["closing"].startswith(why)]
        row["closing_by"] = terms[0] if row["closing"] else None
    return row


def test_every_row_of_an_old_journal_is_there_afterwards(old: Path) -> None:
    before = {table: rows(old, table) for table in TABLES}
    Journal(old, OWNER).close()
    for table, expected in before.items():
        assert expected, table
        assert rows(old, table) == [carried(table, row) for row in expected], table
    assert rows(old, "plans") == []
    assert files(old) == {"trader.db", "trader.db.v1"}
    with closing(sqlite3.connect(old)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_file_brought_up_to_date_is_built_like_a_new_one(tmp_path: Path, old: Path) -> None:
    Journal(old, OWNER).close()
    Journal(tmp_path / "new.db", OWNER).close()
    asked = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2"
    with closing(sqlite3.connect(old)) as one, closing(sqlite3.connect(tmp_path / "new.db")) as new:
        assert one.execute(asked).fetchall() == new.execute(asked).fetchall()


def test_trader_goes_on_with_what_an_old_journal_has(old: Path) -> None:
    intents, positions = rows(old, "intents"), rows(old, "positions")
    events, notes = rows(old, "events"), {row["name"]: row["value"] for row in rows(old, "notes")}
    ended = [row for row in positions if row["closed_ms"] is not None]
    journal = Journal(old, OWNER)
    assert journal.identity == json.loads(notes["identity"])
    for name in notes.keys() - {"owner"}:
        assert journal.note(name) == json.loads(notes[name])
    assert [intent.client_id for intent in journal.open_intents()] == [
        row["client_id"] for row in intents if row["state"] in ("sending", "unknown")
    ]
    assert Counter(row["state"] for row in intents).keys() == {
        "sending", "unknown", "taken", "refused", "not_taken",
    }  # fmt: skip
    newest = journal.newest_intent()
    assert newest is not None
    assert newest.client_id == intents[-1]["client_id"]
    own = {each.symbol: each for each in journal.own_positions()}
    assert {symbol: (each.size, each.is_complete) for symbol, each in own.items()} == {
        "BTCUSDT": (D("0.0282"), True),  # 0.0382 entered, 0.01 taken by hand
        "ETHUSDT": (D("0.5"), True),
        "SOLUSDT": (D("1.58"), True),
        "DOGEUSDT": (D("2196"), True),
        "BNBUSDT": (D("0.46"), True),
    }
    assert (own["ETHUSDT"].why, own["ETHUSDT"].adopted_size) == ("adopted", D("0.5"))
    assert own["DOGEUSDT"].unprotected_ms is not None
    assert {s: (e.closing, e.closing_by) for s, e in own.items() if e.closing} == {
        "SOLUSDT": ("close by bob", "command"),
        "BNBUSDT": ("time stop: held for 24 h", "time"),
    }
    assert journal.closed_pnl() == sum(D(row["pnl"]) for row in ended)
    closed = journal.closed(100)
    assert [each.own_id for each in closed] == [row["own_id"] for row in reversed(ended)]
    for each in closed:
        assert each.is_complete
        assert each.pnl == each.price_pnl - each.fees + each.funding
        assert (each.plan, each.ended_by, each.slippage) == (None, None, D(0))
        assert each.r == each.pnl / (each.entered[1] * each.stop_fraction)
    assert {each.own_id for each in journal.unjudged()} == {
        row["own_id"] for row in ended if not row["judged"]
    }
    assert journal.last_event_id() == events[-1]["event_id"]
    assert [each.event_id for each in journal.events(0, 10_000)] == [e["event_id"] for e in events]
    assert [row.command for row in journal.begun_commands()] == ["flatten"]
    order = rows(old, "orders")[0]
    assert journal.order_client(order["symbol"], order["order_id"]) == order["client_id"]
    journal.close()


def test_copy_beside_it_says_what_the_old_journal_said_and_is_its_owners_alone(old: Path) -> None:
    before, umask = dump(old), os.umask(0)
    try:
        Journal(old, OWNER).close()
    finally:
        os.umask(umask)
    copy = old.with_name("trader.db.v1")
    assert dump(copy) == before
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_journal_is_brought_up_to_date_once(old: Path) -> None:
    Journal(old, OWNER).close()
    copy, after = old.with_name("trader.db.v1").stat(), dump(old)
    Journal(old, OWNER).close()
    with closing(sqlite3.connect(old, isolation_level=None)) as db:  # one that comes too late
        migrate(db, old, lambda _: pytest.fail("asked again"))
    found = old.with_name("trader.db.v1").stat()
    assert (found.st_ino, found.st_mtime_ns) == (copy.st_ino, copy.st_mtime_ns)
    assert dump(old) == after


def test_what_a_killed_trader_left_in_the_log_beside_is_not_lost(tmp_path: Path, old: Path) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    with closing(sqlite3.connect(old)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("INSERT INTO events (at_ms, kind, text) VALUES (1, 'order', 'the last one')")
        db.execute("UPDATE intents SET state = 'not_taken' WHERE state = 'sending'")
        db.commit()
        for end in ("", "-wal"):
            shutil.copyfile(f"{old}{end}", killed / f"trader.db{end}")
        before = dump(old)
    assert (killed / "trader.db-wal").stat().st_size > 0
    journal = Journal(killed / "trader.db", OWNER)
    assert journal.newest_events(1)[0].text == "the last one"
    assert [intent.state for intent in journal.open_intents()] == ["unknown"]
    journal.close()
    assert dump(killed / "trader.db.v1") == before
    assert files(killed / "trader.db") == {"trader.db", "trader.db.v1"}


@pytest.mark.parametrize("at", ["trader.db.v1", "trader.db.v1.part"])
def test_journal_is_left_as_it_is_where_no_copy_can_be_written(old: Path, at: str) -> None:
    before, obstacle = dump(old), old.with_name(at)
    obstacle.mkdir()
    (obstacle / "something").touch()
    with pytest.raises(JournalUnavailable, match=r"the copy to make before .* cannot be written"):
        Journal(old, OWNER)
    assert dump(old) == before
    assert files(old) == {"trader.db", at}
    shutil.rmtree(obstacle)
    Journal(old, OWNER).close()
    assert files(old) == {"trader.db", "trader.db.v1"}


LIES = {
    "DROP TABLE funding": "it has no table funding",
    "DROP TABLE equity; DROP TABLE commands": "it has no table commands, equity",
    "DROP TABLE notes": "no such table: notes",
    "DROP TABLE positions": "no such table: positions",
    "ALTER TABLE intents DROP COLUMN leverage": "no such column: leverage",
    "CREATE TABLE plans (a)": "table plans already exists",
    "DELETE FROM notes WHERE name = 'owner'": "it does not say of which mode it is",
    "UPDATE notes SET value = '\"nobody\"' WHERE name = 'owner'": "of which mode it is",
    "UPDATE notes SET value = '{' WHERE name = 'owner'": "of which mode it is",
    "UPDATE fills SET own_id = 999 WHERE rowid = 1000161": "fills: row .* refers to none of pos",
    "UPDATE intents SET own_id = 999 WHERE rowid = 3": "intents: row .* refers to none of po",
    "ALTER TABLE fills RENAME TO f; CREATE TABLE fills AS SELECT * FROM f;"
    "INSERT INTO fills SELECT * FROM f LIMIT 1": "UNIQUE constraint failed",
    "ALTER TABLE orders RENAME TO o; CREATE TABLE orders AS SELECT * FROM o;"
    "UPDATE orders SET size = NULL": "NOT NULL constraint failed",
}


@pytest.mark.parametrize("script", LIES)
def test_file_that_is_not_what_its_version_says_is_refused_and_left_as_it_is(
    old: Path, script: str
) -> None:
    run_sql(old, script)
    before = dump(old)
    words = f"older release, which cannot be brought up to date .*{LIES[script]}.* left as it is"
    with pytest.raises(PermanentError, match=words):
        Journal(old, OWNER)
    assert dump(old) == before
    assert "trader.db.v1.part" not in files(old)


def test_file_whose_pages_are_damaged_is_refused_and_left_as_it_is(old: Path) -> None:
    content = bytearray(old.read_bytes())
    content[8192:12288] = bytes(byte ^ 0xA5 for byte in content[8192:12288])
    old.write_bytes(content)
    with pytest.raises(PermanentError, match="damaged"):
        Journal(old, OWNER)
    assert old.read_bytes() == content
    assert "trader.db.v1" not in files(old)


def test_file_whose_index_has_a_row_too_many_is_refused_and_left_as_it_is(old: Path) -> None:
    with closing(sqlite3.connect(old)) as db:
        found = db.execute("SELECT * FROM sqlite_schema WHERE name = 'fills_at'").fetchone()
    run_sql(old, "PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name = 'fills_at'")
    run_sql(old, "DELETE FROM fills WHERE rowid = 1000161")
    with closing(sqlite3.connect(old)) as db:
        db.execute("PRAGMA writable_schema=ON")
        db.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", found)
        db.commit()
    before = dump(old)
    with pytest.raises(PermanentError, match=r"damaged .*fills_at"):
        Journal(old, OWNER)
    assert dump(old) == before
    assert files(old) == {"trader.db"}


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (simulated_owner("paper"), "this is the journal of demo, and the trader now runs as paper"),
        (
            dataclasses.replace(OWNER, venue="tiny"),
            "a position in BTCUSDT, .* an order in XRPUSDT of unknown outcome, and the trader now "
            r"has tiny \(simulated, USDT\)",
        ),
    ],
)
def test_old_journal_of_another_owner_is_refused_before_it_is_touched(
    old: Path, owner: JournalOwner, words: str
) -> None:
    before = dump(old)
    with pytest.raises(PermanentError, match=words):
        Journal(old, owner)
    assert dump(old) == before
    assert files(old) == {"trader.db"}


def test_old_journal_with_nothing_open_goes_on_at_another_venue(old: Path) -> None:
    run_sql(
        old,
        "UPDATE positions SET closed_ms = 1, pnl = '0' WHERE closed_ms IS NULL;"
        "UPDATE intents SET state = 'not_taken' WHERE state IN ('sending', 'unknown')",
    )
    elsewhere = dataclasses.replace(OWNER, venue="tiny", currency="USDC")
    journal = Journal(old, elsewhere)
    assert journal.owner == elsewhere
    assert {own.venue for own in journal.closed(100)} == {OWNER.venue}
    journal.close()


def test_old_journal_of_live_mode_was_at_the_live_venue(old: Path) -> None:
    run_sql(old, "UPDATE notes SET value = '\"live\"' WHERE name = 'owner'")
    journal = Journal(old, dataclasses.replace(OWNER, mode="live", environment="live"))
    assert {own.environment for own in journal.own_positions()} == {"live"}
    journal.close()


def test_reader_of_an_old_journal_is_told_who_brings_it_up_to_date(old: Path) -> None:
    before = dump(old)
    words = r"older release \(version 1, expected 2\); the trader brings it up to date when it star"
    with pytest.raises(JournalUnavailable, match=words):
        Journal.read_only(old)
    assert dump(old) == before
    assert Journal.symbols_in_use(old) == {
        "BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "BNBUSDT", "ADAUSDT", "XRPUSDT",
    }  # fmt: skip
