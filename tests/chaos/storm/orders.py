"""Compares journal and venue: no order doubled, none lost. Pure, except for reading the journal."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
VENUE_KEEPS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContents:
    """The contents of the trader's journal.

    Attributes:
        intents: client_id -> (symbol, state).
        orders: client_id -> the venue's order_id.
        fills: (fill_id, size) of each order_id.
        open_sizes: Our open sizes by coin, signed, in base currency.
        unanswered: Accepted commands without an outcome.
    """

    intents: Mapping[str, tuple[str, str]]
    orders: Mapping[str, str]
    fills: Mapping[str, Sequence[tuple[str, Decimal]]]
    open_sizes: Mapping[str, Decimal] = field(default_factory=dict)
    unanswered: Sequence[str] = ()


def read_journal(path: Path) -> JournalContents:
    """Read a journal while the trader may be writing it.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        intents = {
            client_id: (symbol, state)
            for client_id, symbol, state in connection.execute(
                "SELECT client_id, symbol, state FROM intents"
            )
        }
        orders = dict(connection.execute("SELECT client_id, order_id FROM orders").fetchall())
        fills: dict[str, list[tuple[str, Decimal]]] = defaultdict(list)
        sizes: dict[str, Decimal] = defaultdict(Decimal)
        for fill_id, order_id, size in connection.execute(
            "SELECT fill_id, order_id, size FROM fills"
        ):
            fills[order_id].append((fill_id, Decimal(size)))
        for symbol, side, size in connection.execute(
            "SELECT f.symbol, f.side, f.size FROM fills f JOIN positions p USING (own_id) "
            "WHERE p.closed_ms IS NULL"
        ):
            sizes[symbol] += Decimal(size) if side == "buy" else -Decimal(size)
        for symbol, side, size in connection.execute(
            "SELECT symbol, side, adopted_size FROM positions WHERE closed_ms IS NULL"
        ):
            sizes[symbol] += Decimal(size) if side == "long" else -Decimal(size)
        unanswered = [
            f"{command} {symbol or ''} ({name})"
            for name, command, symbol in connection.execute(
                "SELECT id, command, symbol FROM commands WHERE outcome IS NULL"
            )
        ]
    finally:
        connection.close()
    return JournalContents(
        intents=intents, orders=orders, fills=fills, open_sizes=sizes, unanswered=unanswered
    )


def disagreements(journal: JournalContents, venue: Row) -> Iterator[str]:
    """Yield every difference between the journal and `GET /sim/venue`, in words.

    Orders without a `client_id` are foreign. Orders that the venue no longer lists are not
    compared.
    """
    forgets = max(len(venue["over"]), len(venue["deals"])) >= VENUE_KEEPS
    at_venue = [row for row in (*venue["orders"], *venue["over"]) if row["client_id"]]
    counts = Counter(row["client_id"] for row in at_venue)
    for client_id, count in counts.items():
        if count > 1:
            yield f"{client_id}: {count} orders at the venue, expected one"
        if client_id not in journal.intents:
            yield f"{client_id}: at the venue, but never journalled"
    by_id = {row["client_id"]: row for row in at_venue}
    for client_id, (symbol, state) in journal.intents.items():
        row = by_id.get(client_id)
        if state in ("sending", "unknown"):
            yield f"{client_id} ({symbol}): still {state} at the end"
        elif state == "taken" and row is None and not forgets:
            yield f"{client_id} ({symbol}): taken by the journal, not at the venue"
        elif state in ("refused", "not_taken") and row is not None:
            yield f"{client_id} ({symbol}): {state} by the journal, but at the venue"
        elif state == "taken" and row is not None and not forgets:
            yield from _of_order(client_id, row, journal, venue)
    yield from _of_positions(journal, venue)
    for command in journal.unanswered:
        yield f"command {command}: taken, and neither done nor failed"


def _of_order(client_id: str, row: Row, journal: JournalContents, venue: Row) -> Iterator[str]:
    order_id = str(row["order_id"])
    if journal.orders.get(client_id) != order_id:
        yield (
            f"{client_id}: order {order_id} at the venue, "
            f"{journal.orders.get(client_id)} in the journal"
        )
    deals = {
        (str(deal["deal_id"]), Decimal(deal["amount"]))
        for deal in venue["deals"]
        if str(deal["order_id"]) == order_id
    }
    known = journal.fills.get(order_id, ())
    if len(set(known)) != len(known):
        yield f"{client_id}: a fill is in the journal twice"
    if deals != set(known):
        yield (
            f"{client_id} ({row['market']}): fills at the venue {sorted(deals)}, "
            f"in the journal {sorted(known)}"
        )


def _of_positions(journal: JournalContents, venue: Row) -> Iterator[str]:
    venue_sizes = {
        row["market"]: Decimal(row["size"]) * (1 if row["side"] == "long" else -1)
        for row in venue["positions"]
    }
    for symbol, size in journal.open_sizes.items():
        if size and venue_sizes.get(symbol, Decimal(0)) != size:
            yield f"{symbol}: {size} open by the journal, {venue_sizes.get(symbol, 0)} at the venue"
